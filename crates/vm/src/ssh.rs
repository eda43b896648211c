//! The host's own SSH client, where there is one.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use sys::process::{Cmd, ExitStatus, Output};

/// An SSH client and whom to log in as.
#[derive(Debug, Clone)]
pub struct SshClient {
    /// The program and the arguments that come before ssh's own (an unpacked one is run by its loader).
    pub command: Vec<OsString>,
    /// The forwarded port on 127.0.0.1.
    pub port: u16,
    /// The private key's file.
    pub key: PathBuf,
    /// The user.
    pub user: String,
}

impl SshClient {
    /// The arguments of a session, without the program. The host key is made at the machine's
    /// first boot, so there is nothing it could be checked against.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
        ] {
            args.extend(["-o".into(), option.into()]);
        }
        args.extend(["-i".into(), self.key.clone().into_os_string()]);
        args.extend(["-p".into(), self.port.to_string().into()]);
        args.push(format!("{}@127.0.0.1", self.user).into());
        args
    }

    /// The command line a person would type.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.command.iter().map(|word| quote(&word.to_string_lossy())));
        words.extend(self.arguments().iter().map(|word| quote(&word.to_string_lossy())));
        words.join(" ")
    }

    /// Runs a command in the guest; its exit code is in the output.
    ///
    /// # Errors
    /// [`Error::Start`] when the client cannot be started or did not end in time.
    pub fn run(&self, command: &str, timeout: Duration) -> Result<Output> {
        let seconds = timeout.as_secs().clamp(1, 30);
        let failed = |source| Error::Start { program: "ssh".to_owned(), source };
        let (first, rest) =
            self.command.split_first().ok_or_else(|| failed("the command is empty".into()))?;
        Cmd::new(first)
            .args(rest)
            .args(["-o", "BatchMode=yes", "-o", &format!("ConnectTimeout={seconds}")])
            .args(self.arguments())
            .arg(command)
            .timeout(timeout)
            .run_any()
            .map_err(|source| failed(source.into()))
    }

    /// Opens a session on this process's terminal and waits for its end.
    ///
    /// # Errors
    /// [`Error::Start`] when the client cannot be started.
    pub fn session(&self) -> Result<ExitStatus> {
        let failed = |source| Error::Start { program: "ssh".to_owned(), source };
        let (first, rest) =
            self.command.split_first().ok_or_else(|| failed("the command is empty".into()))?;
        let command = Cmd::new(first).args(rest).args(self.arguments()).interactive();
        let mut child = command.spawn().map_err(|source| failed(source.into()))?;
        let ended = child.wait(None).map_err(|source| failed(source.into()))?;
        ended.ok_or_else(|| failed("its end was not seen".into()))
    }
}

/// Whether an SSH server answers on this port of 127.0.0.1: it greets first (RFC 4253, 4.2).
/// QEMU itself accepts connections to a forwarded port, so that connecting tells nothing.
#[must_use]
pub fn answers(port: u16, patience: Duration) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, patience) else { return false };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(patience)).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && greeting == *b"SSH-"
}

/// Quotes a word for a POSIX shell where it needs it.
fn quote(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=@:+,".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_can_be_typed() {
        let client = SshClient {
            command: vec!["ssh".into()],
            port: 2222,
            key: "/tmp/my key".into(),
            user: "core".into(),
        };
        assert_eq!(
            client.command_line(),
            "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
             -o LogLevel=ERROR -i '/tmp/my key' -p 2222 core@127.0.0.1"
        );
    }
}
