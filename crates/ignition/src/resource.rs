//! The bytes behind a resource: data URLs, gzip with a limit, hashes. Pure; fetching is done elsewhere.

use crate::model::{Resource, text};
use crate::url;
use sha2::Digest as _;
use std::io::Read as _;
use thiserror::Error;

/// Why bytes are not what a config says.
#[derive(Debug, Error)]
pub enum ResourceError {
    /// Not a data URL, or not well-formed.
    #[error("failed to decode data URL: {reason}")]
    DataUrl {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More bytes than allowed.
    #[error("contents are over the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not gzip, or damaged.
    #[error("failed to decompress gzip contents")]
    Gzip(#[source] std::io::Error),
    /// Neither none nor gzip.
    #[error("unknown compression `{0}`, expected `gzip` or none")]
    Compression(String),
    /// The hash is not written as it must be.
    #[error("failed to read verification hash: {reason}")]
    HashSyntax {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The bytes are others.
    #[error("{algorithm} of the contents is `{found}`, expected `{expected}`")]
    HashMismatch {
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// From the config, hexadecimal.
        expected: String,
        /// Of the bytes, hexadecimal.
        found: String,
    },
}

/// What has to be done to get a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The URL holds the bytes.
    Data,
    /// http and https.
    Http,
    /// tftp.
    Tftp,
    /// s3 and Amazon resource names.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// A file of the OEM partition.
    Oem,
    /// Anything else.
    Unknown,
}

impl Scheme {
    /// Whether getting it needs the network.
    #[must_use]
    pub fn needs_network(self) -> bool {
        matches!(self, Scheme::Http | Scheme::Tftp | Scheme::S3 | Scheme::Gs)
    }
}

/// The scheme of a URL.
#[must_use]
pub fn scheme(source: &str) -> Scheme {
    match url::parse(source).map(|u| u.scheme).as_deref() {
        Some("data") => Scheme::Data,
        Some("http" | "https") => Scheme::Http,
        Some("tftp") => Scheme::Tftp,
        Some("s3" | "arn") => Scheme::S3,
        Some("gs") => Scheme::Gs,
        Some("oem") => Scheme::Oem,
        _ => Scheme::Unknown,
    }
}

/// Data URLs (RFC 2397).
pub mod data_url {
    use super::ResourceError;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::fmt::Write as _;

    /// The bytes of a data URL.
    ///
    /// # Errors
    /// [`ResourceError::DataUrl`] when it is not one or is malformed.
    pub fn decode(source: &str) -> Result<Vec<u8>, ResourceError> {
        let fail = |reason| ResourceError::DataUrl { reason };
        let is_data = source.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("data:"));
        let body = source.get(5..).filter(|_| is_data).ok_or_else(|| fail("no `data:` at its start"))?;
        let (head, data) = body.split_once(',').ok_or_else(|| fail("no comma"))?;
        if head.ends_with(";base64") {
            let data: Vec<u8> = data.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
            return STANDARD.decode(data).map_err(|_| fail("malformed base64"));
        }
        unescape(data).ok_or_else(|| fail("a percent sign that starts no escape"))
    }

    fn unescape(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(b) = bytes.next() {
            if b != b'%' {
                out.push(b);
                continue;
            }
            let mut digit = || bytes.next().and_then(|d| char::from(d).to_digit(16));
            let value = digit()? * 16 + digit()?;
            out.push(u8::try_from(value).ok()?);
        }
        Some(out)
    }

    /// `data:,…` with everything but letters, digits and `-_.~!*'()$&+` … escaped as Go's `dataurl` does.
    #[must_use]
    pub fn escape(bytes: &[u8]) -> String {
        let mut out = String::from("data:,");
        for b in bytes {
            if b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(b) {
                out.push(char::from(*b));
            } else {
                let _ = write!(out, "%{b:02X}");
            }
        }
        out
    }

    /// `data:;base64,…`
    #[must_use]
    pub fn base64(bytes: &[u8]) -> String {
        format!("data:;base64,{}", STANDARD.encode(bytes))
    }
}

/// Decompresses gzip (all members).
///
/// # Errors
/// [`ResourceError::TooLarge`] when more than `limit` bytes come out, [`ResourceError::Gzip`] when damaged.
pub fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ResourceError> {
    let mut out = Vec::new();
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(cap);
    reader.read_to_end(&mut out).map_err(ResourceError::Gzip)?;
    if out.len() > limit {
        return Err(ResourceError::TooLarge { limit });
    }
    Ok(out)
}

/// Compresses with gzip at the best level, without a time or a name: equal bytes give equal bytes.
///
/// # Errors
/// [`ResourceError::Gzip`]; writing to memory does not fail in practice.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>, ResourceError> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).map_err(ResourceError::Gzip)?;
    encoder.finish().map_err(ResourceError::Gzip)
}

/// The algorithm and the sum of a verification hash.
///
/// # Errors
/// [`ResourceError::HashSyntax`]: no dash, an unknown algorithm, a sum of the wrong size or not hexadecimal.
pub fn parse_hash(hash: &str) -> Result<(&'static str, String), ResourceError> {
    let fail = |reason| ResourceError::HashSyntax { reason };
    let (name, sum) = hash.split_once('-').ok_or_else(|| fail("malformed hash specifier"))?;
    let (name, size) = match name {
        "sha256" => ("sha256", 64),
        "sha512" => ("sha512", 128),
        _ => return Err(fail("unrecognized hash function")),
    };
    if sum.len() != size {
        return Err(fail("incorrect size for hash sum"));
    }
    if !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(fail("hash sum is not hexadecimal"));
    }
    Ok((name, sum.to_ascii_lowercase()))
}

/// Checks bytes against `sha512-HEX` or `sha256-HEX`.
///
/// # Errors
/// [`ResourceError::HashSyntax`] or [`ResourceError::HashMismatch`].
pub fn verify(bytes: &[u8], hash: &str) -> Result<(), ResourceError> {
    let (algorithm, expected) = parse_hash(hash)?;
    let found = match algorithm {
        "sha256" => hex(&sha2::Sha256::digest(bytes)),
        _ => hex(&sha2::Sha512::digest(bytes)),
    };
    if found == expected { Ok(()) } else { Err(ResourceError::HashMismatch { algorithm, expected, found }) }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Turns the fetched bytes of a resource into its contents: decompressed, then verified.
///
/// # Errors
/// As [`gunzip`] and [`verify`]; [`ResourceError::Compression`] for an unknown one.
pub fn finish(resource: &Resource, bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, ResourceError> {
    let bytes = match text(&resource.compression) {
        "" => bytes,
        "gzip" => gunzip(&bytes, limit)?,
        other => return Err(ResourceError::Compression(other.to_owned())),
    };
    if bytes.len() > limit {
        return Err(ResourceError::TooLarge { limit });
    }
    if let Some(hash) = &resource.verification.hash {
        verify(&bytes, hash)?;
    }
    Ok(bytes)
}

/// The contents of a resource that holds them itself: nothing (no source) or a data URL, decompressed and
/// verified. `None` when it has to be fetched.
///
/// # Errors
/// As [`data_url::decode`] and [`finish`].
pub fn contents(resource: &Resource, limit: usize) -> Result<Option<Vec<u8>>, ResourceError> {
    let source = text(&resource.source);
    if source.is_empty() {
        return finish(&Resource { compression: None, ..resource.clone() }, Vec::new(), limit).map(Some);
    }
    match scheme(source) {
        Scheme::Data => finish(resource, data_url::decode(source)?, limit).map(Some),
        Scheme::Http | Scheme::Tftp | Scheme::S3 | Scheme::Gs | Scheme::Oem | Scheme::Unknown => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::Spanned;

    fn resource(source: &str, compression: &str, hash: Option<&str>) -> Resource {
        let some = |s: &str| Some(Spanned::bare(s.to_owned()));
        let mut resource =
            Resource { source: some(source), compression: some(compression), ..Resource::default() };
        resource.verification.hash = hash.and_then(some);
        resource
    }

    #[test]
    fn data_urls_decode_and_encode() {
        assert_eq!(data_url::decode("data:,a%20b%0A").unwrap(), b"a b\n");
        assert_eq!(data_url::decode("data:text/plain;charset=utf-8;base64,aGk=").unwrap(), b"hi");
        assert_eq!(data_url::escape(b"a=b\n"), "data:,a%3Db%0A");
        assert_eq!(data_url::decode(&data_url::base64(&[0, 255])).unwrap(), [0, 255]);
        for bad in ["", "data:", "data:;base64,a", "data:,%s", "http://x", "dätä:,"] {
            assert!(data_url::decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_zip_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 20_000);
        let found = contents(&resource(&data_url::base64(&bomb), "gzip", None), 1_000_000);
        assert!(matches!(found, Err(ResourceError::TooLarge { limit: 1_000_000 })), "{found:?}");
        assert_eq!(gunzip(&bomb, 10_000_000).unwrap().len(), 10_000_000);
        assert!(matches!(gunzip(&bomb[..100], 10_000_000), Err(ResourceError::Gzip(_))));
    }

    #[test]
    fn hashes_are_of_the_decompressed_bytes() {
        let sum = "sha256-8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
        let source = data_url::base64(&gzip(b"hi").unwrap());
        assert_eq!(contents(&resource(&source, "gzip", Some(sum)), 99).unwrap().unwrap(), b"hi");
        let error = contents(&resource("data:,ho", "", Some(sum)), 99).unwrap_err();
        assert!(error.to_string().contains("expected `8f43"), "{error}");
        assert!(verify(b"", "sha1-abc").is_err());
        assert!(verify(b"", "sha512").is_err());
        assert_eq!(contents(&resource("https://example.com/", "", None), 9).unwrap(), None);
    }
}
