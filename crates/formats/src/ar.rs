//! Reader of `ar` archives as Debian packages use them: short plain names, no symbol tables.
//!
//! Format: `!<arch>\n`, then members of a 60-byte text header (name 16, date 12, uid 6, gid 6, mode 8,
//! size 10, `` `\n ``), the content, and one `\n` where the content's length is odd (`ar(5)`).
//! The GNU and BSD long-name forms (`/12`, `//`, `#1/20`) are refused: no package needs them, and
//! they are where readers disagree.

use std::io::{self, Read};

use crate::bytes::{read_up_to, text};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

/// Why an archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The underlying reader failed, or ended inside a member.
    #[error("failed to read the ar archive")]
    Io(#[source] io::Error),
    /// The first eight bytes are not ar's.
    #[error("failed to recognise the ar archive: expected the magic `!<arch>`")]
    Magic,
    /// The archive ends in the middle of a header or of a member.
    #[error("failed to read the ar archive: it ends inside `{0}`")]
    Truncated(String),
    /// A header's terminator is wrong, so the archive is out of step.
    #[error("failed to read the ar header of `{0}`: expected its end mark")]
    HeaderEnd(String),
    /// The size field is not a plain decimal number.
    #[error("failed to read the size of ar member `{name}`: expected decimal digits, found `{found}`")]
    Size {
        /// The member.
        name: String,
        /// What its size field says.
        found: String,
    },
    /// A name that is empty, long-form, has a slash inside or is not printable ASCII.
    #[error("failed to accept the ar member name `{0}`: expected a short plain name")]
    Name(String),
}

/// One member's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name without padding and without GNU's trailing slash.
    pub name: String,
    /// Content length in bytes, as the header says.
    pub size: u64,
}

/// A streaming reader: [`Reader::next_member`], then the member's content through [`Read`].
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    /// Bytes of the current member not read yet.
    left: u64,
    padding: bool,
}

impl<R: Read> Reader<R> {
    /// Checks the magic.
    ///
    /// # Errors
    /// [`Error::Magic`] where this is no ar archive.
    pub fn new(mut inner: R) -> Result<Self, Error> {
        let mut magic = [0; 8];
        if read_up_to(&mut inner, &mut magic).map_err(Error::Io)? != 8 || &magic != MAGIC {
            return Err(Error::Magic);
        }
        Ok(Self { inner, left: 0, padding: false })
    }

    /// Skips what is left of the current member and reads the next header; `None` at the end.
    ///
    /// # Errors
    /// A damaged or unacceptable header, or a truncated archive.
    pub fn next_member(&mut self) -> Result<Option<Member>, Error> {
        self.skip_rest()?;
        let mut header = [0; HEADER];
        let got = read_up_to(&mut self.inner, &mut header).map_err(Error::Io)?;
        if got == 0 {
            return Ok(None);
        }
        let shown = text(&header[..16]).trim_end().to_owned();
        if got < HEADER {
            return Err(Error::Truncated(shown));
        }
        if &header[58..] != b"`\n" {
            return Err(Error::HeaderEnd(shown));
        }
        let name = name(&header[..16]).ok_or_else(|| Error::Name(shown.clone()))?;
        let size = decimal(&header[48..58])
            .ok_or_else(|| Error::Size { name: shown, found: text(&header[48..58]) })?;
        self.left = size;
        self.padding = size % 2 == 1;
        Ok(Some(Member { name, size }))
    }

    fn skip_rest(&mut self) -> Result<(), Error> {
        let want = self.left;
        let got = io::copy(&mut (&mut self.inner).take(want), &mut io::sink()).map_err(Error::Io)?;
        if got != want {
            return Err(Error::Truncated("a member".to_owned()));
        }
        self.left = 0;
        if self.padding {
            // The pad byte of the last member may be missing.
            read_up_to(&mut self.inner, &mut [0]).map_err(Error::Io)?;
            self.padding = false;
        }
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buf.is_empty() {
            return Ok(0);
        }
        let want = buf.len().min(crate::bytes::to_usize(self.left));
        let got = self.inner.read(&mut buf[..want])?;
        if got == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside a member"));
        }
        self.left -= got as u64;
        Ok(got)
    }
}

fn name(field: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(field).ok()?.trim_end_matches(' ');
    let text = text.strip_suffix('/').unwrap_or(text);
    let plain =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/') && !text.starts_with('#');
    plain.then(|| text.to_owned())
}

fn decimal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_end_matches(' ');
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ar archive of these members.
    pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (name, data) in members {
            out.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, data.len()).bytes(),
            );
            out.extend_from_slice(data);
            if data.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        out
    }

    #[test]
    fn reads_members_and_skips_unread_content() {
        let bytes = archive(&[("one", b"abc"), ("two/", b"defg"), ("three", b"")]);
        let mut ar = Reader::new(&bytes[..]).unwrap();
        assert_eq!(ar.next_member().unwrap().unwrap(), Member { name: "one".into(), size: 3 });
        let mut first = [0; 1];
        ar.read_exact(&mut first).unwrap();
        assert_eq!(ar.next_member().unwrap().unwrap().name, "two");
        let mut all = String::new();
        ar.read_to_string(&mut all).unwrap();
        assert_eq!(all, "defg");
        assert_eq!(ar.next_member().unwrap().unwrap().size, 0);
        assert!(ar.next_member().unwrap().is_none());
    }

    #[test]
    fn refuses_name_tricks_and_sizes() {
        for bad in ["/12", "//", "#1/20", "", "a/b", "\u{7f}x"] {
            let bytes = archive(&[(bad, b"x")]);
            assert!(matches!(Reader::new(&bytes[..]).unwrap().next_member(), Err(Error::Name(_))), "{bad}");
        }
        for bad in ["-1        ", "0x10      ", "          ", " 12       ", "1 2       ", "+3        "] {
            let mut bytes = archive(&[("n", b"x")]);
            bytes[8 + 48..8 + 58].copy_from_slice(bad.as_bytes());
            assert!(
                matches!(Reader::new(&bytes[..]).unwrap().next_member(), Err(Error::Size { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn refuses_truncation_everywhere() {
        let bytes = archive(&[("one", b"abcd"), ("two", b"efgh")]);
        for cut in 0..bytes.len() {
            let Ok(mut ar) = Reader::new(&bytes[..cut]) else { continue };
            let mut whole = 0;
            while let Ok(Some(_)) = ar.next_member() {
                if io::copy(&mut ar, &mut io::sink()).is_err() {
                    break;
                }
                whole += 1;
            }
            assert!(whole < 2, "cut at {cut}");
        }
    }
}
