//! The account files of a target root (`passwd`, `shadow`, `group`, `gshadow`) as text in, text out.
//!
//! It does what `useradd`, `usermod`, `userdel` and the group tools do to these four files, so that the image
//! needs none of them. Lines it does not touch keep their bytes, also comments and NIS entries.

use std::collections::BTreeSet;

/// First and last id of ordinary users and groups.
const ORDINARY: (u32, u32) = (1000, 59_999);
/// First and last id of system users and groups; given out from the top.
const SYSTEM: (u32, u32) = (100, 499);
/// The group of users without a group of their own.
const USERS_GROUP: &str = "users";
/// Its id where the target has no such group.
const USERS_GID: u32 = 100;

/// The four files; an absent one is empty and, if nothing is added, stays so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// `/etc/passwd`
    pub passwd: Vec<String>,
    /// `/etc/shadow`
    pub shadow: Vec<String>,
    /// `/etc/group`
    pub group: Vec<String>,
    /// `/etc/gshadow`
    pub gshadow: Vec<String>,
}

/// A user as `passwd` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// What is wanted of a user; `None` leaves what is there, or the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserWish {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: Option<u32>,
    /// Comment.
    pub gecos: Option<String>,
    /// Home directory.
    pub home: Option<String>,
    /// Login shell.
    pub shell: Option<String>,
    /// Primary group, name or number.
    pub primary_group: Option<String>,
    /// Supplementary groups; empty leaves them.
    pub groups: Vec<String>,
    /// Crypted password.
    pub password_hash: Option<String>,
    /// Id from the system range.
    pub system: bool,
    /// No group of the user's name.
    pub no_user_group: bool,
}

/// What is wanted of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupWish {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: Option<u32>,
    /// Crypted password.
    pub password_hash: Option<String>,
    /// Id from the system range.
    pub system: bool,
}

/// Why an account cannot be made so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// A name that the files or tools would misread.
    #[error(
        "failed to accept account name `{0}`: expected 1 to 32 of a-z A-Z 0-9 _ . - (a `$` at the end), not starting with - or ., not only digits"
    )]
    Name(String),
    /// A field that would break its line.
    #[error("failed to accept {field} of `{name}`: it holds a colon or a control character")]
    Field {
        /// Which field.
        field: &'static str,
        /// Whose.
        name: String,
    },
    /// An id that somebody has.
    #[error("failed to give `{name}` the {kind} {id}: `{holder}` has it")]
    IdTaken {
        /// Who wants it.
        name: String,
        /// `uid` or `gid`.
        kind: &'static str,
        /// The id.
        id: u32,
        /// Who has it.
        holder: String,
    },
    /// No id is left.
    #[error("failed to find a free {kind} for `{name}`")]
    NoId {
        /// Who wants it.
        name: String,
        /// `uid` or `gid`.
        kind: &'static str,
    },
    /// A group that is not there.
    #[error("failed to put `{user}` into group `{group}`: there is no such group")]
    NoGroup {
        /// Who.
        user: String,
        /// The group.
        group: String,
    },
    /// A new user's own group exists already.
    #[error("failed to make user `{0}`: a group of this name exists and no primary group is given")]
    GroupExists(String),
    /// A group that is some user's primary group.
    #[error("failed to delete group `{group}`: it is the primary group of `{user}`")]
    InUse {
        /// The group.
        group: String,
        /// Its user.
        user: String,
    },
    /// The superuser.
    #[error("failed to delete user `root`: the system cannot run without it")]
    Root,
}

type Result<T> = std::result::Result<T, AccountError>;

/// Whether a name can stand in the account files.
///
/// # Errors
/// [`AccountError::Name`] when not.
pub fn check_name(name: &str) -> Result<()> {
    let body = name.strip_suffix('$').unwrap_or(name);
    let fine = !body.is_empty()
        && name.len() <= 32
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && !body.starts_with(['-', '.'])
        && !body.bytes().all(|b| b.is_ascii_digit());
    if fine { Ok(()) } else { Err(AccountError::Name(name.to_owned())) }
}

fn check_field(field: &'static str, name: &str, value: &str) -> Result<()> {
    if value.contains(':') || value.chars().any(char::is_control) {
        return Err(AccountError::Field { field, name: name.to_owned() });
    }
    Ok(())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn join(lines: &[String]) -> String {
    lines.iter().flat_map(|l| [l.as_str(), "\n"]).collect()
}

fn field(line: &str, index: usize) -> &str {
    line.split(':').nth(index).unwrap_or("")
}

fn is_of(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
}

fn set_field(line: &mut String, index: usize, value: &str) {
    let mut fields: Vec<&str> = line.split(':').collect();
    while fields.len() <= index {
        fields.push("");
    }
    fields[index] = value;
    *line = fields.join(":");
}

fn members(line: &str, index: usize) -> Vec<String> {
    field(line, index).split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect()
}

impl Accounts {
    /// Reads the four texts.
    #[must_use]
    pub fn parse(passwd: &str, shadow: &str, group: &str, gshadow: &str) -> Self {
        Self { passwd: lines(passwd), shadow: lines(shadow), group: lines(group), gshadow: lines(gshadow) }
    }

    /// The four texts: passwd, shadow, group, gshadow.
    #[must_use]
    pub fn render(&self) -> [String; 4] {
        [join(&self.passwd), join(&self.shadow), join(&self.group), join(&self.gshadow)]
    }

    /// A user by name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<User> {
        self.passwd.iter().find(|l| is_of(l, name)).and_then(|l| parse_user(l))
    }

    /// The id of a group by name.
    #[must_use]
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.group.iter().find(|l| is_of(l, name)).and_then(|l| field(l, 2).parse().ok())
    }

    /// The names of the groups that list `user` as a member.
    #[must_use]
    pub fn groups_of(&self, user: &str) -> Vec<String> {
        self.group
            .iter()
            .filter(|l| members(l, 3).iter().any(|m| m == user))
            .map(|l| field(l, 0).to_owned())
            .collect()
    }

    fn uid_holder(&self, uid: u32) -> Option<&str> {
        self.passwd.iter().find(|l| field(l, 2).parse() == Ok(uid)).map(|l| field(l, 0))
    }

    fn gid_holder(&self, gid: u32) -> Option<&str> {
        self.group.iter().find(|l| field(l, 2).parse() == Ok(gid)).map(|l| field(l, 0))
    }

    fn free_id(&self, name: &str, kind: &'static str, system: bool, also_free: Option<u32>) -> Result<u32> {
        let of = |list: &[String]| -> BTreeSet<u32> {
            list.iter().filter_map(|l| field(l, 2).parse().ok()).collect()
        };
        let (uids, gids) = (of(&self.passwd), of(&self.group));
        let used = if kind == "uid" { &uids } else { &gids };
        if let Some(id) = also_free.filter(|id| !used.contains(id)) {
            return Ok(id);
        }
        let none = || AccountError::NoId { name: name.to_owned(), kind };
        if system {
            // Free in both, so that a system user and its group share the number.
            return (SYSTEM.0..=SYSTEM.1)
                .rev()
                .find(|id| !uids.contains(id) && !gids.contains(id))
                .ok_or_else(none);
        }
        let next = used.range(ORDINARY.0..=ORDINARY.1).next_back().map_or(ORDINARY.0, |top| top + 1);
        if next <= ORDINARY.1 {
            return Ok(next);
        }
        (ORDINARY.0..=ORDINARY.1).find(|id| !used.contains(id)).ok_or_else(none)
    }

    /// Makes the group, or changes the one that is there; true if it was made.
    ///
    /// # Errors
    /// When a field or the id cannot be used.
    pub fn ensure_group(&mut self, wish: &GroupWish) -> Result<bool> {
        check_name(&wish.name)?;
        let hash = wish.password_hash.as_deref().unwrap_or("");
        check_field("the password hash", &wish.name, hash)?;
        if let Some(gid) = wish.gid
            && let Some(holder) = self.gid_holder(gid)
            && holder != wish.name
        {
            let holder = holder.to_owned();
            return Err(AccountError::IdTaken { name: wish.name.clone(), kind: "gid", id: gid, holder });
        }
        let exists = self.gid(&wish.name).is_some();
        if exists {
            if let Some(gid) = wish.gid {
                let old = self.gid(&wish.name);
                for line in self.group.iter_mut().filter(|l| is_of(l, &wish.name)) {
                    set_field(line, 2, &gid.to_string());
                }
                for line in self.passwd.iter_mut().filter(|l| field(l, 3).parse().ok() == old) {
                    set_field(line, 3, &gid.to_string());
                }
            }
            if !hash.is_empty() {
                self.set_group_password(&wish.name, hash);
            }
            return Ok(false);
        }
        let gid = match wish.gid {
            Some(gid) => gid,
            None => self.free_id(&wish.name, "gid", wish.system, None)?,
        };
        self.group.push(format!("{}:x:{gid}:", wish.name));
        self.set_group_password(&wish.name, if hash.is_empty() { "*" } else { hash });
        Ok(true)
    }

    fn set_group_password(&mut self, name: &str, hash: &str) {
        match self.gshadow.iter_mut().find(|l| is_of(l, name)) {
            Some(line) => set_field(line, 1, hash),
            None => self.gshadow.push(format!("{name}:{hash}::")),
        }
    }

    /// Removes a group; true if it was there.
    ///
    /// # Errors
    /// When it is the primary group of a user.
    pub fn delete_group(&mut self, name: &str) -> Result<bool> {
        let Some(gid) = self.gid(name) else { return Ok(false) };
        if let Some(line) = self.passwd.iter().find(|l| field(l, 3).parse() == Ok(gid)) {
            return Err(AccountError::InUse { group: name.to_owned(), user: field(line, 0).to_owned() });
        }
        self.group.retain(|l| !is_of(l, name));
        self.gshadow.retain(|l| !is_of(l, name));
        Ok(true)
    }

    fn find_group(&self, user: &str, group: &str) -> Result<u32> {
        let number = group.parse::<u32>().ok();
        self.gid(group)
            .or_else(|| number.filter(|gid| self.gid_holder(*gid).is_some()))
            .ok_or_else(|| AccountError::NoGroup { user: user.to_owned(), group: group.to_owned() })
    }

    /// Makes the user, or changes the one that is there; true if it was made. `day`: days since 1970-01-01.
    ///
    /// # Errors
    /// When a field, an id or a group cannot be used; nothing is changed then.
    pub fn ensure_user(&mut self, wish: &UserWish, day: u32) -> Result<bool> {
        let mut next = self.clone();
        let made = next.try_user(wish, day)?;
        *self = next;
        Ok(made)
    }

    fn try_user(&mut self, wish: &UserWish, day: u32) -> Result<bool> {
        check_name(&wish.name)?;
        for (what, value) in [
            ("the comment", &wish.gecos),
            ("the home directory", &wish.home),
            ("the shell", &wish.shell),
            ("the password hash", &wish.password_hash),
        ] {
            check_field(what, &wish.name, value.as_deref().unwrap_or(""))?;
        }
        if let Some(uid) = wish.uid
            && let Some(holder) = self.uid_holder(uid)
            && holder != wish.name
        {
            let holder = holder.to_owned();
            return Err(AccountError::IdTaken { name: wish.name.clone(), kind: "uid", id: uid, holder });
        }
        let exists = self.user(&wish.name).is_some();
        if exists {
            self.change_user(wish)?;
        } else {
            self.add_user(wish, day)?;
        }
        if !wish.groups.is_empty() {
            self.set_groups(&wish.name, &wish.groups)?;
        }
        Ok(!exists)
    }

    fn add_user(&mut self, wish: &UserWish, day: u32) -> Result<()> {
        let name = &wish.name;
        let uid = match wish.uid {
            Some(uid) => uid,
            None => self.free_id(name, "uid", wish.system, None)?,
        };
        let gid = if let Some(group) = &wish.primary_group {
            self.find_group(name, group)?
        } else if wish.no_user_group {
            self.gid(USERS_GROUP).unwrap_or(USERS_GID)
        } else if self.gid(name).is_some() {
            return Err(AccountError::GroupExists(name.clone()));
        } else {
            let gid = self.free_id(name, "gid", wish.system, Some(uid))?;
            self.group.push(format!("{name}:x:{gid}:"));
            self.gshadow.push(format!("{name}:!::"));
            gid
        };
        let gecos = wish.gecos.as_deref().unwrap_or("");
        let home = wish.home.clone().unwrap_or_else(|| format!("/home/{name}"));
        let shell = wish.shell.as_deref().unwrap_or("/bin/bash");
        self.passwd.push(format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}"));
        let hash = wish.password_hash.as_deref().filter(|h| !h.is_empty()).unwrap_or("*");
        let aging = if wish.system { "::::::" } else { "0:99999:7:::" };
        self.shadow.retain(|l| !is_of(l, name));
        self.shadow.push(format!("{name}:{hash}:{day}:{aging}"));
        Ok(())
    }

    fn change_user(&mut self, wish: &UserWish) -> Result<()> {
        let gid = match &wish.primary_group {
            Some(group) => Some(self.find_group(&wish.name, group)?.to_string()),
            None => None,
        };
        let changes = [
            (2, wish.uid.map(|u| u.to_string())),
            (3, gid),
            (4, wish.gecos.clone()),
            (5, wish.home.clone()),
            (6, wish.shell.clone()),
        ];
        for line in self.passwd.iter_mut().filter(|l| is_of(l, &wish.name)) {
            for (index, value) in &changes {
                if let Some(value) = value {
                    set_field(line, *index, value);
                }
            }
        }
        if let Some(hash) = &wish.password_hash {
            let hash = if hash.is_empty() { "*" } else { hash };
            match self.shadow.iter_mut().find(|l| is_of(l, &wish.name)) {
                Some(line) => set_field(line, 1, hash),
                None => self.shadow.push(format!("{}:{hash}:::::::", wish.name)),
            }
        }
        Ok(())
    }

    /// Makes `user` a member of exactly these groups.
    fn set_groups(&mut self, user: &str, groups: &[String]) -> Result<()> {
        let mut wanted = BTreeSet::new();
        for group in groups {
            wanted.insert(self.find_group(user, group)?);
        }
        for line in &mut self.group {
            let Ok(gid) = field(line, 2).parse::<u32>() else { continue };
            let mut list = members(line, 3);
            let had = list.iter().any(|m| m == user);
            let want = wanted.contains(&gid);
            if had == want {
                continue;
            }
            if want {
                list.push(user.to_owned());
            } else {
                list.retain(|m| m != user);
            }
            set_field(line, 3, &list.join(","));
            let name = field(line, 0).to_owned();
            if let Some(shadow) = self.gshadow.iter_mut().find(|l| is_of(l, &name)) {
                set_field(shadow, 3, &list.join(","));
            }
        }
        Ok(())
    }

    /// Removes a user, its memberships, and its own group when nobody else is in it; returns it if it was there.
    ///
    /// # Errors
    /// For `root`.
    pub fn delete_user(&mut self, name: &str) -> Result<Option<User>> {
        let Some(user) = self.user(name) else { return Ok(None) };
        if user.uid == 0 {
            return Err(AccountError::Root);
        }
        self.passwd.retain(|l| !is_of(l, name));
        self.shadow.retain(|l| !is_of(l, name));
        for line in &mut self.group {
            let list = members(line, 3);
            if list.iter().any(|m| m == name) {
                let rest: Vec<_> = list.into_iter().filter(|m| m != name).collect();
                set_field(line, 3, &rest.join(","));
            }
        }
        for line in &mut self.gshadow {
            let list = members(line, 3);
            if list.iter().any(|m| m == name) {
                let rest: Vec<_> = list.into_iter().filter(|m| m != name).collect();
                set_field(line, 3, &rest.join(","));
            }
        }
        let own_empty = self.group.iter().any(|l| is_of(l, name) && members(l, 3).is_empty());
        let primary =
            self.gid(name).is_some_and(|gid| self.passwd.iter().any(|l| field(l, 3).parse() == Ok(gid)));
        if own_empty && !primary {
            self.group.retain(|l| !is_of(l, name));
            self.gshadow.retain(|l| !is_of(l, name));
        }
        Ok(Some(user))
    }
}

fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
    Some(User {
        name: (*name).to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: (*home).to_owned(),
        shell: (*shell).to_owned(),
    })
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
