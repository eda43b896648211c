//! What a kernel module says of itself: the `.modinfo` section, NUL-separated `key=value` words
//! (kernel: include/linux/module.h, MODULE_INFO).

use object::{Object, ObjectSection};

/// Words of `.modinfo` that the indices need.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Names of modules that must be loaded first.
    pub depends: Vec<String>,
    /// Device and name patterns.
    pub aliases: Vec<String>,
    /// `pre: a b post: c`.
    pub softdeps: Vec<String>,
}

/// A module's largest plain size that is believed: 64 MiB, eight times the largest there is.
const LARGEST: u64 = 64 << 20;

/// Decompresses an xz module.
///
/// # Errors
/// Damaged or too large data.
pub fn decompress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    liblzma::read::XzDecoder::new(bytes).take(LARGEST + 1).read_to_end(&mut plain)?;
    if plain.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    Ok(plain)
}

/// Reads `.modinfo`; `None` when the bytes are no ELF file or have no such section.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<ModuleInfo> {
    let file = object::File::parse(bytes).ok()?;
    let section = file.section_by_name(".modinfo")?;
    let mut info = ModuleInfo::default();
    for (key, value) in words(section.data().ok()?) {
        match key {
            "depends" => {
                info.depends = value.split(',').filter(|name| !name.is_empty()).map(underscores).collect();
            }
            "alias" => info.aliases.push(value.to_owned()),
            "softdep" => info.softdeps.push(value.to_owned()),
            _ => {}
        }
    }
    Some(info)
}

/// The aliases of built-in modules, from `modules.builtin.modinfo` (`name.key=value` words): pairs of
/// module name and pattern.
#[must_use]
pub fn builtin_aliases(bytes: &[u8]) -> Vec<(String, String)> {
    words(bytes)
        .filter_map(|(key, value)| {
            let name = key.strip_suffix(".alias")?;
            Some((underscores(name), value.to_owned()))
        })
        .collect()
}

fn words(bytes: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    bytes.split(|&byte| byte == 0).filter_map(|word| std::str::from_utf8(word).ok()?.split_once('='))
}

/// A module's name: the last part of its path without `.ko`, dashes as underscores.
#[must_use]
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.strip_suffix(".xz").unwrap_or(file);
    underscores(name.strip_suffix(".ko").unwrap_or(name))
}

/// Dashes as underscores, but not within `[…]`, as kmod compares names.
#[must_use]
pub fn underscores(name: &str) -> String {
    let mut inside = false;
    name.chars()
        .map(|c| match c {
            '[' => {
                inside = true;
                c
            }
            ']' => {
                inside = false;
                c
            }
            '-' if !inside => '_',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_builtin_aliases() {
        assert_eq!(module_name("kernel/fs/nls/nls_iso8859-1.ko.xz"), "nls_iso8859_1");
        assert_eq!(underscores("a-b[c-d]e-f"), "a_b[c-d]e_f");
        let bytes = b"ext4.alias=fs-ext4\0ext4.license=GPL\0";
        assert_eq!(builtin_aliases(bytes), [("ext4".to_owned(), "fs-ext4".to_owned())]);
    }
}
