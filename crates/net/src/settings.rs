//! How this machine reaches the network: proxies and certificate authorities, read from the
//! environment by the caller and handed in.

use crate::url::{Scheme, Url, UrlError};
use thiserror::Error;

/// The variables that [`Settings::from_env`] asks for.
pub const VARIABLES: [&str; 9] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
];

/// Where distributions keep the bundle of certificate authorities.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why the settings cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A proxy's URL is malformed.
    #[error("failed to use the proxy of variable `{variable}`")]
    Proxy {
        /// The variable.
        variable: String,
        /// Why.
        #[source]
        source: UrlError,
    },
}

/// How this machine reaches the network.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The proxy for `http://`.
    pub http_proxy: Option<Url>,
    /// The proxy for `https://`.
    pub https_proxy: Option<Url>,
    /// Hosts that are reached without a proxy: `host`, `.domain`, `*`.
    pub no_proxy: Vec<String>,
    /// Files of PEM certificates, the first that can be read is used; the authorities built into the
    /// program are used where none can.
    pub ca_files: Vec<String>,
}

impl Settings {
    /// Reads the settings from variables (see [`VARIABLES`]); lower case wins over upper case.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let get = |names: &[&str]| {
            names.iter().find_map(|name| {
                variable(name)
                    .filter(|value| !value.trim().is_empty())
                    .map(|value| ((*name).to_owned(), value))
            })
        };
        let proxy = |names: &[&str]| -> Result<Option<Url>, SettingsError> {
            let Some((variable, value)) = get(names) else { return Ok(None) };
            let value = if value.contains("://") { value } else { format!("http://{value}") };
            Url::parse(value.trim()).map(Some).map_err(|source| SettingsError::Proxy { variable, source })
        };
        let mut ca_files: Vec<String> = get(&["SSL_CERT_FILE"]).map(|(_, file)| file).into_iter().collect();
        ca_files.extend(BUNDLES.map(str::to_owned));
        Ok(Self {
            // Upper case HTTP_PROXY could be set by a request header in CGI programs; this is none.
            http_proxy: proxy(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            https_proxy: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            no_proxy: get(&["no_proxy", "NO_PROXY"]).map_or_else(Vec::new, |(_, list)| {
                list.split([',', ' ']).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
            }),
            ca_files,
        })
    }

    /// The proxy that `url` is reached through, if any.
    pub fn proxy_for(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            Scheme::Http => self.http_proxy.as_ref(),
            Scheme::Https => self.https_proxy.as_ref(),
            Scheme::File => None,
        }?;
        let host = url.host().to_ascii_lowercase();
        let direct = self.no_proxy.iter().any(|entry| {
            let entry = entry.to_ascii_lowercase();
            let entry = entry.trim_start_matches("*.").trim_start_matches('.');
            entry == "*"
                || host == entry
                || url.authority().eq_ignore_ascii_case(entry)
                || host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.'))
        });
        if direct { None } else { Some(proxy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_and_exceptions() {
        let settings = Settings::from_env(|name| match name {
            "http_proxy" => Some("proxy.example:3128".into()),
            "HTTPS_PROXY" => Some("http://proxy.example:3129".into()),
            "no_proxy" => Some("localhost, .internal.example,10.0.0.1".into()),
            _ => None,
        })
        .unwrap();
        let proxy = |url: &str| settings.proxy_for(&Url::parse(url).unwrap()).map(ToString::to_string);
        assert_eq!(proxy("http://a.example/").as_deref(), Some("http://proxy.example:3128"));
        assert_eq!(proxy("https://a.example/").as_deref(), Some("http://proxy.example:3129"));
        for direct in ["http://localhost:80/", "http://x.internal.example/", "https://10.0.0.1/", "file:///x"]
        {
            assert_eq!(proxy(direct), None, "{direct}");
        }
        assert!(proxy("http://notinternal.example/").is_some());
    }
}
