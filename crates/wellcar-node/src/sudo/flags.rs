//! The command line of `sudo`: the usual flags, as scripts and fingers know them.

use super::message::{Request, Word};
use thiserror::Error;

/// One line on how to call it.
pub const USAGE: &str =
    "usage: sudo [-bEHiknSsVv] [-D directory] [-g group] [-u user] [VAR=value] [--] [command [argument ...]]";

/// What `--help` shows.
pub const HELP: &str = "\
sudo - run a command as another user

usage: sudo [options] [VAR=value ...] [--] command [argument ...]
       sudo [options] -i | -s [command [argument ...]]
       sudo -v | -l | -k

Members of the groups sudo and wheel may run everything, without a password.

  -u, --user=USER           as this user (a name, or # and an id) instead of root
  -g, --group=GROUP         with this primary group; without -u as yourself
  -i, --login               in a login shell of that user
  -s, --shell               in your shell
  -D, --chdir=DIRECTORY     in this directory
  -E, --preserve-env        keep your environment, but for what could harm
      --preserve-env=LIST   keep these variables
  -H, --set-home            HOME is that user's, even with -E
  -b, --background          do not wait for the command
  -v, --validate            only say whether you may
  -l, --list                say what you may
  -V, --version             show the version
  -h, --help                show this

There is nothing to ask and nothing to remember, so -A, -B, -k, -K, -N, -n, -S, -C NUMBER and
-p PROMPT change nothing.
";

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// Show the help.
    Help,
    /// Show the version.
    Version,
    /// Forget what was remembered: nothing.
    Forget,
    /// Ask the server. Its working directory, environment and terminal are not filled in.
    Ask {
        /// What for.
        request: Box<Request>,
        /// Say in words what the user may do.
        list: bool,
    },
}

/// A command line that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlagError {
    /// A flag nobody knows.
    #[error("unknown option `{0}`")]
    Unknown(String),
    /// A flag that other implementations have.
    #[error("option `{0}` is not supported")]
    Unsupported(String),
    /// A flag that wants a value.
    #[error("option `{0}` needs a value")]
    NoValue(String),
    /// A flag that wants none.
    #[error("option `{0}` takes no value")]
    Value(String),
    /// Both kinds of shell.
    #[error("only one of -i and -s")]
    TwoShells,
    /// Nothing to run.
    #[error("no command")]
    NoCommand,
}

#[derive(Debug, Default)]
struct State {
    request: Request,
    help: bool,
    version: bool,
    forget: bool,
    list: bool,
}

/// The long names and their short ones.
const LONG: [(&str, u8); 23] = [
    ("askpass", b'A'),
    ("background", b'b'),
    ("bell", b'B'),
    ("chdir", b'D'),
    ("close-from", b'C'),
    ("group", b'g'),
    ("help", b'h'),
    ("list", b'l'),
    ("login", b'i'),
    ("no-update", b'N'),
    ("non-interactive", b'n'),
    ("preserve-env", b'E'),
    ("preserve-groups", b'P'),
    ("prompt", b'p'),
    ("remove-timestamp", b'K'),
    ("reset-timestamp", b'k'),
    ("set-home", b'H'),
    ("shell", b's'),
    ("stdin", b'S'),
    ("user", b'u'),
    ("validate", b'v'),
    ("version", b'V'),
    ("edit", b'e'),
];

/// Reads the words after the program's name.
///
/// # Errors
/// When they are no command line of `sudo`.
pub fn parse(words: impl IntoIterator<Item = Word>) -> Result<Invocation, FlagError> {
    let mut words = words.into_iter().peekable();
    let mut state = State::default();
    while let Some(word) = words.next_if(|word| word.starts_with(b"-") || is_variable(word)) {
        if word == b"--" {
            break;
        }
        if is_variable(&word) {
            state.request.set.push(word);
        } else if let Some(long) = word.strip_prefix(b"--") {
            state.long(long, &mut words)?;
        } else {
            state.short(word.get(1..).unwrap_or_default(), &mut words)?;
        }
    }
    state.request.command = words.collect();
    state.finish()
}

/// `VAR=value`, and neither a flag nor a path.
fn is_variable(word: &[u8]) -> bool {
    !word.starts_with(b"-") && !word.starts_with(b"/") && super::environment::pair(word).is_some()
}

impl State {
    fn long(&mut self, word: &[u8], rest: &mut impl Iterator<Item = Word>) -> Result<(), FlagError> {
        let at = word.iter().position(|byte| *byte == b'=');
        let (name, value) = word.split_at(at.unwrap_or(word.len()));
        let value = value.strip_prefix(b"=");
        let name = format!("--{}", String::from_utf8_lossy(name));
        let known = LONG.iter().find(|(long, _)| name.strip_prefix("--") == Some(*long));
        let Some((_, letter)) = known else { return Err(FlagError::Unknown(name)) };
        match (letter, value) {
            (b'E', Some(list)) => {
                self.request.keep.extend(list.split(|byte| *byte == b',').map(<[u8]>::to_vec));
                Ok(())
            }
            (letter, Some(_)) if !takes_value(*letter) => Err(FlagError::Value(name)),
            (letter, Some(value)) => self.valued(*letter, value.to_vec()),
            (letter, None) if takes_value(*letter) => {
                let value = rest.next().ok_or(FlagError::NoValue(name))?;
                self.valued(*letter, value)
            }
            (letter, None) => self.plain(*letter),
        }
    }

    /// A word of one-letter flags, the last of which may have a value.
    fn short(&mut self, letters: &[u8], rest: &mut impl Iterator<Item = Word>) -> Result<(), FlagError> {
        if letters.is_empty() {
            return Err(FlagError::Unknown("-".to_owned()));
        }
        let mut left = letters;
        while let Some((letter, more)) = left.split_first() {
            if takes_value(*letter) {
                let value = if more.is_empty() { rest.next() } else { Some(more.to_vec()) };
                return self.valued(*letter, value.ok_or_else(|| FlagError::NoValue(shown(*letter)))?);
            }
            self.plain(*letter)?;
            left = more;
        }
        Ok(())
    }

    fn plain(&mut self, letter: u8) -> Result<(), FlagError> {
        let flag = match letter {
            b'A' | b'B' | b'N' | b'n' | b'S' => return Ok(()),
            b'k' | b'K' => &mut self.forget,
            b'h' => &mut self.help,
            b'V' => &mut self.version,
            b'l' => {
                self.request.check = true;
                &mut self.list
            }
            b'v' => &mut self.request.check,
            b'b' => &mut self.request.background,
            b'E' => &mut self.request.keep_environment,
            b'H' => &mut self.request.set_home,
            b'i' => &mut self.request.login,
            b's' => &mut self.request.shell,
            b'e' | b'P' => return Err(FlagError::Unsupported(shown(letter))),
            _ => return Err(FlagError::Unknown(shown(letter))),
        };
        *flag = true;
        Ok(())
    }

    fn valued(&mut self, letter: u8, value: Word) -> Result<(), FlagError> {
        let place = match letter {
            b'C' | b'p' => return Ok(()),
            b'D' => &mut self.request.directory,
            b'g' => &mut self.request.group,
            b'u' => &mut self.request.user,
            _ => return Err(FlagError::Unsupported(shown(letter))),
        };
        *place = Some(value);
        Ok(())
    }

    fn finish(self) -> Result<Invocation, FlagError> {
        let Self { request, help, version, forget, list } = self;
        let idle = request.command.is_empty() && !request.login && !request.shell && !request.check;
        match () {
            () if help => Ok(Invocation::Help),
            () if version => Ok(Invocation::Version),
            () if request.login && request.shell => Err(FlagError::TwoShells),
            () if idle && forget => Ok(Invocation::Forget),
            () if idle => Err(FlagError::NoCommand),
            () => Ok(Invocation::Ask { request: Box::new(request), list }),
        }
    }
}

fn takes_value(letter: u8) -> bool {
    b"CDgprRtTuU".contains(&letter)
}

fn shown(letter: u8) -> String {
    format!("-{}", letter.escape_ascii())
}
