//! Tables of mapped devices: values ↔ the bytes of `dm_target_spec` records. Pure.

use super::SPEC;

/// One line of a table: a range of sectors and what serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// First sector (512 bytes) of the mapped device.
    pub start: u64,
    /// Sectors.
    pub length: u64,
    /// Target type: `verity`, `linear`, `error`, …
    pub kind: String,
    /// The target's parameters, or its status when asked for that.
    pub params: String,
}

/// The parameters of a dm-verity device whose hash tree lies on the same device behind its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityParams {
    /// Device with the data, as a path or `major:minor`.
    pub data_device: String,
    /// Device with the hash tree.
    pub hash_device: String,
    /// Bytes in a data block.
    pub data_block_size: u32,
    /// Bytes in a hash block.
    pub hash_block_size: u32,
    /// Data blocks.
    pub data_blocks: u64,
    /// Hash block at which the tree's top level starts.
    pub hash_start: u64,
    /// Digest name as the kernel's crypto layer knows it.
    pub algorithm: String,
    /// The root digest.
    pub root_digest: Vec<u8>,
    /// The salt.
    pub salt: Vec<u8>,
    /// Optional parameters, such as `panic_on_corruption`.
    pub options: Vec<String>,
}

impl VerityParams {
    /// The table line for the whole device.
    #[must_use]
    pub fn target(&self) -> Target {
        let salt = if self.salt.is_empty() { "-".to_owned() } else { hex(&self.salt) };
        let mut params = format!(
            "1 {} {} {} {} {} {} {} {} {salt}",
            self.data_device,
            self.hash_device,
            self.data_block_size,
            self.hash_block_size,
            self.data_blocks,
            self.hash_start,
            self.algorithm,
            hex(&self.root_digest),
        );
        if !self.options.is_empty() {
            params.push_str(&format!(" {} {}", self.options.len(), self.options.join(" ")));
        }
        let length = self.data_blocks.saturating_mul(u64::from(self.data_block_size) / 512);
        Target { start: 0, length, kind: "verity".to_owned(), params }
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self {
            data_device: "/dev/vda3".into(),
            hash_device: "/dev/vda3".into(),
            data_block_size: 4096,
            hash_block_size: 4096,
            data_blocks: 10,
            hash_start: 11,
            algorithm: "sha256".into(),
            root_digest: vec![0xab; 32],
            salt: vec![1, 2],
            options: vec!["panic_on_corruption".into()],
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes of a table; the error names what does not fit.
pub(super) fn encode(targets: &[Target]) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    for target in targets {
        if target.kind.len() >= 16 || target.kind.contains('\0') {
            return Err("a target type is longer than 15 bytes");
        }
        if target.params.contains('\0') {
            return Err("a NUL byte in a target's parameters");
        }
        let length = (SPEC + target.params.len() + 1).next_multiple_of(8);
        let next = u32::try_from(length).map_err(|_| "a target's parameters are too long")?;
        let end = bytes.len() + length;
        bytes.extend(target.start.to_ne_bytes());
        bytes.extend(target.length.to_ne_bytes());
        bytes.extend(0_i32.to_ne_bytes());
        bytes.extend(next.to_ne_bytes());
        bytes.extend(target.kind.as_bytes());
        bytes.resize(bytes.len() + 16 - target.kind.len(), 0);
        bytes.extend(target.params.as_bytes());
        bytes.resize(end, 0);
    }
    Ok(bytes)
}

/// The lines of a status or table answer. In answers `next` counts from the start of the buffer.
/// Bytes that make no sense end the list.
pub(super) fn decode(buffer: &[u8], count: u32) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut at = 0;
    for _ in 0..count.min(1024) {
        let Some(record) = buffer.get(at..) else { break };
        let Some((spec, text)) = record.split_at_checked(SPEC) else { break };
        let (Some(start), Some(length), Some(next)) = (u64_at(spec, 0), u64_at(spec, 8), u32_at(spec, 20))
        else {
            break;
        };
        targets.push(Target { start, length, kind: until_nul(&spec[24..]), params: until_nul(text) });
        let next = next as usize;
        if next <= at {
            break;
        }
        at = next;
    }
    targets
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Target, VerityParams, decode, encode};
    use proptest::prelude::*;

    #[test]
    fn the_verity_line_is_the_kernels() {
        let target = VerityParams::for_tests().target();
        assert_eq!(target.length, 80);
        assert_eq!(
            target.params,
            format!(
                "1 /dev/vda3 /dev/vda3 4096 4096 10 11 sha256 {} 0102 1 panic_on_corruption",
                "ab".repeat(32)
            )
        );
    }

    proptest! {
        #[test]
        fn one_target_comes_back(start: u64, length: u64, kind in "[a-z]{1,15}", params in "[ -~]{0,300}") {
            let target = Target { start, length, kind, params };
            prop_assert_eq!(decode(&encode(std::slice::from_ref(&target)).unwrap(), 1), [target]);
        }

        #[test]
        fn no_answer_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400), count: u32) {
            let _ = decode(&bytes, count);
        }
    }
}
