//! Unit tests of `disks`: what is planned for disks as they are found.

use super::*;
use ignition::model::Disk;
use report::Spanned;

fn int(v: i64) -> Opt<i64> {
    Some(Spanned::bare(v))
}
fn yes() -> Opt<bool> {
    Some(Spanned::bare(true))
}
fn no() -> Opt<bool> {
    Some(Spanned::bare(false))
}
fn s(v: &str) -> Opt<String> {
    Some(Spanned::bare(v.to_owned()))
}

/// 100 MiB, one partition of 10 MiB at 1 MiB.
fn disk_facts() -> DiskFacts {
    let mut one = stub(1, 2048, 20_480);
    one.label = "one".into();
    one.type_guid = "0fc63daf-8483-4772-8e79-3d69d8477de4".into();
    one.guid = "11111111-1111-1111-1111-111111111111".into();
    DiskFacts {
        sector_size: 512,
        sectors: 204_800,
        first_usable: 34,
        last_usable: 204_766,
        has_gpt: true,
        partitions: vec![one],
        ..DiskFacts::default()
    }
}

fn run(partitions: Vec<Partition>, wipe_table: bool, facts: DiskFacts) -> Result<String, String> {
    let mut config = Config::default();
    config.storage.disks.push(Disk {
        device: s("/dev/x"),
        partitions,
        wipe_table: Some(Spanned::bare(wipe_table)),
        ..Disk::default()
    });
    let facts = Facts { disks: [("/dev/x".to_owned(), facts)].into(), ..Facts::default() };
    plan_phase(DiskPhase::Partitions, &config, &Origins::default(), &facts)
        .map(|steps| steps.iter().map(|s| s.action.to_string()).collect::<Vec<_>>().join("\n"))
        .map_err(|p| p.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("\n"))
}

fn part(number: i64) -> Partition {
    Partition { number: int(number), ..Partition::default() }
}

#[test]
fn the_eight_rows() {
    let f = disk_facts;
    // exists, should exist, wipe, matches
    let gone = |n| Partition { should_exist: no(), ..part(n) };
    assert_eq!(run(vec![gone(5)], false, f()).unwrap(), "");
    assert_eq!(
        run(vec![Partition { size_mib: int(5), ..part(5) }], false, f()).unwrap(),
        "/dev/x: create 5 at sector 22528, 10240 sectors"
    );
    assert!(run(vec![gone(1)], false, f()).unwrap_err().contains("it exists and shall not"));
    let wiped = Partition { wipe_partition_entry: yes(), ..gone(1) };
    assert_eq!(run(vec![wiped], false, f()).unwrap(), "/dev/x: delete 1");
    let same = Partition { label: s("one"), size_mib: int(10), start_mib: int(1), ..part(1) };
    assert_eq!(run(vec![same.clone()], false, f()).unwrap(), "");
    let other = Partition { size_mib: int(20), ..same.clone() };
    assert!(
        run(vec![other.clone()], false, f()).unwrap_err().contains("expected 40960 sectors, found 20480")
    );
    let grown = Partition { resize: yes(), ..other.clone() };
    assert_eq!(
        run(vec![grown], false, f()).unwrap(),
        "/dev/x: delete 1; create 1 \"one\" at sector 2048, 40960 sectors"
    );
    let wiped = Partition { wipe_partition_entry: yes(), ..other };
    assert_eq!(
        run(vec![wiped], false, f()).unwrap(),
        "/dev/x: delete 1; create 1 \"one\" at sector 2048, 40960 sectors"
    );
}

#[test]
fn zeros_and_numbers_are_resolved() {
    let parts = vec![
        Partition { label: s("rest"), ..Partition::default() },
        Partition { size_mib: int(16), start_mib: int(0), ..part(3) },
    ];
    assert_eq!(
        run(parts, false, disk_facts()).unwrap(),
        "/dev/x: create 3 at sector 22528, 32768 sectors; create 2 \"rest\" at sector 55296, 149471 sectors"
    );
    assert_eq!(
        run(vec![Partition { size_mib: int(0), resize: yes(), ..part(1) }], false, disk_facts()).unwrap(),
        "/dev/x: delete 1; create 1 \"one\" at sector 2048, 202719 sectors"
    );
}

#[test]
fn refusals() {
    let full = Partition { size_mib: int(500), ..part(2) };
    assert!(run(vec![full], false, disk_facts()).unwrap_err().contains("no free space"));
    let overlap = Partition { start_mib: int(5), size_mib: int(5), ..part(2) };
    assert!(run(vec![overlap], false, disk_facts()).unwrap_err().contains("no free space"));
    let foreign = DiskFacts {
        has_gpt: false,
        partitions: vec![],
        foreign: Some("an MBR partition table".into()),
        ..disk_facts()
    };
    assert!(run(vec![part(1)], false, foreign.clone()).unwrap_err().contains("it holds an MBR"));
    assert!(
        run(vec![part(1)], true, foreign)
            .unwrap()
            .starts_with("/dev/x: wipe the partition table\n/dev/x: create 1")
    );
    let mut busy = disk_facts();
    busy.partitions[0].in_use = true;
    assert!(run(vec![], true, busy.clone()).unwrap_err().contains("in use"));
    let gone = Partition { should_exist: no(), wipe_partition_entry: yes(), ..part(1) };
    assert!(run(vec![gone], false, busy).unwrap_err().contains("in use"));
    assert!(run(vec![part(-1)], false, disk_facts()).unwrap_err().contains("partition number"));
}

#[test]
fn file_systems_are_kept_made_or_refused() {
    let fs = |format: &str, wipe| Filesystem {
        device: s("/dev/x1"),
        format: s(format),
        label: s("data"),
        wipe_filesystem: Some(Spanned::bare(wipe)),
        ..Filesystem::default()
    };
    let probe =
        |kind: &str, label: &str| Probe { kind: kind.into(), label: label.into(), uuid: String::new() };
    let go = |item: &Filesystem, found: Probe| filesystem(item, Some(&found)).map(|a| a.unwrap().to_string());
    assert_eq!(go(&fs("ext4", false), probe("", "")).unwrap(), "/dev/x1: make ext4 \"data\"");
    assert_eq!(
        go(&fs("ext4", false), probe("ext4", "data")).unwrap(),
        "/dev/x1: keep the ext4 that is there"
    );
    assert!(go(&fs("ext4", false), probe("ext4", "other")).is_err());
    assert!(go(&fs("xfs", false), probe("ext4", "data")).is_err());
    assert_eq!(go(&fs("xfs", true), probe("ext4", "data")).unwrap(), "/dev/x1: make xfs \"data\", wiping");
    assert_eq!(filesystem(&fs("none", false), None).unwrap(), None);
}
