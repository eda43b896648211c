//! The slot of /usr: the tree as one EROFS image, without compression (design D9), and its verity tree
//! behind it. Owners and modes go to mkfs.erofs in a tar stream; they never reach the host's disk.

use super::identity;
use crate::tools::ToolCommand;
use anyhow::Context as _;
use compose::tree::{Node, Tree};
use formats::{tar_out, verity};
use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use uuid::Uuid;

/// The salt of every release's verity tree. One salt for all releases: equal blocks have equal hashes, so
/// an update finds in the two trees which blocks the machine has already.
pub const SALT: &[u8; 32] = b"io.wellcar.os /usr verity salt 1";

/// A slot's content as a file, and what names it.
#[derive(Debug)]
pub struct Slot {
    /// The verity root hash.
    pub root: verity::RootHash,
    /// Bytes of the EROFS image, a multiple of 4096.
    pub data_bytes: u64,
    /// Bytes of image and hash tree together.
    pub bytes: u64,
}

/// Writes the slot's content to `path`. `epoch` is the time of every file, seconds since 1970.
pub fn write(tree: &Tree, mkfs: &ToolCommand, path: &Path, epoch: u64, name: &str) -> anyhow::Result<Slot> {
    let uuid = identity::uuid(&[b"erofs", name.as_bytes()]);
    make_erofs(tree, mkfs, path, epoch, uuid)
        .with_context(|| format!("failed to make the EROFS image `{}`", path.display()))?;
    let mut file = File::options().read(true).write(true).open(path)?;
    let data_bytes = file.metadata()?.len().next_multiple_of(verity::BLOCK_BYTES);
    file.set_len(data_bytes)?;
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let built = verity::Tree::build(
        &mut file,
        data_bytes,
        SALT,
        identity::uuid(&[b"verity", name.as_bytes()]),
        threads,
    )?;
    file.seek(SeekFrom::Start(data_bytes))?;
    let mut out = BufWriter::new(&mut file);
    built.write(&mut out)?;
    out.flush()?;
    drop(out);
    let bytes = file.metadata()?.len();
    Ok(Slot { root: built.root(), data_bytes, bytes })
}

fn make_erofs(tree: &Tree, mkfs: &ToolCommand, path: &Path, epoch: u64, uuid: Uuid) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(path);
    // Without a source it reads the tar stream from its standard input.
    let mut child = mkfs
        .cmd()
        .args(["--quiet", "--tar=f", "--sort=none", "-b4096", "-Enoinline_data"])
        .arg(format!("-T{epoch}"))
        .arg(format!("-U{uuid}"))
        .arg(path)
        .stdin_piped()
        .stdout_null()
        .spawn()?;
    let stdin = child.take_stdin().context("mkfs.erofs takes no input")?;
    let fed = feed(tree, stdin, epoch);
    let status = child.wait(Some(std::time::Duration::from_secs(600)))?;
    let status = status.context("mkfs.erofs did not finish within 10 minutes")?;
    anyhow::ensure!(status.success(), "mkfs.erofs ended with {status}");
    fed
}

/// The contents of the tree as a tar stream: what lies below `usr/`, its paths relative to it.
fn feed(tree: &Tree, out: impl std::io::Write, epoch: u64) -> anyhow::Result<()> {
    let mut tar = tar_out::Writer::new(BufWriter::with_capacity(1 << 20, out));
    let root =
        tar_out::Entry { path: ".", kind: tar_out::Kind::Dir, mode: 0o755, uid: 0, gid: 0, mtime: epoch };
    tar.add(&root, &mut std::io::empty())?;
    for (path, entry) in tree.iter() {
        let Some(path) = path.strip_prefix("usr/") else { continue };
        let (kind, content): (_, &[u8]) = match &entry.node {
            Node::Dir => (tar_out::Kind::Dir, &[]),
            Node::Link(target) => (tar_out::Kind::Symlink(target), &[]),
            Node::File(content) => (tar_out::Kind::File { size: content.len() as u64 }, content),
        };
        let head =
            tar_out::Entry { path, kind, mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: epoch };
        tar.add(&head, &mut &*content)?;
    }
    tar.finish()?.flush()?;
    Ok(())
}
