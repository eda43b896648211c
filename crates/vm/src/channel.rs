//! A command channel into the guest, with no code in the image.
//!
//! The test's Ignition config brings a systemd unit ([`unit`]) that runs bash on a virtio port.
//! One request is one line, one answer is one line:
//!
//! ```text
//! host  → guest   ID SECONDS BASE64(command)\n
//! guest → host    ID EXIT-CODE BASE64(stdout) BASE64(stderr)\n     an empty stream is `-`
//! ```
//!
//! The guest's bytes are read with a limit; lines that are not an answer to the request that is
//! under way (half a line from before a reboot) are passed over. QEMU holds a request until the
//! guest opens its port, so the first one may be sent before the guest has a kernel.

use crate::error::{Error, Result};
use crate::wait::{Deadline, Inbox, Watched};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The virtio port's name.
pub const PORT: &str = "io.wellcar.test";
/// The unit's name.
pub const UNIT: &str = "wellcar-test-channel.service";
/// The longest answer, in bytes of base64.
const ANSWER_LIMIT: u64 = 64 << 20;

/// The script on the guest's side: bash and coreutils.
const SCRIPT: &str = r#"port=/dev/virtio-ports/io.wellcar.test
until [ -e "$port" ]; do sleep 0.1; done
exec 3<>"$port"
dir=$(mktemp -d /run/wellcar-test.XXXXXX)
encode() { if [ -s "$1" ]; then base64 -w0 <"$1"; else printf %s -; fi; }
printf '\n' >&3
while true; do
  IFS=' ' read -r -u 3 id seconds command || { sleep 0.1; continue; }
  case $seconds in '' | *[!0-9]*) continue ;; esac
  timeout -k 5 "$seconds" bash -c "$(base64 -d <<<"$command")" </dev/null >"$dir/out" 2>"$dir/err" 3>&-
  printf '%s %s %s %s\n' "$id" $? "$(encode "$dir/out")" "$(encode "$dir/err")" >&3
done
"#;

/// The text of the systemd unit, to be provisioned under the name [`UNIT`] and enabled.
#[must_use]
pub fn unit() -> String {
    let script = STANDARD.encode(SCRIPT);
    format!(
        "[Unit]\n\
         Description=Commands of the VM tests\n\
         [Service]\n\
         Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8\n\
         ExecStart=/bin/bash -c \"eval \\\"$(base64 -d <<<{script})\\\"\"\n\
         Restart=always\n\
         RestartSec=200ms\n\
         StandardOutput=journal\n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// The script alone, for a guest without systemd.
#[must_use]
pub fn script() -> &'static str {
    SCRIPT
}

/// What a command in the guest gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// Its exit code; 124 when its time was over.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether the exit code is 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Standard output as text, without blank space at its ends.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Standard error as text, without blank space at its ends.
    #[must_use]
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }

    /// The text of a command that went well.
    ///
    /// # Errors
    /// [`Error::Command`] when the exit code is not 0.
    pub fn expect_ok(self) -> Result<String> {
        if self.ok() {
            return Ok(self.text());
        }
        let said = if self.stderr.is_empty() { self.text() } else { self.error_text() };
        Err(Error::Command { command: self.command, code: self.code, stderr: said })
    }
}

/// The host's side of the channel.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    lines: Arc<Watched<Inbox<String>>>,
    next: AtomicU64,
}

impl Channel {
    /// Takes the port's connection.
    pub(crate) fn start(stream: UnixStream) -> Result<Self> {
        let reader = stream.try_clone().map_err(|source| Error::Socket {
            verb: "open",
            channel: "command channel",
            source,
        })?;
        let lines = Arc::new(Watched::new(Inbox::default()));
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            loop {
                let mut line = Vec::new();
                match reader.by_ref().take(ANSWER_LIMIT).read_until(b'\n', &mut line) {
                    Ok(1..) => {}
                    _ => break,
                }
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.change(|inbox| inbox.items.push_back(line));
            }
            shared.change(|inbox| inbox.closed = true);
        });
        Ok(Self { stream, lines, next: AtomicU64::new(1) })
    }

    /// Runs `command` by bash as root and waits for its end. The guest stops it at the deadline.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no answer came in time, [`Error::Ended`] when the machine ended,
    /// [`Error::Socket`]. The command's own failure is in the [`Output`].
    pub fn run(&self, command: &str, deadline: Deadline) -> Result<Output> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let seconds = deadline.remaining().as_secs().max(1);
        let request = format!("{id} {seconds} {}\n", STANDARD.encode(command));
        let mut stream = &self.stream;
        stream.write_all(request.as_bytes()).map_err(|source| Error::Socket {
            verb: "write",
            channel: "command channel",
            source,
        })?;
        let what = || format!("the end of `{command}` in the guest");
        let answer = self.lines.wait(deadline, |inbox| {
            while let Some(line) = inbox.items.pop_front() {
                if let Some(answer) = parse(&line, id, command) {
                    return Some(Ok(answer));
                }
            }
            inbox.closed.then(|| Err(Error::Ended { what: what() }))
        });
        answer.unwrap_or_else(|| Err(Error::Timeout { what: what(), allowed: deadline.allowed() }))
    }
}

/// Reads an answer; `None` when the line is no answer to request `id`.
pub(crate) fn parse(line: &str, id: u64, command: &str) -> Option<Output> {
    let mut words = line.trim_end_matches('\n').split(' ');
    if words.next()?.parse() != Ok(id) {
        return None;
    }
    let code = words.next()?.parse().ok()?;
    let mut stream = || match words.next()? {
        "-" => Some(Vec::new()),
        text => STANDARD.decode(text).ok(),
    };
    let (stdout, stderr) = (stream()?, stream()?);
    words.next().is_none().then(|| Output { command: command.to_owned(), code, stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers() {
        let answer = parse("7 2 aGk= -\n", 7, "echo hi").unwrap();
        assert_eq!((answer.code, answer.text().as_str(), answer.stderr.len()), (2, "hi", 0));
        let error = answer.expect_ok().unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to run `echo hi` in the guest: exit code 2, standard error: hi"
        );
        for line in ["", "\n", "8 0 - -\n", "7 0 -\n", "7 0 - - -\n", "7 x - -\n", "7 0 ! -\n"] {
            assert_eq!(parse(line, 7, ""), None, "{line:?}");
        }
    }

    #[test]
    fn an_old_answer_is_passed_over() {
        let (ours, guest) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            let mut out = guest.try_clone().unwrap();
            let request = BufReader::new(guest).lines().next().unwrap().unwrap();
            out.write_all(b"41 0 -\n40 0 - -\n\n1 0 b2s= -\n").unwrap();
            request
        });
        let channel = Channel::start(ours).unwrap();
        assert_eq!(channel.run("true", Deadline::seconds(10)).unwrap().text(), "ok");
        let request = server.join().unwrap();
        assert!(request.starts_with("1 ") && request.ends_with(" dHJ1ZQ=="), "{request}");
        assert!(channel.run("true", Deadline::seconds(10)).is_err());
    }

    #[test]
    fn the_unit_runs_the_script() {
        let unit = unit();
        assert!(unit.contains("WantedBy=multi-user.target"));
        assert!(unit.lines().all(|line| line.len() < 2048), "systemd's line limit is far, ours is near");
        assert!(!unit.contains('%'), "systemd would read a specifier");
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(line in ".{0,200}", id: u64) {
            let _ = parse(&line, id, "");
        }
    }
}
