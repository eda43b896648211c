//! `data:` URLs (RFC 2397) as the reference programs write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

/// `data:,` with everything but letters, digits and `-_.~!*'()$&+` … escaped the way the `dataurl`
/// package of the reference programs does it: RFC 2396's unreserved characters stay.
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 4 + 6);
    out.push_str("data:,");
    escape_into(bytes, &mut out);
    out
}

fn escape_into(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The shortest of escaped, base64 and gzip with base64, with the compression it needs; gzip counts
/// four bytes more (its name) and is left out when `may_compress` is false.
pub fn shortest(bytes: &[u8], may_compress: bool) -> (String, &'static str) {
    let mut best = escaped(bytes);
    let base64 = format!("data:;base64,{}", STANDARD.encode(bytes));
    if base64.len() < best.len() {
        best = base64;
    }
    if may_compress {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        if encoder.write_all(bytes).is_ok()
            && let Ok(packed) = encoder.finish()
        {
            let gzip = format!("data:;base64,{}", STANDARD.encode(packed));
            if gzip.len() + "gzip".len() < best.len() {
                return (gzip, "gzip");
            }
        }
    }
    (best, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_encoding_wins() {
        assert_eq!(shortest(b"swarm-worker-1", true), ("data:,swarm-worker-1".to_owned(), ""));
        assert_eq!(shortest(&[0xff; 9], true), ("data:;base64,////////////".to_owned(), ""));
        let (url, compression) = shortest(&[b'a'; 10_000], true);
        assert_eq!(compression, "gzip");
        assert!(url.len() < 200);
        assert_eq!(shortest(&[b'a'; 100], false).1, "");
        assert_eq!(escaped("GROUP=beta\n ä".as_bytes()), "data:,GROUP%3Dbeta%0A%20%C3%A4");
    }
}
