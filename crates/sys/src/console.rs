//! Speaking to whoever watches a machine without a log-in: all consoles the kernel uses, and its log.

use rustix::fs::{Mode, OFlags};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The consoles the kernel writes to, from the text of `/sys/class/tty/console/active`, as device
/// paths; `/dev/console` when none is named.
#[must_use]
pub fn active(text: &str) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> =
        text.split_ascii_whitespace().map(|name| Path::new("/dev").join(name)).collect();
    if list.is_empty() {
        list.push(PathBuf::from("/dev/console"));
    }
    list
}

/// Writes a text to every console, as far as that works: there is nobody to tell of a failure.
pub fn write_all(text: &str) {
    let names = crate::file::read_text(Path::new("/sys/class/tty/console/active"), 4096).unwrap_or_default();
    for path in active(&names) {
        let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::open(&path, flags, Mode::empty()) else { continue };
        let mut file = std::fs::File::from(fd);
        let _ = file.write_all(text.replace('\n', "\r\n").as_bytes());
        let _ = rustix::termios::tcdrain(&file);
    }
}

/// Importance of a line in the kernel's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The machine cannot go on.
    Error = 3,
    /// Worth a look.
    Warning = 4,
    /// A step done.
    Info = 6,
}

/// Longest piece of a line in the kernel's log (its records hold about 1000 bytes).
const RECORD: usize = 900;

/// Writes a text to the kernel's log, a record for each line, where there is one.
pub fn log(level: Level, tag: &str, text: &str) {
    let Ok(mut file) = std::fs::File::options().write(true).open("/dev/kmsg") else { return };
    for line in text.lines() {
        let mut end = line.len().min(RECORD);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let _ = file.write_all(format!("<{}>{tag}: {}\n", level as u8, &line[..end]).as_bytes());
    }
}

/// Makes a device the standard input, output and error of this process.
///
/// # Errors
/// When it cannot be opened or duplicated.
pub fn take_over(path: &Path) -> std::io::Result<()> {
    let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    rustix::stdio::dup2_stdin(&fd)?;
    rustix::stdio::dup2_stdout(&fd)?;
    rustix::stdio::dup2_stderr(&fd)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::active;
    use std::path::PathBuf;

    #[test]
    fn consoles_have_device_paths() {
        assert_eq!(active("tty0 ttyS0\n"), [PathBuf::from("/dev/tty0"), PathBuf::from("/dev/ttyS0")]);
        assert_eq!(active("\n"), [PathBuf::from("/dev/console")]);
    }
}
