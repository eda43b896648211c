//! Waiting for events with a deadline: the one place where this crate looks at the clock.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A moment at which waiting ends.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    /// The moment `allowed` from now.
    #[must_use]
    pub fn after(allowed: Duration) -> Self {
        Self { at: Instant::now() + allowed, allowed }
    }

    /// The moment `seconds` from now.
    #[must_use]
    pub fn seconds(seconds: u64) -> Self {
        Self::after(Duration::from_secs(seconds))
    }

    /// What is left; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// The time that was allowed when it was made, for messages.
    #[must_use]
    pub fn allowed(&self) -> Duration {
        self.allowed
    }
}

/// State shared with a reader thread, with a signal for each change.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    /// The value; a writer that panicked leaves it usable, because each change is whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value and wakes all who wait.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `look` answers something; `None` when the deadline passed first.
    pub(crate) fn wait<R>(&self, deadline: Deadline, mut look: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let mut value = self.lock();
        loop {
            if let Some(result) = look(&mut value) {
                return Some(result);
            }
            let remaining = deadline.remaining();
            if remaining.is_zero() {
                return None;
            }
            value = self
                .changed
                .wait_timeout(value, remaining)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
    }
}

/// Lines that a reader thread delivered, until the other side closed.
#[derive(Debug, Default)]
pub(crate) struct Inbox<T> {
    pub(crate) items: VecDeque<T>,
    pub(crate) closed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn waiting_ends_with_the_change() {
        let shared = Arc::new(Watched::new(0));
        let writer = Arc::clone(&shared);
        let thread = std::thread::spawn(move || writer.change(|value| *value = 7));
        let seen = shared.wait(Deadline::seconds(10), |value| (*value == 7).then_some(*value));
        thread.join().unwrap();
        assert_eq!(seen, Some(7));
    }

    #[test]
    fn waiting_ends_with_the_deadline() {
        let shared = Watched::new(0);
        assert_eq!(shared.wait(Deadline::after(Duration::from_millis(5)), |_| None::<()>), None);
    }
}
