//! One request, one reply: the seam to the wire. [`HttpTransport`] is the real one, over ureq and
//! rustls; [`FileTransport`] reads a mirror that lies in a folder.

use crate::settings::Settings;
use crate::url::{Scheme, Url};
use std::collections::HashMap;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::time::Duration;
use thiserror::Error;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// The most bytes of a bundle of certificate authorities.
const MAX_BUNDLE_BYTES: u64 = 16 << 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// From where.
    pub url: &'a Url,
    /// From which byte on; 0 asks for the whole.
    pub from: u64,
    /// The version that the earlier bytes were of, so that a changed file starts anew.
    pub if_range: Option<&'a str>,
    /// Headers that the caller adds.
    pub headers: &'a [(String, String)],
}

/// What came back, its body unread.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The first byte's offset in the whole: from `Content-Range` for a status of 206, else 0.
    pub from: u64,
    /// Bytes of this body, where the server says.
    pub length: Option<u64>,
    /// `ETag` if it is a strong one, else `Last-Modified`.
    pub version: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Why no reply came.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The network failed; worth another attempt.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// Will fail again in the same way.
    #[error("{0}")]
    Permanent(String),
}

/// One request, one reply; no redirects, no retries.
pub trait Transport: Send + Sync {
    /// Sends the request and waits for the reply's head.
    fn get(&self, request: &Request<'_>) -> Result<Reply, TransportError>;
}

/// The real network.
#[derive(Debug)]
pub struct HttpTransport {
    settings: Settings,
    direct: ureq::Agent,
    proxied: HashMap<String, ureq::Agent>,
}

impl HttpTransport {
    /// A transport that connects within `connect` and gives up when nothing arrives for `idle`.
    pub fn new(settings: Settings, connect: Duration, idle: Duration) -> Result<Self, TransportError> {
        let roots = roots(&settings.ca_files);
        let tls = TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(roots).build();
        let agent = |proxy: Option<ureq::Proxy>| {
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(proxy)
                .user_agent(concat!("wellcar/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .timeout_resolve(Some(connect))
                .timeout_connect(Some(connect))
                .timeout_recv_response(Some(idle))
                .timeout_per_read(Some(idle))
                .timeout_per_write(Some(idle))
                .max_idle_connections_per_host(8)
                .tls_config(tls.clone())
                .build()
                .new_agent()
        };
        let mut proxied = HashMap::new();
        for proxy in [&settings.http_proxy, &settings.https_proxy].into_iter().flatten() {
            let parsed = ureq::Proxy::new(proxy.as_str()).map_err(|error| {
                TransportError::Permanent(format!("proxy `{proxy}` cannot be used: {error}"))
            })?;
            proxied.insert(proxy.as_str().to_owned(), agent(Some(parsed)));
        }
        Ok(Self { direct: agent(None), proxied, settings })
    }
}

fn roots(files: &[String]) -> RootCerts {
    for file in files {
        let mut pem = Vec::new();
        let read = std::fs::File::open(file).and_then(|f| f.take(MAX_BUNDLE_BYTES).read_to_end(&mut pem));
        if read.is_err() {
            continue;
        }
        let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if !certificates.is_empty() {
            return RootCerts::from(certificates);
        }
    }
    RootCerts::WebPki
}

impl Transport for HttpTransport {
    fn get(&self, request: &Request<'_>) -> Result<Reply, TransportError> {
        if request.url.scheme() == Scheme::File {
            return Err(TransportError::Permanent("a `file:` URL is not allowed here".into()));
        }
        let agent = self
            .settings
            .proxy_for(request.url)
            .and_then(|proxy| self.proxied.get(proxy.as_str()))
            .unwrap_or(&self.direct);
        let mut builder = agent.get(request.url.as_str());
        for (name, value) in request.headers {
            builder = builder.header(name.as_str(), value.as_str());
        }
        if request.from > 0 {
            builder = builder.header("Range", format!("bytes={}-", request.from));
            if let Some(version) = request.if_range {
                builder = builder.header("If-Range", version);
            }
        }
        let response = builder.call().map_err(classify)?;
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let from = match (status, header("content-range")) {
            (206, Some(range)) => range_start(&range)
                .ok_or_else(|| TransportError::Permanent(format!("Content-Range is malformed: `{range}`")))?,
            (206, None) => {
                return Err(TransportError::Permanent("a partial reply has no Content-Range".into()));
            }
            _ => 0,
        };
        let version = header("etag").filter(|tag| !tag.starts_with("W/")).or_else(|| header("last-modified"));
        let location = header("location");
        let retry_after = header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        let length = header("content-length").and_then(|v| v.parse().ok());
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Reply { status, from, length, version, location, retry_after, body: Box::new(body) })
    }
}

/// The start of `bytes START-END/TOTAL`.
fn range_start(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn classify(error: ureq::Error) -> TransportError {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            TransportError::Permanent(error.to_string())
        }
        // A certificate does not get better by asking again.
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
            TransportError::Permanent(format!("TLS failed: {error}"))
        }
        other => TransportError::Connection(other.to_string()),
    }
}

/// Files of this machine, for mirrors that lie in a folder (`file:///srv/mirror`).
#[derive(Debug, Clone, Copy, Default)]
pub struct FileTransport;

impl Transport for FileTransport {
    fn get(&self, request: &Request<'_>) -> Result<Reply, TransportError> {
        let path = percent_decode(request.url.path()).ok_or_else(|| {
            TransportError::Permanent(format!("path `{}` is malformed", request.url.path()))
        })?;
        let missing = |status| Reply {
            status,
            from: 0,
            length: Some(0),
            version: None,
            location: None,
            retry_after: None,
            body: Box::new(io::empty()),
        };
        let opened = std::fs::File::open(&path).and_then(|file| file.metadata().map(|meta| (file, meta)));
        let (mut file, meta) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(missing(404)),
            Err(error) => return Err(TransportError::Permanent(format!("`{path}` cannot be read: {error}"))),
        };
        if !meta.is_file() {
            return Ok(missing(404));
        }
        let from = request.from.min(meta.len());
        file.seek(SeekFrom::Start(from))
            .map_err(|error| TransportError::Permanent(format!("`{path}` cannot be read: {error}")))?;
        let status = if from > 0 { 206 } else { 200 };
        Ok(Reply { from, length: Some(meta.len() - from), body: Box::new(file), ..missing(status) })
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail.get(2..)?;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().filter(|path| !path.contains('\0'))
}
