//! Getting the bytes behind a resource of the config: fetched, decompressed and verified before anyone uses them.
//!
//! Small things stay in memory; what is fetched for a file goes through an unnamed temporary file in the
//! target, so that a large one costs no memory and a wrong one touches nothing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::provision::Content;
use ignition::resource::{self, Scheme};
use net::{Client, HttpTransport, Patience, Policy, Settings, Sink, Url};
use sha2::Digest as _;

use super::failure::{Failure, Result, fail};

/// The most bytes of a config.
pub(super) const CONFIG_LIMIT: u64 = 64 << 20;
/// The most bytes of a file.
pub(super) const FILE_LIMIT: u64 = 16 << 30;

/// How to reach the network: from the config's `ignition` section and the environment.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) settings: Settings,
    pub(super) header_timeout: Duration,
    pub(super) deadline: Option<Instant>,
    pub(super) oem: PathBuf,
    /// False in the offline stage: what needs the network is an error that says so.
    pub(super) online: bool,
}

/// Fetches with one network configuration.
pub(super) struct Fetcher<'a> {
    network: &'a Network,
}

/// Verified bytes.
pub(super) enum Blob {
    Memory(Vec<u8>),
    File(File),
}

impl Blob {
    pub(super) fn copy_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => out.write_all(bytes),
            Self::File(file) => {
                file.seek(SeekFrom::Start(0))?;
                io::copy(file, &mut { out }).map(drop)
            }
        }
    }
}

/// A fetch into an unnamed file.
struct FileSink(File);

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink for FileSink {
    fn position(&self) -> u64 {
        self.0.metadata().map_or(0, |m| m.len())
    }
    fn restart(&mut self) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.seek(SeekFrom::Start(0)).map(drop)
    }
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        Self { network }
    }

    /// Bytes of a config or certificate, in memory.
    pub(super) fn small(&self, content: &Content, accept: Option<&str>) -> Result<Vec<u8>> {
        let raw = match self.local(content)? {
            Some(bytes) => bytes,
            None => {
                let mut memory = net::Memory::default();
                self.remote(content, accept, CONFIG_LIMIT, &mut memory)?;
                memory.0
            }
        };
        let limit = usize::try_from(CONFIG_LIMIT).unwrap_or(usize::MAX);
        let bytes = if content.gzip {
            resource::gunzip(&raw, limit).map_err(|e| fail("compression")(&e))?
        } else {
            raw
        };
        if !content.hash.is_empty() {
            resource::verify(&bytes, &content.hash).map_err(|e| wrong_hash(content, &e))?;
        }
        Ok(bytes)
    }

    /// Bytes of a file; `staging` makes an unnamed temporary file.
    pub(super) fn large(&self, content: &Content, staging: &dyn Fn() -> io::Result<File>) -> Result<Blob> {
        let stage = || staging().map_err(|e| fail("file")(&e));
        if let Some(bytes) = self.local(content)? {
            if !content.gzip {
                if !content.hash.is_empty() {
                    resource::verify(&bytes, &content.hash).map_err(|e| wrong_hash(content, &e))?;
                }
                return Ok(Blob::Memory(bytes));
            }
            return unpack(content, &mut bytes.as_slice(), stage()?);
        }
        let mut sink = FileSink(stage()?);
        self.remote(content, None, FILE_LIMIT, &mut sink)?;
        let mut raw = sink.0;
        raw.seek(SeekFrom::Start(0)).map_err(|e| fail("file")(&e))?;
        if content.gzip {
            return unpack(content, &mut raw, stage()?);
        }
        check(content, &mut raw)?;
        Ok(Blob::File(raw))
    }

    fn local(&self, content: &Content) -> Result<Option<Vec<u8>>> {
        if content.source.is_empty() {
            return Ok(Some(Vec::new()));
        }
        match resource::scheme(&content.source) {
            Scheme::Data => {
                resource::data_url::decode(&content.source).map(Some).map_err(|e| fail("url")(&e))
            }
            Scheme::Oem => self.oem(&content.source).map(Some),
            Scheme::Http if self.network.online => Ok(None),
            Scheme::Http => Err(Box::new(Failure::new(
                "offline",
                format!("failed to fetch ({content}): the network is needed"),
            ))),
            Scheme::Tftp | Scheme::S3 | Scheme::Gs | Scheme::Unknown => Err(Box::new(
                Failure::new("url", format!("failed to fetch ({content}): this scheme is not supported"))
                    .hint("use http, https, data or oem"),
            )),
        }
    }

    fn oem(&self, url: &str) -> Result<Vec<u8>> {
        let path = url.split_once(':').map_or("", |(_, rest)| rest.trim_start_matches('/'));
        let root = sys::rooted::Root::open(&self.network.oem).map_err(|e| fail("oem")(&e))?;
        root.read(Path::new(path), CONFIG_LIMIT).map_err(|e| fail("oem")(&e))
    }

    fn remote(&self, content: &Content, accept: Option<&str>, limit: u64, sink: &mut dyn Sink) -> Result<()> {
        let url = Url::parse(&content.source).map_err(|e| fail("url")(&e))?;
        let transport = HttpTransport::new(
            self.network.settings.clone(),
            self.network.header_timeout.max(Duration::from_secs(1)),
            self.network.header_timeout.max(Duration::from_secs(1)),
        )
        .map_err(|e| fail("network")(&e))?;
        let client = Client::new(transport, Patience::until(self.network.deadline));
        let mut headers = content.headers.clone();
        if let Some(accept) =
            accept.filter(|_| !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("accept")))
        {
            headers.push(("Accept".to_owned(), accept.to_owned()));
        }
        let policy = Policy {
            max_bytes: limit,
            attempts: if self.network.deadline.is_some() { u32::MAX } else { 12 },
            backoff: Duration::from_millis(200),
            backoff_cap: Duration::from_secs(5),
            seed: u64::from(std::process::id()),
            redirects: 10,
            allow_file: false,
            headers,
        };
        client.fetch_to(&url, &policy, sink, &mut |_| {}).map_err(|e| {
            let mut failure = Failure::of("fetch", &e);
            // A query can hold a token.
            if let Some((_, query)) = content.source.split_once('?') {
                failure.message = failure.message.replace(query, "…");
            }
            failure
                .hints
                .push("check the URL, the server and the machine's network; the boot tries again".to_owned());
            Box::new(failure)
        })
    }
}

fn wrong_hash(content: &Content, error: &resource::ResourceError) -> Box<Failure> {
    let mut failure = Failure::new("hash", format!("failed to verify ({content})"));
    failure.causes.push(error.to_string());
    Box::new(failure.hint("the file has changed since the config was written, or was damaged on its way"))
}

fn unpack(content: &Content, raw: &mut dyn Read, mut out: File) -> Result<Blob> {
    let mut reader = flate2::read::MultiGzDecoder::new(raw).take(FILE_LIMIT + 1);
    let copied = io::copy(&mut reader, &mut out).map_err(|e| {
        let mut failure = Failure::new("compression", format!("failed to decompress ({content})"));
        failure.causes.push(e.to_string());
        Box::new(failure)
    })?;
    if copied > FILE_LIMIT {
        return Err(Box::new(Failure::new(
            "compression",
            format!("failed to decompress: more than {FILE_LIMIT} bytes"),
        )));
    }
    out.seek(SeekFrom::Start(0)).map_err(|e| fail("file")(&e))?;
    check(content, &mut out)?;
    Ok(Blob::File(out))
}

/// Hashes a file against what the config says.
fn check(content: &Content, file: &mut File) -> Result<()> {
    if content.hash.is_empty() {
        return Ok(());
    }
    let (algorithm, expected) = resource::parse_hash(&content.hash).map_err(|e| fail("hash")(&e))?;
    let found = match algorithm {
        "sha256" => digest::<sha2::Sha256>(file),
        _ => digest::<sha2::Sha512>(file),
    }
    .map_err(|e| fail("file")(&e))?;
    if found == expected {
        return Ok(());
    }
    Err(wrong_hash(content, &resource::ResourceError::HashMismatch { algorithm, expected, found }))
}

fn digest<D: sha2::Digest>(file: &mut dyn Read) -> io::Result<String> {
    let mut hasher = D::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    Ok(hex(&hasher.finalize()))
}

/// SHA-256 of what a reader holds, in hexadecimal.
pub(super) fn sha256_of(file: &mut dyn Read) -> io::Result<String> {
    digest::<sha2::Sha256>(file)
}

/// SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
