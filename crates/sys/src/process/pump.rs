//! Runs a child to its end: feeds its standard input, collects both outputs and watches the clock,
//! all in one `poll`.

use super::{Child, Output, ProcessError, error};
use crate::wait::Deadline;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ChildStdin;
use std::time::Duration;

/// One captured stream: open until its end of file.
struct Captured<R> {
    stream: Option<R>,
    bytes: Vec<u8>,
    name: &'static str,
}

impl<R: Read + AsFd> Captured<R> {
    fn new(stream: Option<R>, name: &'static str) -> io::Result<Self> {
        if let Some(stream) = &stream {
            nonblocking(stream.as_fd())?;
        }
        Ok(Self { stream, bytes: Vec::new(), name })
    }

    /// Reads what is there; true when the limit was passed.
    fn drain(&mut self, limit: usize) -> io::Result<bool> {
        let mut chunk = [0; 64 * 1024];
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut chunk) {
                Ok(0) => self.stream = None,
                Ok(n) => self.bytes.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if self.bytes.len() > limit {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
    Ok(())
}

/// Writes what fits; true when everything was written or nobody reads any more.
fn feed(stdin: &mut ChildStdin, input: &mut &[u8]) -> io::Result<bool> {
    while !input.is_empty() {
        match stdin.write(input) {
            Ok(n) => *input = &input[n..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(true),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Runs `child` to its end. A grandchild that keeps a pipe open does not keep us: when the child has
/// ended, what is in the pipes is taken and that is all.
pub(super) fn run(
    mut child: Child,
    mut input: &[u8],
    timeout: Option<Duration>,
    limit: usize,
) -> Result<Output, ProcessError> {
    let deadline = Deadline::after(timeout);
    let mut stdin = child.take_stdin();
    let mut out = Captured::new(child.take_stdout(), "standard output").map_err(|e| child.talk(e))?;
    let mut err = Captured::new(child.take_stderr(), "standard error").map_err(|e| child.talk(e))?;
    if let Some(stdin) = &stdin {
        nonblocking(stdin.as_fd()).map_err(|e| child.talk(e))?;
    }
    loop {
        if let Some(pipe) = &mut stdin
            && feed(pipe, &mut input).map_err(|e| child.talk(e))?
        {
            stdin = None;
        }
        let ended = child.try_wait()?;
        for (passed, name) in [
            (out.drain(limit).map_err(|e| child.talk(e))?, out.name),
            (err.drain(limit).map_err(|e| child.talk(e))?, err.name),
        ] {
            if passed {
                let command = child.command_line().to_owned();
                return Err(ProcessError::TooMuchOutput { command, stream: name, limit });
            }
        }
        if let Some(status) = ended {
            return Ok(Output { status, stdout: out.bytes, stderr: err.bytes });
        }
        if deadline.passed() {
            return Err(ProcessError::TimedOut {
                command: child.command_line().to_owned(),
                limit: timeout.unwrap_or_default(),
                stderr: error::tail(&err.bytes, &out.bytes),
            });
        }
        wait_for_event(&child, stdin.as_ref(), &out, &err, &deadline).map_err(|e| child.talk(e))?;
    }
}

/// Waits until a pipe moves, the child ends or the time is up.
fn wait_for_event<O: AsFd, E: AsFd>(
    child: &Child,
    stdin: Option<&ChildStdin>,
    out: &Captured<O>,
    err: &Captured<E>,
    deadline: &Deadline,
) -> io::Result<()> {
    let mut fds = vec![PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)];
    if let Some(stdin) = stdin {
        fds.push(PollFd::new(stdin, PollFlags::OUT));
    }
    if let Some(stream) = &out.stream {
        fds.push(PollFd::new(stream, PollFlags::IN));
    }
    if let Some(stream) = &err.stream {
        fds.push(PollFd::new(stream, PollFlags::IN));
    }
    match poll(&mut fds, deadline.timespec().as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
