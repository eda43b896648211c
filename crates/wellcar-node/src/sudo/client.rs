//! The client, `/usr/bin/sudo`: says what to run, hands over its streams, passes signals on, and at a
//! terminal moves bytes between it and the command's pseudo-terminal.

use super::flags::{self, Invocation};
use super::frame::{Decoder, Frame, Kind};
use super::message::{self, End, Request, Word};
use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::stdio::{stderr, stdin, stdout};
use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use sys::signals::Signals;
use sys::terminal::{Raw, copy_window_size};

/// The exit code of everything that is not the command's.
const FAILED: u8 = 1;
/// Bytes moved at once, and held when the other side is not ready.
const CHUNK: usize = 4096;
/// Most bytes shown after the command's end: what it wrote last, not what others go on writing.
const LAST_WORDS: usize = 1 << 20;

/// Signals that the command gets.
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

/// The command line with another socket, for tests.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the server is.
    socket: PathBuf,
    /// The words after `sudo`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// As `sudo`, at another socket.
#[must_use]
pub fn run_at(args: Args) -> u8 {
    run(args.words, &args.socket)
}

/// Does what the words after `sudo` ask for; the exit code is the command's.
#[must_use]
pub fn run(words: impl IntoIterator<Item = OsString>, socket: &Path) -> u8 {
    let (request, list) = match flags::parse(words.into_iter().map(OsString::into_vec)) {
        Ok(Invocation::Help) => return show(flags::HELP),
        Ok(Invocation::Version) => return show(&format!("Wellcar sudo {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Invocation::Forget) => return 0,
        Ok(Invocation::Ask { request, list }) => (request, list),
        Err(error) => {
            tell(&error.to_string());
            let _ = writeln!(std::io::stderr(), "{}", flags::USAGE);
            return FAILED;
        }
    };
    match ask(*request, socket) {
        Ok(0) if list => show("You may run every command as every user, without a password.\n"),
        Ok(code) => code,
        Err(error) => {
            tell(&format!("{error:#}"));
            FAILED
        }
    }
}

fn show(text: &str) -> u8 {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(_) => FAILED,
    }
}

fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "sudo: {text}");
}

/// Fills the request in with what only this process knows.
fn complete(request: &mut Request) {
    request.cwd =
        std::env::current_dir().map_or_else(|_| b"/".to_vec(), |dir| dir.into_os_string().into_vec());
    request.environment = std::env::vars_os()
        .map(|(name, value)| -> Word { [name.into_vec(), value.into_vec()].join(&b'=') })
        .collect();
    // One in the background of a shell must leave the terminal's settings alone.
    let foreground =
        rustix::termios::tcgetpgrp(stdin()).is_ok_and(|group| group == rustix::process::getpgrp());
    request.terminal = foreground && !request.background && rustix::termios::isatty(stdout());
}

fn ask(mut request: Request, socket: &Path) -> anyhow::Result<u8> {
    complete(&mut request);
    let payload = Frame::encode(Kind::Request, &request.encode())
        .context("the command and the environment are too long")?;
    let connection = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            anyhow::anyhow!("the service is not running: nobody listens at {}", socket.display())
        }
        _ => anyhow::anyhow!("failed to connect to {}: {error}", socket.display()),
    })?;
    let signals = Signals::watch(&SIGNALS).context("failed to watch for signals")?;
    // A server that refuses may close before it has read everything; what it said is still there.
    let sent = sys::handover::send(&connection, &payload, &[stdin(), stdout(), stderr()]);
    let mut session = Session {
        connection: connection.into(),
        decoder: Decoder::default(),
        signals,
        terminal: None,
        background: request.background,
    };
    match (session.run()?, sent) {
        (Outcome::Code(code), _) => Ok(code),
        (Outcome::Refused(reason), _) => {
            tell(&reason);
            Ok(FAILED)
        }
        (Outcome::HungUp, _) => Ok(FAILED),
        (Outcome::Gone, Err(error)) => Err(error).context("failed to send the request"),
        (Outcome::Gone, Ok(())) => anyhow::bail!("the service went away"),
    }
}

/// How a session ends.
enum Outcome {
    /// With the command's exit code.
    Code(u8),
    /// Without a command.
    Refused(String),
    /// The server is gone.
    Gone,
    /// The person's terminal is gone.
    HungUp,
}

struct Session {
    connection: OwnedFd,
    decoder: Decoder,
    signals: Signals,
    terminal: Option<Terminal>,
    background: bool,
}

/// The person's terminal, in raw mode, and the command's.
struct Terminal {
    raw: Raw,
    master: OwnedFd,
    /// The command still has its terminal.
    open: bool,
    typed: Vec<u8>,
    shown: Vec<u8>,
}

/// What is ready.
#[derive(Default)]
struct Ready {
    connection: bool,
    signal: bool,
    typing: bool,
    output: bool,
    input: bool,
    screen: bool,
}

impl Session {
    fn run(&mut self) -> anyhow::Result<Outcome> {
        loop {
            let ready = self.wait()?;
            if let Some(terminal) = &mut self.terminal
                && !terminal.carry(&ready)
            {
                return Ok(Outcome::HungUp);
            }
            if ready.signal {
                while let Some(signal) = self.signals.take()? {
                    self.signal(signal);
                }
            }
            if ready.connection
                && let Some(outcome) = self.listen()?
            {
                if let Some(terminal) = self.terminal.take() {
                    terminal.last_words();
                }
                return Ok(outcome);
            }
        }
    }

    fn wait(&self) -> anyhow::Result<Ready> {
        let (input, output) = (stdin(), stdout());
        let mut fds =
            vec![PollFd::new(&self.connection, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        let (mut typing, mut command, mut screen) = (None, None, None);
        if let Some(terminal) = &self.terminal {
            if terminal.typed.is_empty() {
                typing = Some(fds.len());
                fds.push(PollFd::new(&input, PollFlags::IN));
            }
            let mut wanted = PollFlags::empty();
            wanted.set(PollFlags::IN, terminal.shown.is_empty());
            wanted.set(PollFlags::OUT, !terminal.typed.is_empty());
            if terminal.open && !wanted.is_empty() {
                command = Some(fds.len());
                fds.push(PollFd::new(&terminal.master, wanted));
            }
            if !terminal.shown.is_empty() {
                screen = Some(fds.len());
                fds.push(PollFd::new(&output, PollFlags::OUT));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(errno) => return Err(errno).context("failed to wait"),
        }
        let of =
            |at: Option<usize>| at.and_then(|at| fds.get(at)).map_or(PollFlags::empty(), PollFd::revents);
        let broken = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        Ok(Ready {
            connection: !of(Some(0)).is_empty(),
            signal: !of(Some(1)).is_empty(),
            typing: !of(typing).is_empty(),
            output: of(command).intersects(PollFlags::IN | broken),
            input: of(command).contains(PollFlags::OUT),
            screen: !of(screen).is_empty(),
        })
    }

    /// Hears the server; something when the session is over.
    fn listen(&mut self) -> anyhow::Result<Option<Outcome>> {
        let mut buffer = [0; CHUNK];
        let (count, mut fds) = match sys::handover::receive(&self.connection, &mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Some(Outcome::Gone)),
            Err(error) => return Err(error).context("failed to hear from the service"),
        };
        if count == 0 {
            return Ok(Some(Outcome::Gone));
        }
        self.decoder.push(buffer.get(..count).unwrap_or_default());
        while let Some(frame) = self.decoder.take()? {
            match frame.kind {
                Kind::Started if self.background => return Ok(Some(Outcome::Code(0))),
                Kind::Started => {
                    if let Some(master) = fds.pop() {
                        self.terminal = Some(Terminal::enter(master).context("failed to use the terminal")?);
                    }
                }
                Kind::Ended => return Ok(Some(Outcome::Code(End::parse(&frame.payload)?.exit_code()))),
                Kind::Refused => {
                    return Ok(Some(Outcome::Refused(String::from_utf8_lossy(&frame.payload).into_owned())));
                }
                Kind::Request | Kind::Signal => anyhow::bail!("the service sent a {:?}", frame.kind),
            }
        }
        Ok(None)
    }

    fn signal(&self, signal: Signal) {
        match (&self.terminal, signal) {
            (Some(terminal), Signal::WINCH) => terminal.resize(),
            (Some(terminal), Signal::CONT) => {
                let _ = terminal.raw.again();
                terminal.resize();
            }
            (Some(terminal), Signal::TSTP) => {
                let _ = terminal.raw.leave();
                stop();
            }
            (None, Signal::TSTP) => {
                self.pass(signal);
                stop();
            }
            (_, signal) => self.pass(signal),
        }
    }

    /// Passes a signal on. That the server is gone shows when it is heard next.
    fn pass(&self, signal: Signal) {
        if let Some(frame) = Frame::encode(Kind::Signal, &message::encode_signal(signal)) {
            let _ = sys::handover::send(&self.connection, &frame, &[]);
        }
    }
}

/// Stops this process, as the shell that sent SIGTSTP expects; returns when it goes on.
fn stop() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
}

impl Terminal {
    fn enter(master: OwnedFd) -> std::io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | rustix::fs::OFlags::NONBLOCK)?;
        let raw = Raw::enter(stdin())?;
        let terminal = Self { raw, master, open: true, typed: Vec::new(), shown: Vec::new() };
        terminal.resize();
        Ok(terminal)
    }

    /// The command's window becomes as large as the person's. One without a size is no reason to fail.
    fn resize(&self) {
        let _ = copy_window_size(stdin(), &self.master);
    }

    /// Moves bytes both ways, as far as that is possible without waiting; false when the person's
    /// terminal is gone.
    fn carry(&mut self, ready: &Ready) -> bool {
        if ready.typing {
            match read(stdin(), &mut self.typed) {
                Moved::Some | Moved::Wait => {}
                Moved::End => return false,
            }
        }
        if ready.input
            && let Ok(count) = rustix::io::write(&self.master, &self.typed)
        {
            self.typed.drain(..count.min(self.typed.len()));
        }
        if ready.output && self.shown.is_empty() {
            match read(self.master.as_fd(), &mut self.shown) {
                Moved::Some | Moved::Wait => {}
                Moved::End => {
                    self.open = false;
                    self.typed.clear();
                }
            }
        }
        if ready.screen {
            match rustix::io::write(stdout(), &self.shown) {
                Ok(count) => drop(self.shown.drain(..count.min(self.shown.len()))),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Shows what the command wrote before it ended.
    fn last_words(mut self) {
        let mut left = LAST_WORDS;
        loop {
            let mut screen = std::io::stdout();
            if screen.write_all(&self.shown).and_then(|()| screen.flush()).is_err() {
                return;
            }
            left = left.saturating_sub(self.shown.len());
            self.shown.clear();
            if left == 0 || !matches!(read(self.master.as_fd(), &mut self.shown), Moved::Some) {
                return;
            }
        }
    }
}

/// What came of reading.
enum Moved {
    Some,
    /// Nothing now.
    Wait,
    /// Nothing any more: the end, or an error (EIO of a terminal whose other end is closed).
    End,
}

/// Reads once, to the end of `bytes`.
fn read(from: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> Moved {
    let mut buffer = [0; CHUNK];
    match rustix::io::read(from, &mut buffer) {
        Ok(0) => Moved::End,
        Ok(count) => {
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            Moved::Some
        }
        Err(Errno::INTR | Errno::AGAIN) => Moved::Wait,
        Err(_) => Moved::End,
    }
}
