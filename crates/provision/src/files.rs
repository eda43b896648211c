//! Steps for directories, files, links and units, and the rule what may replace what.

use std::collections::BTreeMap;

use ignition::model::{Config, Opt, Owner, Unit, flag, text};
use ignition::model::{Directory, File, Link};
use report::codes;

use crate::facts::{Facts, Node, NodeKind};
use crate::install;
use crate::origin::{Origin, Origins};
use crate::plan::Problem;
use crate::step::{Action, Content, NodeOwner, Step, TargetFile, UnitState};

/// Where unit files of the machine's owner go.
const UNIT_DIR: &str = "/etc/systemd/system";

/// What a step wants at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A directory.
    Directory,
    /// A file; `contents` = the config gives its content (not just something to append).
    File {
        /// See above.
        contents: bool,
    },
    /// A symbolic link to this.
    Symlink(&'a str),
    /// A hard link.
    HardLink,
}

/// What to do with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Nothing is there: make it.
    Make,
    /// Remove it, then make it.
    Replace,
    /// Keep it, set mode and owner, append.
    Keep,
}

/// Something is in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to make {wanted} `{path}`: {found} is there already")]
pub struct Conflict {
    /// What was wanted.
    pub wanted: &'static str,
    /// What is there.
    pub found: &'static str,
    /// Path in the target.
    pub path: String,
}

/// Decides what becomes of what is at a path.
///
/// # Errors
/// When something else is there and `overwrite` is not set.
pub fn treat(
    path: &str,
    wanted: Wanted<'_>,
    overwrite: bool,
    existing: Option<&Node>,
) -> Result<Treatment, Conflict> {
    let Some(node) = existing else { return Ok(Treatment::Make) };
    let keeps = match (wanted, node.kind) {
        (Wanted::Directory, NodeKind::Directory) => !overwrite,
        (Wanted::File { contents }, NodeKind::File) => !overwrite && !contents,
        (Wanted::Symlink(target), NodeKind::Symlink) => node.target.as_deref() == Some(target),
        _ => false,
    };
    if keeps {
        return Ok(Treatment::Keep);
    }
    if overwrite {
        return Ok(Treatment::Replace);
    }
    Err(Conflict {
        wanted: match wanted {
            Wanted::Directory => "directory",
            Wanted::File { .. } => "file",
            Wanted::Symlink(_) => "link",
            Wanted::HardLink => "hard link",
        },
        found: match node.kind {
            NodeKind::File => "a file",
            NodeKind::Directory => "a directory",
            NodeKind::Symlink => "a symbolic link",
            NodeKind::Other => "a device, pipe or socket",
        },
        path: path.to_owned(),
    })
}

fn owner(owner: &Owner) -> NodeOwner {
    match (&owner.id, &owner.name) {
        (Some(id), _) => u32::try_from(id.value).map_or(NodeOwner::Unset, NodeOwner::Id),
        (None, Some(name)) if !name.value.is_empty() => NodeOwner::Name(name.value.clone()),
        (None, _) => NodeOwner::Unset,
    }
}

fn mode(mode: &Opt<i64>) -> Option<u32> {
    mode.as_ref().and_then(|m| u32::try_from(m.value).ok()).map(|m| m & 0o7777)
}

/// Path cleaned lexically, so that depth and order are those of the tree.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Steps for `$.storage.{directories,files,links}` and `$.systemd`.
pub(crate) fn plan(
    config: &Config,
    origins: &Origins,
    facts: &Facts,
    problems: &mut Vec<Problem>,
) -> Vec<Step> {
    let storage = &config.storage;
    let mut nodes: Vec<(usize, Step)> = Vec::new();
    let mut hard = Vec::new();
    for (i, item) in storage.directories.iter().enumerate() {
        push(&mut nodes, origins.of(&format!("$.storage.directories.{i}")), directory(item));
    }
    for (i, item) in storage.files.iter().enumerate() {
        push(&mut nodes, origins.of(&format!("$.storage.files.{i}")), file(item));
    }
    for (i, item) in storage.links.iter().enumerate() {
        let list = if flag(&item.hard) { &mut hard } else { &mut nodes };
        push(list, origins.of(&format!("$.storage.links.{i}")), link(item));
    }
    nodes.sort_by_key(|(depth, _)| *depth);
    hard.sort_by_key(|(depth, _)| *depth);
    let mut steps: Vec<Step> = nodes.into_iter().chain(hard).map(|(_, step)| step).collect();
    conflicts(&steps, facts, problems);
    units(config, origins, problems, &mut steps);
    steps
}

fn push(list: &mut Vec<(usize, Step)>, origin: Origin, (path, action): (String, Action)) {
    list.push((if path == "/" { 0 } else { path.matches('/').count() }, Step { origin, action }));
}

fn directory(item: &Directory) -> (String, Action) {
    let path = clean(text(&item.path));
    let action = Action::MakeDirectory {
        path: path.clone(),
        mode: mode(&item.mode),
        user: owner(&item.user),
        group: owner(&item.group),
        overwrite: flag(&item.overwrite),
    };
    (path, action)
}

fn file(item: &File) -> (String, Action) {
    let path = clean(text(&item.path));
    let action = Action::WriteFile(TargetFile {
        path: path.clone(),
        mode: mode(&item.mode),
        user: owner(&item.user),
        group: owner(&item.group),
        content: Content::of(&item.contents),
        append: item.append.iter().filter_map(Content::of).collect(),
        overwrite: flag(&item.overwrite),
    });
    (path, action)
}

fn link(item: &Link) -> (String, Action) {
    let path = clean(text(&item.path));
    let action = Action::MakeLink {
        path: path.clone(),
        target: text(&item.target).to_owned(),
        hard: flag(&item.hard),
        user: owner(&item.user),
        group: owner(&item.group),
        overwrite: flag(&item.overwrite),
    };
    (path, action)
}

/// What the facts already show to be impossible.
fn conflicts(steps: &[Step], facts: &Facts, problems: &mut Vec<Problem>) {
    for step in steps {
        let (path, wanted, overwrite) = match &step.action {
            Action::MakeDirectory { path, overwrite, .. } => (path, Wanted::Directory, *overwrite),
            Action::WriteFile(f) => (&f.path, Wanted::File { contents: f.content.is_some() }, f.overwrite),
            Action::MakeLink { path, target, hard, overwrite, .. } => {
                (path, if *hard { Wanted::HardLink } else { Wanted::Symlink(target) }, *overwrite)
            }
            _ => continue,
        };
        let Some(existing) = facts.nodes.get(path) else { continue };
        if let Err(conflict) = treat(path, wanted, overwrite, existing.as_ref()) {
            problems.push(
                Problem::new(step.origin.clone(), codes::FILE, conflict.to_string())
                    .hint("set overwrite: true to replace it"),
            );
        }
    }
}

fn unit_file(path: String, contents: &str) -> Action {
    let escaped: String = contents.bytes().map(|b| format!("%{b:02X}")).collect();
    Action::WriteFile(TargetFile {
        path,
        mode: Some(0o644),
        user: NodeOwner::Id(0),
        group: NodeOwner::Id(0),
        content: Some(Content { source: format!("data:,{escaped}"), ..Content::default() }),
        append: Vec::new(),
        overwrite: true,
    })
}

fn units(config: &Config, origins: &Origins, problems: &mut Vec<Problem>, steps: &mut Vec<Step>) {
    let mut states = Vec::new();
    let (mut enable, mut disable) = (Vec::new(), Vec::new());
    for (i, unit) in config.systemd.units.iter().enumerate() {
        let origin = origins.of(&format!("$.systemd.units.{i}"));
        let name = text(&unit.name).to_owned();
        if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) || name.len() > 255 {
            let message = format!("failed to accept unit name `{}`", name.escape_debug());
            problems
                .push(Problem::new(origin, codes::UNIT, message).hint("use NAME.service, NAME.socket, …"));
            continue;
        }
        unit_files(unit, &name, &origin, i, origins, problems, steps);
        let mut state = |state| {
            states
                .push(Step { origin: origin.clone(), action: Action::SetUnit { name: name.clone(), state } });
        };
        match unit.mask.as_ref().map(|m| m.value) {
            Some(true) => state(UnitState::Masked),
            Some(false) => state(UnitState::Unmasked),
            None => {}
        }
        match unit.enabled.as_ref().map(|e| e.value) {
            Some(true) => {
                state(UnitState::Enabled);
                enable.push(name.clone());
            }
            Some(false) => {
                state(UnitState::Disabled);
                disable.push(name.clone());
            }
            None => {}
        }
    }
    steps.extend(states);
    if !enable.is_empty() || !disable.is_empty() {
        enable.sort();
        disable.sort();
        steps.push(Step {
            origin: origins.of("$.systemd.units"),
            action: Action::WritePreset { enable, disable },
        });
    }
}

fn unit_files(
    unit: &Unit,
    name: &str,
    origin: &Origin,
    index: usize,
    origins: &Origins,
    problems: &mut Vec<Problem>,
    steps: &mut Vec<Step>,
) {
    for (j, dropin) in unit.dropins.iter().enumerate() {
        let file = text(&dropin.name);
        let origin = origins.of(&format!("$.systemd.units.{index}.dropins.{j}"));
        if file.is_empty() || file.contains('/') || file.chars().any(char::is_control) || file.len() > 255 {
            let message = format!("failed to accept drop-in name `{}`", file.escape_debug());
            problems.push(Problem::new(origin, codes::UNIT, message).hint("use NAME.conf"));
        } else if !text(&dropin.contents).is_empty() {
            let path = format!("{UNIT_DIR}/{name}.d/{file}");
            steps.push(Step { origin, action: unit_file(path, text(&dropin.contents)) });
        }
    }
    if !text(&unit.contents).is_empty() {
        let action = unit_file(format!("{UNIT_DIR}/{name}"), text(&unit.contents));
        steps.push(Step { origin: origin.clone(), action });
    }
}

/// The preset file's text: one line a unit, the instances of a template joined, sorted.
#[must_use]
pub fn preset(enable: &[String], disable: &[String]) -> String {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (verb, names) in [("enable", enable), ("disable", disable)] {
        for name in names {
            match install::split_instance(name).filter(|(_, instance)| !instance.is_empty()) {
                Some((template, instance)) => {
                    lines.entry(format!("{verb} {template}")).or_default().push(instance.to_owned());
                }
                None => {
                    lines.entry(format!("{verb} {name}")).or_default();
                }
            }
        }
    }
    lines.into_iter().map(|(key, instances)| [vec![key], instances].concat().join(" ") + "\n").collect()
}

/// Kernel arguments have no place yet where a signed boot would honour them: fine if the command line has them.
pub(crate) fn refuse_kernel_arguments(
    config: &Config,
    origins: &Origins,
    facts: &Facts,
    problems: &mut Vec<Problem>,
) {
    let kargs = &config.kernel_arguments;
    let has = |word: &str| facts.cmdline.iter().any(|w| w == word);
    let missing =
        kargs.should_exist.iter().filter(|a| !has(&a.value)).map(|a| format!("`{}` is missing", a.value));
    let extra =
        kargs.should_not_exist.iter().filter(|a| has(&a.value)).map(|a| format!("`{}` is there", a.value));
    let wrong: Vec<String> = missing.chain(extra).collect();
    if wrong.is_empty() {
        return;
    }
    let message = format!(
        "failed to set kernel arguments ({}): the command line is part of the signed boot image",
        wrong.join(", ")
    );
    problems.push(
        Problem::new(origins.of("$.kernelArguments"), codes::KARGS, message)
            .hint("use a sysctl.d or modprobe.d file, or build an image with these arguments"),
    );
}
