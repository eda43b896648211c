//! The list of modules in the initramfs, `/modules`: one a line, `PATH [name=value]...`, in load order;
//! `#` starts a comment. Paths without a leading slash are below `/modules.d`.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// The list in the initramfs.
const LIST: &str = "/modules";
const FOLDER: &str = "/modules.d";
const LIST_LIMIT: u64 = 64 << 10;

/// One module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// Its parameters, parted by spaces.
    pub params: String,
}

/// Reads the list of the initramfs.
///
/// # Errors
/// When it cannot be read.
pub fn read_list() -> Result<Vec<Entry>> {
    let text = sys::file::read_text(Path::new(LIST), LIST_LIMIT)
        .with_context(|| format!("failed to read the list of modules `{LIST}`"))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let path = Path::new(FOLDER).join(words.next()?);
            Some(Entry { path, params: words.collect::<Vec<_>>().join(" ") })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Entry, parse};

    #[test]
    fn lines_comments_and_parameters() {
        let list = parse("# storage\nvirtio_blk.ko\n\n/x/dm-verity.ko  require_signatures=1 a=b # last\n");
        assert_eq!(
            list,
            [
                Entry { path: "/modules.d/virtio_blk.ko".into(), params: String::new() },
                Entry { path: "/x/dm-verity.ko".into(), params: "require_signatures=1 a=b".into() },
            ]
        );
    }
}
