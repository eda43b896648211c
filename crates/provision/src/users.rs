//! Steps for accounts: groups first, then users, as they stand in the config.

use ignition::model::{Config, Opt, PasswdUser, flag, text};
use report::codes;

use crate::accounts::{GroupWish, UserWish};
use crate::facts::Facts;
use crate::origin::{Origin, Origins};
use crate::plan::Problem;
use crate::step::{Action, GroupChange, Step, UserChange};

/// Steps for `$.passwd`; account rules are tried out on a copy of the target's files when these are known.
pub(crate) fn plan(
    config: &Config,
    origins: &Origins,
    facts: &Facts,
    problems: &mut Vec<Problem>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (i, group) in config.passwd.groups.iter().enumerate() {
        let origin = origins.of(&format!("$.passwd.groups.{i}"));
        let name = text(&group.name).to_owned();
        let action = if group.should_exist.as_ref().is_some_and(|s| !s.value) {
            Action::DeleteGroup { name }
        } else {
            Action::EnsureGroup(GroupChange(GroupWish {
                name,
                gid: id(&group.gid, &origin, problems),
                password_hash: group.password_hash.as_ref().map(|h| h.value.clone()),
                system: flag(&group.system),
            }))
        };
        steps.push(Step { origin, action });
    }
    for (i, user) in config.passwd.users.iter().enumerate() {
        let origin = origins.of(&format!("$.passwd.users.{i}"));
        if user.should_exist.as_ref().is_some_and(|s| !s.value) {
            steps.push(Step { origin, action: Action::DeleteUser { name: text(&user.name).to_owned() } });
            continue;
        }
        let change = change(user, &origin, problems);
        steps.push(Step { origin, action: Action::EnsureUser(change) });
    }
    rehearse(&steps, facts, problems);
    steps
}

fn id(value: &Opt<i64>, origin: &Origin, problems: &mut Vec<Problem>) -> Option<u32> {
    let value = value.as_ref()?.value;
    match u32::try_from(value) {
        Ok(id) if id < u32::MAX - 1 => Some(id),
        _ => {
            let message = format!("failed to use id {value}: expected 0 to 4294967293");
            problems.push(Problem::new(origin.clone(), codes::PASSWD, message));
            None
        }
    }
}

fn change(user: &PasswdUser, origin: &Origin, problems: &mut Vec<Problem>) -> UserChange {
    let filled = |field: &Opt<String>| field.as_ref().map(|v| v.value.clone()).filter(|v| !v.is_empty());
    let mut ssh_keys: Vec<String> = Vec::new();
    for key in &user.ssh_authorized_keys {
        let key = &key.value;
        if key.trim_end_matches('\n').chars().any(|c| c.is_control() && c != '\t') {
            let message =
                format!("failed to accept an ssh key of `{}`: it has a line break inside", text(&user.name));
            problems.push(
                Problem::new(origin.clone(), codes::PASSWD, message)
                    .hint("write each key as its own entry of sshAuthorizedKeys"),
            );
            continue;
        }
        let key = key.trim_end_matches('\n').to_owned();
        if !ssh_keys.contains(&key) {
            ssh_keys.push(key);
        }
    }
    UserChange {
        wish: UserWish {
            name: text(&user.name).to_owned(),
            uid: id(&user.uid, origin, problems),
            gecos: filled(&user.gecos),
            home: filled(&user.home_dir),
            shell: filled(&user.shell),
            primary_group: filled(&user.primary_group),
            groups: user.groups.iter().map(|g| g.value.clone()).collect(),
            password_hash: user.password_hash.as_ref().map(|h| h.value.clone()),
            system: flag(&user.system),
            no_user_group: flag(&user.no_user_group),
        },
        no_create_home: flag(&user.no_create_home),
        no_log_init: flag(&user.no_log_init),
        ssh_keys,
    }
}

fn rehearse(steps: &[Step], facts: &Facts, problems: &mut Vec<Problem>) {
    let Some(accounts) = &facts.accounts else { return };
    let mut accounts = accounts.clone();
    for step in steps {
        let tried = match &step.action {
            Action::EnsureGroup(group) => accounts.ensure_group(&group.0).map(drop),
            Action::DeleteGroup { name } => accounts.delete_group(name).map(drop),
            Action::EnsureUser(user) => accounts.ensure_user(&user.wish, 0).map(drop),
            Action::DeleteUser { name } => accounts.delete_user(name).map(drop),
            _ => Ok(()),
        };
        if let Err(error) = tried {
            let mut problem = Problem::new(step.origin.clone(), codes::PASSWD, error.to_string());
            problem.hints.extend(hint(&error));
            problems.push(problem);
        }
    }
}

fn hint(error: &crate::accounts::AccountError) -> Option<String> {
    use crate::accounts::AccountError as E;
    match error {
        E::NoGroup { group, .. } => Some(format!(
            "add `{group}` to passwd.groups, or take it out; groups of the image: sudo, docker, wheel, …"
        )),
        E::GroupExists(name) => Some(format!("set primaryGroup: {name}, or noUserGroup: true")),
        E::IdTaken { .. } => Some("choose another id, or leave it out".to_owned()),
        _ => None,
    }
}
