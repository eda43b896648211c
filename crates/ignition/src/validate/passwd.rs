//! Checks of `passwd`.

use super::Checker;
use crate::model::{OptExt as _, Passwd};
use report::codes;

impl Checker<'_> {
    pub(super) fn passwd(&mut self, passwd: &Passwd) {
        self.unique("groups", &passwd.groups);
        self.unique("users", &passwd.users);
        self.each("groups", &passwd.groups, |c, group| {
            if group.name.get().is_none_or(String::is_empty) {
                c.warning(
                    codes::PASSWD,
                    "name",
                    group.span,
                    "the group has no name; the machine cannot make it",
                );
            }
        });
        self.each("users", &passwd.users, |c, user| {
            if user.name.get().is_none_or(String::is_empty) {
                c.warning(
                    codes::PASSWD,
                    "name",
                    user.span,
                    "the user has no name; the machine cannot make it",
                );
            }
            c.unique_strings("groups", &user.groups);
            c.unique_strings("sshAuthorizedKeys", &user.ssh_authorized_keys);
        });
    }
}
