//! The bodies of the fuzz targets of this module: any bytes end in a value or a typed error.

use super::{Lock, Version, deb822, packages, relation};

/// Control files.
pub fn deb822(data: &[u8]) {
    let mut reader = deb822::Reader::new(data);
    let mut paragraph = deb822::Paragraph::default();
    while let Ok(true) = reader.next(&mut paragraph) {
        assert!(paragraph.fields().count() > 0, "a paragraph has a field");
    }
}

/// Package indices, plain and compressed; and lock files.
pub fn packages(data: &[u8]) {
    let _ = packages::read(data, "amd64");
    let _ = packages::read_xz(data, 1 << 20, "amd64");
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(lock) = Lock::parse(text)
    {
        let _ = lock.changes_since(&lock);
    }
}

/// Relations: what is read is written and read back.
pub fn relation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(groups) = relation::parse(text) {
        for relation in groups.iter().flatten() {
            let again = relation::parse(&relation.to_string()).unwrap_or_default();
            assert_eq!(again.first().and_then(|group| group.first()), Some(relation), "{text}");
        }
    }
}

/// Two versions, separated by a line end, and their order.
pub fn version(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (a, b) = text.split_once('\n').unwrap_or((text, text));
    if let (Ok(a), Ok(b)) = (Version::parse(a), Version::parse(b)) {
        assert_eq!(a.cmp(&b), b.cmp(&a).reverse(), "{a} {b}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::deb822(&data);
            super::packages(&data);
            super::relation(&data);
            super::version(&data);
        }

        #[test]
        fn text(data in "((Package|Version|Filename|Size|SHA256|Provides): ?[a-z0-9(>=)/,.|~+:-]{0,12}\n ?){0,8}") {
            super::deb822(data.as_bytes());
            super::packages(data.as_bytes());
            super::relation(data.as_bytes());
        }
    }
}
