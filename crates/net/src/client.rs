//! Fetching with a policy: which schemes, how much, how often. Built from one [`Transport`] and one
//! [`Waiter`], so that each rule is tested without a network and without time passing.

use crate::backoff::{Waiter, pause};
use crate::http::{FileTransport, Reply, Request, Transport, TransportError};
use crate::url::{Scheme, Url, UrlError};
use std::io::{self, Read, Write};
use std::time::Duration;
use thiserror::Error;

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The rules of a fetch.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The most bytes that are taken.
    pub max_bytes: u64,
    /// Attempts without progress before giving up; at least 1 is made.
    pub attempts: u32,
    /// The first pause between attempts; doubled each time.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_cap: Duration,
    /// Chooses the pauses' jitter.
    pub seed: u64,
    /// The most redirects that are followed.
    pub redirects: u32,
    /// Whether `file:` URLs are read: only for mirrors that the user named.
    pub allow_file: bool,
    /// Headers added to each request to the first host; dropped when a redirect leads to another.
    pub headers: Vec<(String, String)>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            attempts: 5,
            backoff: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(10),
            seed: 0,
            redirects: 5,
            allow_file: false,
            headers: Vec::new(),
        }
    }
}

/// Why a fetch failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered, but not with the file.
    #[error("failed to fetch `{url}`: expected status 200, found {status}")]
    Status {
        /// From where.
        url: Url,
        /// The HTTP status.
        status: u16,
    },
    /// More bytes than the policy takes.
    #[error("failed to fetch `{url}`: expected at most {limit} bytes, found more")]
    TooLarge {
        /// From where.
        url: Url,
        /// The limit in bytes.
        limit: u64,
    },
    /// The network failed in every attempt.
    #[error("failed to fetch `{url}` in {attempts} attempts")]
    Network {
        /// From where.
        url: Url,
        /// How many attempts were made.
        attempts: u32,
        /// The last failure.
        #[source]
        source: TransportError,
    },
    /// More redirects than the policy follows, or one without a target.
    #[error("failed to fetch `{url}`: expected at most {limit} redirects, each with a target")]
    Redirects {
        /// From where.
        url: Url,
        /// The limit.
        limit: u32,
    },
    /// A redirect leads to a scheme that is less safe.
    #[error("failed to fetch `{url}`: refused a redirect to `{target}`")]
    Downgrade {
        /// From where.
        url: Url,
        /// Where the redirect leads.
        target: Url,
    },
    /// A redirect's target is no URL.
    #[error("failed to follow the redirect of `{url}`")]
    Location {
        /// From where.
        url: Url,
        /// Why.
        #[source]
        source: UrlError,
    },
    /// The scheme is not allowed here.
    #[error("failed to fetch `{url}`: scheme `{}` is not allowed here", .url.scheme().as_str())]
    Scheme {
        /// From where.
        url: Url,
    },
    /// The bytes could not be put where they belong.
    #[error("failed to store the bytes of `{url}`")]
    Sink {
        /// From where.
        url: Url,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FetchError {
    /// Whether the server says that there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Status { status: 404 | 410, .. })
    }
}

/// Where fetched bytes go.
pub trait Sink: Write {
    /// Bytes that are there already; the fetch goes on after them.
    fn position(&self) -> u64;
    /// Forgets all bytes: the server starts from the beginning.
    fn restart(&mut self) -> io::Result<()>;
}

/// A sink in memory.
#[derive(Debug, Default)]
pub struct Memory(pub Vec<u8>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Memory {
    fn position(&self) -> u64 {
        self.0.len() as u64
    }

    fn restart(&mut self) -> io::Result<()> {
        self.0.clear();
        Ok(())
    }
}

/// Fetches by a policy given with each call.
pub struct Client {
    transport: Box<dyn Transport>,
    waiter: Box<dyn Waiter>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

enum Outcome {
    Done,
    Retry { error: TransportError, after: Option<Duration> },
}

impl Client {
    /// A client over this transport.
    pub fn new(transport: impl Transport + 'static, waiter: impl Waiter + 'static) -> Self {
        Self { transport: Box::new(transport), waiter: Box::new(waiter) }
    }

    /// Fetches a whole file into memory.
    pub fn fetch(&self, url: &Url, policy: &Policy) -> Result<Vec<u8>, FetchError> {
        let mut memory = Memory::default();
        self.fetch_to(url, policy, &mut memory, &mut |_| {})?;
        Ok(memory.0)
    }

    /// Fetches into `sink`, from the sink's position on where the server can; `progress` is told the
    /// position after each piece. Interrupted transfers are resumed.
    pub fn fetch_to(
        &self,
        url: &Url,
        policy: &Policy,
        sink: &mut dyn Sink,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let mut version = None;
        let mut fruitless = 0;
        let mut total = 0;
        loop {
            let before = sink.position();
            total += 1;
            let (error, after) = match self.attempt(url, policy, sink, progress, &mut version)? {
                Outcome::Done => return Ok(()),
                Outcome::Retry { error, after } => (error, after),
            };
            fruitless = if sink.position() > before { 1 } else { fruitless + 1 };
            if matches!(error, TransportError::Permanent(_)) || fruitless >= policy.attempts.max(1) {
                return Err(FetchError::Network { url: url.clone(), attempts: total, source: error });
            }
            let pause = pause(fruitless + 1, policy.backoff, policy.backoff_cap, policy.seed)
                .max(after.unwrap_or_default().min(MAX_RETRY_AFTER));
            if !self.waiter.wait(pause) {
                return Err(FetchError::Network { url: url.clone(), attempts: total, source: error });
            }
        }
    }

    /// Follows redirects to a reply that is not one.
    fn follow(
        &self,
        url: &Url,
        policy: &Policy,
        from: u64,
        version: Option<&str>,
    ) -> Result<Result<Reply, TransportError>, FetchError> {
        let mut at = url.clone();
        for _ in 0..=policy.redirects {
            let headers: &[_] = if at.authority() == url.authority() { &policy.headers } else { &[] };
            let request = Request { url: &at, from, if_range: version, headers };
            let reply = match at.scheme() {
                Scheme::File if policy.allow_file => FileTransport.get(&request),
                Scheme::File => return Err(FetchError::Scheme { url: at }),
                Scheme::Http | Scheme::Https => self.transport.get(&request),
            };
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) => return Ok(Err(error)),
            };
            if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(Ok(reply));
            }
            let Some(location) = reply.location else { break };
            let target =
                at.redirect(&location).map_err(|source| FetchError::Location { url: url.clone(), source })?;
            let safe = match target.scheme() {
                Scheme::Https => true,
                Scheme::Http => at.scheme() == Scheme::Http,
                Scheme::File => false,
            };
            if !safe {
                return Err(FetchError::Downgrade { url: url.clone(), target });
            }
            at = target;
        }
        Err(FetchError::Redirects { url: url.clone(), limit: policy.redirects })
    }

    fn attempt(
        &self,
        url: &Url,
        policy: &Policy,
        sink: &mut dyn Sink,
        progress: &mut dyn FnMut(u64),
        version: &mut Option<String>,
    ) -> Result<Outcome, FetchError> {
        let stored = |source| FetchError::Sink { url: url.clone(), source };
        let from = sink.position();
        let mut reply = match self.follow(url, policy, from, version.as_deref())? {
            Ok(reply) => reply,
            Err(error) => return Ok(Outcome::Retry { error, after: None }),
        };
        match reply.status {
            200 => {
                if from > 0 {
                    sink.restart().map_err(stored)?;
                }
            }
            206 if reply.from == from => {}
            // The range is not what was asked for, or beyond the end: start again.
            206 | 416 if from > 0 => {
                sink.restart().map_err(stored)?;
                let error = TransportError::Connection(format!("the range from byte {from} was refused"));
                return Ok(Outcome::Retry { error, after: Some(Duration::ZERO) });
            }
            408 | 425 | 429 | 500 | 502 | 503 | 504 => {
                let error = TransportError::Connection(format!("the server answered {}", reply.status));
                return Ok(Outcome::Retry { error, after: reply.retry_after });
            }
            status => return Err(FetchError::Status { url: url.clone(), status }),
        }
        version.clone_from(&reply.version);
        let too_large = || FetchError::TooLarge { url: url.clone(), limit: policy.max_bytes };
        if reply.length.is_some_and(|length| sink.position().saturating_add(length) > policy.max_bytes) {
            return Err(too_large());
        }
        let mut buffer = vec![0; 64 << 10];
        let mut received = 0;
        loop {
            let count = match reply.body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let error = TransportError::Connection(format!("the transfer broke off: {error}"));
                    return Ok(Outcome::Retry { error, after: None });
                }
            };
            let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
            if sink.position().saturating_add(count as u64) > policy.max_bytes {
                return Err(too_large());
            }
            sink.write_all(piece).map_err(stored)?;
            received += count as u64;
            progress(sink.position());
        }
        if let Some(length) = reply.length.filter(|length| *length > received) {
            let error = TransportError::Connection(format!(
                "the transfer broke off: expected {length} bytes, found {received}"
            ));
            return Ok(Outcome::Retry { error, after: None });
        }
        sink.flush().map_err(stored)?;
        Ok(Outcome::Done)
    }
}
