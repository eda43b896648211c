//! Entry points for fuzzing: each takes any bytes and must return.

use crate::accounts::{Accounts, GroupWish, UserWish};
use crate::install;

/// The first line is a name, the rest is each of the four account files.
pub fn accounts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, files) = text.split_once('\n').unwrap_or(("", &text));
    let mut accounts = Accounts::parse(files, files, files, files);
    let _ = accounts.ensure_user(&UserWish { name: name.to_owned(), ..UserWish::default() }, 1);
    let _ = accounts.ensure_group(&GroupWish { name: name.to_owned(), ..GroupWish::default() });
    let _ = accounts.delete_user(name);
    let _ = accounts.delete_group(name);
    let _ = accounts.render();
}

/// The first line is a unit's name, the rest its text: no link may leave the unit directory.
pub fn install(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, unit) = text.split_once('\n').unwrap_or(("a.service", &text));
    if install::is_unit_name(name) {
        for link in install::links(name, "/p", unit) {
            assert!(link.name.split('/').count() <= 2, "{}", link.name);
        }
    }
}
