//! How long to wait before the next attempt, and the seam through which the waiting is done.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Waits; the one place where fetching spends time on purpose.
pub trait Waiter: Send + Sync {
    /// Waits this long. `false` means: give up instead of trying again.
    fn wait(&self, duration: Duration) -> bool;
}

/// A waiter that can be told to stop from another thread, and that gives up at a deadline.
#[derive(Debug, Default)]
pub struct Patience {
    stopped: Mutex<bool>,
    changed: Condvar,
    deadline: Option<Instant>,
}

impl Patience {
    /// Patience that ends at `deadline`; without one it lasts as long as the attempts do.
    pub fn until(deadline: Option<Instant>) -> Self {
        Self { deadline, ..Self::default() }
    }

    /// Ends every wait, now and from now on.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Waiter for Patience {
    fn wait(&self, duration: Duration) -> bool {
        let mut end = Instant::now() + duration;
        let mut give_up = false;
        if let Some(deadline) = self.deadline
            && deadline < end
        {
            end = deadline;
            give_up = true;
        }
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if *stopped || left.is_zero() {
                return !*stopped && !give_up;
            }
            stopped = self.changed.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The pause before attempt number `attempt` (2 is the first repetition): `base` doubled each time,
/// at most `cap`, of which a part between a half and the whole is taken, chosen by `seed`.
pub(crate) fn pause(attempt: u32, base: Duration, cap: Duration, seed: u64) -> Duration {
    let doubled =
        base.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(2)).unwrap_or(u32::MAX).max(1));
    let whole = doubled.min(cap);
    // SplitMix64: one multiplication chain is random enough to keep clients apart.
    let mut z = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let part = u32::try_from((z ^ (z >> 31)) % 1000).unwrap_or(0);
    whole / 2 + whole / 2 * part / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_up_to_the_cap() {
        let (base, cap) = (Duration::from_millis(200), Duration::from_secs(5));
        for seed in 0..50 {
            for attempt in 2..80 {
                let whole = base.saturating_mul(2_u32.saturating_pow(attempt - 2)).min(cap);
                let pause = pause(attempt, base, cap, seed);
                assert!(pause >= whole / 2 && pause <= whole, "{attempt} {seed} {pause:?}");
            }
        }
        assert_ne!(pause(3, base, cap, 1), pause(3, base, cap, 2));
    }

    #[test]
    fn a_stopped_wait_says_so() {
        let patience = Patience::until(None);
        assert!(patience.wait(Duration::from_millis(1)));
        patience.stop();
        assert!(!patience.wait(Duration::from_secs(3600)));
        assert!(!Patience::until(Some(Instant::now())).wait(Duration::from_secs(3600)));
    }
}
