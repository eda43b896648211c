//! Small helpers over byte slices and streams, shared by the formats.

use std::io::{self, Read};

/// The `N` bytes at `at`; a range outside `buf` reads as zeros, so callers check lengths first.
pub(crate) fn take<const N: usize>(buf: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(from) = at.checked_add(N).and_then(|end| buf.get(at..end)) {
        out.copy_from_slice(from);
    }
    out
}

pub(crate) fn le16(buf: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(take(buf, at))
}

pub(crate) fn le32(buf: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(buf, at))
}

pub(crate) fn le64(buf: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(buf, at))
}

/// Copies `from` to `buf[at..]`; the range is the caller's layout constant and always inside.
pub(crate) fn put(buf: &mut [u8], at: usize, from: &[u8]) {
    buf[at..at + from.len()].copy_from_slice(from);
}

/// Reads until `buf` is full or the input ends; the number of bytes read.
pub(crate) fn read_up_to(from: &mut (impl Read + ?Sized), buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match from.read(&mut buf[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Whether every byte is zero, sixteen at a time.
pub(crate) fn is_zero(buf: &[u8]) -> bool {
    let mut chunks = buf.chunks_exact(16);
    chunks.all(|c| u128::from_ne_bytes(take(c, 0)) == 0)
        && buf[buf.len() - buf.len() % 16..].iter().all(|b| *b == 0)
}

/// A length as `usize`, saturating where the address space is smaller.
pub(crate) fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A text field padded with NULs, shown for a human: printable characters only.
pub(crate) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).chars().filter(|c| !c.is_control()).collect()
}
