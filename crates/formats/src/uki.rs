//! Unified kernel images: sections appended to systemd's EFI stub, and read back.
//!
//! A UKI is the stub's PE32+ file with more sections (UAPI group, *Unified Kernel Image*): `.osrel`,
//! `.cmdline`, `.uname`, `.initrd`, `.linux`, in this order as in ukify, each at the next multiple of
//! the section alignment in memory (at least a page) and of the file alignment in the file. `.linux` is last because its
//! size in memory is the kernel's `SizeOfImage`, larger than its bytes. Headers grow only into the
//! room the stub's `SizeOfHeaders` has; `SizeOfImage` and `SizeOfInitializedData` follow, the checksum
//! is zeroed (firmware ignores it) and a symbol table dropped; nothing else of the stub changes, and
//! equal inputs give equal bytes.

use std::io::{self, Read, Seek, SeekFrom};

use crate::bytes::{le16, le32, put, text, to_usize};

const SECTION_HEADER: usize = 40;
/// Old stubs align to less, the kernel wants a page.
const PAGE: u64 = 4096;
const COFF: usize = 24;
/// Headers are looked for in this many bytes at the file's front.
const MAX_HEADERS: u64 = 64 << 10;
const MAX_SECTIONS: usize = 96;
/// Largest file this module makes: PE offsets have 32 bits, and ESPs are small.
const MAX_FILE: u64 = 1 << 30;
const READ_ONLY_DATA: u32 = 0x4000_0040;
const CODE: u32 = 0x6000_0020;

/// Why an image could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("failed to read the PE image")]
    Read(#[source] io::Error),
    /// The headers are not those of a PE32+ image.
    #[error("failed to recognise the PE image: {0}")]
    Headers(&'static str),
    /// The stub has a signature, which appended sections would break.
    #[error("failed to append to the stub: it is signed")]
    Signed,
    /// No room for more section headers.
    #[error("failed to append {wanted} sections: the stub's headers have room for {room}")]
    HeaderRoom {
        /// Sections to append.
        wanted: usize,
        /// Sections that fit.
        room: usize,
    },
    /// The name is over 8 bytes, empty, or there already.
    #[error("failed to append section `{0}`: its name is taken or no section name")]
    Name(String),
    /// A text section with control characters.
    #[error("failed to accept the text of section `{0}`: it has a control character")]
    Text(&'static str),
    /// The result would be over 1 GiB.
    #[error("failed to build the image: it would have {0} bytes")]
    TooLarge(u64),
    /// A section that is not there.
    #[error("failed to find section `{0}`")]
    Missing(String),
    /// A section over the reader's limit.
    #[error("failed to read section `{name}`: expected at most {limit} bytes, found {size}")]
    SectionSize {
        /// Section.
        name: String,
        /// Limit in bytes.
        limit: u64,
        /// Size in bytes.
        size: u64,
    },
}

/// What the kernel image is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Text of os-release, `.osrel`.
    pub os_release: &'a str,
    /// Kernel command line, `.cmdline`: one line, without an end of line.
    pub cmdline: &'a str,
    /// Kernel release, `.uname`.
    pub uname: &'a str,
    /// initramfs, compressed or not, `.initrd`.
    pub initrd: &'a [u8],
    /// Kernel, itself an EFI PE image, `.linux`.
    pub linux: &'a [u8],
}

/// Builds a UKI from the stub and the parts.
///
/// # Errors
/// A stub that is no PE32+ image, is signed, or has no header room; texts with control characters.
pub fn build(stub: &[u8], parts: &Parts<'_>) -> Result<Vec<u8>, Error> {
    for (name, value) in [(".cmdline", parts.cmdline), (".uname", parts.uname)] {
        if value.chars().any(char::is_control) {
            return Err(Error::Text(name));
        }
    }
    if parts.os_release.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Error::Text(".osrel"));
    }
    let plain = |name, data| NewSection { name, data, virtual_size: None, code: false };
    let kernel_image = Headers::parse(parts.linux).ok().map(|h| h.size_of_image(parts.linux));
    append(
        stub,
        &[
            plain(".osrel", parts.os_release.as_bytes()),
            plain(".cmdline", parts.cmdline.as_bytes()),
            plain(".uname", parts.uname.as_bytes()),
            plain(".initrd", parts.initrd),
            NewSection { name: ".linux", data: parts.linux, virtual_size: kernel_image, code: true },
        ],
    )
}

/// A section to append.
#[derive(Debug, Clone, Copy)]
pub struct NewSection<'a> {
    /// Name, at most 8 bytes of ASCII.
    pub name: &'a str,
    /// Content.
    pub data: &'a [u8],
    /// Bytes in memory, where that is more than the content.
    pub virtual_size: Option<u32>,
    /// Readable and executable instead of read-only data.
    pub code: bool,
}

/// Appends sections to an unsigned PE32+ image.
///
/// # Errors
/// As [`build`].
pub fn append(stub: &[u8], sections: &[NewSection<'_>]) -> Result<Vec<u8>, Error> {
    let headers = Headers::parse(stub)?;
    let optional = headers.optional;
    if headers.has_directory(stub, 4) {
        return Err(Error::Signed);
    }
    let existing = headers.sections(stub)?;
    let (section_align, file_align) = (le32(stub, optional + 32), le32(stub, optional + 36));
    if !section_align.is_power_of_two() || !file_align.is_power_of_two() || file_align > section_align {
        return Err(Error::Headers("its alignments are no powers of two"));
    }
    let first_raw =
        existing.iter().filter(|s| s.raw_size > 0).map(|s| s.raw_offset).min().unwrap_or(u32::MAX);
    let header_end = to_usize(u64::from(le32(stub, optional + 60).min(first_raw))).min(stub.len());
    let table_end = headers.table + existing.len() * SECTION_HEADER;
    let room = header_end.saturating_sub(table_end) / SECTION_HEADER;
    if sections.len() > room || existing.len() + sections.len() > MAX_SECTIONS {
        return Err(Error::HeaderRoom { wanted: sections.len(), room });
    }
    let mut names: Vec<&str> = existing.iter().map(|s| s.name.as_str()).collect();
    let raw_end = existing.iter().map(|s| u64::from(s.raw_offset) + u64::from(s.raw_size)).max().unwrap_or(0);
    let virtual_end =
        existing.iter().map(|s| u64::from(s.virtual_address) + u64::from(s.virtual_size)).max().unwrap_or(0);
    let mut offset = raw_end.max(header_end as u64);
    let mut address = virtual_end;
    let mut out = stub[..to_usize(offset).min(stub.len())].to_vec();
    let mut data_added = 0u64;
    for (n, section) in sections.iter().enumerate() {
        if section.name.len() > 8
            || section.name.is_empty()
            || !section.name.is_ascii()
            || names.contains(&section.name)
        {
            return Err(Error::Name(section.name.to_owned()));
        }
        names.push(section.name);
        offset = offset.next_multiple_of(u64::from(file_align));
        address = address.next_multiple_of(u64::from(section_align).max(PAGE));
        let raw_size = (section.data.len() as u64).next_multiple_of(u64::from(file_align));
        let virtual_size = (section.data.len() as u64).max(section.virtual_size.unwrap_or(0).into());
        if offset + raw_size > MAX_FILE || address + virtual_size > MAX_FILE {
            return Err(Error::TooLarge((offset + raw_size).max(address + virtual_size)));
        }
        let at = table_end + n * SECTION_HEADER;
        out[at..at + SECTION_HEADER].fill(0);
        put(&mut out, at, section.name.as_bytes());
        put32(&mut out, at + 8, virtual_size);
        put32(&mut out, at + 12, address);
        put32(&mut out, at + 16, raw_size);
        put32(&mut out, at + 20, offset);
        put32(&mut out, at + 36, if section.code { CODE } else { READ_ONLY_DATA }.into());
        out.resize(to_usize(offset), 0);
        out.extend_from_slice(section.data);
        out.resize(to_usize(offset + raw_size), 0);
        (offset, address) = (offset + raw_size, address + virtual_size);
        data_added += if section.code { 0 } else { raw_size };
    }
    let count =
        u16::try_from(existing.len() + sections.len()).map_err(|_| Error::Headers("too many sections"))?;
    put(&mut out, headers.coff + 6, &count.to_le_bytes());
    // The symbol table stood behind the sections; there it is gone.
    put(&mut out, headers.coff + 12, &[0; 8]);
    put32(&mut out, optional + 8, u64::from(le32(stub, optional + 8)) + data_added);
    put32(&mut out, optional + 56, address.next_multiple_of(u64::from(section_align)));
    put32(&mut out, optional + 64, 0);
    Ok(out)
}

/// Writes a value that was checked to be under [`MAX_FILE`]; a stub's own larger one saturates.
fn put32(out: &mut [u8], at: usize, value: u64) {
    put(out, at, &u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

/// One section of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Name without padding.
    pub name: String,
    /// Address in memory, relative to the image's base.
    pub virtual_address: u32,
    /// Bytes in memory.
    pub virtual_size: u32,
    /// Place in the file.
    pub raw_offset: u32,
    /// Bytes in the file, padding included.
    pub raw_size: u32,
}

impl Section {
    /// Bytes of content in the file: without padding, and without what exists in memory only.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.raw_size.min(self.virtual_size)
    }
}

/// The section table of an image; contents are read when asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    sections: Vec<Section>,
    signed: bool,
}

impl Image {
    /// Reads the headers, at most 64 KiB.
    ///
    /// # Errors
    /// Anything but a PE32+ image with a sound section table.
    pub fn read(from: &mut (impl Read + Seek)) -> Result<Self, Error> {
        from.seek(SeekFrom::Start(0)).map_err(Error::Read)?;
        let mut front = Vec::new();
        from.by_ref().take(MAX_HEADERS).read_to_end(&mut front).map_err(Error::Read)?;
        let headers = Headers::parse(&front)?;
        Ok(Self { sections: headers.sections(&front)?, signed: headers.has_directory(&front, 4) })
    }

    /// All sections in the file's order.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Whether the image carries an Authenticode signature (which is not checked here).
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signed
    }

    /// The content of a section, of at most `limit` bytes.
    ///
    /// # Errors
    /// A missing section, one over the limit, or a file that ends before it.
    pub fn content(&self, from: &mut (impl Read + Seek), name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let found = self.sections.iter().find(|s| s.name == name);
        let section = found.ok_or_else(|| Error::Missing(name.to_owned()))?;
        let size = u64::from(section.size());
        if size > limit {
            return Err(Error::SectionSize { name: name.to_owned(), limit, size });
        }
        from.seek(SeekFrom::Start(section.raw_offset.into())).map_err(Error::Read)?;
        let mut out = Vec::new();
        from.by_ref().take(size).read_to_end(&mut out).map_err(Error::Read)?;
        if out.len() as u64 != size {
            return Err(Error::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(out)
    }

    /// A text section without trailing NULs and ends of line.
    ///
    /// # Errors
    /// As [`Image::content`]; a text that is not UTF-8 is a bad header.
    pub fn text(&self, from: &mut (impl Read + Seek), name: &str, limit: u64) -> Result<String, Error> {
        let bytes = self.content(from, name, limit)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::Headers("a text section is not UTF-8"))?;
        Ok(text.trim_end_matches(['\0', '\n']).to_owned())
    }
}

/// Offsets of an image's headers, checked to lie inside the given bytes.
struct Headers {
    coff: usize,
    optional: usize,
    table: usize,
    count: usize,
}

impl Headers {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if !bytes.starts_with(b"MZ") || bytes.len() < 64 {
            return Err(Error::Headers("expected `MZ` at its start"));
        }
        let coff = to_usize(le32(bytes, 0x3c).into());
        let optional = coff.saturating_add(COFF);
        if optional.saturating_add(112) > bytes.len() || bytes.get(coff..coff + 4) != Some(b"PE\0\0") {
            return Err(Error::Headers("expected `PE` where its first header points"));
        }
        if le16(bytes, optional) != 0x20b {
            return Err(Error::Headers("expected the 64-bit form PE32+"));
        }
        let count = usize::from(le16(bytes, coff + 6));
        let table = optional + usize::from(le16(bytes, coff + 20));
        if count > MAX_SECTIONS || table < optional + 112 || table + count * SECTION_HEADER > bytes.len() {
            return Err(Error::Headers("its section table lies outside"));
        }
        Ok(Self { coff, optional, table, count })
    }

    fn size_of_image(&self, bytes: &[u8]) -> u32 {
        le32(bytes, self.optional + 56)
    }

    fn has_directory(&self, bytes: &[u8], index: usize) -> bool {
        let entries = to_usize(le32(bytes, self.optional + 108).into());
        let at = self.optional + 112 + 8 * index;
        index < entries && at + 8 <= self.table && le32(bytes, at + 4) != 0
    }

    fn sections(&self, bytes: &[u8]) -> Result<Vec<Section>, Error> {
        let section = |n: usize| {
            let at = self.table + n * SECTION_HEADER;
            let section = Section {
                name: text(&bytes[at..at + 8]),
                virtual_size: le32(bytes, at + 8),
                virtual_address: le32(bytes, at + 12),
                raw_size: le32(bytes, at + 16),
                raw_offset: le32(bytes, at + 20),
            };
            let ends = [
                section.raw_offset.checked_add(section.raw_size),
                section.virtual_address.checked_add(section.virtual_size),
            ];
            if ends.contains(&None) { Err(Error::Headers("a section ends after 4 GiB")) } else { Ok(section) }
        };
        (0..self.count).map(section).collect()
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
pub(crate) mod tests {
    use std::io::Cursor;

    use super::*;

    /// A minimal PE32+ file with one `.text` section and this many bytes of headers.
    pub(crate) fn stub(headers: u32, image: u32) -> Vec<u8> {
        let mut b = vec![0; headers as usize + 512];
        put(&mut b, 0, b"MZ");
        put(&mut b, 0x3c, &64u32.to_le_bytes());
        put(&mut b, 64, b"PE\0\0\x64\x86\x01\0");
        put(&mut b, 64 + 20, &240u16.to_le_bytes());
        let o = 64 + COFF;
        put(&mut b, o, &0x20bu16.to_le_bytes());
        for (at, value) in [(8, 512), (32, 4096), (36, 512), (56, image), (60, headers), (64, 99), (108, 16)]
        {
            put(&mut b, o + at, &u32::to_le_bytes(value));
        }
        put(&mut b, o + 240, b".text");
        for (at, value) in [(8, 100), (12, 4096), (16, 512), (20, headers)] {
            put(&mut b, o + 240 + at, &u32::to_le_bytes(value));
        }
        b
    }

    fn parts<'a>(linux: &'a [u8], initrd: &'a [u8]) -> Parts<'a> {
        Parts { os_release: "ID=wellcar\n", cmdline: "usrhash=00 quiet", uname: "6.12", initrd, linux }
    }

    #[test]
    fn appended_sections_read_back() {
        let kernel = stub(1024, 1 << 20);
        let initrd = vec![7; 5000];
        let uki = build(&stub(1024, 8192), &parts(&kernel, &initrd)).unwrap();
        assert_eq!(uki, build(&stub(1024, 8192), &parts(&kernel, &initrd)).unwrap());
        let mut file = Cursor::new(&uki);
        let image = Image::read(&mut file).unwrap();
        let names: Vec<_> = image.sections().iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, [".text", ".osrel", ".cmdline", ".uname", ".initrd", ".linux"]);
        assert_eq!(image.text(&mut file, ".osrel", 99).unwrap(), "ID=wellcar");
        assert_eq!(image.text(&mut file, ".cmdline", 99).unwrap(), "usrhash=00 quiet");
        assert_eq!(image.content(&mut file, ".initrd", 5000).unwrap(), initrd);
        // The kernel's size in memory is larger than its bytes; its content carries only padding more.
        assert_eq!(image.content(&mut file, ".linux", 1 << 20).unwrap(), kernel);
        assert_eq!(image.sections()[5].virtual_size, 1 << 20);
        assert!(matches!(image.content(&mut file, ".initrd", 4999), Err(Error::SectionSize { .. })));
        assert!(matches!(image.content(&mut file, ".sbat", 9), Err(Error::Missing(_))));
        let headers = Headers::parse(&uki).unwrap();
        assert_eq!(le32(&uki, headers.optional + 56), 4096 * 7 + (1 << 20));
        assert_eq!(le32(&uki, headers.optional + 64), 0);
        for pair in image.sections().windows(2) {
            assert!(pair[1].virtual_address >= pair[0].virtual_address + pair[0].virtual_size);
            assert_eq!((pair[1].virtual_address % 4096, pair[1].raw_offset % 512), (0, 0));
        }
    }

    #[test]
    fn stubs_that_cannot_take_sections() {
        let p = parts(b"k", b"i");
        // 64 + 24 + 240 bytes of headers, one section: 512 leaves room for three more.
        assert!(matches!(build(&stub(512, 8192), &p), Err(Error::HeaderRoom { wanted: 5, room: 3 })));
        let mut signed = stub(1024, 8192);
        put(&mut signed, 64 + COFF + 112 + 36, &8u32.to_le_bytes());
        assert!(matches!(build(&signed, &p), Err(Error::Signed)));
        let once = build(&stub(1024, 8192), &p).unwrap();
        assert!(matches!(build(&once, &p), Err(Error::Name(name)) if name == ".osrel"));
        assert!(matches!(build(b"MZ", &p), Err(Error::Headers(_))));
        assert!(matches!(
            build(&stub(1024, 8192), &Parts { cmdline: "a\nb", ..p }),
            Err(Error::Text(".cmdline"))
        ));
        let name = NewSection { name: ".toolongname", data: b"", virtual_size: None, code: false };
        assert!(matches!(append(&stub(1024, 8192), &[name]), Err(Error::Name(_))));
    }

    #[test]
    fn truncated_images_never_panic() {
        let uki = build(&stub(1024, 8192), &parts(b"kernel", b"initrd")).unwrap();
        for cut in 0..uki.len() {
            let mut file = Cursor::new(&uki[..cut]);
            if let Ok(image) = Image::read(&mut file) {
                let all = image.sections().iter().all(|s| image.content(&mut file, &s.name, 1 << 20).is_ok());
                assert!(!all || cut > uki.len() - 512, "{cut}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_headers_never_panic(damage in proptest::collection::vec((0usize..700, proptest::num::u8::ANY), 1..20)) {
            let mut bytes = build(&stub(1024, 8192), &parts(b"kernel", b"initrd")).unwrap();
            for (at, with) in damage {
                bytes[at] = with;
            }
            let mut file = Cursor::new(&bytes);
            if let Ok(image) = Image::read(&mut file) {
                for s in image.sections() {
                    let _ = image.content(&mut file, &s.name, 1 << 20);
                }
            }
            let _ = append(&bytes, &[NewSection { name: ".x", data: b"y", virtual_size: None, code: false }]);
        }
    }
}
