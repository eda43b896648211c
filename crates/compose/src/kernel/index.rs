//! The binary index files of kmod (`modules.*.bin`): a trie on disk.
//!
//! Format (kmod: libkmod-index.c; version 2.1), all numbers big endian:
//! header = magic `0xB007F457`, version `0x00020001`, offset of the root node. A node offset carries three
//! flags in its highest bits: `0x8000_0000` a prefix (NUL-terminated) stands first, `0x2000_0000` children
//! follow (first character, last character, an offset for each character between; 0 = none),
//! `0x4000_0000` values follow (count, then priority and NUL-terminated text of each). Children are written
//! before their parents.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xB007_F457;
const VERSION: u32 = 0x0002_0001;
const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;

#[derive(Default)]
struct Trie {
    children: BTreeMap<u8, Trie>,
    values: Vec<(u32, String)>,
}

impl Trie {
    fn sort(&mut self) {
        self.values.sort();
        self.children.values_mut().for_each(Self::sort);
    }
}

/// Writes an index of (key, value, priority). Keys are ASCII; others are left out, as depmod does.
#[must_use]
pub fn write(entries: Vec<(String, String, u32)>) -> Vec<u8> {
    let mut root = Trie::default();
    for (key, value, priority) in entries {
        if !key.is_ascii() {
            continue;
        }
        let mut node = &mut root;
        for byte in key.bytes() {
            node = node.children.entry(byte).or_default();
        }
        node.values.push((priority, value));
    }
    let mut out = Vec::new();
    out.extend(MAGIC.to_be_bytes());
    out.extend(VERSION.to_be_bytes());
    out.extend(0u32.to_be_bytes());
    root.sort();
    let offset = put(&root, &mut out);
    out[8..12].copy_from_slice(&offset.to_be_bytes());
    out
}

/// Writes a node after its children; chains of single children become the prefix.
fn put(node: &Trie, out: &mut Vec<u8>) -> u32 {
    let mut prefix = Vec::new();
    let mut at = node;
    while at.values.is_empty() && at.children.len() == 1 {
        let Some((&byte, child)) = at.children.first_key_value() else { break };
        prefix.push(byte);
        at = child;
    }
    let offsets: BTreeMap<u8, u32> =
        at.children.iter().map(|(&byte, child)| (byte, put(child, out))).collect();
    let mut offset = u32::try_from(out.len()).unwrap_or(0x0FFF_FFFF);
    if !prefix.is_empty() {
        out.extend(prefix);
        out.push(0);
        offset |= PREFIX;
    }
    if let (Some((&first, _)), Some((&last, _))) = (offsets.first_key_value(), offsets.last_key_value()) {
        out.extend([first, last]);
        for byte in first..=last {
            out.extend(offsets.get(&byte).copied().unwrap_or(0).to_be_bytes());
        }
        offset |= CHILDREN;
    }
    if !at.values.is_empty() {
        out.extend(u32::try_from(at.values.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (priority, value) in &at.values {
            out.extend(priority.to_be_bytes());
            out.extend(value.bytes());
            out.push(0);
        }
        offset |= VALUES;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of the format, as the kernel documentation's text has it, to test the writer with.
    fn look_up(bytes: &[u8], key: &str) -> Vec<String> {
        let long = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut offset = long(8);
        let mut key = key.as_bytes();
        loop {
            let mut at = (offset & 0x0FFF_FFFF) as usize;
            if offset & PREFIX != 0 {
                let end = at + bytes[at..].iter().position(|&b| b == 0).unwrap();
                let Some(rest) = key.strip_prefix(&bytes[at..end]) else { return vec![] };
                key = rest;
                at = end + 1;
            }
            let (mut first, mut last, mut table) = (1, 0, 0);
            if offset & CHILDREN != 0 {
                (first, last, table) = (bytes[at], bytes[at + 1], at + 2);
                at = table + 4 * (usize::from(last) - usize::from(first) + 1);
            }
            let Some((&byte, rest)) = key.split_first() else {
                let mut found = vec![];
                if offset & VALUES != 0 {
                    let count = long(at);
                    at += 4;
                    for _ in 0..count {
                        let end = at + 4 + bytes[at + 4..].iter().position(|&b| b == 0).unwrap();
                        found.push(String::from_utf8_lossy(&bytes[at + 4..end]).into_owned());
                        at = end + 1;
                    }
                }
                return found;
            };
            if byte < first || byte > last {
                return vec![];
            }
            offset = long(table + 4 * usize::from(byte - first));
            if offset == 0 {
                return vec![];
            }
            key = rest;
        }
    }

    #[test]
    fn what_is_written_is_found() {
        let keys = ["virtio_net", "virtio_blk", "virtio", "ext4", "erofs", "pci:v*d*"];
        let entries =
            keys.iter().enumerate().map(|(n, key)| ((*key).to_owned(), format!("v{n}"), 0)).collect();
        let bytes = write(entries);
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(look_up(&bytes, key), [format!("v{n}")], "{key}");
        }
        assert!(look_up(&bytes, "virtio_").is_empty());
        assert!(look_up(&write(vec![]), "x").is_empty());
    }
}
