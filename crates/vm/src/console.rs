//! The guest's serial console: what it printed, waiting for text, and signs of trouble.

use crate::error::{Error, Result};
use crate::wait::{Deadline, Watched};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most that is kept of a console, in bytes: a guest that prints for ever costs no more.
const KEPT: usize = 32 << 20;

/// A sign on the console that the guest is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The kernel stopped.
    Panic(String),
    /// The kernel found a fault in itself.
    Oops(String),
    /// systemd says that a unit failed.
    FailedUnit(String),
    /// Provisioning stopped the boot; the report follows on the console.
    Provisioning(String),
    /// Stage 1 could not boot; its message follows on the console.
    Boot(String),
    /// The guest started again though nobody had announced it.
    Reboot {
        /// Boots seen.
        seen: u32,
        /// Boots announced.
        expected: u32,
    },
}

impl Trouble {
    /// Its kind, for [`Console::tolerate`].
    #[must_use]
    pub fn kind(&self) -> TroubleKind {
        match self {
            Self::Panic(_) => TroubleKind::Panic,
            Self::Oops(_) => TroubleKind::Oops,
            Self::FailedUnit(_) => TroubleKind::FailedUnit,
            Self::Provisioning(_) => TroubleKind::Provisioning,
            Self::Boot(_) => TroubleKind::Boot,
            Self::Reboot { .. } => TroubleKind::Reboot,
        }
    }
}

/// The kinds of [`Trouble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TroubleKind {
    /// [`Trouble::Panic`].
    Panic,
    /// [`Trouble::Oops`].
    Oops,
    /// [`Trouble::FailedUnit`].
    FailedUnit,
    /// [`Trouble::Provisioning`].
    Provisioning,
    /// [`Trouble::Boot`].
    Boot,
    /// [`Trouble::Reboot`].
    Reboot,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(line) => write!(f, "the guest's kernel panicked: {line}"),
            Self::Oops(line) => write!(f, "the guest's kernel has a fault: {line}"),
            Self::FailedUnit(line) => write!(f, "a unit failed in the guest: {line}"),
            Self::Provisioning(line) => write!(f, "provisioning failed: {line}"),
            Self::Boot(line) => write!(f, "the image cannot boot: {line}"),
            Self::Reboot { seen, expected } => {
                write!(f, "the guest started {seen} times, expected {expected}")
            }
        }
    }
}

/// What a line of the console tells about the guest's health. The line has no control sequences.
#[must_use]
pub fn judge(line: &str) -> Option<Trouble> {
    let text = || line.trim().to_owned();
    if line.contains("Kernel panic - not syncing") {
        return Some(Trouble::Panic(text()));
    }
    // Stalls that a slow host causes (soft lockups, RCU warnings) say nothing about the guest.
    let stall = line.contains("lockup");
    if !stall
        && (line.contains("BUG: ") || line.contains("Oops: ") || line.contains("general protection fault"))
    {
        return Some(Trouble::Oops(text()));
    }
    if line.trim_start().starts_with("[FAILED]") {
        return Some(Trouble::FailedUnit(text()));
    }
    if line.contains(PROVISIONING_FAILED) {
        return Some(Trouble::Provisioning(text()));
    }
    if line.contains(BOOT_FAILED) {
        return Some(Trouble::Boot(text()));
    }
    None
}

/// What stage 1 prints when it cannot boot, before the reason.
pub const BOOT_FAILED: &str = "*** Wellcar cannot boot ***";
/// What stage 1 prints when provisioning stopped the boot, before the report.
pub const PROVISIONING_FAILED: &str = "provisioning failed";

/// Resets closer together than this are one: no guest starts and ends that fast.
const SAME_RESET: Duration = Duration::from_millis(500);

/// The first line of every kernel's log.
const KERNEL_START: &str = "Linux version ";

/// Takes terminal control sequences and carriage returns away.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('\x40'..='\x7e').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\x07' && c != '\x1b') {},
                Some('(' | ')') => {
                    chars.next();
                }
                _ => {}
            },
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[derive(Debug, Default)]
struct Log {
    /// Everything as it came.
    raw: Vec<u8>,
    /// Whole lines without control sequences.
    lines: Vec<String>,
    /// The start of the line that is not whole yet, in `raw`.
    line_start: usize,
    /// Bytes that were not kept.
    dropped: u64,
    closed: bool,
    /// Kernels that said they start.
    kernels: u32,
    /// Resets that QEMU told of: a quiet kernel does not say that it starts.
    resets: u32,
    last_reset: Option<Instant>,
    expected_boots: u32,
    tolerated: Vec<TroubleKind>,
    troubles: Vec<Trouble>,
}

impl Log {
    fn take(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.raw.len());
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.dropped += (bytes.len() - kept.len()) as u64;
        let from = self.raw.len();
        self.raw.extend_from_slice(kept);
        let mut searched = from;
        while let Some(offset) = self.raw[searched..].iter().position(|&byte| byte == b'\n') {
            let end = searched + offset;
            let line = plain(&String::from_utf8_lossy(&self.raw[self.line_start..end]));
            self.line(line);
            self.line_start = end + 1;
            searched = end + 1;
        }
    }

    fn line(&mut self, line: String) {
        if line.contains(KERNEL_START) {
            self.kernels += 1;
        }
        if let Some(trouble) = judge(&line) {
            self.troubles.push(trouble);
        }
        self.lines.push(line);
    }

    fn partial(&self) -> String {
        plain(&String::from_utf8_lossy(&self.raw[self.line_start..]))
    }

    fn boots(&self) -> u32 {
        self.kernels.max(self.resets + 1)
    }

    fn trouble(&self) -> Option<Trouble> {
        let reboot = (self.boots() > self.expected_boots)
            .then_some(Trouble::Reboot { seen: self.boots(), expected: self.expected_boots });
        let all = self.troubles.iter().chain(&reboot);
        all.into_iter().find(|trouble| !self.tolerated.contains(&trouble.kind())).cloned()
    }
}

/// Reads bytes as a console would, and forgets them.
pub(crate) fn read_all(bytes: &[u8]) {
    let mut log = Log::default();
    for piece in bytes.chunks(7) {
        log.take(piece);
    }
    let _ = (log.partial(), log.trouble());
}

/// The console of one machine. Clones are the same console.
#[derive(Debug, Clone)]
pub struct Console {
    log: Arc<Watched<Log>>,
    writer: Arc<Option<UnixStream>>,
}

/// A place in a console's log: the number of whole lines before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

impl Mark {
    /// The log's beginning.
    pub const START: Self = Self(0);
}

impl Console {
    /// Reads `stream` in a thread until its end; `tee` gets each piece as it comes.
    pub(crate) fn read(stream: UnixStream, mut tee: Option<Box<dyn Write + Send>>) -> Self {
        let log = Arc::new(Watched::new(Log { expected_boots: 1, ..Log::default() }));
        let writer = Arc::new(stream.try_clone().ok());
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut stream = stream;
            let mut buffer = [0; 8192];
            while let Ok(count) = stream.read(&mut buffer) {
                let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
                if let Some(out) = &mut tee
                    && out.write_all(bytes).and_then(|()| out.flush()).is_err()
                {
                    tee = None;
                }
                shared.change(|log| log.take(bytes));
            }
            shared.change(|log| log.closed = true);
        });
        Self { log, writer }
    }

    /// The place after all that was printed until now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.log.lock().lines.len())
    }

    /// Waits for a line that contains `pattern`, at or after `from`, and gives it. The line that
    /// is not whole yet counts too (a prompt has no end).
    ///
    /// # Errors
    /// [`Error::Trouble`] as soon as the console shows trouble that is not tolerated,
    /// [`Error::Ended`] when the machine ended, [`Error::Timeout`] at the deadline.
    pub fn wait_for(&self, pattern: &str, from: Mark, deadline: Deadline) -> Result<String> {
        let what = || format!("`{pattern}` on the console");
        let mut next = from.0;
        let answer = self.log.wait(deadline, |log| {
            while let Some(line) = log.lines.get(next) {
                next += 1;
                if line.contains(pattern) {
                    return Some(Ok(line.clone()));
                }
            }
            let partial = log.partial();
            if partial.contains(pattern) {
                return Some(Ok(partial));
            }
            if let Some(trouble) = log.trouble() {
                return Some(Err(Error::Trouble { what: what(), trouble }));
            }
            log.closed.then(|| Err(Error::Ended { what: what() }))
        });
        answer.unwrap_or_else(|| Err(Error::Timeout { what: what(), allowed: deadline.allowed() }))
    }

    /// Gives each new whole line since `from`, waiting for one until the deadline; the answer is
    /// `None` when none came, or when the console is closed and all was given.
    #[must_use]
    pub fn next_line(&self, from: &mut Mark, deadline: Deadline) -> Option<String> {
        let line = self.log.wait(deadline, |log| match log.lines.get(from.0) {
            Some(line) => Some(Some(line.clone())),
            None => log.closed.then_some(None),
        })??;
        from.0 += 1;
        Some(line)
    }

    /// Waits until the machine has ended, and says whether it did so in time.
    #[must_use]
    pub fn wait_closed(&self, deadline: Deadline) -> bool {
        self.log.wait(deadline, |log| log.closed.then_some(())).is_some()
    }

    /// Whether the machine has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.log.lock().closed
    }

    /// The first trouble that is not tolerated.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.log.lock().trouble()
    }

    /// Waits for the first trouble that is not tolerated.
    ///
    /// # Errors
    /// [`Error::Ended`] when the machine ended without one, [`Error::Timeout`] at the deadline.
    pub fn wait_trouble(&self, deadline: Deadline) -> Result<Trouble> {
        let what = || "trouble on the console".to_owned();
        let answer = self.log.wait(deadline, |log| match log.trouble() {
            Some(trouble) => Some(Ok(trouble)),
            None => log.closed.then(|| Err(Error::Ended { what: what() })),
        });
        answer.unwrap_or_else(|| Err(Error::Timeout { what: what(), allowed: deadline.allowed() }))
    }

    /// Trouble of this kind is part of the plan from here on.
    pub fn tolerate(&self, kind: TroubleKind) {
        self.log.change(|log| log.tolerated.push(kind));
    }

    /// One more boot is part of the plan.
    pub fn expect_boot(&self) {
        self.log.change(|log| log.expected_boots += 1);
    }

    /// How often the guest started.
    #[must_use]
    pub fn boots(&self) -> u32 {
        self.log.lock().boots()
    }

    /// Waits until the guest has started `count` times.
    ///
    /// # Errors
    /// [`Error::Ended`] and [`Error::Timeout`].
    pub fn wait_boots(&self, count: u32, deadline: Deadline) -> Result<()> {
        let what = || format!("boot {count} of the guest");
        let answer = self.log.wait(deadline, |log| {
            if log.boots() >= count {
                return Some(Ok(()));
            }
            log.closed.then(|| Err(Error::Ended { what: what() }))
        });
        answer.unwrap_or_else(|| Err(Error::Timeout { what: what(), allowed: deadline.allowed() }))
    }

    /// QEMU told of a reset at `when`. A guest may pull more than one reset line at once.
    pub(crate) fn note_reset(&self, when: Instant) {
        self.log.change(|log| {
            if log.last_reset.is_none_or(|last| when.saturating_duration_since(last) > SAME_RESET) {
                log.resets += 1;
            }
            log.last_reset = Some(when);
        });
    }

    /// All lines since `from`, without control sequences, the unfinished one too.
    #[must_use]
    pub fn text(&self, from: Mark) -> String {
        let log = self.log.lock();
        let mut text = String::new();
        for line in log.lines.iter().skip(from.0) {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&log.partial());
        text
    }

    /// The last `count` lines.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let log = self.log.lock();
        let from = log.lines.len().saturating_sub(count);
        drop(log);
        self.text(Mark(from))
    }

    /// Types `bytes` at the console.
    ///
    /// # Errors
    /// [`Error::Socket`] when the machine has ended.
    pub fn type_in(&self, bytes: &[u8]) -> Result<()> {
        let fail = |source| Error::Socket { verb: "type", channel: "console", source };
        match self.writer.as_ref() {
            Some(stream) => {
                let mut stream = stream;
                stream.write_all(bytes).map_err(fail)
            }
            None => Err(fail(std::io::ErrorKind::NotConnected.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn signs_of_trouble() {
        for (line, kind) in [
            ("[    1.2] Kernel panic - not syncing: dm-verity", Some(TroubleKind::Panic)),
            ("[    1.2] BUG: kernel NULL pointer dereference", Some(TroubleKind::Oops)),
            ("[    1.2] Oops: 0000 [#1] SMP", Some(TroubleKind::Oops)),
            ("[    9.9] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", None),
            ("[FAILED] Failed to start docker.service", Some(TroubleKind::FailedUnit)),
            ("wellcar: provisioning failed: 1 error", Some(TroubleKind::Provisioning)),
            ("[  OK  ] Started docker.service", None),
        ] {
            assert_eq!(judge(line).map(|trouble| trouble.kind()), kind, "{line}");
        }
    }

    #[test]
    fn colours_are_taken_away() {
        assert_eq!(plain("\x1b[0;1;31m[FAILED]\x1b[0m a\r\n\x1b]0;title\x07b\x1b(Bc"), "[FAILED] a\nbc");
    }

    #[test]
    fn waiting_reads_on_and_stops_at_trouble() {
        let (ours, mut guest) = UnixStream::pair().unwrap();
        let console = Console::read(ours, None);
        guest.write_all(b"Linux version 6\nstart\n\x1b[31m[FAILED]\x1b[0m Failed x\nlogin: ").unwrap();
        let deadline = Deadline::seconds(10);
        assert_eq!(console.wait_for("start", Mark::START, deadline).unwrap(), "start");
        let error = console.wait_for("never", Mark::START, deadline).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to see `never` on the console: a unit failed in the guest: [FAILED] Failed x"
        );
        assert_eq!(console.wait_trouble(deadline).unwrap().kind(), TroubleKind::FailedUnit);
        console.tolerate(TroubleKind::FailedUnit);
        assert_eq!(console.wait_for("login:", Mark::START, deadline).unwrap(), "login: ");
        guest.write_all(b"\nLinux version 6\n").unwrap();
        let error = console.wait_for("never", Mark::START, deadline).unwrap_err();
        assert!(error.to_string().ends_with("the guest started 2 times, expected 1"), "{error}");
        console.expect_boot();
        drop(guest);
        let error = console.wait_for("never", Mark::START, deadline).unwrap_err();
        assert!(matches!(error, Error::Ended { .. }), "{error}");
        assert!(console.wait_closed(deadline));
        let mut mark = Mark::START;
        let mut lines = Vec::new();
        while let Some(line) = console.next_line(&mut mark, deadline) {
            lines.push(line);
        }
        assert_eq!(lines, ["Linux version 6", "start", "[FAILED] Failed x", "login: ", "Linux version 6"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut log = Log::default();
            for piece in &pieces {
                log.take(piece);
            }
            let all = pieces.concat();
            prop_assert_eq!(log.lines.len(), all.iter().filter(|&&byte| byte == b'\n').count());
            let _ = log.partial();
        }
    }
}
