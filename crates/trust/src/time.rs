//! Points in time as whole seconds since 1970, and the two text forms that signed metadata uses.
//! No clock is read here.

use std::fmt;

/// Seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    if !digits.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn assemble(year: i64, month: i64, day: i64, clock: &str) -> Option<UnixTime> {
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2..=2)?;
    let minute = number(parts.next()?, 2..=2)?;
    let second = number(parts.next()?, 2..=2)?;
    let in_range = parts.next().is_none()
        && (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range || civil_from_days(days_from_civil(year, month, day)) != (year, month, day) {
        return None;
    }
    Some(UnixTime(days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second))
}

impl UnixTime {
    /// Reads a Release file's date, `Sat, 21 Nov 2026 00:53:03 UTC` (Debian's repository format;
    /// the zone is always UTC). `None` when the text is anything else.
    pub fn parse_release_date(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        words.next()?.strip_suffix(',')?;
        let day = number(words.next()?, 1..=2)?;
        let month_name = words.next()?;
        let month = MONTHS.iter().position(|m| *m == month_name)?;
        let year = number(words.next()?, 4..=4)?;
        let clock = words.next()?;
        if !matches!(words.next()?, "UTC" | "GMT" | "+0000" | "Z") || words.next().is_some() {
            return None;
        }
        assemble(year, i64::try_from(month).ok()? + 1, day, clock)
    }

    /// Reads what [`fmt::Display`] writes: `2026-11-21T00:53:03Z`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
        let mut parts = date.split('-');
        let year = number(parts.next()?, 4..=4)?;
        let month = number(parts.next()?, 2..=2)?;
        let day = number(parts.next()?, 2..=2)?;
        if parts.next().is_some() {
            return None;
        }
        assemble(year, month, day, clock)
    }

    /// Seconds from `earlier` to here; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400));
        let second = self.0.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let time = UnixTime::parse_release_date("Sat, 21 Nov 2026 00:53:03 UTC").unwrap();
        assert_eq!(time.0, 1_795_222_383);
        assert_eq!(time.to_string(), "2026-11-21T00:53:03Z");
        assert_eq!(UnixTime::parse_rfc3339("2026-11-21T00:53:03Z"), Some(time));
        for bad in
            ["", "Sat, 31 Feb 2026 00:00:00 UTC", "Sat, 21 Nov 2026 00:53:03 CET", "21 Nov 2026", "now"]
        {
            assert_eq!(UnixTime::parse_release_date(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn display_and_parse_agree(seconds in 0_i64..253_402_300_799) {
            let time = UnixTime(seconds);
            proptest::prop_assert_eq!(UnixTime::parse_rfc3339(&time.to_string()), Some(time));
        }
    }
}
