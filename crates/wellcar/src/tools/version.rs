//! Versions of programs: what a program says, and whether that will do. Pure.

/// Which versions of a host's program will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// This version or a later one.
    AtLeast {
        /// The version's numbers.
        version: &'static [u32],
        /// The argument that makes the program say its version.
        ask: &'static str,
    },
    /// Exactly the locked package's upstream version: another one makes other bytes.
    Locked {
        /// The package.
        package: &'static str,
        /// The argument that makes the program say its version.
        ask: &'static str,
    },
}

impl Rule {
    /// The argument that makes the program say its version.
    pub fn ask(self) -> &'static str {
        match self {
            Self::AtLeast { ask, .. } | Self::Locked { ask, .. } => ask,
        }
    }

    /// The package whose locked version counts.
    pub fn package(self) -> Option<&'static str> {
        match self {
            Self::AtLeast { .. } => None,
            Self::Locked { package, .. } => Some(package),
        }
    }

    /// Whether the version `found` will do, where the package has the version `locked`.
    pub fn accepts(self, found: &[u32], locked: Option<&str>) -> bool {
        match self {
            Self::AtLeast { version, .. } => found >= version,
            Self::Locked { .. } => locked.and_then(upstream).is_some_and(|locked| locked == found),
        }
    }
}

/// The first version in what a program said: numbers with at least one dot between them.
pub fn number(said: &str) -> Option<Vec<u32>> {
    said.split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.contains('.') && !word.contains(".."))
        .find_map(|word| word.split('.').map(|part| part.parse().ok()).collect())
}

/// The numbers of a Debian version's upstream part: `1:10.0.13+ds-0+deb13u1` is 10.0.13.
fn upstream(version: &str) -> Option<Vec<u32>> {
    let (_, rest) = version.split_once(':').unwrap_or(("", version));
    let upstream = rest.rsplit_once('-').map_or(rest, |(upstream, _)| upstream);
    let plain = upstream.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    plain.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let cases = [
            ("mkfs.erofs (erofs-utils) 1.8.6\navailable compressors: lz4", vec![1, 8, 6]),
            ("mkfs.erofs 1.5", vec![1, 5]),
            ("mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library version 1.47.0", vec![1, 47, 0]),
            ("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)", vec![10, 0, 13]),
            ("OpenSSH_9.2p1 Debian-2+deb12u5, OpenSSL 3.0.15", vec![9, 2]),
        ];
        for (said, version) in cases {
            assert_eq!(number(said), Some(version), "{said}");
        }
        for said in ["", "no version", "7", "1..2", "99999999999999.1"] {
            assert_eq!(number(said), None, "{said}");
        }
    }

    #[test]
    fn what_makes_the_image_must_be_of_the_locked_version() {
        let rule = Rule::Locked { package: "erofs-utils", ask: "-V" };
        assert!(rule.accepts(&[1, 8, 6], Some("1.8.6-1")));
        assert!(!rule.accepts(&[1, 8, 7], Some("1.8.6-1")));
        assert!(!rule.accepts(&[1, 8], Some("1.8.6-1")));
        assert!(!rule.accepts(&[1, 8, 6], None));
        assert_eq!(upstream("1:10.0.13+ds-0+deb13u1"), Some(vec![10, 0, 13]));
    }

    #[test]
    fn what_only_runs_may_be_newer() {
        let rule = Rule::AtLeast { version: &[8, 2], ask: "--version" };
        assert!(rule.accepts(&[8, 2, 0], None));
        assert!(rule.accepts(&[10, 0], None));
        assert!(!rule.accepts(&[7, 2, 19], None));
    }

    proptest! {
        #[test]
        fn any_text_is_read(said in ".{0,200}", locked in ".{0,40}") {
            let _ = number(&said);
            let _ = upstream(&locked);
        }

        #[test]
        fn what_is_written_is_found(version in prop::collection::vec(0u32..5000, 2..5)) {
            let text = version.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
            prop_assert_eq!(number(&format!("tool (x) {text} y")), Some(version));
        }
    }
}
