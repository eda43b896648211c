//! As whom, and in front of which terminal, a command runs.

use super::Cmd;
use rustix::fs::Gid;
use rustix::process::Uid;
use std::ffi::OsStr;
use std::path::Path;

/// The user and the groups of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids: all of them, none is kept from the parent.
    pub groups: Vec<u32>,
}

/// What the child does with an [`Identity`], ready before the fork.
#[derive(Debug)]
pub(super) struct Prepared {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Prepared {
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            uid: Uid::from_raw(identity.uid),
            gid: Gid::from_raw(identity.gid),
            groups: identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect(),
        }
    }

    /// Takes the identity on, for good. The child has one thread, so the thread's ids are the
    /// process's. System calls only.
    pub(super) fn assume(&self) -> rustix::io::Result<()> {
        rustix::thread::set_thread_groups(&self.groups)?;
        rustix::thread::set_thread_res_gid(self.gid, self.gid, self.gid)?;
        rustix::thread::set_thread_res_uid(self.uid, self.uid, self.uid)
    }
}

impl Cmd {
    /// What the program sees as its own name, in place of how it was called.
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.arg0 = Some(name.as_ref().to_owned());
        self
    }

    /// Runs as this user and with exactly these groups (needs root).
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(Prepared::new(identity));
        self
    }

    /// Runs in a session of its own whose terminal is the command's standard input. Only for
    /// [`spawn`](Self::spawn).
    pub fn terminal_session(mut self) -> Self {
        self.terminal_session = true;
        self
    }

    /// Runs in this directory when the command's user can enter it, and in `/` otherwise.
    pub fn cwd_or_root(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd_or_root = Some(dir.as_ref().to_owned());
        self
    }
}
