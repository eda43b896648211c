//! Who is who, by the text of `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
//!
//! Lines that are not well formed count for nothing, as they do for the C library: a broken line must
//! never give anybody more than they have.

use super::GROUPS;

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The home folder, empty when none is named.
    pub home: String,
    /// The shell, empty when none is named.
    pub shell: String,
}

#[derive(Debug)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// The users and groups of this machine.
#[derive(Debug)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

impl Accounts {
    /// Reads the text of both files.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(self::group).collect(),
        }
    }

    /// The first user with this id.
    #[must_use]
    pub fn by_uid(&self, uid: u32) -> Option<&User> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// The user that `-u` names: a name, or `#` and an id.
    #[must_use]
    pub fn user(&self, wanted: &str) -> Option<&User> {
        match wanted.strip_prefix('#') {
            Some(id) => self.by_uid(number(id)?),
            None => self.users.iter().find(|user| user.name == wanted),
        }
    }

    /// The id of the group that `-g` names: a name, or `#` and an id.
    #[must_use]
    pub fn gid(&self, wanted: &str) -> Option<u32> {
        match wanted.strip_prefix('#') {
            Some(id) => number(id),
            None => self.groups.iter().find(|group| group.name == wanted).map(|group| group.gid),
        }
    }

    /// The ids of a user's groups: the primary one first, then those that list the user.
    #[must_use]
    pub fn groups_of(&self, user: &User) -> Vec<u32> {
        let mut ids = vec![user.gid];
        for group in self.groups.iter().filter(|group| group.members.contains(&user.name)) {
            if !ids.contains(&group.gid) {
                ids.push(group.gid);
            }
        }
        ids
    }

    /// Whether this user id may run commands as anybody: root, and who is in one of [`GROUPS`].
    #[must_use]
    pub fn may_do_everything(&self, uid: u32) -> bool {
        uid == 0
            || self.by_uid(uid).is_some_and(|user| {
                self.groups
                    .iter()
                    .filter(|group| GROUPS.contains(&group.name.as_str()))
                    .any(|group| group.gid == user.gid || group.members.contains(&user.name))
            })
    }
}

fn user(line: &str) -> Option<User> {
    let [name, _password, uid, gid, _comment, home, shell] = fields(line)?;
    Some(User {
        name: named(name)?,
        uid: number(uid)?,
        gid: number(gid)?,
        home: home.to_owned(),
        shell: shell.to_owned(),
    })
}

fn group(line: &str) -> Option<Group> {
    let [name, _password, gid, members] = fields(line)?;
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Group { name: named(name)?, gid: number(gid)?, members })
}

/// Exactly `N` fields.
fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    let mut parts = line.split(':');
    let mut fields = [""; N];
    for field in &mut fields {
        *field = parts.next()?;
    }
    parts.next().is_none().then_some(fields)
}

/// A name, not a comment and not a compat entry (`+name`, `-name`).
fn named(name: &str) -> Option<String> {
    (!name.is_empty() && !name.starts_with(['#', '+', '-'])).then(|| name.to_owned())
}

/// An id in decimal digits alone. The highest means "no id" to the kernel and is none.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?.filter(|id| *id != u32::MAX)
}
