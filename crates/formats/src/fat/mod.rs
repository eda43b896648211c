//! FAT32 volumes (Microsoft's *FAT32 File System Specification* 1.03): a deterministic writer for the
//! EFI system partition, and a small [reader](read).
//!
//! The writer lays a whole tree out at once: directories and files contiguous and in order of their
//! names, so that the same tree gives the same bytes whatever the order of calls. Volume id and time
//! come from the caller. Only used sectors are written: the output must be zeros there before (a new
//! sparse file), and a 1 GiB volume costs what its files cost.
//!
//! Layout: boot sector, FSInfo, their copies at 6 and 7, 32 reserved sectors, two FATs (whole 4 KiB,
//! so that clusters are aligned), data. Names other than plain upper-case 8.3 get long-name entries.

mod layout;
mod names;
pub mod read;

use std::collections::BTreeMap;
use std::io::{self, Read};

/// Bytes of a sector; other sector sizes are not written.
pub const SECTOR: u64 = 512;
/// Sectors in front of the first FAT.
const RESERVED: u64 = 32;
const FATS: u64 = 2;
/// Fewer clusters would make it a FAT16 volume to every reader.
const MIN_CLUSTERS: u64 = 65_525;
const MAX_CLUSTERS: u64 = 0x0fff_fff4;
const ROOT_CLUSTER: u32 = 2;
const END_OF_CHAIN: u32 = 0x0fff_ffff;
const ENTRY: usize = 32;
const ATTR_LABEL: u8 = 0x08;
const ATTR_DIR: u8 = 0x10;
const ATTR_FILE: u8 = 0x20;
const ATTR_LONG_NAME: u8 = 0x0f;

/// Why a volume could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading a file's content failed.
    #[error("failed to read the content of `{path}`")]
    Content {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The content has another length than announced.
    #[error("failed to write `{path}`: expected {expected} bytes, found {found}")]
    Length {
        /// The file.
        path: String,
        /// Announced length.
        expected: u32,
        /// What came.
        found: u64,
    },
    /// The output failed.
    #[error("failed to write the FAT volume")]
    Write(#[source] io::Error),
    /// The input failed.
    #[error("failed to read the FAT volume")]
    Read(#[source] io::Error),
    /// A size that is no multiple of 512, or gives no FAT32 volume (33 MiB to 2 TiB).
    #[error("failed to lay out a FAT32 volume of {0} bytes: expected whole sectors, 33 MiB to 2 TiB")]
    VolumeSize(u64),
    /// The files do not fit.
    #[error("failed to fit the files: expected at most {free} clusters, needed {needed}")]
    Full {
        /// Clusters of the volume.
        free: u64,
        /// Clusters of the tree.
        needed: u64,
    },
    /// A name FAT cannot hold.
    #[error("failed to accept the FAT name `{name}`: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The name is there already; case does not distinguish names.
    #[error("failed to add `{0}`: the name is taken")]
    Taken(String),
    /// A time outside FAT's range.
    #[error("failed to express the time {0} in FAT: expected 1980 to 2107")]
    Time(u64),
    /// The volume is not one this reader understands.
    #[error("failed to recognise the FAT32 volume: {0}")]
    Format(&'static str),
    /// A path that is not there.
    #[error("failed to find `{0}` on the FAT volume")]
    Missing(String),
    /// A file over the reader's limit.
    #[error("failed to read `{path}`: expected at most {limit} bytes, found {size}")]
    TooLarge {
        /// The file.
        path: String,
        /// Limit in bytes.
        limit: u64,
        /// Its size in bytes.
        size: u64,
    },
}

/// What a volume is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Size in bytes, whole sectors.
    pub size: u64,
    /// Volume serial number.
    pub volume_id: u32,
    /// Label of at most 11 upper-case characters.
    pub label: String,
    /// Time of everything in it, in seconds since 1970, UTC; FAT keeps even seconds.
    pub time: u64,
    /// First sector of the partition on its disk, which the boot sector repeats.
    pub hidden_sectors: u32,
}

enum Node<'a> {
    Dir(BTreeMap<String, Node<'a>>),
    File(u32, Box<dyn Read + 'a>),
}

/// A volume being put together.
pub struct Builder<'a> {
    params: Params,
    root: BTreeMap<String, Node<'a>>,
}

impl std::fmt::Debug for Builder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("params", &self.params).finish_non_exhaustive()
    }
}

impl<'a> Builder<'a> {
    /// An empty volume.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self { params, root: BTreeMap::new() }
    }

    /// Makes a directory and its parents; one that is there already stays.
    ///
    /// # Errors
    /// A bad name, or a file in the way.
    pub fn dir(&mut self, path: &str) -> Result<(), Error> {
        self.enter(path, path).map(drop)
    }

    /// Adds a file of this content.
    ///
    /// # Errors
    /// As [`Builder::file`].
    pub fn bytes(&mut self, path: &str, content: &'a [u8]) -> Result<(), Error> {
        let size = u32::try_from(content.len()).map_err(|_| Error::Length {
            path: path.to_owned(),
            expected: u32::MAX,
            found: content.len() as u64,
        })?;
        self.file(path, size, Box::new(content))
    }

    /// Adds a file of exactly `size` bytes, read when the volume is written; parents are made.
    ///
    /// # Errors
    /// A bad name or one that is taken.
    pub fn file(&mut self, path: &str, size: u32, content: Box<dyn Read + 'a>) -> Result<(), Error> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        names::check(name)?;
        let dir = self.enter(parent, path)?;
        if taken(dir, name) {
            return Err(Error::Taken(path.to_owned()));
        }
        dir.insert(name.to_owned(), Node::File(size, content));
        Ok(())
    }

    fn enter(&mut self, path: &str, whole: &str) -> Result<&mut BTreeMap<String, Node<'a>>, Error> {
        let mut here = &mut self.root;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            names::check(name)?;
            if !here.contains_key(name) {
                if taken(here, name) {
                    return Err(Error::Taken(whole.to_owned()));
                }
                here.insert(name.to_owned(), Node::Dir(BTreeMap::new()));
            }
            match here.get_mut(name) {
                Some(Node::Dir(inner)) => here = inner,
                Some(Node::File(..)) | None => return Err(Error::Taken(whole.to_owned())),
            }
        }
        Ok(here)
    }

    /// Writes the volume from the output's position on.
    ///
    /// # Errors
    /// A volume too small for the files or of no FAT32 size, content that fails or has another length,
    /// failing output.
    pub fn write(self, out: &mut (impl io::Write + io::Seek)) -> Result<(), Error> {
        layout::write(&self.params, self.root, out)
    }
}

fn taken(dir: &BTreeMap<String, Node<'_>>, name: &str) -> bool {
    let name = name.to_lowercase();
    dir.keys().any(|k| k.to_lowercase() == name)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn params(size: u64) -> Params {
        Params {
            size,
            volume_id: 0x1234_5678,
            label: "ESP".into(),
            time: 1_700_000_001,
            hidden_sectors: 2048,
        }
    }

    pub(super) fn sample(swap: bool) -> Vec<u8> {
        let big = vec![0x5a; 300_000];
        let mut b = Builder::new(params(34 << 20));
        let files: [(&str, &[u8]); 6] = [
            ("EFI/BOOT/BOOTX64.EFI", b"boot"),
            ("EFI/Linux/wellcar_2026.11.0+3.efi", &big),
            ("EFI/Linux/wellcar_2026.11.0+2-1.efi", b"second"),
            ("loader/loader.conf", b"timeout 0\n"),
            ("loader/größe und 日本.txt", b""),
            ("loader/entries.srel", b"type1\n"),
        ];
        let order: Vec<_> = if swap { files.iter().rev().collect() } else { files.iter().collect() };
        for (path, data) in order {
            b.bytes(path, data).unwrap();
        }
        b.dir("loader/keys").unwrap();
        for n in 0..200 {
            b.bytes(&format!("many/a long file name number {n}"), b"x").unwrap();
        }
        let mut out = Cursor::new(Vec::new());
        b.write(&mut out).unwrap();
        out.into_inner()
    }

    #[test]
    fn order_of_calls_does_not_matter() {
        assert!(sample(false) == sample(true));
    }

    #[test]
    fn written_volumes_read_back() {
        let mut file = Cursor::new(sample(false));
        let mut volume = read::Volume::open(&mut file, 0).unwrap();
        assert_eq!((volume.label(), volume.volume_id()), ("ESP", 0x1234_5678));
        let names = |list: Vec<read::DirEntry>| list.into_iter().map(|e| e.name).collect::<Vec<_>>();
        assert_eq!(names(volume.list("").unwrap()), ["EFI", "loader", "many"]);
        assert_eq!(
            names(volume.list("efi/LINUX").unwrap()),
            ["wellcar_2026.11.0+2-1.efi", "wellcar_2026.11.0+3.efi"]
        );
        assert_eq!(
            names(volume.list("loader").unwrap()),
            ["entries.srel", "größe und 日本.txt", "keys", "loader.conf"]
        );
        assert_eq!(volume.list("many").unwrap().len(), 200);
        assert_eq!(volume.read("EFI/Linux/wellcar_2026.11.0+3.efi", 1 << 20).unwrap(), vec![0x5a; 300_000]);
        assert_eq!(volume.read("loader/größe und 日本.txt", 1).unwrap(), b"");
        assert!(matches!(volume.read("EFI/BOOT/BOOTX64.EFI", 3), Err(Error::TooLarge { size: 4, .. })));
        assert!(matches!(volume.read("EFI/BOOT/none", 3), Err(Error::Missing(_))));
        assert!(matches!(volume.list("EFI/BOOT/BOOTX64.EFI"), Err(Error::Missing(_))));
    }

    #[test]
    fn only_used_sectors_are_written() {
        let mut b = Builder::new(params(1 << 30));
        b.bytes("a", b"x").unwrap();
        let mut out = Cursor::new(Vec::new());
        b.write(&mut out).unwrap();
        assert!(out.into_inner().len() < 3 << 20);
    }

    #[test]
    fn names_collisions_sizes_and_times() {
        let mut b = Builder::new(params(34 << 20));
        for bad in
            ["", "a//b", "a/", "a:b", "x*", "dot.", "space ", ".", "..", "nul\0", "tab\t", &"n".repeat(256)]
        {
            assert!(matches!(b.bytes(bad, b""), Err(Error::Name { .. })), "{bad}");
        }
        b.bytes("Name", b"").unwrap();
        for taken in ["Name", "NAME", "name/x", "Name/x"] {
            assert!(matches!(b.bytes(taken, b""), Err(Error::Taken(_))), "{taken}");
        }
        for size in [0, 1 << 20, (34 << 20) + 1, 1 << 42] {
            let result = Builder::new(params(size)).write(&mut Cursor::new(Vec::new()));
            assert!(matches!(result, Err(Error::VolumeSize(_))), "{size}");
        }
        let mut b = Builder::new(params(34 << 20));
        b.file("f", 40 << 20, Box::new(io::repeat(1).take(40 << 20))).unwrap();
        assert!(matches!(b.write(&mut Cursor::new(Vec::new())), Err(Error::Full { .. })));
        for (announced, given) in [(3, 4), (5, 4)] {
            let mut b = Builder::new(params(34 << 20));
            b.file("f", announced, Box::new(&[0; 4][..given])).unwrap();
            assert!(matches!(b.write(&mut Cursor::new(Vec::new())), Err(Error::Length { .. })));
        }
        let early = Params { time: 0, ..params(34 << 20) };
        assert!(matches!(Builder::new(early).write(&mut Cursor::new(Vec::new())), Err(Error::Time(0))));
        let label = Params { label: "twelve chars".into(), ..params(34 << 20) };
        assert!(matches!(Builder::new(label).write(&mut Cursor::new(Vec::new())), Err(Error::Name { .. })));
    }
}
