//! Unit tests of `rooted`: nothing leaves the root, whatever stands in it.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn root() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("root")).unwrap();
    let root = Root::open(&dir.path().join("root")).unwrap();
    (dir, root)
}

fn mine(mode: u32) -> Meta {
    Meta { mode, uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() }
}

#[test]
fn absolute_and_climbing_links_stay_inside() {
    let (dir, root) = root();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, dir.path().join("root/abs")).unwrap();
    symlink("../../../..", dir.path().join("root/up")).unwrap();
    let made = root.mkdir_all(Path::new("/abs/deep"), 0o755).unwrap();
    assert!(!made.is_empty());
    root.write(Path::new("/abs/deep/f"), mine(0o600), Durability::Now, b"x").unwrap();
    root.write(Path::new("/up/g"), mine(0o600), Durability::Later, b"y").unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(std::fs::read(dir.path().join("root/g")).unwrap(), b"y");
    assert_eq!(root.read(Path::new("/abs/deep/f"), 10).unwrap(), b"x");
    assert!(root.read(Path::new("/../../outside"), 10).is_err());
}

#[test]
fn the_last_component_is_replaced_not_followed() {
    let (dir, root) = root();
    let victim = dir.path().join("root/victim");
    std::fs::write(&victim, "keep").unwrap();
    symlink("victim", dir.path().join("root/link")).unwrap();
    root.write(Path::new("/link"), mine(0o640), Durability::Now, b"new").unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"keep");
    let stat = std::fs::symlink_metadata(dir.path().join("root/link")).unwrap();
    assert!(stat.is_file());
    assert_eq!(stat.permissions().mode() & 0o7777, 0o640);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_temporary() {
    let (dir, root) = root();
    root.write(Path::new("/f"), mine(0o600), Durability::Now, b"old").unwrap();
    let failed = root.write_with(Path::new("/f"), mine(0o600), Durability::Now, |file| {
        file.write_all(b"half")?;
        Err(io::Error::from_raw_os_error(28))
    });
    assert!(failed.unwrap_err().to_string().contains("failed to write `/f`"));
    assert_eq!(std::fs::read(dir.path().join("root/f")).unwrap(), b"old");
    assert_eq!(root.list(Path::new("/")).unwrap(), vec![OsString::from("f")]);
}

#[test]
fn a_stale_temporary_of_a_killed_run_is_overwritten() {
    let (dir, root) = root();
    std::fs::write(dir.path().join("root").join(temp_name(OsStr::new("f"))), "rest").unwrap();
    root.write(Path::new("/f"), mine(0o600), Durability::Now, b"whole").unwrap();
    assert_eq!(root.list(Path::new("/")).unwrap().len(), 1);
}

#[test]
fn removal_does_not_follow_links() {
    let (dir, root) = root();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("keep"), "x").unwrap();
    root.mkdir_all(Path::new("/a/b/c"), 0o755).unwrap();
    symlink(&outside, dir.path().join("root/a/b/out")).unwrap();
    assert!(root.remove_all(Path::new("/a")).unwrap());
    assert!(!root.remove_all(Path::new("/a")).unwrap());
    assert!(outside.join("keep").exists());
    assert_eq!(root.entry(Path::new("/a")).unwrap(), None);
}

#[test]
fn hard_links_share_the_inode_and_link_loops_end() {
    let (dir, root) = root();
    root.write(Path::new("/f"), mine(0o600), Durability::Later, b"x").unwrap();
    root.hard_link(Path::new("/f"), Path::new("/g")).unwrap();
    assert_eq!(
        root.entry(Path::new("/f")).unwrap().unwrap().id,
        root.entry(Path::new("/g")).unwrap().unwrap().id
    );
    symlink("loop2", dir.path().join("root/loop1")).unwrap();
    symlink("loop1", dir.path().join("root/loop2")).unwrap();
    assert!(root.mkdir_all(Path::new("/loop1/x"), 0o755).is_err());
    assert!(root.mount_point(Path::new("/loop1")).is_err());
}

#[test]
fn cleaning_is_lexical() {
    for (from, to) in [("/a//b/./c/", "/a/b/c"), ("../../x", "/x"), ("/a/../../b", "/b"), ("/", "/")] {
        assert_eq!(clean(Path::new(from)), PathBuf::from(to));
    }
}

/// One thread swaps a directory with a symlink that leads out of the root, as fast as it can.
/// Seconds: `WELLCAR_RACE_SECONDS`, 2 by default.
#[test]
fn no_write_escapes_while_links_are_swapped() {
    let (dir, root) = root();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let base = dir.path().join("root");
    std::fs::create_dir_all(base.join("real/sub")).unwrap();
    symlink(&outside, base.join("evil")).unwrap();
    let owner = std::fs::metadata(&outside).unwrap();
    let seconds = std::env::var("WELLCAR_RACE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let stop = AtomicBool::new(false);
    let (mut done, mut refused) = (0_u32, 0_u32);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = rustix::fs::open(&base, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(&at, "real", &at, "evil", rustix::fs::RenameFlags::EXCHANGE)
                    .unwrap();
            }
        });
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut n = 0_u32;
        while Instant::now() < until {
            n += 1;
            let path = PathBuf::from(format!("/real/sub/d{}", n % 7));
            let results = [
                root.mkdir_all(&path, 0o711).map(drop),
                root.write(&path.join("f"), mine(0o600), Durability::Later, b"secret"),
                root.write(Path::new("/real/f"), mine(0o600), Durability::Later, b"secret"),
                root.set_mode(Path::new("/real/f"), 0o666),
                root.set_owner(Path::new("/real/f"), mine(0).uid, mine(0).gid),
                root.symlink(OsStr::new("x"), &path.join("l"), mine(0).uid, mine(0).gid),
                root.hard_link(Path::new("/real/f"), &path.join("h")),
                root.remove_all(&path).map(drop),
                root.remove_file(Path::new("/real/f")).map(drop),
            ];
            for result in results {
                if result.is_ok() { done += 1 } else { refused += 1 }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "something was written outside the root");
    let after = std::fs::metadata(&outside).unwrap();
    assert_eq!((owner.mode(), owner.uid(), owner.mtime()), (after.mode(), after.uid(), after.mtime()));
    eprintln!("race: {done} calls done, {refused} refused, 0 escapes");
    assert!(done > 0);
}
