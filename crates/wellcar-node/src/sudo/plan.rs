//! What a request comes to: which program, as whom, where, with which environment. Nothing here acts.

use super::accounts::{Accounts, User};
use super::environment::{self, Facts, Keep};
use super::message::{Request, Word};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use sys::process::Identity;
use thiserror::Error;

const SHELL: &str = "/bin/sh";

/// A command ready to be run.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The target user's name.
    pub user: String,
    /// The program: a path, or a name to look for in [`environment::PATH`].
    pub program: PathBuf,
    /// What the program sees as its name.
    pub arg0: Word,
    /// Its arguments.
    pub args: Vec<Word>,
    /// As whom.
    pub identity: Identity,
    /// Its environment.
    pub environment: BTreeMap<Word, Word>,
    /// Where, when that can be entered.
    pub cwd: PathBuf,
    /// It must be entered: it was asked for by name.
    pub must_enter: bool,
}

/// Why a request comes to nothing.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Not one of [`super::GROUPS`].
    #[error("{0} may not run commands as another user: not in the group sudo or wheel")]
    NotAllowed(String),
    /// No such user.
    #[error("unknown user {0}")]
    User(String),
    /// No such group.
    #[error("unknown group {0}")]
    Group(String),
    /// Nothing to run.
    #[error("no command")]
    NoCommand,
}

/// A client who may run commands: only [`permit`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// The name, for people.
    pub name: String,
    uid: u32,
    gid: u32,
}

/// Lets a client through, or not. The ids are those that the kernel told of the peer.
///
/// # Errors
/// When the user is neither root nor in one of the groups.
pub fn permit(accounts: &Accounts, uid: u32, gid: u32) -> Result<Permitted, PlanError> {
    let name = match accounts.by_uid(uid) {
        Some(user) => user.name.clone(),
        None if uid == 0 => "root".to_owned(),
        None => format!("user {uid}"),
    };
    if accounts.may_do_everything(uid) {
        Ok(Permitted { name, uid, gid })
    } else {
        Err(PlanError::NotAllowed(name))
    }
}

/// What a permitted client's request comes to.
///
/// # Errors
/// When the target is unknown or there is nothing to run.
pub fn plan(request: &Request, client: &Permitted, accounts: &Accounts) -> Result<Plan, PlanError> {
    let target = target(request, client, accounts)?;
    let mut groups = accounts.groups_of(&target);
    let mut gid = target.gid;
    if let Some(wanted) = &request.group {
        let wanted = text(wanted);
        gid = accounts.gid(&wanted).ok_or(PlanError::Group(wanted))?;
        if !groups.contains(&gid) {
            groups.insert(0, gid);
        }
    }
    let shell = if target.shell.is_empty() { SHELL } else { &target.shell };
    let home = if target.home.is_empty() { "/" } else { &target.home };
    let (program, arg0, args) = command(request, shell)?;
    let line: Vec<Word> = std::iter::once(program.clone()).chain(args.iter().cloned()).collect();
    let keep = Keep {
        all: request.keep_environment,
        names: &request.keep,
        set_home: request.set_home || request.login,
    };
    let facts = Facts {
        client: (&client.name, client.uid, client.gid),
        target: (&target.name, home, shell),
        command: &line,
    };
    let environment = environment::build(&request.environment, &keep, &request.set, &facts);
    let here = path(&request.cwd);
    let cwd = match &request.directory {
        Some(directory) => here.join(path(directory)),
        None if request.login => PathBuf::from(home),
        None => here,
    };
    Ok(Plan {
        user: target.name.clone(),
        program: path(&program),
        arg0,
        args,
        identity: Identity { uid: target.uid, gid, groups },
        environment,
        cwd,
        must_enter: request.directory.is_some(),
    })
}

/// The user to become: the one named, oneself when only a group is named, or else root, who is known
/// even to a machine whose list of users is lost.
fn target(request: &Request, client: &Permitted, accounts: &Accounts) -> Result<User, PlanError> {
    let root =
        || User { name: "root".to_owned(), uid: 0, gid: 0, home: "/root".to_owned(), shell: String::new() };
    let uid = match (&request.user, &request.group) {
        (Some(wanted), _) => {
            let wanted = text(wanted);
            return match accounts.user(&wanted) {
                Some(user) => Ok(user.clone()),
                None if wanted == "root" || wanted == "#0" => Ok(root()),
                None => Err(PlanError::User(wanted)),
            };
        }
        (None, Some(_)) => client.uid,
        (None, None) => 0,
    };
    match accounts.by_uid(uid) {
        Some(user) => Ok(user.clone()),
        None if uid == 0 => Ok(root()),
        None => Err(PlanError::User(format!("#{uid}"))),
    }
}

/// The program, its name for itself and its arguments.
fn command(request: &Request, target_shell: &str) -> Result<(Word, Word, Vec<Word>), PlanError> {
    if !request.login && !request.shell {
        let (program, args) = request.command.split_first().ok_or(PlanError::NoCommand)?;
        if program.is_empty() {
            return Err(PlanError::NoCommand);
        }
        return Ok((program.clone(), program.clone(), args.to_vec()));
    }
    let own = request.environment.iter().find_map(|word| word.strip_prefix(b"SHELL=")).filter(|own| {
        // A shell that is not named by its path is no shell.
        request.shell && own.starts_with(b"/")
    });
    let program = own.map_or_else(|| target_shell.as_bytes().to_vec(), <[u8]>::to_vec);
    let arg0 = if request.login {
        let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        [b"-", name].concat()
    } else {
        program.clone()
    };
    let args = if request.command.is_empty() {
        Vec::new()
    } else {
        vec![b"-c".to_vec(), request.command.iter().map(|word| escaped(word)).collect::<Vec<_>>().join(&b' ')]
    };
    Ok((program, arg0, args))
}

/// A word so that a shell takes it as it is, but for `$`, which it may replace: as people expect of
/// `sudo -i echo '$HOME'`.
fn escaped(word: &[u8]) -> Word {
    let mut out = Vec::with_capacity(word.len());
    if word.is_empty() {
        return b"''".to_vec();
    }
    for byte in word {
        match byte {
            b'\n' => out.extend_from_slice(b"'\n'"),
            b'_' | b'-' | b'$' | 0x80.. => out.push(*byte),
            byte if byte.is_ascii_alphanumeric() => out.push(*byte),
            byte => out.extend_from_slice(&[b'\\', *byte]),
        }
    }
    out
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

fn path(word: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(word)).to_owned()
}

/// Bytes as the standard library wants words.
#[must_use]
pub fn os(word: &[u8]) -> std::ffi::OsString {
    std::ffi::OsString::from_vec(word.to_vec())
}
