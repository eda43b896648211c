//! Locking and fetching against a mirror that lies (faults B3 to B6, B16, B17) and one that does not.

use super::*;
use crate::archive::ArchiveError;
use crate::cmd::image::lock::read_below;
use crate::store::StoreError;
use crate::test_mirror::{TestMirror, TestPackage, armored, files_below, hex, key, sign, write};
use crate::ui::Ui;
use std::error::Error as _;
use trust::ReleaseError;

const fn package(name: &'static str, version: &'static str, more: &'static str) -> TestPackage {
    TestPackage { name, version, more }
}

const MAIN: [TestPackage; 4] = [
    package("top", "1", "Depends: dep\n"),
    package("dep", "1.0-1", ""),
    package("tool", "1", "Depends: dep\n"),
    package("other", "1", ""),
];
const SECURITY: [TestPackage; 1] = [package("dep", "1.0-1+deb13u1", "")];

fn published() -> TestMirror {
    let mirror = TestMirror::new();
    mirror.publish("trixie", Archive::Main, &MAIN);
    mirror.publish("trixie-security", Archive::Security, &SECURITY);
    mirror
}

fn solve_with(mirror: &TestMirror, not_before: &[compose::repo::LockedSuite]) -> Result<Locks, LockingError> {
    let os = read_below(&mirror.os("'top'"));
    let (mirrors, store) = (mirror.mirrors(), mirror.store());
    let reading = Reading {
        os: &os,
        mirrors: &mirrors,
        store: &store,
        now: mirror.now,
        allow_stale: false,
        not_before,
        ui: Ui::Quiet,
    };
    solve(&reading)
}

fn archive_error(mirror: &TestMirror) -> ArchiveError {
    match solve_with(mirror, &[]) {
        Err(LockingError::Archive(error)) => error,
        other => panic!("expected an error of the archive: {other:?}"),
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += ": ";
        text += &cause.to_string();
        next = cause.source();
    }
    text
}

fn inrelease(mirror: &TestMirror) -> PathBuf {
    mirror.root(Archive::Main).join("dists/trixie/InRelease")
}

#[test]
fn locks_the_newest_of_all_suites() {
    let mirror = published();
    let locks = solve_with(&mirror, &[]).unwrap();
    let names: Vec<String> =
        locks.os.packages.iter().map(|p| format!("{}={} {}", p.name, p.version, p.suite)).collect();
    assert_eq!(names, ["dep=1.0-1+deb13u1 trixie-security", "top=1 trixie"]);
    assert_eq!(locks.tools.set("mkfs").len(), 2);
    assert_eq!(locks.os.to_toml(), solve_with(&mirror, &[]).unwrap().os.to_toml());
    let folder = mirror.folder.path().join("relock");
    write_twice(&locks, &folder);
    let read = Lock::parse(&std::fs::read_to_string(folder.join(OS_LOCK)).unwrap()).unwrap();
    assert_eq!(read, locks.os);
}

fn write_twice(locks: &Locks, folder: &Path) {
    super::write(locks, folder).unwrap();
    super::write(locks, folder).unwrap();
    assert_eq!(files_below(folder).len(), 2, "nothing temporary is left");
}

#[test]
fn an_index_of_nobody_we_trust_is_refused() {
    let mirror = published();
    let good = std::fs::read_to_string(inrelease(&mirror)).unwrap();
    let text = good.split("\n\n").nth(1).unwrap().split("\n-----BEGIN").next().unwrap().to_owned();
    let other = sign(&key(2), &text);
    let changed = good.replacen("Origin", "origin", 1);
    let unsigned = format!("{text}\n");
    let cases = [
        ("another key", other.as_str(), "not one of the pinned keys"),
        ("changed", changed.as_str(), "the signature is wrong for this text"),
        ("unsigned", unsigned.as_str(), "found no signature header"),
        ("truncated", &good[..good.len() / 2], "truncated"),
        ("empty", "", "found no signature header"),
    ];
    for (case, bytes, expected) in cases {
        write(&inrelease(&mirror), bytes.as_bytes());
        let error = archive_error(&mirror);
        let said = chain(&error);
        assert!(said.contains(expected) && said.contains("`trixie`"), "{case}: {said}");
        assert!(matches!(error, ArchiveError::Release { .. }), "{case}");
        assert!(error.hint().is_some());
        assert!(files_below(&mirror.cache()).is_empty(), "{case}: nothing is kept");
    }
    std::fs::remove_file(inrelease(&mirror)).unwrap();
    assert!(chain(&archive_error(&mirror)).contains("expected status 200, found 404"));
}

#[test]
fn an_index_with_other_bytes_is_refused() {
    let mirror = published();
    let path = mirror.root(Archive::Main).join("dists/trixie/main/binary-amd64/Packages.xz");
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    for bytes in [flipped, good[..good.len() - 1].to_vec(), [good.clone(), vec![0]].concat()] {
        write(&path, &bytes);
        let error = archive_error(&mirror);
        assert!(
            matches!(&error, ArchiveError::Index { source, .. } if matches!(**source, StoreError::Mismatch { .. })),
            "{error:?}"
        );
        assert!(chain(&error).contains("trixie/main/binary-amd64/Packages.xz"));
    }
    // A resumed transfer of the right bytes heals what the wrong ones left.
    write(&path, &good);
    assert!(solve_with(&mirror, &[]).is_ok());
}

#[test]
fn a_frozen_mirror_is_refused() {
    let mut mirror = published();
    mirror.now = UnixTime(mirror.now.0 + 30 * 86_400);
    let error = archive_error(&mirror);
    let stale = |source: &ReleaseError| matches!(source, ReleaseError::Stale { .. });
    assert!(matches!(&error, ArchiveError::Release { source, .. } if stale(source)));
    assert!(error.hint().unwrap().contains("--allow-stale"));
}

#[test]
fn a_mirror_that_went_back_is_refused() {
    let mut mirror = published();
    let locks = solve_with(&mirror, &[]).unwrap();
    mirror.age = 2 * 86_400;
    mirror.publish("trixie-security", Archive::Security, &[]);
    match solve_with(&mirror, &locks.os.suites) {
        Err(LockingError::Archive(ArchiveError::Older { suite, .. })) => assert_eq!(suite, "trixie-security"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_suite_of_another_origin_or_name_is_refused() {
    // Dependency confusion: a signed archive with a higher version, under the name of a pinned suite.
    let mut mirror = published();
    mirror.origin = "Elsewhere";
    mirror.publish("trixie-security", Archive::Security, &[package("dep", "99", "")]);
    assert!(matches!(archive_error(&mirror), ArchiveError::Origin { found, .. } if found == "Elsewhere"));
    mirror.origin = "Debian";
    mirror.publish("experimental", Archive::Main, &[package("dep", "99", "")]);
    let from = mirror.root(Archive::Main).join("dists/experimental/InRelease");
    std::fs::copy(from, inrelease(&mirror)).unwrap();
    let error = archive_error(&mirror);
    assert!(
        matches!(&error, ArchiveError::Release { source, .. } if matches!(**source, ReleaseError::OtherSuite { .. })),
        "{error:?}"
    );
    // A key that is pinned for nothing here does not help either.
    let mut mirror = published();
    mirror.key = key(7);
    let stranger = armored(&mirror.key);
    mirror.publish("trixie", Archive::Main, &[package("dep", "99", "")]);
    mirror.key = key(1);
    assert_ne!(stranger, armored(&mirror.key));
    assert!(matches!(archive_error(&mirror), ArchiveError::Release { .. }));
}

#[test]
fn every_flipped_byte_of_a_package_is_seen() {
    let mirror = published();
    let locks = solve_with(&mirror, &[]).unwrap();
    let path = mirror.root(Archive::Main).join("pool/main/top_1_amd64.deb");
    let good = std::fs::read(&path).unwrap();
    for step in 0..20 {
        let mut bytes = good.clone();
        let at = step * (bytes.len() - 1) / 19;
        bytes[at] ^= 1 << (step % 8);
        write(&path, &bytes);
        let error = mirror.store().fetch_all(&locks.os.packages, &mirror.mirrors(), Ui::Quiet).unwrap_err();
        assert!(matches!(&error, StoreError::Mismatch { name, .. } if name == "top 1"), "{error:?}");
        let named: Vec<PathBuf> = files_below(&mirror.cache().join("sha256"));
        assert!(
            !named.iter().any(|file| file.ends_with(hex(&good)) || file.ends_with(hex(&bytes))),
            "byte {at}"
        );
    }
    write(&path, &good);
    let paths = mirror.store().fetch_all(&locks.os.packages, &mirror.mirrors(), Ui::Quiet).unwrap();
    assert_eq!(std::fs::read(&paths[1]).unwrap(), good);
}

#[test]
fn an_interrupted_or_spoiled_cache_heals() {
    let mirror = published();
    let locks = solve_with(&mirror, &[]).unwrap();
    let top = locks.os.get("top").unwrap().clone();
    let good = mirror.content(&MAIN[0]);
    let partial = mirror.cache().join("partial").join(hex(&good));
    let fetch =
        || mirror.store().fetch_all(std::slice::from_ref(&top), &mirror.mirrors(), Ui::Quiet).unwrap();
    let lefts: [&[u8]; 5] = [b"", &good[..1000], &good[..good.len() - 1], &good, b"rubbish"];
    for left in lefts.iter().copied().chain([[&good[..], b"more"].concat().as_slice()]) {
        write(&partial, left);
        let paths = fetch();
        assert_eq!(std::fs::read(&paths[0]).unwrap(), good, "{} bytes were left", left.len());
        assert!(!partial.exists());
        std::fs::remove_file(&paths[0]).unwrap();
    }
    // A byte that the disk lost is fetched again.
    let path = fetch().remove(0);
    let mut spoiled = good.clone();
    spoiled[7] ^= 8;
    write(&path, &spoiled);
    assert_eq!(std::fs::read(fetch().remove(0)).unwrap(), good);
}

#[test]
fn vanished_packages_are_all_named() {
    let mirror = published();
    let locks = solve_with(&mirror, &[]).unwrap();
    std::fs::remove_dir_all(mirror.root(Archive::Main).join("pool")).unwrap();
    std::fs::remove_dir_all(mirror.root(Archive::Security).join("pool")).unwrap();
    let error = mirror.store().fetch_all(&locks.os.packages, &mirror.mirrors(), Ui::Quiet).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to fetch 2 of the pinned packages: the mirror has them no more: `dep 1.0-1+deb13u1`, `top 1`"
    );
    assert!(error.hint().unwrap().contains("wellcar image lock"));
}

#[test]
fn a_full_disk_is_named() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        println!("skipped: no /dev/full");
        return;
    }
    let mirror = published();
    let locks = solve_with(&mirror, &[]).unwrap();
    let top = locks.os.get("top").unwrap();
    let partial = mirror.cache().join("partial").join(top.sha256.to_string());
    std::os::unix::fs::symlink(full, &partial).unwrap();
    let error =
        mirror.store().fetch_all(std::slice::from_ref(top), &mirror.mirrors(), Ui::Quiet).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.source().is_none() && error.hint().unwrap().contains("WELLCAR_CACHE"));
    assert!(!mirror.store().path(&top.sha256).exists());
}

#[test]
fn pending_security_updates_and_their_age() {
    let mirror = published();
    let fresh = solve_with(&mirror, &[]).unwrap().os;
    let old = TestMirror { age: 100 * 3600, ..published() };
    old.publish("trixie-security", Archive::Security, &[]);
    let locked = solve_with(&old, &[]).unwrap().os;
    let lock_date = locked.suites[1].date;
    let found = pending(&locked, &fresh, &[], None);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].locked.as_str(), found[0].available.as_str()), ("1.0-1", "1.0-1+deb13u1"));
    assert_eq!(found[0].not_before, lock_date, "without an earlier check the lock's date is all we know");
    let checked = UnixTime(lock_date.0 + 50 * 3600);
    assert_eq!(pending(&locked, &fresh, &[], Some(checked))[0].not_before, checked);
    let later = UnixTime(checked.0 + 3600);
    assert_eq!(
        pending(&locked, &fresh, &pending(&locked, &fresh, &[], Some(checked)), Some(later))[0].not_before,
        checked
    );
    assert!(pending(&fresh, &fresh, &[], None).is_empty());
}
