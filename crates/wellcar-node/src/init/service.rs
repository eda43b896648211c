//! Starting a daemon of systemd's kind and waiting until it says that it is ready (sd_notify(3)).

use super::layout::RUN;
use anyhow::{Context as _, Result, bail};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use sys::process::{Child, Cmd};
use sys::wait::{Deadline, poll_readable};

/// Starts `program` and returns when it is ready.
///
/// # Errors
/// When it does not start, ends, or is not ready within `limit`.
pub fn start(program: &str, limit: Duration) -> Result<Child> {
    let path = Path::new(RUN).join("notify");
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).with_context(|| format!("failed to bind `{}`", path.display()))?;
    // networkd gives up root before it is ready.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    let mut child = Cmd::new(program).env("NOTIFY_SOCKET", &path).spawn()?;
    let deadline = Deadline::after(Some(limit));
    let mut message = [0; 4096];
    while poll_readable(&socket, &deadline)? {
        let length = socket.recv(&mut message)?;
        if is_ready(&message[..length]) {
            return Ok(child);
        }
        if let Some(status) = child.try_wait()? {
            bail!("failed to start `{program}`: it ended with {status}");
        }
    }
    bail!("failed to start `{program}`: not ready after {} s", limit.as_secs())
}

/// Whether a message of sd_notify says so: lines of `NAME=VALUE`.
fn is_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::is_ready;

    #[test]
    fn only_the_ready_line_counts() {
        assert!(is_ready(b"STATUS=x\nREADY=1\n"));
        assert!(!is_ready(b"STATUS=READY=1"));
        assert!(!is_ready(b"READY=10"));
    }
}
