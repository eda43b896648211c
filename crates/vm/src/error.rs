//! What can go wrong with a machine, one variant for each operation.

use crate::console::Trouble;
use std::path::PathBuf;
use std::time::Duration;

/// The result of work on a machine.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong with a machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the machine could not be read, written or made.
    #[error("failed to {verb} `{}`", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The image is neither raw (a multiple of 512 bytes) nor qcow2 version 2 or 3.
    #[error("failed to use disk image `{}`: {found}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// The path of the machine's directory is too long for a Unix socket in it.
    #[error("failed to make a socket in `{}`: the path has more than 100 bytes", path.display())]
    LongPath {
        /// The socket's path.
        path: PathBuf,
    },
    /// QEMU could not be started.
    #[error("failed to start QEMU `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// QEMU ended before it had connected its sockets.
    #[error("failed to start QEMU `{program}`: it said: {said}")]
    Died {
        /// The program.
        program: String,
        /// The last of its standard error.
        said: String,
    },
    /// No port of the local host is free.
    #[error("failed to find a free port on 127.0.0.1")]
    Port {
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Something did not happen in time.
    #[error("failed to see {what} within {} s", allowed.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        allowed: Duration,
    },
    /// The machine ended while something was waited for.
    #[error("failed to see {what}: the machine has ended")]
    Ended {
        /// What was waited for.
        what: String,
    },
    /// The console shows that the guest is in trouble.
    #[error("failed to see {what}: {trouble}")]
    Trouble {
        /// What was waited for.
        what: String,
        /// What the console showed.
        trouble: Trouble,
    },
    /// The machine has no such port, or it was taken already.
    #[error("failed to open virtio port `{name}`: the machine has none of this name that is free")]
    NoPort {
        /// The port's name.
        name: String,
    },
    /// Talking to QEMU or to the guest over a socket failed.
    #[error("failed to {verb} over the {channel}")]
    Socket {
        /// What was tried.
        verb: &'static str,
        /// Over which connection.
        channel: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// QEMU refused a command.
    #[error("failed to execute QMP command `{command}`: {answer}")]
    Qmp {
        /// The command.
        command: String,
        /// QEMU's answer.
        answer: String,
    },
    /// The process table has no readable entry for QEMU.
    #[error("failed to read the CPU time of process {pid}")]
    CpuTime {
        /// The process.
        pid: u32,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A command in the guest ended otherwise than it should have.
    #[error("failed to run `{command}` in the guest: exit code {code}, standard error: {stderr}")]
    Command {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// What it said.
        stderr: String,
    },
}

impl Error {
    pub(crate) fn file(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }
}
