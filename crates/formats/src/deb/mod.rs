//! Reader of Debian binary packages (`deb(5)`): control data, then a stream of the files in it.
//!
//! A package is outside bytes even when its hash is known, so nothing in it may decide what happens
//! outside of it. Answered with a typed error: absolute paths and `..`, an entry below a symlink or a
//! file of the same package, hard links to what the package does not hold, device nodes and pipes,
//! PAX and sparse headers, repeated members and repeated paths, contents larger than the package
//! declares (decompression bombs), xz streams that want more memory than the limit, truncation and
//! trailing bytes at each layer.
//!
//! Normalised, not refused: `./` in front, doubled slashes, `.` components and a trailing slash of a
//! path. Passed on as data, for the caller's policy: symlink targets (Debian's are often absolute or
//! start with `../`; they are never followed here) and set-id bits.

mod paths;
#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read};

use crate::{ar, tar_in};
use paths::Seen;

/// Limits of one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Unpacked bytes of the control member.
    pub control_bytes: u64,
    /// Unpacked bytes of the data member, whatever the package declares.
    pub data_bytes: u64,
    /// Unpacked bytes of the data member as a multiple of the declared `Installed-Size`
    /// (plus 16 MiB, for headers and very small packages).
    pub installed_size_factor: u64,
    /// Entries in the data member.
    pub entries: usize,
    /// Memory an xz stream may ask for, in bytes.
    pub xz_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_bytes: 16 << 20,
            data_bytes: 4 << 30,
            installed_size_factor: 2,
            entries: 200_000,
            xz_memory: 256 << 20,
        }
    }
}

/// Why a package could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ar layer.
    #[error("failed to read the package's outer archive")]
    Ar(#[from] ar::Error),
    /// The tar layer of a member, its decompression included.
    #[error("failed to read `{member}` of the package")]
    Tar {
        /// `control.tar` or `data.tar`.
        member: &'static str,
        /// What is wrong there.
        #[source]
        source: tar_in::Error,
    },
    /// Reading outside the tar layer failed.
    #[error("failed to read `{member}` of the package")]
    Io {
        /// The member.
        member: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The outer archive does not have the members of a package, in their order.
    #[error("failed to recognise the package: expected member `{expected}`, found `{found}`")]
    Member {
        /// What must stand here.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A format version other than 2.x.
    #[error("failed to accept the package's format version: expected `2.0`, found `{0}`")]
    Version(String),
    /// A compression this reader does not know.
    #[error("failed to unpack member `{0}`: expected no compression, gz, xz or zst")]
    Compression(String),
    /// The unpacked member grew over its limit.
    #[error("failed to unpack `{member}`: it is larger than its limit of {limit} bytes")]
    TooLarge {
        /// The member.
        member: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// Too many entries.
    #[error("failed to read the package: it has more than {0} entries")]
    TooManyEntries(usize),
    /// A path that is not relative, plain UTF-8 inside the package's root.
    #[error("failed to accept path `{path}`: {reason}")]
    Path {
        /// The path, escaped.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry whose parent is a symlink or a file of the same package.
    #[error("failed to accept `{path}`: its parent `{parent}` is not a directory")]
    Through {
        /// The entry.
        path: String,
        /// What it would be written through.
        parent: String,
    },
    /// The same path twice.
    #[error("failed to accept `{0}`: the package has it already")]
    Duplicate(String),
    /// A hard link to something that is no earlier file of this package.
    #[error("failed to accept hard link `{path}`: its target `{target}` is no earlier file of the package")]
    Hardlink {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A device node, pipe or, in the control member, anything but files and directories.
    #[error("failed to accept `{path}`: a {kind:?} has no place in a package")]
    Kind {
        /// The entry.
        path: String,
        /// What it is.
        kind: tar_in::Type,
    },
    /// No control file in the control member, or one that is not UTF-8.
    #[error("failed to read the package's control file: {0}")]
    Control(&'static str),
}

/// The control member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Text of the `control` file: one deb822 paragraph.
    pub control: String,
    /// Paths of `conffiles`, relative (`etc/…`); those marked remove-on-upgrade are left out.
    pub conffiles: Vec<String>,
    /// `md5sums`: relative path and MD5 in hex, in the file's order.
    pub md5sums: Vec<(String, String)>,
    /// Names of the other files (maintainer scripts, triggers, shlibs …). Nothing runs them.
    pub others: Vec<String>,
}

impl Control {
    /// The value of a one-line field of the control file.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.control.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What a data entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Regular file of this many bytes.
    File {
        /// Content length.
        size: u64,
    },
    /// Directory.
    Dir,
    /// Symbolic link; the target is data and was not resolved.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// Another name of an earlier file of this package, whose normalised path this is.
    Hardlink {
        /// Normalised path of the first name.
        target: String,
    },
}

/// One entry of the data member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative, normalised (`usr/bin/true`); empty for the package's root directory itself.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid, sticky.
    pub mode: u32,
    /// Owner id as packed; a non-empty name wins in dpkg.
    pub uid: u32,
    /// Group id as packed.
    pub gid: u32,
    /// Owner name, may be empty.
    pub uname: String,
    /// Group name, may be empty.
    pub gname: String,
    /// Seconds since 1970.
    pub mtime: u64,
}

/// A package whose control member was read; the data member follows by [`Deb::visit`].
#[derive(Debug)]
pub struct Deb<R> {
    archive: ar::Reader<R>,
    control: Control,
    compression: Compression,
    limits: Limits,
}

impl<R: Read> Deb<R> {
    /// Reads up to the data member.
    ///
    /// # Errors
    /// Whatever keeps this from being a package.
    pub fn read(source: R, limits: &Limits) -> Result<Self, Error> {
        let mut archive = ar::Reader::new(source)?;
        version(&mut archive)?;
        let compression = member(&mut archive, "control.tar")?;
        let control = control(&mut archive, compression, limits)?;
        let compression = member(&mut archive, "data.tar")?;
        Ok(Self { archive, control, compression, limits: *limits })
    }

    /// The control member.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// How many bytes the data member may unpack to.
    pub fn data_limit(&self) -> u64 {
        let declared = self.control.field("Installed-Size").and_then(|v| v.parse::<u64>().ok());
        let by_size = declared.and_then(|kib| {
            kib.checked_mul(1024)?.checked_mul(self.limits.installed_size_factor)?.checked_add(16 << 20)
        });
        by_size.unwrap_or(u64::MAX).min(self.limits.data_bytes)
    }

    /// Calls `visit` with each entry in the archive's order and its content (empty unless a file;
    /// content not read is skipped). Entries visited before an error were sound by themselves, but
    /// the package as a whole was not: the caller drops what it gathered.
    ///
    /// # Errors
    /// Those of the package, and those of `visit`.
    pub fn visit<E: From<Error>>(
        mut self,
        mut visit: impl FnMut(Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<Control, E> {
        let limit = self.data_limit();
        let unpacked = Unpacked::new(&mut self.archive, self.compression, limit, self.limits.xz_memory)
            .map_err(|source| Error::Io { member: "data.tar", source })?;
        let mut tar = tar_in::Reader::new(unpacked);
        let mut seen = Seen::default();
        let mut count = 0;
        while let Some(header) = tar.next_header().map_err(|e| tar_error("data.tar", limit, e))? {
            count += 1;
            if count > self.limits.entries {
                return Err(Error::TooManyEntries(self.limits.entries).into());
            }
            let entry = seen.admit(header)?;
            visit(entry, &mut tar)?;
        }
        drop(tar);
        while let Some(extra) = self.archive.next_member().map_err(Error::from)? {
            // As in dpkg, members whose name starts with an underscore are for others.
            if !extra.name.starts_with('_') {
                return Err(Error::Member { expected: "the end", found: extra.name }.into());
            }
        }
        Ok(self.control)
    }
}

fn version(archive: &mut ar::Reader<impl Read>) -> Result<(), Error> {
    let found = archive.next_member()?;
    let found = found.map_or_else(String::new, |m| m.name);
    if found != "debian-binary" {
        return Err(Error::Member { expected: "debian-binary", found });
    }
    let mut text = Vec::new();
    let source = archive.by_ref().take(16).read_to_end(&mut text);
    source.map_err(|source| Error::Io { member: "debian-binary", source })?;
    if text.starts_with(b"2.") && text.ends_with(b"\n") {
        Ok(())
    } else {
        Err(Error::Version(text.escape_ascii().to_string()))
    }
}

/// Goes to the next member and checks that it is `expected` with a known compression.
fn member(archive: &mut ar::Reader<impl Read>, expected: &'static str) -> Result<Compression, Error> {
    loop {
        let Some(found) = archive.next_member()? else {
            return Err(Error::Member { expected, found: "the end".to_owned() });
        };
        if found.name.starts_with('_') {
            continue;
        }
        return match found.name.strip_prefix(expected) {
            Some("") => Ok(Compression::None),
            Some(".gz") => Ok(Compression::Gzip),
            Some(".xz") => Ok(Compression::Xz),
            Some(".zst") => Ok(Compression::Zstd),
            Some(other) if other.starts_with('.') => Err(Error::Compression(found.name)),
            Some(_) | None => Err(Error::Member { expected, found: found.name }),
        };
    }
}

fn control(
    archive: &mut ar::Reader<impl Read>,
    compression: Compression,
    limits: &Limits,
) -> Result<Control, Error> {
    const MEMBER: &str = "control.tar";
    let limit = limits.control_bytes;
    let unpacked = Unpacked::new(archive, compression, limit, limits.xz_memory)
        .map_err(|source| Error::Io { member: MEMBER, source })?;
    let mut tar = tar_in::Reader::new(unpacked);
    let mut out = Control::default();
    let mut seen = Seen::default();
    let mut has_control = false;
    while let Some(header) = tar.next_header().map_err(|e| tar_error(MEMBER, limit, e))? {
        let kind = header.kind;
        let entry = seen.admit(header)?;
        match kind {
            tar_in::Type::Dir => continue,
            tar_in::Type::File => {}
            tar_in::Type::Symlink
            | tar_in::Type::Hardlink
            | tar_in::Type::CharDevice
            | tar_in::Type::BlockDevice
            | tar_in::Type::Fifo => return Err(Error::Kind { path: entry.path, kind }),
        }
        if !matches!(entry.path.as_str(), "control" | "md5sums" | "conffiles") {
            out.others.push(entry.path);
            continue;
        }
        let mut text = String::new();
        if let Err(source) = tar.read_to_string(&mut text) {
            if source.kind() == io::ErrorKind::InvalidData {
                return Err(Error::Control("expected UTF-8"));
            }
            return Err(tar_error(MEMBER, limit, tar_in::Error::Io(source)));
        }
        match entry.path.as_str() {
            "control" => (out.control, has_control) = (text, true),
            "md5sums" => out.md5sums = md5sums(&text),
            _ => out.conffiles = conffiles(&text),
        }
    }
    if !has_control {
        return Err(Error::Control("there is none"));
    }
    Ok(out)
}

fn md5sums(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, path)| (path.trim_start_matches("./").to_owned(), sum.to_owned()))
        .collect()
}

fn conffiles(text: &str) -> Vec<String> {
    text.lines().filter_map(|l| l.trim().strip_prefix('/')).map(str::to_owned).collect()
}

/// Gives back the typed error that had to travel through `std::io::Error`.
fn tar_error(member: &'static str, limit: u64, source: tar_in::Error) -> Error {
    match source {
        tar_in::Error::Io(e) if is_over_limit(&e) => Error::TooLarge { member, limit },
        source => Error::Tar { member, source },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

fn is_over_limit(error: &io::Error) -> bool {
    let inner = error.get_ref();
    matches!(inner, Some(inner) if inner.is::<OverLimit>())
}

#[derive(Debug, thiserror::Error)]
#[error("the unpacked bytes are over their limit")]
struct OverLimit;

/// A decompressor that stops at a number of bytes.
struct Unpacked<'a> {
    inner: Box<dyn Read + 'a>,
    left: u64,
}

impl<'a> Unpacked<'a> {
    fn new(from: impl Read + 'a, compression: Compression, limit: u64, xz_memory: u64) -> io::Result<Self> {
        let inner: Box<dyn Read + 'a> = match compression {
            Compression::None => Box::new(BufReader::with_capacity(64 << 10, from)),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
            Compression::Xz => {
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(xz_memory, liblzma::stream::CONCATENATED)
                        .map_err(io::Error::from)?;
                let buffered = BufReader::with_capacity(64 << 10, from);
                Box::new(BufReader::with_capacity(
                    64 << 10,
                    liblzma::bufread::XzDecoder::new_stream(buffered, stream),
                ))
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(from)?;
                // 128 MiB: what `zstd -d` itself accepts without being asked.
                decoder.window_log_max(27)?;
                Box::new(BufReader::with_capacity(64 << 10, decoder))
            }
        };
        Ok(Self { inner, left: limit })
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.left = self.left.checked_sub(got as u64).ok_or_else(|| io::Error::other(OverLimit))?;
        Ok(got)
    }
}
