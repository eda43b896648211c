//! Tests of the deciders: every kind of fact, and the sizes of hash trees.

use super::{
    DiskFact, PartitionFact, Reason, Refusal, RootFacts, Step, UsrHash, find_slot, next_steps, tree_blocks,
    verity_params, wants_watchdog,
};
use crate::init::superblock::Verity;
use proptest::prelude::*;
use std::path::PathBuf;
use sys::block::gpt::Guid;
use sys::block::signature::Content;
use sys::cmdline::CommandLine;

const HASH: &str = "0123456789abcdef0123456789abcdeffedcba9876543210fedcba9876543210";

fn hash() -> UsrHash {
    UsrHash::from_command_line(&CommandLine::parse(&format!("usrhash={HASH}"))).unwrap()
}

fn partition(disk: &str, number: u32, label: &str, guid: Guid) -> PartitionFact {
    let node = PathBuf::from(format!("/dev/{disk}{number}"));
    PartitionFact { number, label: label.into(), guid, node, size: 1 << 30 }
}

#[test]
fn the_slot_is_named_by_the_hash() {
    assert_eq!(hash().partuuid().to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(hash().to_string(), HASH);
    let read = |text: &str| UsrHash::from_command_line(&CommandLine::parse(text));
    assert_eq!(read("quiet"), Err(Refusal::NoHash));
    for bad in ["usrhash=", "usrhash=12", &format!("usrhash={}g", &HASH[1..]), "usrhash=ä"] {
        assert!(matches!(read(bad), Err(Refusal::BadHash(_))), "{bad}");
    }
}

#[test]
fn root_is_taken_from_the_slots_own_disk() {
    let other = Guid([1; 16]);
    let disks = [
        DiskFact { node: "/dev/vda".into(), partitions: vec![partition("vda", 9, "ROOT", other)] },
        DiskFact {
            node: "/dev/vdb".into(),
            partitions: vec![
                partition("vdb", 3, "USR-A", hash().partuuid()),
                partition("vdb", 5, "ROOT", other),
                partition("vdb", 9, "ROOT", other),
            ],
        },
        DiskFact {
            node: "/dev/vdc".into(),
            partitions: vec![partition("vdc", 3, "USR-A", hash().partuuid())],
        },
    ];
    let slot = find_slot(&disks, &hash()).unwrap();
    assert_eq!(slot.disk, PathBuf::from("/dev/vdb"));
    assert_eq!(slot.root.unwrap().node, PathBuf::from("/dev/vdb9"));
    assert_eq!(slot.copies, [PathBuf::from("/dev/vdc3")]);
    let alone = find_slot(&disks[2..], &hash()).unwrap();
    assert!(alone.root.is_none() && alone.copies.is_empty());
    assert!(find_slot(&disks[..1], &hash()).is_none());
}

#[test]
fn a_root_moved_to_another_number_is_found_by_its_label() {
    let other = Guid([1; 16]);
    let mut partitions = vec![
        partition("vda", 3, "USR-A", hash().partuuid()),
        partition("vda", 9, "data", other),
        partition("vda", 7, "ROOT", other),
    ];
    let root = |partitions: &[PartitionFact]| {
        let disk = DiskFact { node: "/dev/vda".into(), partitions: partitions.to_vec() };
        find_slot(&[disk], &hash()).unwrap().root.map(|p| p.number)
    };
    assert_eq!(root(&partitions), Some(7));
    partitions.pop();
    assert_eq!(root(&partitions), Some(9));
    partitions.pop();
    assert_eq!(root(&partitions), None);
}

#[test]
fn image_and_tree_must_fit() {
    let verity = Verity { uuid: [0; 16], data_blocks: 130, salt: vec![7] };
    let fits = (130 + 1 + 3) * 4096;
    let params = verity_params("/dev/vda3", fits, 130 * 4096, &verity, &hash()).unwrap();
    assert_eq!((params.hash_start, params.data_blocks), (131, 130));
    assert_eq!(params.options, ["panic_on_corruption"]);
    let error = verity_params("/dev/vda3", fits - 1, 130 * 4096, &verity, &hash()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to lay out the slot: bytes in the slot: expected at least 548864, found 548863"
    );
    let error = verity_params("/dev/vda3", fits, 129 * 4096, &verity, &hash()).unwrap_err();
    assert!(error.to_string().ends_with("blocks in the hash tree: expected 129, found 130"));
}

#[test]
fn trees_have_the_size_that_veritysetup_writes() {
    for (data, tree) in [(1, 0), (2, 1), (128, 1), (129, 3), (128 * 128, 129), (128 * 128 + 1, 132)] {
        assert_eq!(tree_blocks(data), tree, "{data} data blocks");
    }
}

#[test]
fn every_state_of_root_has_an_answer() {
    let ext4 = Content::Filesystem { kind: "ext4", label: String::new() };
    let node = PathBuf::from("/dev/vda9");
    let facts = |content: Option<Content>, stamped, forced, done| RootFacts {
        forced,
        root: content.map(|c| (node.clone(), c)),
        stamped,
        first_boot_done: done,
    };
    let mount = Step::MountRoot { node: node.clone(), kind: "ext4" };
    for (given, expected) in [
        (facts(Some(ext4.clone()), None, false, false), vec![mount]),
        (facts(Some(ext4.clone()), Some(true), false, false), vec![Step::HandOver]),
        (
            facts(Some(ext4.clone()), Some(false), false, false),
            vec![Step::UnmountRoot, Step::FirstBoot(Reason::NoStamp)],
        ),
        (facts(Some(ext4.clone()), None, true, false), vec![Step::FirstBoot(Reason::Forced)]),
        (
            facts(Some(ext4.clone()), Some(true), true, false),
            vec![Step::UnmountRoot, Step::FirstBoot(Reason::Forced)],
        ),
        (facts(Some(Content::Unknown), None, false, false), vec![Step::FirstBoot(Reason::NoFilesystem)]),
        (facts(Some(Content::Raid), None, false, false), vec![Step::FirstBoot(Reason::Assemble)]),
        (facts(Some(Content::Luks), None, false, false), vec![Step::FirstBoot(Reason::Assemble)]),
        (facts(Some(Content::Lvm), None, false, false), vec![Step::FirstBoot(Reason::Assemble)]),
        (facts(None, None, false, false), vec![Step::FirstBoot(Reason::NoPartition)]),
        (facts(Some(ext4.clone()), Some(true), true, true), vec![Step::HandOver]),
        (facts(Some(ext4), Some(false), false, true), vec![Step::Broken]),
        (facts(None, None, false, true), vec![Step::Broken]),
    ] {
        assert_eq!(next_steps(&given), expected, "{given:?}");
    }
}

#[test]
fn the_watchdog_can_be_left_to_its_owner() {
    assert!(wants_watchdog(&CommandLine::parse("quiet")));
    assert!(wants_watchdog(&CommandLine::parse("systemd.watchdog_sec=30")));
    assert!(!wants_watchdog(&CommandLine::parse("systemd.watchdog_sec=0")));
}

proptest! {
    #[test]
    fn any_command_line_gives_a_hash_or_a_refusal(text in "\\PC{0,120}") {
        let _ = UsrHash::from_command_line(&CommandLine::parse(&text));
        let _ = UsrHash::from_command_line(&CommandLine::parse(&format!("usrhash={text}")));
    }
}
