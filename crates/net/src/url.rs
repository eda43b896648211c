//! The little of URLs that fetching needs: scheme, authority, path; joining a redirect's target.

use std::fmt;
use thiserror::Error;

/// The longest URL that is taken.
const MAX_LENGTH: usize = 8192;

/// The schemes that can be fetched at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP: for what is verified by a signature or hash.
    Http,
    /// HTTP over TLS.
    Https,
    /// A file of this machine; only where the caller allows it.
    File,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::File => "file",
        }
    }
}

/// Why a text is not a URL that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Neither http, https nor file.
    #[error("failed to read URL `{0}`: expected it to start with `http://`, `https://` or `file:///`")]
    Scheme(String),
    /// No host, or a malformed one.
    #[error("failed to read URL `{0}`: expected a host name")]
    Host(String),
    /// White space, a control character or something that is not ASCII; or too long.
    #[error("failed to read URL `{0}`: expected at most {MAX_LENGTH} printable ASCII characters")]
    Characters(String),
}

/// A URL of one of the schemes of [`Scheme`]. Its `Display` hides a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: Box<str>,
    // Lengths fit, as a URL has at most MAX_LENGTH bytes.
    scheme_length: u16,
    authority_end: u16,
}

impl Url {
    /// Reads an absolute URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let short = || redact(&text.chars().take(200).collect::<String>());
        if text.len() > MAX_LENGTH || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UrlError::Characters(short().escape_debug().to_string()));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| UrlError::Scheme(short()))?;
        let scheme = scheme.to_ascii_lowercase();
        let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest.get(..length).unwrap_or_default();
        match scheme.as_str() {
            "http" | "https" => {
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                if host.is_empty() || host.starts_with(':') {
                    return Err(UrlError::Host(short()));
                }
            }
            "file" => {
                if !authority.is_empty() || !rest.starts_with('/') {
                    return Err(UrlError::Host(short()));
                }
            }
            _ => return Err(UrlError::Scheme(short())),
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let short_length = |length: usize| u16::try_from(length).map_err(|_| UrlError::Characters(short()));
        Ok(Self {
            text: format!("{scheme}://{rest}").into(),
            scheme_length: short_length(scheme.len())?,
            authority_end: short_length(scheme.len() + 3 + authority.len())?,
        })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        match self.scheme_length {
            5 => Scheme::Https,
            _ if self.text.starts_with("file") => Scheme::File,
            _ => Scheme::Http,
        }
    }

    /// The whole URL, with a password where there is one: for the wire, never for a message.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port without user information; empty for a file.
    pub fn authority(&self) -> &str {
        let authority = self
            .text
            .get(usize::from(self.scheme_length) + 3..usize::from(self.authority_end))
            .unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// Host without port or brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        if let Some(rest) = authority.strip_prefix('[') {
            return rest.split(']').next().unwrap_or_default();
        }
        authority.split(':').next().unwrap_or_default()
    }

    /// Path and query, starting with `/`.
    pub fn path(&self) -> &str {
        match self.text.get(usize::from(self.authority_end)..) {
            None | Some("") => "/",
            Some(path) => path,
        }
    }

    /// This URL with `path` (relative, already escaped) after it, one slash between.
    pub fn join(&self, path: &str) -> Result<Self, UrlError> {
        Self::parse(&format!("{}/{}", self.text.trim_end_matches('/'), path.trim_start_matches('/')))
    }

    /// The target of a redirect found here (RFC 3986 section 5, without dot segments).
    pub fn redirect(&self, location: &str) -> Result<Self, UrlError> {
        let prefix = |end: u16| self.text.get(..usize::from(end)).unwrap_or_default();
        if location.contains("://") {
            Self::parse(location)
        } else if let Some(rest) = location.strip_prefix("//") {
            Self::parse(&format!("{}://{rest}", self.scheme().as_str()))
        } else if location.starts_with('/') {
            Self::parse(&format!("{}{location}", prefix(self.authority_end)))
        } else {
            let path = self.path().split('?').next().unwrap_or_default();
            let folder = path.rfind('/').map_or("/", |at| path.get(..=at).unwrap_or("/"));
            Self::parse(&format!("{}{folder}{location}", prefix(self.authority_end)))
        }
    }
}

/// Hides a password of a URL.
fn redact(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let length = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(length);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{path}"),
        None => text.to_owned(),
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.text))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_joining() {
        let url = Url::parse("HTTPS://user:secret@mirror.example:8443/debian/?q#f").unwrap();
        assert_eq!(url.scheme(), Scheme::Https);
        assert_eq!(url.host(), "mirror.example");
        assert_eq!(url.path(), "/debian/?q");
        assert_eq!(url.to_string(), "https://***@mirror.example:8443/debian/?q");
        let base = Url::parse("http://mirror.example/debian/").unwrap();
        assert_eq!(base.join("dists/x").unwrap().as_str(), "http://mirror.example/debian/dists/x");
        let at = base.join("pool/a.deb").unwrap();
        assert_eq!(at.redirect("b.deb").unwrap().as_str(), "http://mirror.example/debian/pool/b.deb");
        assert_eq!(at.redirect("/b.deb").unwrap().as_str(), "http://mirror.example/b.deb");
        assert_eq!(at.redirect("//other.example/b").unwrap().as_str(), "http://other.example/b");
        assert_eq!(Url::parse("http://[::1]:80/x").unwrap().host(), "::1");
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "",
            "x",
            "ftp://a/b",
            "http://",
            "http:///x",
            "file://host/x",
            "http://a b/",
            "data:x",
            "http://a/\u{e9}",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,80}", location in ".{0,80}") {
            if let Ok(url) = Url::parse(&text) {
                let _ = (url.host(), url.path(), url.redirect(&location));
            }
            let _ = Url::parse("http://a/b/c").unwrap().redirect(&location);
        }
    }
}
