//! What the frames carry: a request, a signal, an end.
//!
//! A request is a byte of flags and then lists of words: a list is its length (u32) and its words, a
//! word its length (u32) and its bytes, none of them NUL. A signal is an i32. An end is one byte (0 an
//! exit code, 1 a signal) and an i32. A refusal is text. All numbers are little endian.

use std::os::unix::process::ExitStatusExt as _;
use sys::process::ExitStatus;
use thiserror::Error;

/// Bytes as the command line and the environment have them.
pub type Word = Vec<u8>;

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Only say whether the client may run commands.
    pub check: bool,
    /// A login shell of the target user (`-i`).
    pub login: bool,
    /// A shell (`-s`).
    pub shell: bool,
    /// Keep the client's environment (`-E`).
    pub keep_environment: bool,
    /// HOME of the target user even then (`-H`).
    pub set_home: bool,
    /// Do not wait for the command (`-b`).
    pub background: bool,
    /// Standard input and output are a terminal, and the client is in its foreground.
    pub terminal: bool,
    /// The target user's name, or `#` and an id; nobody said means root, or with a group the client.
    pub user: Option<Word>,
    /// The target group's name, or `#` and an id.
    pub group: Option<Word>,
    /// The directory that was asked for (`-D`).
    pub directory: Option<Word>,
    /// The directory the client is in.
    pub cwd: Word,
    /// Names of variables to keep (`--preserve-env=`).
    pub keep: Vec<Word>,
    /// `VAR=value` words in front of the command.
    pub set: Vec<Word>,
    /// The command and its arguments.
    pub command: Vec<Word>,
    /// The client's environment, `NAME=value`.
    pub environment: Vec<Word>,
}

/// A payload that is not what its kind says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// It ends too early.
    #[error("failed to read a message: it ends in the middle of {0}")]
    Short(&'static str),
    /// It goes on.
    #[error("failed to read a message: {0} bytes after its end")]
    Long(usize),
    /// A flag that we do not know.
    #[error("failed to read a request: unknown flags {0:#04x}")]
    Flags(u8),
    /// A NUL byte in a word.
    #[error("failed to read a request: a NUL byte in {0}")]
    Nul(&'static str),
    /// More than one word where one or none belongs.
    #[error("failed to read a request: expected at most one {what}, found {found}")]
    Many {
        /// Which word.
        what: &'static str,
        /// How many there are.
        found: usize,
    },
    /// Not a way to end.
    #[error("failed to read an end: unknown way {0}")]
    End(u8),
}

/// The flags in the order of their bits.
fn bits(request: &mut Request) -> [&mut bool; 7] {
    [
        &mut request.check,
        &mut request.login,
        &mut request.shell,
        &mut request.keep_environment,
        &mut request.set_home,
        &mut request.background,
        &mut request.terminal,
    ]
}

impl Request {
    /// The bytes of the payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut request = self.clone();
        let flags = bits(&mut request)
            .into_iter()
            .enumerate()
            .fold(0_u8, |flags, (bit, set)| flags | (u8::from(*set) << bit));
        let mut bytes = vec![flags];
        for one in [&self.user, &self.group, &self.directory] {
            list(&mut bytes, one.as_slice());
        }
        list(&mut bytes, std::slice::from_ref(&self.cwd));
        for many in [&self.keep, &self.set, &self.command, &self.environment] {
            list(&mut bytes, many);
        }
        bytes
    }

    /// Reads a payload. Every allocation is bounded by its length.
    ///
    /// # Errors
    /// When it is not exactly a request.
    pub fn parse(payload: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader { left: payload };
        let flags = reader.byte("the flags")?;
        if flags & 0x80 != 0 {
            return Err(MessageError::Flags(flags));
        }
        let mut request = Self {
            user: reader.one("user")?,
            group: reader.one("group")?,
            directory: reader.one("directory")?,
            cwd: reader.one("working directory")?.unwrap_or_default(),
            keep: reader.list("the names to keep")?,
            set: reader.list("the variables")?,
            command: reader.list("the command")?,
            environment: reader.list("the environment")?,
            ..Self::default()
        };
        for (bit, flag) in bits(&mut request).into_iter().enumerate() {
            *flag = flags & (1 << bit) != 0;
        }
        reader.end()?;
        Ok(request)
    }
}

/// The payload for a signal.
#[must_use]
pub fn encode_signal(signal: rustix::process::Signal) -> Vec<u8> {
    signal.as_raw().to_le_bytes().to_vec()
}

/// The signal of a payload; `None` for a number without a name.
///
/// # Errors
/// When it is not exactly one number.
pub fn parse_signal(payload: &[u8]) -> Result<Option<rustix::process::Signal>, MessageError> {
    let mut reader = Reader { left: payload };
    let number = reader.number("a signal")?;
    reader.end()?;
    Ok(rustix::process::Signal::from_named_raw(number))
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// The payload for it.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let (way, number) = match self {
            Self::Code(code) => (0, code),
            Self::Signal(signal) => (1, signal),
        };
        let mut bytes = vec![way];
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is not exactly an end.
    pub fn parse(payload: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader { left: payload };
        let way = reader.byte("an end")?;
        let number = reader.number("an end")?;
        reader.end()?;
        match way {
            0 => Ok(Self::Code(number)),
            1 => Ok(Self::Signal(number)),
            _ => Err(MessageError::End(way)),
        }
    }

    /// The exit code of a `sudo` whose command ended like this: a shell's, 128 and the signal.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        };
        u8::try_from(code).unwrap_or(1)
    }
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(1),
        }
    }
}

fn list(bytes: &mut Vec<u8>, words: &[Word]) {
    // A length that does not fit makes the frame too long, which `Frame::encode` refuses.
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend_from_slice(&length(words.len()));
    for word in words {
        bytes.extend_from_slice(&length(word.len()));
        bytes.extend_from_slice(word);
    }
}

struct Reader<'a> {
    left: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], MessageError> {
        let (bytes, rest) = self.left.split_first_chunk::<N>().ok_or(MessageError::Short(what))?;
        self.left = rest;
        Ok(*bytes)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, MessageError> {
        Ok(self.take::<1>(what)?[0])
    }

    fn number(&mut self, what: &'static str) -> Result<i32, MessageError> {
        Ok(i32::from_le_bytes(self.take(what)?))
    }

    fn length(&mut self, what: &'static str) -> Result<usize, MessageError> {
        Ok(usize::try_from(u32::from_le_bytes(self.take(what)?)).unwrap_or(usize::MAX))
    }

    fn list(&mut self, what: &'static str) -> Result<Vec<Word>, MessageError> {
        let count = self.length(what)?;
        // Every word takes four bytes at least.
        if count > self.left.len() / 4 {
            return Err(MessageError::Short(what));
        }
        let mut words = Vec::with_capacity(count);
        for _ in 0..count {
            let length = self.length(what)?;
            let (word, rest) = self.left.split_at_checked(length).ok_or(MessageError::Short(what))?;
            if word.contains(&0) {
                return Err(MessageError::Nul(what));
            }
            self.left = rest;
            words.push(word.to_vec());
        }
        Ok(words)
    }

    fn one(&mut self, what: &'static str) -> Result<Option<Word>, MessageError> {
        let mut words = self.list(what)?;
        match words.len() {
            0 | 1 => Ok(words.pop()),
            found => Err(MessageError::Many { what, found }),
        }
    }

    fn end(&self) -> Result<(), MessageError> {
        if self.left.is_empty() { Ok(()) } else { Err(MessageError::Long(self.left.len())) }
    }
}
