//! Whether a URL is usable, by the rules of Go's `net/url`: configs that the reference accepts must be accepted
//! and the other way round. Nothing is fetched and nothing is resolved.

/// A URL taken apart as far as checks need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url<'a> {
    /// The scheme in lower case; empty if there is none.
    pub scheme: String,
    /// What follows the scheme's colon, without the fragment.
    pub rest: &'a str,
    /// The query, without the question mark.
    pub query: Option<&'a str>,
}

/// Takes a URL apart; `None` if Go would not parse it.
#[must_use]
pub fn parse(text: &str) -> Option<Url<'_>> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return None;
    }
    let (text, fragment) = text.split_once('#').map_or((text, ""), |(t, f)| (t, f));
    if !escapes_ok(fragment) {
        return None;
    }
    let (scheme, rest) = split_scheme(text)?;
    let (path, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
    let url = Url { scheme: scheme.to_ascii_lowercase(), rest, query };
    if !path.starts_with('/') {
        if !scheme.is_empty() {
            return Some(url);
        }
        let first = path.split('/').next().unwrap_or("");
        return (!first.contains(':') && escapes_ok(path)).then_some(url);
    }
    let path = match path.strip_prefix("//") {
        Some(after) if !scheme.is_empty() || !path.starts_with("///") => {
            let (authority, path) = after.find('/').map_or((after, ""), |i| after.split_at(i));
            if !authority_ok(authority) {
                return None;
            }
            path
        }
        _ => path,
    };
    escapes_ok(path).then_some(url)
}

/// The scheme and what follows; `None` when it starts with a colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return None,
            b':' => return Some((text.get(..i)?, text.get(i + 1..)?)),
            _ => return Some(("", text)),
        }
    }
    Some(("", text))
}

/// Every percent sign starts an escape.
fn escapes_ok(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'%')
        .all(|(i, _)| bytes.get(i + 1..i + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

fn authority_ok(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(u, h)| (u, h));
    let user_ok = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b));
    user_ok && escapes_ok(user) && host_ok(host)
}

fn host_ok(host: &str) -> bool {
    let (name, port) = if host.starts_with('[') {
        let Some((inside, after)) = host.rsplit_once(']') else { return false };
        (inside.split_once("%25").map_or(inside, |(address, _)| address), after)
    } else {
        host.rfind(':').map_or((host, ""), |i| host.split_at(i))
    };
    let port_ok = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    port_ok && host_characters_ok(name)
}

fn host_characters_ok(name: &str) -> bool {
    let bytes = name.as_bytes();
    escapes_ok(name)
        && bytes.iter().enumerate().all(|(i, b)| match b {
            // Only bytes outside ASCII may be escaped in a host.
            b'%' => bytes.get(i + 1).is_some_and(|d| matches!(d, b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F')),
            b => *b >= 0x80 || b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(b),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_go() {
        let scheme = |t| parse(t).map(|u| u.scheme);
        assert_eq!(scheme("https://example.com/x?y#z").as_deref(), Some("https"));
        assert_eq!(scheme("data:,a%zz").as_deref(), Some("data"), "opaque parts are not checked");
        assert_eq!(scheme("HTTP://[::1]:80/").as_deref(), Some("http"));
        assert_eq!(scheme("https://$IP").as_deref(), Some("https"));
        assert_eq!(scheme("$KEY").as_deref(), Some(""));
        for bad in
            ["http://[::1]a", "http://{{ .x }}", "%q", "http://a/%q", ":x", "http://a:b/", "a\nb", "1:2"]
        {
            assert_eq!(scheme(bad), None, "{bad}");
        }
    }
}
