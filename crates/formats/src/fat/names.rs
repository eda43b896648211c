//! Long names, their 8.3 aliases, and times as FAT writes them.

use std::collections::BTreeSet;

use super::{ATTR_LONG_NAME, ENTRY, Error};
use crate::bytes::put;

/// UTF-16 units in one long-name entry, and where they stand in it.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Refuses what a long name cannot be.
pub(super) fn check(name: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Name { name: name.escape_default().to_string(), reason });
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.encode_utf16().count() > 255 {
        return refuse("it is longer than 255 characters");
    }
    if name.chars().any(|c| c.is_control() || "\"*/:<>?\\|".contains(c)) {
        return refuse("it has a character FAT does not allow");
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return refuse("it starts or ends with a space, or ends with a dot");
    }
    Ok(())
}

/// The label, padded; upper-case letters, digits and a few signs only.
pub(super) fn label(text: &str) -> Result<[u8; 11], Error> {
    if text.is_empty()
        || text.len() > 11
        || !text.bytes().all(|b| b == b' ' || is_short(b))
        || text.starts_with(' ')
    {
        return Err(Error::Name {
            name: text.escape_default().to_string(),
            reason: "a label has 1 to 11 upper-case letters, digits or signs",
        });
    }
    let mut out = [b' '; 11];
    put(&mut out, 0, text.as_bytes());
    Ok(out)
}

fn is_short(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit() || b"$%'-_@~`!(){}^#&".contains(&b)
}

/// The alias of a name among those of its directory, and whether it needs long-name entries.
pub(super) fn short(name: &str, taken: &mut BTreeSet<[u8; 11]>) -> ([u8; 11], bool) {
    let (base, extension) = match name.rsplit_once('.') {
        Some((base, extension)) if !base.is_empty() => (base, extension),
        Some(_) | None => (name, ""),
    };
    let fits = (1..=8).contains(&base.len())
        && extension.len() <= 3
        && !name.ends_with('.')
        && base.bytes().chain(extension.bytes()).all(is_short);
    if fits {
        let plain = field(base.as_bytes(), extension.as_bytes());
        if taken.insert(plain) {
            return (plain, false);
        }
    }
    let squeeze = |text: &str| -> Vec<u8> {
        let kept = text.chars().filter(|c| *c != ' ' && *c != '.').map(|c| c.to_ascii_uppercase());
        kept.map(|c| u8::try_from(c).ok().filter(|b| is_short(*b)).unwrap_or(b'_')).collect()
    };
    let (base, mut extension) = (squeeze(base), squeeze(extension));
    extension.truncate(3);
    let mut n = 1u32;
    loop {
        let tail = format!("~{n}");
        let mut front = base.clone();
        front.truncate(8 - tail.len());
        front.extend(tail.bytes());
        let alias = field(&front, &extension);
        if taken.insert(alias) {
            return (alias, true);
        }
        n += 1;
    }
}

fn field(base: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut out = [b' '; 11];
    put(&mut out, 0, base);
    put(&mut out, 8, extension);
    out
}

/// The sum in each long-name entry that ties it to its alias.
pub(super) fn checksum(short: &[u8; 11]) -> u8 {
    short.iter().fold(0, |sum: u8, b| sum.rotate_right(1).wrapping_add(*b))
}

/// Long-name entries, last part first as on disk.
pub(super) fn long_entries(name: &str, short: &[u8; 11]) -> Vec<[u8; ENTRY]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(UNITS.len()) {
        units.push(0);
        units.resize(units.len().next_multiple_of(UNITS.len()), 0xffff);
    }
    let count = units.len() / UNITS.len();
    let mut out = Vec::with_capacity(count);
    for (n, part) in (1u8..).zip(units.chunks(UNITS.len())) {
        let mut entry = [0; ENTRY];
        entry[0] = if usize::from(n) == count { n | 0x40 } else { n };
        entry[11] = ATTR_LONG_NAME;
        entry[13] = checksum(short);
        for (unit, at) in part.iter().zip(UNITS) {
            put(&mut entry, at, &unit.to_le_bytes());
        }
        out.push(entry);
    }
    out.reverse();
    out
}

/// The 13 units of a long-name entry.
pub(super) fn units(entry: &[u8]) -> [u16; 13] {
    UNITS.map(|at| crate::bytes::le16(entry, at))
}

/// FAT's time and date of a moment in seconds since 1970, UTC.
pub(super) fn time(seconds: u64) -> Result<(u16, u16), Error> {
    let bad = || Error::Time(seconds);
    let days = seconds / 86_400;
    let of_day = seconds % 86_400;
    let mut year = 1970u64;
    let mut left = days;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
        if year > 2107 {
            return Err(bad());
        }
    }
    let mut month = 1u64;
    for length in [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let year = year.checked_sub(1980).ok_or_else(bad)?;
    let date = year << 9 | month << 5 | (left + 1);
    let clock = (of_day / 3600) << 11 | (of_day / 60 % 60) << 5 | (of_day % 60 / 2);
    Ok((u16::try_from(clock).map_err(|_| bad())?, u16::try_from(date).map_err(|_| bad())?))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases() {
        let mut taken = BTreeSet::new();
        let mut alias = |name: &str| {
            let (short, long) = short(name, &mut taken);
            (String::from_utf8(short.to_vec()).unwrap(), long)
        };
        for (name, want, long) in [
            ("BOOTX64.EFI", "BOOTX64 EFI", false),
            ("EFI", "EFI        ", false),
            ("loader", "LOADER~1   ", true),
            ("wellcar_2026.11.0+3.efi", "WELLCA~1EFI", true),
            ("wellcar_2026.11.0+2-1.efi", "WELLCA~2EFI", true),
            ("größe", "GR__E~1    ", true),
            (".hidden", "HIDDEN~1   ", true),
            ("A.B.C", "AB~1    C  ", true),
            ("TOOLONGNAME.TXT", "TOOLON~1TXT", true),
        ] {
            assert_eq!(alias(name), (want.to_owned(), long), "{name}");
        }
        for n in 3..=12 {
            let want = if n < 10 { format!("WELLCA~{n}EFI") } else { format!("WELLC~{n}EFI") };
            assert_eq!(alias(&format!("wellcar_{n}.efi")).0, want);
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(315_532_800).unwrap(), (0, 1 << 5 | 1));
        // 2023-11-14 22:13:20 UTC
        assert_eq!(time(1_700_000_000).unwrap(), (22 << 11 | 13 << 5 | 10, 43 << 9 | 11 << 5 | 14));
        // 2024-02-29 and 2107-12-31
        assert_eq!(time(1_709_164_800).unwrap().1, 44 << 9 | 2 << 5 | 29);
        assert_eq!(time(4_354_819_199).unwrap().1, 127 << 9 | 12 << 5 | 31);
        for bad in [0, 315_532_799, 4_354_819_200, u64::MAX] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
