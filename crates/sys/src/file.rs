//! Reading files with a limit, and replacing them so that a power cut leaves the old or the new one.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The whole file, at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is longer.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("expected at most {limit} bytes")));
    }
    Ok(bytes)
}

/// The whole file as UTF-8, at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, is longer or is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))
}

/// Writes a file under a temporary name beside `path`, flushes it, renames it into place and flushes
/// the folder.
///
/// # Errors
/// When a step fails; then the old file is untouched.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = dir.join(temporary);
    let result = (|| {
        let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{read, read_text, replace};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn limits_and_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"second", 0o644).unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"second");
        assert_eq!(read(&path, 5).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        replace(&path, b"\xff", 0o644).unwrap();
        assert!(read_text(&path, 9).is_err());
        assert!(replace(&dir.path().join("no/such"), b"", 0o644).is_err());
    }
}
