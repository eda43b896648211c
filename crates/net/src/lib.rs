//! Fetching: bytes behind a URL, with a limit on everything (size, redirects, time, attempts),
//! resumed by ranges, retried with backoff. What the bytes mean, and whether they are the right
//! ones, is the caller's business.
//!
//! The clock and randomness come in through [`Waiter`] and [`Policy::seed`], the environment through
//! [`Settings`], the wire through [`Transport`], so that every path runs in tests without a network.

#![forbid(unsafe_code)]

mod backoff;
mod client;
mod http;
mod settings;
mod url;

pub use backoff::{Patience, Waiter};
pub use client::{Client, FetchError, Memory, Policy, Sink};
pub use http::{FileTransport, HttpTransport, Reply, Request, Transport, TransportError};
pub use settings::{Settings, SettingsError, VARIABLES};
pub use url::{Scheme, Url, UrlError};
