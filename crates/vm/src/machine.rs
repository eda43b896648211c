//! A running machine: QEMU as a child process, with its console, control connection and ports.

use crate::channel::{self, Channel};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::qmp::{Event, Qmp};
use crate::spec::{self, Boot, MachineSpec, Places, Qemu};
use crate::wait::Deadline;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use sys::process::{Child, Cmd, ExitStatus};

/// Bytes a socket's path may have (108 in Linux, with the zero and some room).
const SOCKET_PATH: usize = 100;
/// How long QEMU may take until all its sockets are connected.
const START: Duration = Duration::from_secs(60);
/// How often it is asked whether QEMU is still there while a connection is waited for.
const ALIVE: Duration = Duration::from_millis(200);
/// `USER_HZ`: the unit of the CPU times in `/proc/PID/stat`, fixed at 100 on Linux for x86-64.
const TICKS_PER_SECOND: u64 = 100;

/// A running machine. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Machine {
    child: Mutex<Child>,
    pid: u32,
    console: Console,
    qmp: Qmp,
    ports: Mutex<Vec<(String, Option<UnixStream>)>>,
    places: Places,
    program: String,
    outlives: bool,
}

/// A machine that goes on by itself.
#[derive(Debug, Clone)]
pub struct Detached {
    /// QEMU's process id.
    pub pid: u32,
    /// A QMP socket.
    pub control: PathBuf,
    /// What the guest prints.
    pub console_log: PathBuf,
}

impl Machine {
    /// Starts a machine whose files and sockets lie in `dir`, an empty directory with a short
    /// path that must stay for as long as the machine runs. `tee` gets the console as it comes.
    ///
    /// The thread that calls this must not end before the machine does, unless the machine is to
    /// outlive this process: the kernel ends QEMU with the thread that started it.
    ///
    /// # Errors
    /// When QEMU cannot be started or refuses the machine; its own words are in the error.
    pub fn start(spec: &MachineSpec, dir: &Path, tee: Option<Box<dyn Write + Send>>) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(Error::file("resolve", dir))?;
        let places = Places::new(&dir, &spec.serial_log);
        prepare(spec, &places)?;
        let listen = |path: &Path| {
            if path.as_os_str().as_bytes().len() > SOCKET_PATH {
                return Err(Error::LongPath { path: path.to_owned() });
            }
            UnixListener::bind(path).map_err(Error::file("listen on", path))
        };
        let console = listen(&places.console)?;
        let qmp = listen(&places.qmp)?;
        let ports: Vec<_> =
            (0..spec.ports.len()).map(|index| listen(&places.port(index))).collect::<Result<_>>()?;

        let program = program_name(&spec.qemu);
        let errors = dir.join("qemu.log");
        let mut child = spawn(spec, &spec::arguments(spec, &places), &errors, &program)?;
        let deadline = Deadline::after(START);
        let mut accept = |listener: &UnixListener| accept(listener, &mut child, &errors, &program, deadline);
        let console = Console::read(accept(&console)?, tee);
        let watcher = console.clone();
        let on_event = move |event: &Event| {
            if matches!(event, Event::Reset { .. }) {
                watcher.note_reset(Instant::now());
            }
        };
        let qmp_stream = accept(&qmp)?;
        let mut connected = Vec::new();
        for (name, listener) in spec.ports.iter().zip(&ports) {
            connected.push((name.clone(), Some(accept(listener)?)));
        }
        let qmp = Qmp::start(qmp_stream, on_event).map_err(|error| match error {
            Error::Ended { .. } | Error::Socket { .. } => {
                Error::Died { program: program.clone(), said: last_words(&errors) }
            }
            other => other,
        })?;
        Ok(Self {
            pid: child.id(),
            child: Mutex::new(child),
            console,
            qmp,
            ports: Mutex::new(connected),
            places,
            program,
            outlives: spec.outlive_parent,
        })
    }

    /// The console.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The control connection.
    #[must_use]
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file with all that the console showed.
    #[must_use]
    pub fn console_log(&self) -> &Path {
        &self.places.console_log
    }

    /// Takes the connection of the virtio port `name`, once.
    ///
    /// # Errors
    /// [`Error::NoPort`] when there is none or it was taken.
    pub fn port(&self, name: &str) -> Result<UnixStream> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let port = ports.iter_mut().find(|(known, _)| known == name);
        port.and_then(|(_, stream)| stream.take()).ok_or_else(|| Error::NoPort { name: name.to_owned() })
    }

    /// The command channel, once; the machine must have the port [`channel::PORT`].
    ///
    /// # Errors
    /// [`Error::NoPort`] when there is none or it was taken.
    pub fn channel(&self) -> Result<Channel> {
        Channel::start(self.port(channel::PORT)?)
    }

    /// The CPU time QEMU has used: all its threads, in user and kernel mode.
    ///
    /// # Errors
    /// [`Error::CpuTime`] when the process is gone.
    pub fn cpu_time(&self) -> Result<Duration> {
        let pid = self.pid;
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_err(|source| Error::CpuTime { pid, source: source.into() })?;
        parse_cpu_time(&text)
            .ok_or_else(|| Error::CpuTime { pid, source: "expected 15 fields or more".into() })
    }

    /// Waits until QEMU has ended.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it still runs at the deadline.
    pub fn wait(&self, deadline: Deadline) -> Result<ExitStatus> {
        // The console closes at the end, and waiting for it holds no lock.
        let closed = self.console.wait_closed(deadline);
        let status =
            self.child().wait(Some(if closed { ALIVE.max(deadline.remaining()) } else { Duration::ZERO }));
        status
            .map_err(|source| Error::Start { program: self.program.clone(), source: source.into() })?
            .ok_or_else(|| Error::Timeout { what: "the end of QEMU".to_owned(), allowed: deadline.allowed() })
    }

    /// Presses the power button and waits for the guest to power off.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it still runs at the deadline.
    pub fn shut_down(&self, deadline: Deadline) -> Result<ExitStatus> {
        self.qmp.power_button()?;
        self.wait(deadline)
    }

    /// Ends QEMU at once, as if the power were cut.
    ///
    /// # Errors
    /// When it cannot be reaped.
    pub fn kill(&self) -> Result<()> {
        let ended = self.child().kill();
        ended
            .map(drop)
            .map_err(|source| Error::Start { program: self.program.clone(), source: source.into() })
    }

    /// Leaves the machine running by itself; it must have been made with
    /// [`MachineSpec::outlive_parent`], otherwise it ends with this process.
    #[must_use]
    pub fn detach(self) -> Detached {
        debug_assert!(self.outlives, "the machine was not made to outlive its parent");
        let detached = Detached {
            pid: self.pid,
            control: self.places.control.clone(),
            console_log: self.places.console_log.clone(),
        };
        std::mem::forget(self.child);
        detached
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the machine's own files: its firmware variables and its config, which may hold secrets.
fn prepare(spec: &MachineSpec, places: &Places) -> Result<()> {
    if let Boot::Uefi(firmware) = &spec.boot {
        let bytes = std::fs::read(&firmware.vars).map_err(Error::file("read", &firmware.vars))?;
        write_private(&places.vars, &bytes)?;
    }
    match &spec.config {
        Some(config) => write_private(&places.config, config),
        None => Ok(()),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).map_err(Error::file("create", path))?;
    file.write_all(bytes).map_err(Error::file("write", path))
}

fn program_name(qemu: &Qemu) -> String {
    qemu.command.last().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
}

fn spawn(
    spec: &MachineSpec,
    arguments: &[std::ffi::OsString],
    errors: &Path,
    program: &str,
) -> Result<Child> {
    let Some((first, rest)) = spec.qemu.command.split_first() else {
        return Err(Error::Start { program: program.to_owned(), source: "the command is empty".into() });
    };
    let log = File::create(errors).map_err(Error::file("create", errors))?;
    let output = log.try_clone().map_err(Error::file("open", errors))?;
    let mut command = Cmd::new(first).args(rest).args(arguments).stdout_file(output).stderr_file(log);
    for (name, value) in &spec.qemu.env {
        command = command.env(name, value);
    }
    if spec.outlive_parent {
        command = command.outlive_parent();
    }
    command.spawn().map_err(|source| Error::Start { program: program.to_owned(), source: source.into() })
}

fn accept(
    listener: &UnixListener,
    child: &mut Child,
    errors: &Path,
    program: &str,
    deadline: Deadline,
) -> Result<UnixStream> {
    let fail = |source| Error::Socket { verb: "accept a connection", channel: "socket of QEMU", source };
    loop {
        if sys::wait::poll_readable(listener, &sys::wait::Deadline::after(Some(ALIVE))).map_err(fail)? {
            return listener.accept().map(|(stream, _)| stream).map_err(fail);
        }
        let ended = child
            .try_wait()
            .map_err(|source| Error::Start { program: program.to_owned(), source: source.into() })?;
        if ended.is_some() {
            return Err(Error::Died { program: program.to_owned(), said: last_words(errors) });
        }
        if deadline.passed() {
            return Err(Error::Timeout {
                what: "QEMU's connections".to_owned(),
                allowed: deadline.allowed(),
            });
        }
    }
}

/// The end of QEMU's own messages.
pub(crate) fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.trim().lines().collect();
    match lines.len() {
        0 => "nothing".to_owned(),
        count => lines[count.saturating_sub(5)..].join("; "),
    }
}

/// User and system time of `/proc/PID/stat` (proc(5), fields 14 and 15). The name before them is
/// in parentheses and may itself hold spaces and parentheses.
fn parse_cpu_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(1000 / TICKS_PER_SECOND)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Accelerator;

    #[test]
    fn cpu_times() {
        let stat = "7 (qemu (x) 1) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 1 2 3";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(3)));
        for stat in ["", "7 (qemu", "7 (qemu) S 1", "7 (q) S 1 7 7 0 -1 4194560 100 0 0 0 x 50"] {
            assert_eq!(parse_cpu_time(stat), None, "{stat}");
        }
    }

    #[test]
    fn a_program_that_ends_at_once_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = Qemu {
            command: ["sh", "-c", "echo no such machine >&2; exit 1"].map(Into::into).to_vec(),
            env: Vec::new(),
            data: None,
        };
        let spec = MachineSpec::new(qemu, Accelerator::Tcg { reason: None }, Boot::Rom("/rom".into()));
        let error = Machine::start(&spec, dir.path(), None).unwrap_err().to_string();
        assert!(error.ends_with("it said: no such machine"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let spec = MachineSpec::new(
            Qemu::installed("/no/such/qemu"),
            Accelerator::Tcg { reason: None },
            Boot::Rom("/rom".into()),
        );
        let error = Machine::start(&spec, dir.path(), None).unwrap_err();
        assert_eq!(error.to_string(), "failed to start QEMU `/no/such/qemu`");
    }
}
