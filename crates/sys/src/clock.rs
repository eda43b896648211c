//! The machine's clock.

use rustix::time::{ClockId, Timespec, clock_settime};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// Moves the clock forward to `earliest` if it is before that; true when it was.
///
/// # Errors
/// When the clock may not be set.
pub fn not_before(earliest: SystemTime) -> io::Result<bool> {
    if SystemTime::now() >= earliest {
        return Ok(false);
    }
    let since = earliest.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let time = Timespec {
        tv_sec: i64::try_from(since.as_secs()).map_err(io::Error::other)?,
        tv_nsec: i64::from(since.subsec_nanos()),
    };
    clock_settime(ClockId::Realtime, time)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::not_before;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_clock_that_is_late_enough_is_left_alone() {
        assert!(!not_before(UNIX_EPOCH).unwrap());
    }
}
