//! A suite's index of binary packages (`Packages`, `Packages.xz`), read as a stream.

use super::deb822::{Deb822Error, Paragraph, Reader};
use super::relation::{self, Relation, RelationError};
use super::version::{Version, VersionError};
use std::io::{BufRead, BufReader, Read};
use thiserror::Error;
use trust::Digest;

/// The most packages that one index may list (trixie's has about 69,000).
pub const MAX_PACKAGES: usize = 500_000;
/// The most memory that the decompressor may take, in bytes.
const XZ_MEMORY: u64 = 128 << 20;

/// Why an index cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackagesError {
    /// Its syntax is wrong, or it cannot be decompressed.
    #[error("failed to read a package index")]
    Syntax(#[from] Deb822Error),
    /// The decompressor could not be made.
    #[error("failed to decompress a package index")]
    Xz(#[source] std::io::Error),
    /// A field is missing or malformed.
    #[error(
        "failed to read package `{package}` of an index: field `{field}` is missing or malformed: `{value}`"
    )]
    Field {
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
        /// What was found, shortened.
        value: String,
    },
    /// A version is malformed.
    #[error("failed to read package `{package}` of an index")]
    Version {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: VersionError,
    },
    /// Its `Provides` are malformed.
    #[error("failed to read what package `{package}` of an index provides")]
    Provides {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: RelationError,
    },
    /// More than [`MAX_PACKAGES`].
    #[error("failed to read a package index: expected at most {MAX_PACKAGES} packages")]
    TooMany,
}

/// One binary package of one suite.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The source package's name.
    pub source: String,
    /// The source package's version.
    pub source_version: String,
    /// `Pre-Depends` and `Depends`, not parsed.
    pub depends: String,
    /// `Conflicts` and `Breaks`, not parsed.
    pub conflicts: String,
    /// What it provides.
    pub provides: Vec<Relation>,
    /// `Essential: yes`.
    pub essential: bool,
    /// Where it lies below the archive's root.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// KiB that it takes when unpacked, as the package says.
    pub installed_size_kib: u64,
}

impl Package {
    /// Reads the package of one paragraph.
    pub fn from_paragraph(paragraph: &Paragraph) -> Result<Self, PackagesError> {
        let name = paragraph.get("Package").unwrap_or_default();
        let field = |field: &'static str| PackagesError::Field {
            package: name.chars().take(128).collect(),
            field,
            value: paragraph.get(field).unwrap_or_default().chars().take(80).collect(),
        };
        if !relation::is_name(name) {
            return Err(field("Package"));
        }
        let text =
            |name: &'static str| paragraph.get(name).filter(|v| !v.is_empty()).ok_or_else(|| field(name));
        let version = Version::parse(text("Version")?)
            .map_err(|source| PackagesError::Version { package: name.to_owned(), source })?;
        let path = text("Filename")?;
        if !is_pool_path(path) {
            return Err(field("Filename"));
        }
        let architecture = text("Architecture")?;
        if !architecture.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(field("Architecture"));
        }
        let (source, source_version) = match paragraph.get("Source") {
            None => (name, version.as_str()),
            Some(source) => match source.split_once(" (") {
                None => (source, version.as_str()),
                Some((source, rest)) => (source, rest.strip_suffix(')').ok_or_else(|| field("Source"))?),
            },
        };
        if !relation::is_name(source) || Version::parse(source_version).is_err() {
            return Err(field("Source"));
        }
        let provides = relation::parse(paragraph.get("Provides").unwrap_or_default())
            .map_err(|source| PackagesError::Provides { package: name.to_owned(), source })?
            .into_iter()
            .flatten()
            .collect();
        let both = |a: &str, b: &str| match (paragraph.get(a), paragraph.get(b)) {
            (Some(a), Some(b)) => format!("{a}, {b}"),
            (a, b) => a.or(b).unwrap_or_default().to_owned(),
        };
        Ok(Self {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            source: source.to_owned(),
            source_version: source_version.to_owned(),
            depends: both("Pre-Depends", "Depends"),
            conflicts: both("Conflicts", "Breaks"),
            provides,
            essential: paragraph.get("Essential") == Some("yes"),
            path: path.to_owned(),
            size: text("Size")?.parse().map_err(|_| field("Size"))?,
            sha256: Digest::parse(text("SHA256")?).ok_or_else(|| field("SHA256"))?,
            installed_size_kib: match paragraph.get("Installed-Size") {
                None => 0,
                Some(size) => size.parse().map_err(|_| field("Installed-Size"))?,
            },
            version,
        })
    }
}

/// Whether a path stays below `pool/` and needs no escaping in a URL except of `~`, `+` and `:`.
pub fn is_pool_path(path: &str) -> bool {
    path.starts_with("pool/")
        && path.len() <= 1024
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/+-._~:%".contains(&b))
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Reads an index; packages of another architecture than `architecture` and `all` are left out.
pub fn read(input: impl BufRead, architecture: &str) -> Result<Vec<Package>, PackagesError> {
    let mut reader = Reader::new(input);
    let mut paragraph = Paragraph::default();
    let mut packages = Vec::new();
    while reader.next(&mut paragraph)? {
        if packages.len() >= MAX_PACKAGES {
            return Err(PackagesError::TooMany);
        }
        let package = Package::from_paragraph(&paragraph)?;
        if package.architecture == architecture || package.architecture == "all" {
            packages.push(package);
        }
    }
    Ok(packages)
}

/// Reads an index compressed by xz, of which at most `limit` bytes are decompressed.
pub fn read_xz(compressed: &[u8], limit: u64, architecture: &str) -> Result<Vec<Package>, PackagesError> {
    let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
        .map_err(|error| PackagesError::Xz(error.into()))?;
    let decoder = liblzma::bufread::XzDecoder::new_stream(compressed, stream);
    read(BufReader::with_capacity(256 << 10, Limited { inner: decoder, left: limit }), architecture)
}

/// A reader that fails when there is more than it may give: an index cut short would lose packages.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| std::io::Error::other("the index is larger than its Release file says"))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const ONE: &str = "Package: aa\nVersion: 1.0-1\nArchitecture: amd64\nSource: src (2.0)\n\
        Depends: bb\nPre-Depends: cc (>= 1)\nProvides: vv (= 3)\nFilename: pool/main/a/aa/aa_1.0-1_amd64.deb\n\
        Size: 12\nInstalled-Size: 30\n\
        SHA256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";

    #[test]
    fn reads_a_package() {
        let packages = read(ONE.as_bytes(), "amd64").unwrap();
        let package = &packages[0];
        assert_eq!((package.source.as_str(), package.source_version.as_str()), ("src", "2.0"));
        assert_eq!(package.depends, "cc (>= 1), bb");
        assert_eq!(package.provides[0].to_string(), "vv (= 3)");
        assert!(read(ONE.as_bytes(), "arm64").unwrap().is_empty());
    }

    #[test]
    fn refuses_malformed_packages() {
        for (from, to) in [
            ("pool/main", "../main"),
            ("pool/main", "pool/.."),
            ("pool/main", "pool//x"),
            ("Size: 12", "Size: -1"),
            ("Size: 12\n", ""),
            ("1.0-1\n", "x\n"),
            ("aaaa", "AAAA"),
            ("SHA256", "MD5sum"),
            ("Package: aa", "Package: a/a"),
            ("(2.0)", "(2.0"),
            ("vv (= 3)", "vv (= "),
            ("Architecture: amd64", "Architecture: a/b"),
        ] {
            assert!(read(ONE.replacen(from, to, 1).as_bytes(), "amd64").is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn reads_xz_and_refuses_a_truncated_one() {
        use std::io::Write as _;
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        let read = |bytes: &[u8]| read_xz(bytes, 1 << 20, "amd64");
        encoder.write_all(format!("{ONE}\n{ONE}").as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        assert_eq!(read(&bytes).unwrap().len(), 2);
        for end in 0..bytes.len() - 13 {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
    }
}
