//! The account files of the image, from `os/users.toml`: passwd, group, shadow, gshadow for the lower
//! layer of /etc, and the same as sysusers.d, so that a machine whose own copy of passwd hides the
//! image's still learns of a later release's users.

use crate::distribution::Users;
use std::fmt::Write as _;

/// The four account files and the sysusers.d file.
#[derive(Debug)]
pub struct AccountFiles {
    /// `/etc/passwd`, passwd(5).
    pub passwd: String,
    /// `/etc/group`, group(5).
    pub group: String,
    /// `/etc/shadow`, shadow(5): every password is locked.
    pub shadow: String,
    /// `/etc/gshadow`, gshadow(5).
    pub gshadow: String,
    /// sysusers.d(5).
    pub sysusers: String,
}

/// What is wrong in `users.toml`.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A number or a name is there twice.
    #[error("failed to write the account files: {what} `{value}` is there twice in `os/users.toml`")]
    Twice {
        /// uid, gid, user or group.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// A user's group does not exist.
    #[error(
        "failed to write the account files: user `{user}` is in group `{group}`, which `os/users.toml` does not have"
    )]
    NoGroup {
        /// The user.
        user: String,
        /// The group, name or number.
        group: String,
    },
}

/// Writes the account files.
///
/// # Errors
/// Numbers or names used twice, groups that do not exist.
pub fn account_files(users: &Users) -> Result<AccountFiles, AccountError> {
    check(users)?;
    let mut files = AccountFiles {
        passwd: String::new(),
        group: String::new(),
        shadow: String::new(),
        gshadow: String::new(),
        sysusers: String::from("# Generated from os/users.toml.\n"),
    };
    let mut groups: Vec<(&String, &u32)> = users.groups.iter().collect();
    groups.sort_by_key(|(_, gid)| **gid);
    for (name, gid) in groups {
        let members: Vec<&str> = users
            .user
            .iter()
            .filter(|user| user.groups.contains(name))
            .map(|user| user.name.as_str())
            .collect();
        let members = members.join(",");
        let _ = writeln!(files.group, "{name}:x:{gid}:{members}");
        let _ = writeln!(files.gshadow, "{name}:!*::{members}");
        let _ = writeln!(files.sysusers, "g {name} {gid}");
    }
    let mut list: Vec<_> = users.user.iter().collect();
    list.sort_by_key(|user| user.uid);
    for user in list {
        let (name, uid, gid) = (&user.name, user.uid, user.gid);
        let _ = writeln!(files.passwd, "{name}:x:{uid}:{gid}:{}:{}:{}", user.comment, user.home, user.shell);
        let _ = writeln!(files.shadow, "{name}:*:::::::");
        let _ = writeln!(
            files.sysusers,
            "u {name} {uid}:{gid} \"{}\" {} {}",
            user.comment, user.home, user.shell
        );
        for group in &user.groups {
            let _ = writeln!(files.sysusers, "m {name} {group}");
        }
    }
    Ok(files)
}

fn check(users: &Users) -> Result<(), AccountError> {
    let mut gids = std::collections::BTreeSet::new();
    for gid in users.groups.values() {
        if !gids.insert(*gid) {
            return Err(AccountError::Twice { what: "gid", value: gid.to_string() });
        }
    }
    let (mut names, mut uids) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for user in &users.user {
        if !names.insert(&user.name) {
            return Err(AccountError::Twice { what: "user", value: user.name.clone() });
        }
        if !uids.insert(user.uid) {
            return Err(AccountError::Twice { what: "uid", value: user.uid.to_string() });
        }
        if !gids.contains(&user.gid) {
            return Err(AccountError::NoGroup { user: user.name.clone(), group: user.gid.to_string() });
        }
        for group in &user.groups {
            if !users.groups.contains_key(group) {
                return Err(AccountError::NoGroup { user: user.name.clone(), group: group.clone() });
            }
        }
    }
    Ok(())
}
