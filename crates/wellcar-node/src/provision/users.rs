//! Accounts in the target: the four files written whole, homes from the skeleton, ssh keys.
//!
//! `WELLCAR_USERADD` and its siblings name outside programs to call instead, with the arguments Ignition gives to
//! useradd and the like; then the files are read again after each call.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::provision::accounts::{Accounts, GroupWish, User};
use ::provision::record::AccountRecord;
use ::provision::{Action, Step, UserChange};
use sys::process::Cmd;
use sys::rooted::{Durability, Entry, Kind, Meta, Root};

use super::context::{Context, env};
use super::failure::{Failure, Result, fail};

/// The most bytes of an account file.
const LIMIT: u64 = 16 << 20;
/// The account files: path, mode, group that may read it.
const FILES: [(&str, u32, &str); 4] = [
    ("/etc/passwd", 0o644, "root"),
    ("/etc/shadow", 0o640, "shadow"),
    ("/etc/group", 0o644, "root"),
    ("/etc/gshadow", 0o640, "shadow"),
];

/// The target's accounts.
pub(super) fn read(root: &Root) -> Result<Accounts> {
    let text = |path: &str| -> Result<String> {
        let bytes = root.read_opt(Path::new(path), LIMIT).map_err(|e| fail("passwd")(&e))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    Ok(Accounts::parse(
        &text("/etc/passwd")?,
        &text("/etc/shadow")?,
        &text("/etc/group")?,
        &text("/etc/gshadow")?,
    ))
}

fn write(root: &Root, old: &Accounts, new: &Accounts) -> Result<()> {
    let (before, after) = (old.render(), new.render());
    let shadow_group = new.gid("shadow").unwrap_or(0);
    for (i, (path, mode, group)) in FILES.into_iter().enumerate() {
        if before[i] == after[i] {
            continue;
        }
        let path = Path::new(path);
        root.mkdir_all(Path::new("/etc"), 0o755).map_err(|e| fail("passwd")(&e))?;
        let gid = if group == "shadow" { shadow_group } else { 0 };
        let existing = root.entry_followed(path).map_err(|e| fail("passwd")(&e))?;
        let meta =
            existing.map_or(Meta { mode, uid: 0, gid }, |e| Meta { mode: e.mode, uid: e.uid, gid: e.gid });
        root.write(path, meta, Durability::Now, after[i].as_bytes()).map_err(|e| fail("passwd")(&e))?;
    }
    Ok(())
}

/// What the account steps did.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) groups: Vec<AccountRecord>,
    pub(super) users: Vec<AccountRecord>,
    pub(super) accounts: Accounts,
}

/// Does the account steps, from the accounts as they were before provisioning began. `day`: days since 1970-01-01,
/// for the shadow file.
pub(super) fn perform(
    context: &Context,
    root: &Root,
    steps: &[Step],
    before: Accounts,
    day: u32,
) -> Result<Done> {
    // The four files cannot change in one go: an interrupted run is undone, then done again.
    write(root, &read(root)?, &before)?;
    let mut done = Done { accounts: before, ..Done::default() };
    // Accounts are all written before any home is made: a home's owner must not be a number nobody has.
    for step in steps {
        account(context, root, step, day, &mut done).map_err(|f| Box::new(f.step(step)))?;
    }
    for step in steps {
        if let Action::EnsureUser(change) = &step.action {
            home_and_keys(root, change, &done.accounts).map_err(|f| Box::new(f.step(step)))?;
        }
    }
    Ok(done)
}

fn account(context: &Context, root: &Root, step: &Step, day: u32, done: &mut Done) -> Result<()> {
    let old = done.accounts.clone();
    let entry = |name: &str, what: &str, id, ssh_keys| AccountRecord {
        name: name.to_owned(),
        done: what.to_owned(),
        id,
        ssh_keys,
    };
    let made = |made: bool| if made { "made" } else { "changed" };
    match &step.action {
        Action::EnsureGroup(group) => {
            context.log(&step.to_string());
            let name = &group.0.name;
            let new = match helper(context, if old.gid(name).is_some() { "GROUPMOD" } else { "GROUPADD" }) {
                Some(program) => {
                    let new = old.gid(name).is_none();
                    run_helper(context, &program, group_args(&group.0, new))?;
                    done.accounts = read(root)?;
                    new
                }
                None => {
                    let new = done.accounts.ensure_group(&group.0).map_err(|e| fail("passwd")(&e))?;
                    write(root, &old, &done.accounts)?;
                    new
                }
            };
            done.groups.push(entry(name, made(new), done.accounts.gid(name), 0));
        }
        Action::DeleteGroup { name } => {
            context.log(&step.to_string());
            match helper(context, "GROUPDEL").filter(|_| old.gid(name).is_some()) {
                Some(program) => {
                    run_helper(context, &program, vec![name.clone()])?;
                    done.accounts = read(root)?;
                }
                None => {
                    done.accounts.delete_group(name).map_err(|e| fail("passwd")(&e))?;
                    write(root, &old, &done.accounts)?;
                }
            }
            done.groups.push(entry(name, "deleted", None, 0));
        }
        Action::EnsureUser(change) => {
            context.log(&step.to_string());
            let name = &change.wish.name;
            let exists = old.user(name).is_some();
            match helper(context, if exists { "USERMOD" } else { "USERADD" }) {
                Some(program) => {
                    run_helper(context, &program, user_args(change, exists))?;
                    done.accounts = read(root)?;
                }
                None => {
                    if let (Some(old_user), Some(home)) = (old.user(name), &change.wish.home) {
                        move_home(root, &old_user, home)?;
                    }
                    done.accounts.ensure_user(&change.wish, day).map_err(|e| fail("passwd")(&e))?;
                    write(root, &old, &done.accounts)?;
                }
            }
            let id = done.accounts.user(name).map(|u| u.uid);
            done.users.push(entry(name, made(!exists), id, change.ssh_keys.len()));
        }
        Action::DeleteUser { name } => {
            context.log(&step.to_string());
            match helper(context, "USERDEL").filter(|_| old.user(name).is_some()) {
                Some(program) => {
                    run_helper(context, &program, vec!["--remove".to_owned(), name.clone()])?;
                    done.accounts = read(root)?;
                }
                None => {
                    if let Some(user) = done.accounts.delete_user(name).map_err(|e| fail("passwd")(&e))? {
                        let home = sys::rooted::clean(Path::new(&user.home));
                        let owned = root.entry(&home).map_err(|e| fail("passwd")(&e))?;
                        // Only a directory of the user's own: never `/`, never somebody else's.
                        if home.components().count() > 2
                            && owned.is_some_and(|e| e.kind == Kind::Directory && e.uid == user.uid)
                        {
                            root.remove_all(&home).map_err(|e| fail("passwd")(&e))?;
                        }
                    }
                    write(root, &old, &done.accounts)?;
                }
            }
            done.users.push(entry(name, "deleted", None, 0));
        }
        _ => {}
    }
    Ok(())
}

fn helper(context: &Context, name: &str) -> Option<PathBuf> {
    (context.env)(&format!("{}{name}", env::HELPER_PREFIX)).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn run_helper(context: &Context, program: &Path, args: Vec<String>) -> Result<()> {
    Cmd::new(program)
        .arg("--root")
        .arg(&context.flags.root)
        .args(args)
        .timeout(Duration::from_secs(60))
        .run()
        .map(drop)
        .map_err(|e| {
            // The command line holds the password hash: only the program is named.
            let mut failure = Failure::new("passwd", format!("failed to run `{}`", program.display()));
            failure.causes.push(
                e.code().map_or_else(|| "it could not be run".to_owned(), |c| format!("exit code {c}")),
            );
            Box::new(failure)
        })
}

fn group_args(group: &GroupWish, new: bool) -> Vec<String> {
    let mut args = Vec::new();
    if let Some(gid) = group.gid {
        args.extend(["--gid".to_owned(), gid.to_string()]);
    }
    match group.password_hash.as_deref().filter(|h| !h.is_empty()) {
        Some(hash) => args.extend(["--password".to_owned(), hash.to_owned()]),
        None if new => args.extend(["--password".to_owned(), "*".to_owned()]),
        None => {}
    }
    if group.system && new {
        args.push("--system".to_owned());
    }
    args.push(group.name.clone());
    args
}

fn user_args(change: &UserChange, exists: bool) -> Vec<String> {
    let wish = &change.wish;
    let mut args: Vec<String> = Vec::new();
    let mut pair = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    if let Some(home) = &wish.home {
        pair(if exists { "--home" } else { "--home-dir" }, home);
    }
    match wish.password_hash.as_deref() {
        Some("") => pair("--password", "*"),
        Some(hash) => pair("--password", hash),
        None if !exists => pair("--password", "*"),
        None => {}
    }
    if let Some(uid) = wish.uid {
        pair("--uid", &uid.to_string());
    }
    if let Some(gecos) = &wish.gecos {
        pair("--comment", gecos);
    }
    if let Some(group) = &wish.primary_group {
        pair("--gid", group);
    }
    if !wish.groups.is_empty() {
        pair("--groups", &wish.groups.join(","));
    }
    if let Some(shell) = &wish.shell {
        pair("--shell", shell);
    }
    let mut flag = |on: bool, name: &str| {
        if on {
            args.push(name.to_owned());
        }
    };
    flag(exists && wish.home.is_some(), "--move-home");
    if !exists {
        flag(change.no_create_home, "--no-create-home");
        flag(!change.no_create_home, "--create-home");
        flag(wish.no_user_group, "--no-user-group");
        flag(wish.system, "--system");
        flag(change.no_log_init, "--no-log-init");
    }
    args.push(wish.name.clone());
    args
}

/// A user's home moves with the entry, unless something is at the new place.
fn move_home(root: &Root, user: &User, to: &str) -> Result<()> {
    let (from, to) = (sys::rooted::clean(Path::new(&user.home)), sys::rooted::clean(Path::new(to)));
    let look = |path: &Path| root.entry(path).map_err(|e| fail("passwd")(&e));
    if from == to
        || from == Path::new("/")
        || look(&to)?.is_some()
        || look(&from)?.is_none_or(|e| e.kind != Kind::Directory)
    {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        root.mkdir_all(parent, 0o755).map_err(|e| fail("passwd")(&e))?;
    }
    root.rename(&from, &to).map_err(|e| fail("passwd")(&e))
}

fn home_and_keys(root: &Root, change: &UserChange, accounts: &Accounts) -> Result<()> {
    let Some(user) = accounts.user(&change.wish.name) else { return Ok(()) };
    let home = sys::rooted::clean(Path::new(&user.home));
    if home == Path::new("/") {
        return Ok(());
    }
    if !change.no_create_home && root.entry_followed(&home).map_err(|e| fail("passwd")(&e))?.is_none() {
        make_home(root, &user, &home)?;
    }
    if change.ssh_keys.is_empty() {
        return Ok(());
    }
    let own = |mode| Meta { mode, uid: user.uid, gid: user.gid };
    let mut dir = home;
    for (i, part) in ["", ".ssh", "authorized_keys.d"].into_iter().enumerate() {
        if !part.is_empty() {
            dir = dir.join(part);
        }
        let made =
            root.mkdir_all(&dir, if i == 0 { 0o755 } else { 0o700 }).map_err(|e| fail("passwd")(&e))?;
        let entry = root.entry(&dir).map_err(|e| fail("passwd")(&e))?;
        // Also when it was there: an interrupted run may have made it.
        if made.contains(&dir) || i > 0 && entry.is_some_and(|e| e.kind == Kind::Directory) {
            root.set_meta(&dir, own(0o700)).map_err(|e| fail("passwd")(&e))?;
        }
    }
    let text: String = change.ssh_keys.iter().flat_map(|k| [k.as_str(), "\n"]).collect();
    root.write(&dir.join("ignition"), own(0o600), Durability::Later, text.as_bytes())
        .map_err(|e| fail("passwd")(&e))
}

/// Makes a home under a temporary name, filled from /etc/skel, and renames it: whole or not there.
fn make_home(root: &Root, user: &User, home: &Path) -> Result<()> {
    let parent = home.parent().unwrap_or(Path::new("/"));
    root.mkdir_all(parent, 0o755).map_err(|e| fail("passwd")(&e))?;
    let temp = parent.join(format!(".wellcar-home-{}", user.name));
    root.remove_all(&temp).map_err(|e| fail("passwd")(&e))?;
    root.mkdir_all(&temp, 0o755).map_err(|e| fail("passwd")(&e))?;
    copy_skeleton(root, Path::new("/etc/skel"), &temp, user, 0)?;
    root.set_meta(&temp, Meta { mode: 0o755, uid: user.uid, gid: user.gid })
        .map_err(|e| fail("passwd")(&e))?;
    root.rename(&temp, home).map_err(|e| fail("passwd")(&e))
}

fn copy_skeleton(root: &Root, from: &Path, to: &Path, user: &User, depth: u32) -> Result<()> {
    if depth > 16 {
        return Err(Box::new(Failure::new("passwd", "failed to copy /etc/skel: more than 16 levels deep")));
    }
    for name in root.list(from).map_err(|e| fail("passwd")(&e))? {
        let (source, target) = (from.join(&name), to.join(&name));
        let Some(Entry { kind, mode, .. }) = root.entry(&source).map_err(|e| fail("passwd")(&e))? else {
            continue;
        };
        let meta = Meta { mode, uid: user.uid, gid: user.gid };
        match kind {
            Kind::Directory => {
                root.mkdir_all(&target, mode).map_err(|e| fail("passwd")(&e))?;
                copy_skeleton(root, &source, &target, user, depth + 1)?;
                root.set_meta(&target, meta).map_err(|e| fail("passwd")(&e))?;
            }
            Kind::File => {
                let bytes = root.read(&source, LIMIT).map_err(|e| fail("passwd")(&e))?;
                root.write(&target, meta, Durability::Later, &bytes).map_err(|e| fail("passwd")(&e))?;
            }
            Kind::Symlink => {
                let link = root.read_link(&source).map_err(|e| fail("passwd")(&e))?;
                let link: &OsStr = link.as_os_str();
                root.symlink(link, &target, user.uid, user.gid).map_err(|e| fail("passwd")(&e))?;
            }
            Kind::Other => {}
        }
    }
    Ok(())
}
