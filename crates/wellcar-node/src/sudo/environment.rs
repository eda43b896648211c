//! The environment of a command: clean unless asked otherwise.

use super::message::Word;
use std::collections::BTreeMap;

/// The folders programs are looked for in, and PATH of every command.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt/bin";

/// Bytes of SUDO_COMMAND.
const MAX_COMMAND: usize = 4096;

/// Who runs what as whom.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The client: name, user id, group id.
    pub client: (&'a str, u32, u32),
    /// The target's name, home folder and shell.
    pub target: (&'a str, &'a str, &'a str),
    /// The command line.
    pub command: &'a [Word],
}

/// What to keep of the client's environment.
#[derive(Debug)]
pub struct Keep<'a> {
    /// All of it that does no harm.
    pub all: bool,
    /// These names, too.
    pub names: &'a [Word],
    /// HOME is the target user's all the same.
    pub set_home: bool,
}

/// The variables of a command, by name. Later rules win: what is kept, what describes the target,
/// what was set on the command line.
#[must_use]
pub fn build(client: &[Word], keep: &Keep<'_>, set: &[Word], facts: &Facts<'_>) -> BTreeMap<Word, Word> {
    let mut variables = BTreeMap::new();
    for (name, value) in client.iter().filter_map(|word| pair(word)) {
        let asked = keep.all || keep.names.iter().any(|kept| kept == name);
        if (asked && !harmful(name, value)) || (shown(name) && plain(value)) {
            variables.insert(name.to_vec(), value.to_vec());
        }
    }
    let mut put = |name: &str, value: &[u8]| variables.insert(name.into(), value.to_vec());
    let (user, home, shell) = facts.target;
    put("PATH", PATH.as_bytes());
    put("USER", user.as_bytes());
    put("LOGNAME", user.as_bytes());
    put("SHELL", shell.as_bytes());
    let (name, uid, gid) = facts.client;
    put("SUDO_USER", name.as_bytes());
    put("SUDO_UID", uid.to_string().as_bytes());
    put("SUDO_GID", gid.to_string().as_bytes());
    let mut command = facts.command.join(&b' ');
    command.truncate(MAX_COMMAND);
    put("SUDO_COMMAND", &command);
    let kept_home = variables.contains_key(b"HOME".as_slice()) && !keep.set_home;
    if !kept_home {
        variables.insert(b"HOME".to_vec(), home.into());
    }
    variables.entry(b"TERM".to_vec()).or_insert_with(|| b"unknown".to_vec());
    for (name, value) in set.iter().filter_map(|word| pair(word)) {
        variables.insert(name.to_vec(), value.to_vec());
    }
    variables
}

/// `NAME=value`, both parts; nothing for words that are none.
#[must_use]
pub fn pair(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((word.get(..at)?, word.get(at + 1..)?))
}

/// What is kept without asking: how to talk to the person.
fn shown(name: &[u8]) -> bool {
    matches!(name, b"TERM" | b"COLORTERM" | b"NO_COLOR" | b"LANG" | b"LANGUAGE") || name.starts_with(b"LC_")
}

/// A value that names no file.
fn plain(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'/' | b'%') || byte.is_ascii_control())
}

/// Variables that make a program load or run something else than what was asked for.
fn harmful(name: &[u8], value: &[u8]) -> bool {
    const NAMES: [&str; 38] = [
        "PATH",
        "CDPATH",
        "ENV",
        "BASH_ENV",
        "IFS",
        "PS4",
        "SHELLOPTS",
        "BASHOPTS",
        "GLOBIGNORE",
        "FPATH",
        "NULLCMD",
        "READNULLCMD",
        "ZDOTDIR",
        "TMPPREFIX",
        "LOCALDOMAIN",
        "RES_OPTIONS",
        "HOSTALIASES",
        "NLSPATH",
        "PATH_LOCALE",
        "TERMINFO",
        "TERMINFO_DIRS",
        "TERMPATH",
        "TERMCAP",
        "GCONV_PATH",
        "GETCONF_DIR",
        "TZDIR",
        "PERLLIB",
        "PERL5LIB",
        "PERL5OPT",
        "PERL5DB",
        "PERLIO_DEBUG",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONINSPECT",
        "PYTHONUSERBASE",
        "RUBYLIB",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
    ];
    const PREFIXES: [&str; 6] = ["LD_", "_RLD", "MALLOC_", "BASH_FUNC_", "SUDO_", "DYLD_"];
    NAMES.iter().any(|known| known.as_bytes() == name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        || value.starts_with(b"()")
}
