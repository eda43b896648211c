//! The server: one process a connection, started by `wellcar-sudo@.service` as root with the
//! connection as its standard input. It ends with its command.

use super::accounts::Accounts;
use super::frame::{Decoder, Frame, Kind};
use super::message::{self, End, Request};
use super::plan::{self, Plan, os};
use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::process::{Child, Cmd, Identity, ProcessError};
use sys::terminal::Pty;
use sys::wait::{Deadline, poll_readable};

/// Time for a client to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Time for a command to end by itself after its client is gone.
const GRACE: Duration = Duration::from_secs(5);
/// Most bytes of a list of users or groups.
const MAX_ACCOUNTS: u64 = 16 << 20;
/// Bytes received at once.
const CHUNK: usize = 64 << 10;

/// Signals that a client may send to its command.
const SIGNALS: [Signal; 9] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
];

/// What the server is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of `passwd` and `group`.
    #[arg(long, default_value = "/etc")]
    etc: PathBuf,
}

/// Serves the connection on standard input.
///
/// # Errors
/// When the connection is none, or breaks before its command runs.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let connection = rustix::stdio::stdin().try_clone_to_owned().context("failed to take the connection")?;
    let peer =
        rustix::net::sockopt::socket_peercred(&connection).context("failed to ask who the client is")?;
    let accounts = accounts(&args.etc)?;
    let client = match plan::permit(&accounts, peer.uid.as_raw(), peer.gid.as_raw()) {
        Ok(client) => client,
        Err(refusal) => {
            log(4, &format!("refused: {refusal}"));
            return refuse(&connection, &refusal.to_string());
        }
    };
    let mut decoder = Decoder::default();
    let Some((request, streams)) = request(&connection, &mut decoder)? else { return Ok(0) };
    if request.check {
        return end(&connection, End::Code(0));
    }
    let plan = match plan::plan(&request, &client, &accounts) {
        Ok(plan) => plan,
        Err(refusal) => return refuse(&connection, &refusal.to_string()),
    };
    let (mut child, master) = match start(&plan, &request, streams) {
        Ok(started) => started,
        Err(reason) => return refuse(&connection, &reason),
    };
    log(
        5,
        &format!(
            "{} ran {} as {}, arguments: {}",
            client.name.escape_debug(),
            plan.program.to_string_lossy().escape_debug(),
            plan.user.escape_debug(),
            plan.args.len(),
        ),
    );
    let fds: Vec<BorrowedFd<'_>> = master.iter().map(|master| master.as_fd()).collect();
    // A client that is gone already is noticed below.
    let _ = send(&connection, Kind::Started, &[], &fds);
    drop(master);
    let how = attend(&connection, decoder, &mut child, request.background)?;
    end(&connection, how)
}

fn accounts(etc: &Path) -> anyhow::Result<Accounts> {
    let read = |name: &str| -> anyhow::Result<String> {
        let bytes = sys::file::read(&etc.join(name), MAX_ACCOUNTS)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Accounts::parse(&read("passwd")?, &read("group")?))
}

/// The request and the client's three streams; nothing when the client left before it said a word.
fn request(connection: &OwnedFd, decoder: &mut Decoder) -> anyhow::Result<Option<(Request, [OwnedFd; 3])>> {
    let deadline = Deadline::after(Some(REQUEST_TIME));
    let mut fds = Vec::new();
    let mut buffer = vec![0; CHUNK];
    let mut begun = false;
    loop {
        if let Some(frame) = decoder.take()? {
            anyhow::ensure!(frame.kind == Kind::Request, "expected a request, found {:?}", frame.kind);
            let request = Request::parse(&frame.payload)?;
            let found = fds.len();
            let streams = <[OwnedFd; 3]>::try_from(fds)
                .map_err(|_| anyhow::anyhow!("expected three streams with the request, found {found}"))?;
            return Ok(Some((request, streams)));
        }
        anyhow::ensure!(poll_readable(connection, &deadline)?, "no request within {REQUEST_TIME:?}");
        let (count, came) = sys::handover::receive(connection, &mut buffer)?;
        match count {
            0 if begun => anyhow::bail!("the client left in the middle of its request"),
            0 => return Ok(None),
            _ => begun = true,
        }
        anyhow::ensure!(fds.len() + came.len() <= 3, "too many streams with the request");
        fds.extend(came);
        decoder.push(buffer.get(..count).unwrap_or_default());
    }
}

/// Starts the command; the pseudo-terminal's master, when it has one. An error is text for the
/// client.
fn start(
    plan: &Plan,
    request: &Request,
    [stdin, stdout, stderr]: [OwnedFd; 3],
) -> Result<(Child, Option<OwnedFd>), String> {
    let shown = plan.program.to_string_lossy().into_owned();
    let program = find(&plan.program).ok_or_else(|| format!("{shown}: command not found"))?;
    if plan.must_enter && !plan.cwd.is_dir() {
        return Err(format!("{}: no such directory", plan.cwd.display()));
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut cmd = Cmd::new(program).arg0(os(&plan.arg0)).args(plan.args.iter().map(|arg| os(arg)));
    cmd = cmd.env_clear().identity(&plan.identity).cwd_or_root(&plan.cwd);
    for (name, value) in &plan.environment {
        cmd = cmd.env(os(name), os(value));
    }
    let terminal = request.terminal && !request.background;
    let terminal = terminal && rustix::termios::isatty(&stdin) && rustix::termios::isatty(&stdout);
    let mut master = None;
    if terminal {
        let pty = pty(&stdin, &plan.identity).map_err(|e| format!("no terminal for the command: {e}"))?;
        let slave = || pty.slave.try_clone().map(File::from).map_err(|e| e.to_string());
        let stderr = if rustix::termios::isatty(&stderr) { slave()? } else { File::from(stderr) };
        cmd = cmd.stdin_file(slave()?).stdout_file(slave()?).stderr_file(stderr).terminal_session();
        master = Some(pty.master);
    } else {
        cmd = cmd.stdin_file(stdin.into()).stdout_file(stdout.into()).stderr_file(stderr.into());
    }
    let child = cmd.spawn().map_err(|error| match error {
        // Without the command line, which the client knows.
        ProcessError::Start { source, .. } => format!("unable to run {shown}: {source}"),
        other => other.to_string(),
    })?;
    Ok((child, master))
}

/// A pseudo-terminal like the client's terminal, the command's user its owner.
fn pty(terminal: &OwnedFd, identity: &Identity) -> std::io::Result<Pty> {
    let pty = Pty::open()?;
    pty.imitate(terminal)?;
    rustix::fs::fchown(&pty.slave, Some(rustix::fs::Uid::from_raw(identity.uid)), None)?;
    Ok(pty)
}

/// A path as it is; a name's program in [`super::environment::PATH`].
fn find(program: &Path) -> Option<PathBuf> {
    let name = program.to_string_lossy();
    if name.contains('/') {
        return Some(program.to_owned());
    }
    sys::process::find_program(&name, super::environment::PATH.as_ref())
}

/// Passes signals on and waits for the command's end. When the client goes away, so does the command,
/// unless it was to run in the background.
fn attend(
    connection: &OwnedFd,
    mut decoder: Decoder,
    child: &mut Child,
    background: bool,
) -> anyhow::Result<End> {
    let mut buffer = vec![0; CHUNK];
    let mut connected = !background;
    let mut deadline = Deadline::after(None);
    loop {
        let talk = if connected { PollFlags::IN } else { PollFlags::empty() };
        let pidfd = child.pidfd();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(connection, talk)];
        let count = if connected { 2 } else { 1 };
        match poll(fds.get_mut(..count).unwrap_or_default(), deadline.timespec().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let said = connected && !fds[1].revents().is_empty();
        if let Some(status) = child.try_wait()? {
            return Ok(status.into());
        }
        if deadline.passed() {
            log(4, "killed a command whose client is gone");
            return Ok(child.kill()?.into());
        }
        if said && !hear(connection, &mut buffer, &mut decoder, child) {
            connected = false;
            deadline = Deadline::after(Some(GRACE));
            to_group(child, Signal::HUP);
            // One that is stopped would not notice.
            to_group(child, Signal::CONT);
        }
    }
}

/// Does what the client says; false when it is gone, or talks nonsense and is as good as gone.
fn hear(connection: &OwnedFd, buffer: &mut [u8], decoder: &mut Decoder, child: &Child) -> bool {
    let Ok((count, _none_expected)) = sys::handover::receive(connection, buffer) else { return false };
    if count == 0 {
        return false;
    }
    decoder.push(buffer.get(..count).unwrap_or_default());
    loop {
        match decoder.take() {
            Ok(None) => return true,
            Ok(Some(Frame { kind: Kind::Signal, payload })) => match message::parse_signal(&payload) {
                Ok(signal) => {
                    if let Some(signal) = signal.filter(|signal| SIGNALS.contains(signal)) {
                        to_group(child, signal);
                    }
                }
                Err(_) => return false,
            },
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

/// Sends a signal to the command's process group. One that has ended is no error, nor is one that
/// is not to be signalled.
fn to_group(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

fn refuse(connection: &OwnedFd, reason: &str) -> anyhow::Result<u8> {
    let _ = send(connection, Kind::Refused, reason.as_bytes(), &[]);
    Ok(0)
}

fn end(connection: &OwnedFd, how: End) -> anyhow::Result<u8> {
    let _ = send(connection, Kind::Ended, &how.encode(), &[]);
    Ok(0)
}

fn send(connection: &OwnedFd, kind: Kind, payload: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let frame = Frame::encode(kind, payload).ok_or(std::io::ErrorKind::InvalidInput)?;
    sys::handover::send(connection, &frame, fds)
}

/// One line in the journal, with its level (sd-daemon(3)).
fn log(level: u8, line: &str) {
    let _ = writeln!(std::io::stderr(), "<{level}>{line}");
}
