//! What a program or library needs of others: the `NEEDED` names of its ELF dynamic section, its
//! interpreter's absence (a static program), and systemd's `.note.dlopen` (the names it may load later).
//! Source: gabi "Dynamic Section"; systemd's ELF_DLOPEN_METADATA specification.

use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, elf};

/// The names of shared libraries that an ELF file needs or may load.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `DT_NEEDED`: it does not start without them.
    pub needed: Vec<String>,
    /// Of `.note.dlopen`: features that use them are off without them.
    pub optional: Vec<String>,
}

/// Reads what an ELF file needs; `None` when the bytes are no 64-bit ELF file or a broken one.
#[must_use]
pub fn needs(bytes: &[u8]) -> Option<Needs> {
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, bytes).ok()?;
    let mut needs = Needs::default();
    for segment in segments {
        let Ok(Some(dynamic)) = segment.dynamic(endian, bytes) else { continue };
        let (mut strtab, mut names) = (0u64, Vec::new());
        for entry in dynamic {
            match entry.d_tag.get(endian) {
                elf::DT_STRTAB => strtab = entry.d_val.get(endian),
                elf::DT_NEEDED => names.push(entry.d_val.get(endian)),
                elf::DT_NULL => break,
                _ => {}
            }
        }
        let offset = segments.iter().find_map(|load| {
            let start = load.p_vaddr(endian);
            let inside = load.p_type(endian) == elf::PT_LOAD
                && strtab >= start
                && strtab < start.checked_add(load.p_filesz(endian))?;
            inside.then(|| (strtab - start).checked_add(load.p_offset(endian)))?
        })?;
        for name in names {
            let at = usize::try_from(offset.checked_add(name)?).ok()?;
            let text = bytes.get(at..)?;
            let end = text.iter().take(256).position(|&byte| byte == 0)?;
            needs.needed.push(String::from_utf8_lossy(&text[..end]).into_owned());
        }
    }
    needs.optional = dlopen_notes(header, endian, bytes).unwrap_or_default();
    Some(needs)
}

fn dlopen_notes(
    header: &elf::FileHeader64<Endianness>,
    endian: Endianness,
    bytes: &[u8],
) -> Option<Vec<String>> {
    let sections = header.sections(endian, bytes).ok()?;
    let (_, section) = sections.section_by_name(endian, b".note.dlopen")?;
    let data = section.data(endian, bytes).ok()?;
    let text = String::from_utf8_lossy(data);
    let mut found = Vec::new();
    let mut rest = &*text;
    while let Some(at) = rest.find("\"soname\"") {
        rest = &rest[at..];
        let (Some(open), Some(close)) = (rest.find('['), rest.find(']')) else { break };
        if open < close {
            found.extend(
                rest[open + 1..close]
                    .split(',')
                    .map(|name| name.trim().trim_matches('"').to_owned())
                    .filter(|name| !name.is_empty()),
            );
        }
        rest = &rest[close..];
    }
    Some(found)
}
