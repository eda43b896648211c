//! Child processes: a builder over `std::process` with time limits, output limits and errors that
//! say which command failed, how, and what it wrote last.
//!
//! Nothing here waits blindly: a child is awaited through its pidfd and its pipes in one `poll`.
//! A child never outlives its owner: [`Child`] kills its whole process group when dropped, and the
//! kernel kills the child when the thread that started it ends (see [`Cmd::outlive_parent`]).
//!
//! ```
//! use std::time::Duration;
//! let output = sys::process::Cmd::new("echo").arg("hello").timeout(Duration::from_secs(5)).run()?;
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok::<(), sys::process::ProcessError>(())
//! ```

mod child;
mod error;
mod identity;
mod pump;

pub use child::Child;
pub use error::ProcessError;
pub use identity::Identity;
pub use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Most bytes kept of each of the two output streams unless [`Cmd::output_limit`] says otherwise.
pub const DEFAULT_OUTPUT_LIMIT: usize = 64 << 20;

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How the command ended.
    pub status: ExitStatus,
    /// Everything it wrote to standard output.
    pub stdout: Vec<u8>,
    /// Everything it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, bytes that are not UTF-8 replaced, without white space at the end.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// Where a command's standard input comes from.
#[derive(Debug)]
enum Input {
    Null,
    Inherit,
    Bytes(Vec<u8>),
    File(File),
    Piped,
}

/// Where an output stream of a spawned command goes.
#[derive(Debug)]
enum Sink {
    Null,
    Inherit,
    File(File),
    Piped,
}

/// A command to be run: program, arguments and how to treat it.
///
/// Defaults: empty standard input, own process group, environment inherited, no time limit, killed
/// with its parent. With [`run`](Self::run) both output streams are captured; with
/// [`spawn`](Self::spawn) they are inherited unless told otherwise.
#[derive(Debug)]
#[must_use]
pub struct Cmd {
    program: OsString,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    env_clear: bool,
    cwd: Option<PathBuf>,
    cwd_or_root: Option<PathBuf>,
    chroot: Option<PathBuf>,
    identity: Option<identity::Prepared>,
    terminal_session: bool,
    input: Input,
    stdout: Sink,
    stderr: Sink,
    timeout: Option<Duration>,
    output_limit: usize,
    own_group: bool,
    die_with_parent: bool,
}

impl Cmd {
    /// A command for `program`, looked up in PATH when it has no slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arg0: None,
            args: Vec::new(),
            env: Vec::new(),
            env_clear: false,
            cwd: None,
            cwd_or_root: None,
            chroot: None,
            identity: None,
            terminal_session: false,
            input: Input::Null,
            stdout: Sink::Inherit,
            stderr: Sink::Inherit,
            timeout: None,
            output_limit: DEFAULT_OUTPUT_LIMIT,
            own_group: true,
            die_with_parent: true,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Starts with an empty environment; variables given with [`env`](Self::env) are kept.
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Sets one environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes one inherited environment variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Runs in this directory (inside the new root, when [`chroot`](Self::chroot) is given).
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Runs with this directory as `/` (needs root). The program is looked up inside it.
    pub fn chroot(mut self, root: impl AsRef<Path>) -> Self {
        self.chroot = Some(root.as_ref().to_owned());
        self
    }

    /// Feeds these bytes to standard input and then closes it.
    pub fn stdin_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Reads standard input from an open file.
    pub fn stdin_file(mut self, file: File) -> Self {
        self.input = Input::File(file);
        self
    }

    /// Gives the owner of a spawned child its standard input ([`Child::take_stdin`]).
    pub fn stdin_piped(mut self) -> Self {
        self.input = Input::Piped;
        self
    }

    /// A spawned child writes its standard output to this file.
    pub fn stdout_file(mut self, file: File) -> Self {
        self.stdout = Sink::File(file);
        self
    }

    /// The owner of a spawned child reads its standard output ([`Child::take_stdout`]).
    pub fn stdout_piped(mut self) -> Self {
        self.stdout = Sink::Piped;
        self
    }

    /// A spawned child's standard output is thrown away.
    pub fn stdout_null(mut self) -> Self {
        self.stdout = Sink::Null;
        self
    }

    /// A spawned child writes its standard error to this file.
    pub fn stderr_file(mut self, file: File) -> Self {
        self.stderr = Sink::File(file);
        self
    }

    /// The owner of a spawned child reads its standard error ([`Child::take_stderr`]).
    pub fn stderr_piped(mut self) -> Self {
        self.stderr = Sink::Piped;
        self
    }

    /// A spawned child's standard error is thrown away.
    pub fn stderr_null(mut self) -> Self {
        self.stderr = Sink::Null;
        self
    }

    /// All three streams are the parent's and the child stays in its process group, so that it can
    /// use the terminal. Only for [`spawn`](Self::spawn).
    pub fn interactive(mut self) -> Self {
        self.input = Input::Inherit;
        self.stdout = Sink::Inherit;
        self.stderr = Sink::Inherit;
        self.own_group = false;
        self
    }

    /// [`run`](Self::run) kills the command and fails when it takes longer than this.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// [`run`](Self::run) kills the command and fails when a stream grows past this many bytes.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Leaves the child alive when its starter ends. Without this the kernel kills the child when
    /// the *thread* that started it ends; use it when a short-lived thread starts a child for
    /// another owner. Dropping [`Child`] still kills it.
    pub fn outlive_parent(mut self) -> Self {
        self.die_with_parent = false;
        self
    }

    /// The command line as one would type it, for messages.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut line = error::quoted(&self.program);
        for arg in &self.args {
            line.push(' ');
            line.push_str(&error::quoted(arg));
        }
        line
    }

    /// Runs the command to its end with both output streams captured.
    ///
    /// # Errors
    /// When it cannot be started, ends with anything but exit code 0, takes too long or writes too
    /// much.
    pub fn run(self) -> Result<Output, ProcessError> {
        let command = self.command_line();
        let output = self.run_any()?;
        if output.status.success() {
            Ok(output)
        } else {
            Err(ProcessError::Failed {
                command,
                status: output.status,
                stderr: error::tail(&output.stderr, &output.stdout),
            })
        }
    }

    /// As [`run`](Self::run), but every way to end is fine: look at [`Output::status`].
    ///
    /// # Errors
    /// When it cannot be started, takes too long or writes too much.
    pub fn run_any(mut self) -> Result<Output, ProcessError> {
        self.stdout = Sink::Piped;
        self.stderr = Sink::Piped;
        let (timeout, limit) = (self.timeout, self.output_limit);
        let bytes = match std::mem::replace(&mut self.input, Input::Null) {
            Input::Bytes(bytes) => {
                self.input = Input::Piped;
                bytes
            }
            other => {
                self.input = other;
                Vec::new()
            }
        };
        let child = self.spawn()?;
        pump::run(child, &bytes, timeout, limit)
    }

    /// The standard library's form of it: program, arguments, environment.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if let Some(name) = &self.arg0 {
            command.arg0(name);
        }
        if self.env_clear {
            command.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// What the child does besides. Inside a new root it starts in `/` unless told otherwise.
    fn steps(&mut self) -> Steps {
        let root = self.chroot.as_ref().map(|_| Path::new("/"));
        Steps {
            terminal_session: self.terminal_session,
            chroot: self.chroot.as_deref().map(c_path),
            identity: self.identity.take(),
            cwd: self.cwd.as_deref().or(root).map(c_path),
            cwd_or_root: self.cwd_or_root.as_deref().map(c_path),
        }
    }

    /// Becomes the command: this process goes on as it, with its own streams. Returns only when that
    /// fails.
    #[must_use]
    pub fn exec(mut self) -> ProcessError {
        let line = self.command_line();
        let mut command = self.command();
        prepare(&mut command, self.steps(), false);
        ProcessError::Start { command: line, source: command.exec() }
    }

    /// Starts the command. With [`stdin_bytes`](Self::stdin_bytes) use [`run`](Self::run) instead:
    /// here the bytes are handed over only as far as a pipe holds them (64 KiB).
    ///
    /// # Errors
    /// When it cannot be started, or the bytes for its standard input do not fit in a pipe.
    pub fn spawn(mut self) -> Result<Child, ProcessError> {
        let line = self.command_line();
        let own_group = self.own_group;
        let start = |source| ProcessError::Start { command: line.clone(), source };
        let mut command = self.command();
        // A session is a group too, and one who leads a group cannot start a session.
        if own_group && !self.terminal_session {
            command.process_group(0);
        }
        let steps = self.steps();
        let mut bytes = Vec::new();
        command.stdin(match self.input {
            Input::Null => Stdio::null(),
            Input::Inherit => Stdio::inherit(),
            Input::File(file) => file.into(),
            Input::Piped => Stdio::piped(),
            Input::Bytes(given) => {
                bytes = given;
                Stdio::piped()
            }
        });
        command.stdout(stdio(self.stdout));
        command.stderr(stdio(self.stderr));
        prepare(&mut command, steps, self.die_with_parent);
        let child = command.spawn().map_err(start)?;
        let mut child = Child::new(child, line, own_group)?;
        if !bytes.is_empty() {
            child.fill_stdin(&bytes)?;
        }
        Ok(child)
    }
}

fn stdio(sink: Sink) -> Stdio {
    match sink {
        Sink::Null => Stdio::null(),
        Sink::Inherit => Stdio::inherit(),
        Sink::File(file) => file.into(),
        Sink::Piped => Stdio::piped(),
    }
}

/// What happens in the child between fork and exec, besides what the standard library does.
#[derive(Debug)]
struct Steps {
    terminal_session: bool,
    chroot: Option<Result<CString, Errno>>,
    identity: Option<identity::Prepared>,
    cwd: Option<Result<CString, Errno>>,
    cwd_or_root: Option<Result<CString, Errno>>,
}

impl Steps {
    /// System calls only, with values made before the fork.
    fn take(&self, parent: Option<Pid>) -> io::Result<()> {
        if self.terminal_session {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        if let Some(root) = &self.chroot {
            rustix::process::chroot(given(root)?)?;
        }
        if let Some(identity) = &self.identity {
            identity.assume()?;
        }
        if let Some(dir) = &self.cwd {
            rustix::process::chdir(given(dir)?)?;
        }
        if let Some(dir) = &self.cwd_or_root
            && given(dir).and_then(rustix::process::chdir).is_err()
        {
            rustix::process::chdir(c"/")?;
        }
        // The last, since a change of the user takes the signal away.
        if let Some(parent) = parent {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            // The parent may have ended before the line above.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::from(Errno::CANCELED));
            }
        }
        Ok(())
    }
}

/// Has the child take the steps; with `die_with_parent` the kernel kills it when its starter ends.
fn prepare(command: &mut Command, steps: Steps, die_with_parent: bool) {
    let parent = die_with_parent.then(rustix::process::getpid);
    let take = move || steps.take(parent);
    // SAFETY: the closure makes system calls only (setsid, ioctl, chroot, setgroups, setresgid,
    // setresuid, chdir, prctl, getppid) with values made before the fork; it neither allocates nor
    // takes a lock.
    unsafe {
        command.pre_exec(take);
    }
}

fn given(path: &Result<CString, Errno>) -> Result<&CStr, Errno> {
    path.as_deref().map_err(|errno| *errno)
}

/// A path as a C string, made before the fork; a path with a NUL byte in it is an invalid argument.
fn c_path(path: &Path) -> Result<CString, Errno> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}

/// Where `program` is in the folders of `path` (the value of PATH, or a list like it); only regular
/// files that someone may execute count.
#[must_use]
pub fn find_program(program: &str, path: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    std::env::split_paths(path).map(|dir| dir.join(program)).find(|candidate| {
        std::fs::metadata(candidate)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests;
