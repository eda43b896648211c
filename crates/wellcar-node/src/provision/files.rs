//! The files stage: accounts, directories, files, links, units, in the planner's order.
//!
//! A journal in the target keeps what was at each path before the first try, so that a run after a power cut
//! decides as the first one did: nothing is appended twice, and its own files are not "in the way".

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ::provision::accounts::Accounts;
use ::provision::record::{DIRECTORY, JOURNAL_PATH, LIMIT, NodeRecord, Record, VERSION};
use ::provision::{
    Action, Facts, Node, NodeKind, NodeOwner, Origins, Stage, Step, TargetFile, Treatment, UnitState, Wanted,
    plan, preset, treat,
};
use ignition::Config;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use sys::rooted::{Durability, Entry, Kind, Meta, Root, clean};

use super::context::{Context, Sidecar};
use super::failure::{Failure, Result, fail};
use super::fetch::{Blob, FILE_LIMIT, Fetcher, sha256, sha256_of};
use super::{config, units, users};

/// Where the preset goes.
const PRESET: &str = "/etc/systemd/system-preset/20-ignition.preset";

/// What was there before the first try.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Journal {
    config_sha256: String,
    nodes: BTreeMap<String, Option<Node>>,
    /// Units that the config disables and that were enabled.
    #[serde(default)]
    enabled: BTreeSet<String>,
    /// passwd, shadow, group, gshadow: ids are given out from these again, so that a rerun gives the same.
    #[serde(default)]
    accounts: Option<[String; 4]>,
}

impl Journal {
    fn accounts(&self) -> Accounts {
        let [passwd, shadow, group, gshadow] = self.accounts.clone().unwrap_or_default();
        Accounts::parse(&passwd, &shadow, &group, &gshadow)
    }
}

struct Files<'a> {
    context: &'a Context,
    root: Root,
    fetcher: Fetcher<'a>,
    accounts: Accounts,
    before: BTreeMap<String, Option<Node>>,
    enabled: BTreeSet<String>,
    rerun: bool,
    nodes: Vec<NodeRecord>,
}

/// Runs the stage.
pub(super) fn run(context: &Context, config: &Config, side: &Sidecar, config_sha256: &str) -> Result<()> {
    let root = Root::open(&context.flags.root).map_err(|e| fail("root")(&e))?;
    let (journal, rerun) = journal(&root, config, &side.origins, config_sha256, context.flags.dry_run)?;
    let facts =
        Facts { accounts: Some(journal.accounts()), nodes: journal.nodes.clone(), ..Facts::default() };
    let plan =
        plan(Stage::Files, config, &side.origins, &facts).map_err(|p| Box::new(Failure::problems(&p)))?;
    if context.flags.dry_run {
        context.print(&plan.to_string());
        return Ok(());
    }
    let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    let done =
        users::perform(context, &root, &plan.steps, journal.accounts(), u32::try_from(day).unwrap_or(0))?;
    let network = config::network(context, config, true, None)?;
    let mut files = Files {
        context,
        root,
        fetcher: Fetcher::new(&network),
        accounts: done.accounts,
        before: journal.nodes,
        enabled: journal.enabled,
        rerun,
        nodes: Vec::new(),
    };
    let mut record = Record {
        version: VERSION,
        wellcar: env!("CARGO_PKG_VERSION").to_owned(),
        config_sha256: config_sha256.to_owned(),
        sources: side.sources.clone(),
        groups: done.groups,
        users: done.users,
        ..Record::default()
    };
    for step in &plan.steps {
        files.step(step, &mut record).map_err(|f| Box::new(f.step(step)))?;
    }
    let mut state = context.state()?;
    volume_keys(&files.root, &state.keys)?;
    files.root.sync(Path::new("/")).map_err(|e| fail("flush")(&e))?;
    record.nodes = files.nodes;
    state.record = Some(record);
    context.save_state(&state)
}

/// The journal of an earlier try, or a new one from what is there now.
fn journal(
    root: &Root,
    config: &Config,
    origins: &Origins,
    sha: &str,
    dry_run: bool,
) -> Result<(Journal, bool)> {
    let old = root.read_opt(Path::new(JOURNAL_PATH), LIMIT).map_err(|e| fail("journal")(&e))?;
    let old: Option<Journal> = old.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let rerun = old.is_some();
    let mut journal = old.unwrap_or_default();
    if rerun && journal.config_sha256 != sha && !dry_run {
        // Another config failed here before: what it made goes away again.
        for path in
            journal.nodes.iter().filter(|(_, before)| before.is_none()).map(|(path, _)| Path::new(path))
        {
            let now = root.entry(path).map_err(|e| fail("journal")(&e))?;
            if now.is_some_and(|e| e.kind != Kind::Directory) {
                root.remove_file(path).map_err(|e| fail("journal")(&e))?;
            }
        }
    }
    sha.clone_into(&mut journal.config_sha256);
    if journal.accounts.is_none() {
        journal.accounts = Some(users::read(root)?.render());
    }
    // A plan without facts names every path.
    let steps = plan(Stage::Files, config, origins, &Facts::default())
        .map_err(|p| Box::new(Failure::problems(&p)))?
        .steps;
    for step in &steps {
        let (path, appends) = match &step.action {
            Action::MakeDirectory { path, .. } | Action::MakeLink { path, .. } => (path, false),
            Action::WriteFile(f) => (&f.path, f.content.is_none() && !f.append.is_empty()),
            Action::SetUnit { name, state: UnitState::Disabled } => {
                if units::is_enabled(root, name)? {
                    journal.enabled.insert(name.clone());
                }
                continue;
            }
            _ => continue,
        };
        if !journal.nodes.contains_key(path) {
            let node = look(root, path, appends).map_err(|f| Box::new(f.step(step)))?;
            journal.nodes.insert(path.clone(), node);
        }
    }
    if !dry_run {
        let text = serde_json::to_vec(&journal).map_err(|e| fail("journal")(&e))?;
        root.mkdir_all(Path::new(DIRECTORY), 0o755).map_err(|e| fail("journal")(&e))?;
        let meta = Meta { mode: 0o600, uid: 0, gid: 0 };
        root.write(Path::new(JOURNAL_PATH), meta, Durability::Now, &text).map_err(|e| fail("journal")(&e))?;
    }
    Ok((journal, rerun))
}

fn look(root: &Root, path: &str, hash: bool) -> Result<Option<Node>> {
    let path = Path::new(path);
    if path == Path::new("/") {
        return Ok(Some(Node { kind: NodeKind::Directory, size: 0, sha256: None, target: None }));
    }
    let entry = match root.entry(path) {
        // A parent that is a file: the write says so with the step's name.
        Err(e) if e.io().is_some_and(|e| e.raw_os_error() == Some(20)) => None,
        other => other.map_err(|e| fail("file")(&e))?,
    };
    let Some(entry) = entry else { return Ok(None) };
    let mut node = Node { kind: kind(entry), size: entry.size, sha256: None, target: None };
    match entry.kind {
        Kind::Symlink => {
            let target = root.read_link(path).map_err(|e| fail("file")(&e))?;
            node.target = Some(target.display().to_string());
        }
        Kind::File if hash => {
            let mut file = root.open_file(path).map_err(|e| fail("file")(&e))?;
            node.sha256 = Some(sha256_of(&mut file).map_err(|e| fail("file")(&e))?);
        }
        Kind::File | Kind::Directory | Kind::Other => {}
    }
    Ok(Some(node))
}

fn kind(entry: Entry) -> NodeKind {
    match entry.kind {
        Kind::File => NodeKind::File,
        Kind::Directory => NodeKind::Directory,
        Kind::Symlink => NodeKind::Symlink,
        Kind::Other => NodeKind::Other,
    }
}

/// Hashes what passes through.
struct Hashing<'a, W> {
    out: &'a mut W,
    hash: sha2::Sha256,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Files<'_> {
    fn step(&mut self, step: &Step, record: &mut Record) -> Result<()> {
        match &step.action {
            Action::MakeDirectory { path, mode, user, group, overwrite } => {
                self.context.log(&step.to_string());
                self.directory(path, *mode, (user, group), *overwrite)?;
                self.note(path, step, None)
            }
            Action::WriteFile(file) => {
                self.context.log(&step.to_string());
                let sha = self.file(file)?;
                self.note(&file.path, step, sha)
            }
            Action::MakeLink { path, target, hard, user, group, overwrite } => {
                self.context.log(&step.to_string());
                self.link(path, target, *hard, (user, group), *overwrite)?;
                self.note(path, step, None)
            }
            Action::SetUnit { name, state } => {
                self.context.log(&step.to_string());
                let unit = units::set(&self.root, name, *state)?;
                if let Some(note) = &unit.note {
                    self.context.log(&format!("WARNING: {name}: {note} ({})", step.origin));
                }
                record.units.push(unit);
                Ok(())
            }
            Action::WritePreset { enable, disable } => {
                self.context.log(&step.to_string());
                let disable: Vec<String> =
                    disable.iter().filter(|name| self.enabled.contains(*name)).cloned().collect();
                if enable.is_empty() && disable.is_empty() {
                    return Ok(());
                }
                self.parents(PRESET)?;
                let text = preset(enable, &disable);
                let meta = Meta { mode: 0o644, uid: 0, gid: 0 };
                self.root
                    .write(Path::new(PRESET), meta, Durability::Later, text.as_bytes())
                    .map_err(|e| fail("unit")(&e))?;
                self.note(PRESET, step, Some(sha256(text.as_bytes())))
            }
            _ => Ok(()),
        }
    }

    fn note(&mut self, path: &str, step: &Step, sha: Option<String>) -> Result<()> {
        if path == "/" {
            return Ok(());
        }
        let path_ref = Path::new(path);
        let Some(entry) = self.root.entry(path_ref).map_err(|e| fail("file")(&e))? else {
            return Err(Box::new(Failure::new(
                "file",
                format!("failed to find `{path}` after it was written"),
            )));
        };
        let target = match entry.kind {
            Kind::Symlink => {
                Some(self.root.read_link(path_ref).map_err(|e| fail("file")(&e))?.display().to_string())
            }
            Kind::File | Kind::Directory | Kind::Other => None,
        };
        self.nodes.push(NodeRecord {
            path: path.to_owned(),
            kind: kind(entry),
            mode: target.is_none().then(|| format!("{:04o}", entry.mode)),
            uid: entry.uid,
            gid: entry.gid,
            sha256: sha,
            target,
            origin: step.origin.to_string(),
        });
        Ok(())
    }

    fn parents(&self, path: &str) -> Result<()> {
        let parent = clean(Path::new(path)).parent().map(Path::to_path_buf).unwrap_or_default();
        self.root.mkdir_all(&parent, 0o755).map(drop).map_err(|e| fail("file")(&e))
    }

    fn ids(&self, (user, group): (&NodeOwner, &NodeOwner), default: (u32, u32)) -> Result<(u32, u32)> {
        let missing = |kind: &str, name: &str| {
            Box::new(
                Failure::new("passwd", format!("failed to find {kind} `{name}` in the target"))
                    .hint("add it to passwd, or use an id"),
            )
        };
        let uid = match user {
            NodeOwner::Unset => default.0,
            NodeOwner::Id(id) => *id,
            NodeOwner::Name(name) => self.accounts.user(name).ok_or_else(|| missing("user", name))?.uid,
        };
        let gid = match group {
            NodeOwner::Unset => default.1,
            NodeOwner::Id(id) => *id,
            NodeOwner::Name(name) => self.accounts.gid(name).ok_or_else(|| missing("group", name))?,
        };
        Ok((uid, gid))
    }

    /// What becomes of what is there; for a first run also when an earlier step put it there.
    fn treatment(&self, path: &str, wanted: Wanted<'_>, overwrite: bool) -> Result<Treatment> {
        let before = match self.before.get(path) {
            Some(Some(node)) => Some(node.clone()),
            Some(None) if self.rerun => None,
            // A unit's file has no entry and always replaces.
            None => None,
            Some(None) => look(&self.root, path, false)?,
        };
        treat(path, wanted, overwrite, before.as_ref()).map_err(|e| {
            let mut failure = Failure::of("file", &e);
            failure.hints.push("set overwrite: true to replace it".to_owned());
            Box::new(failure)
        })
    }

    fn directory(
        &self,
        path: &str,
        mode: Option<u32>,
        owner: (&NodeOwner, &NodeOwner),
        overwrite: bool,
    ) -> Result<()> {
        let at = Path::new(path);
        let treatment = self.treatment(path, Wanted::Directory, overwrite)?;
        let now = if path == "/" { None } else { self.root.entry(at).map_err(|e| fail("file")(&e))? };
        if treatment == Treatment::Replace && !(self.rerun && now.is_some_and(|e| e.kind == Kind::Directory))
        {
            self.root.remove_all(at).map_err(|e| fail("file")(&e))?;
        }
        self.root.mkdir_all(at, 0o755).map_err(|e| fail("file")(&e))?;
        if path == "/" {
            return Ok(());
        }
        let kept = now.filter(|_| treatment == Treatment::Keep);
        let (uid, gid) = self.ids(owner, kept.map_or((0, 0), |e| (e.uid, e.gid)))?;
        let mode = mode.unwrap_or(kept.map_or(0o755, |e| e.mode));
        self.root.set_meta(at, Meta { mode, uid, gid }).map_err(|e| fail("file")(&e))
    }

    /// Writes the file; SHA-256 of its content, `None` when only mode and owner were set.
    fn file(&self, file: &TargetFile) -> Result<Option<String>> {
        let at = Path::new(&file.path);
        let wanted = Wanted::File { contents: file.content.is_some() };
        let treatment = self.treatment(&file.path, wanted, file.overwrite)?;
        let staging = || self.root.temp_file().map_err(io::Error::other);
        // Everything is fetched and verified before the target is touched.
        let mut parts: Vec<Blob> = Vec::new();
        if let Some(content) = &file.content {
            parts.push(self.fetcher.large(content, &staging)?);
        }
        let kept = match treatment {
            Treatment::Keep => self.root.entry(at).map_err(|e| fail("file")(&e))?,
            Treatment::Make | Treatment::Replace => None,
        };
        let (uid, gid) = self.ids((&file.user, &file.group), kept.map_or((0, 0), |e| (e.uid, e.gid)))?;
        let meta = Meta { mode: file.mode.unwrap_or(kept.map_or(0o644, |e| e.mode)), uid, gid };
        if treatment == Treatment::Keep && file.append.is_empty() {
            self.root.set_meta(at, meta).map_err(|e| fail("file")(&e))?;
            return Ok(None);
        }
        for part in &file.append {
            parts.push(self.fetcher.large(part, &staging)?);
        }
        if treatment == Treatment::Keep {
            parts.insert(0, self.base(&file.path)?);
        }
        self.parents(&file.path)?;
        let now = self.root.entry(at).map_err(|e| fail("file")(&e))?;
        if now.is_some_and(|e| e.kind == Kind::Directory) {
            if treatment != Treatment::Replace {
                return Err(Box::new(Failure::new(
                    "file",
                    format!("failed to write `{}`: it is a directory", file.path),
                )));
            }
            self.root.remove_all(at).map_err(|e| fail("file")(&e))?;
        }
        // What is appended to must survive whole: the journal's hash is checked on a rerun.
        let durability = if treatment == Treatment::Keep { Durability::Now } else { Durability::Later };
        let mut sum = String::new();
        self.root
            .write_with(at, meta, durability, |out| {
                let mut hashing = Hashing { out, hash: sha2::Sha256::new() };
                for part in &mut parts {
                    part.copy_to(&mut hashing)?;
                }
                hashing.flush()?;
                sum = hashing.hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
                Ok(())
            })
            .map_err(|e| fail("file")(&e))?;
        Ok(Some(sum))
    }

    /// What the file held before provisioning: the journal says how much of it is that.
    fn base(&self, path: &str) -> Result<Blob> {
        let Some(Some(before)) = self.before.get(path) else { return Ok(Blob::Memory(Vec::new())) };
        let mut bytes =
            self.root.read(Path::new(path), FILE_LIMIT.min(1 << 30)).map_err(|e| fail("file")(&e))?;
        let size = usize::try_from(before.size).unwrap_or(usize::MAX);
        let whole =
            bytes.len() >= size && before.sha256.as_deref() == bytes.get(..size).map(sha256).as_deref();
        if !whole {
            return Err(Box::new(
                Failure::new(
                    "file",
                    format!("failed to append to `{path}`: it is not what it was before provisioning"),
                )
                .hint("an interrupted first boot damaged it: start again from a fresh disk"),
            ));
        }
        bytes.truncate(size);
        Ok(Blob::Memory(bytes))
    }

    fn link(
        &self,
        path: &str,
        target: &str,
        hard: bool,
        owner: (&NodeOwner, &NodeOwner),
        overwrite: bool,
    ) -> Result<()> {
        let at = Path::new(path);
        let wanted = if hard { Wanted::HardLink } else { Wanted::Symlink(target) };
        let treatment = self.treatment(path, wanted, overwrite)?;
        let (uid, gid) = self.ids(owner, (0, 0))?;
        self.parents(path)?;
        if hard {
            let source = clean(Path::new(target));
            let what = self.root.entry(&source).map_err(|e| fail("file")(&e))?;
            let there = self.root.entry(at).map_err(|e| fail("file")(&e))?;
            match (what, there) {
                (None, _) => {
                    return Err(Box::new(
                        Failure::new("file", format!("failed to link `{path}`: its target `{target}` is not there"))
                            .hint("a hard link's target is a path in the machine's root, made by the config or the image"),
                    ));
                }
                (Some(what), Some(there)) if what.id == there.id => return Ok(()),
                (Some(_), Some(_)) => self.root.remove_all(at).map(drop).map_err(|e| fail("file")(&e))?,
                (Some(_), None) => {}
            }
            return self.root.hard_link(&source, at).map_err(|e| fail("file")(&e));
        }
        if treatment != Treatment::Keep || self.rerun {
            self.root.remove_all(at).map_err(|e| fail("file")(&e))?;
            return self.root.symlink(target.as_ref(), at, uid, gid).map_err(|e| fail("file")(&e));
        }
        self.root.set_owner(at, uid, gid).map_err(|e| fail("file")(&e))
    }
}

/// Keys of encrypted volumes and the crypttab that names them.
fn volume_keys(root: &Root, keys: &BTreeMap<String, super::context::VolumeKey>) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    root.mkdir_all(Path::new("/etc/luks"), 0o700).map_err(|e| fail("luks")(&e))?;
    let crypttab = Path::new("/etc/crypttab");
    let old = root.read_opt(crypttab, LIMIT).map_err(|e| fail("luks")(&e))?.unwrap_or_default();
    let mut text = String::from_utf8_lossy(&old).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, volume) in keys {
        let key = Path::new("/etc/luks").join(name);
        let meta = Meta { mode: 0o600, uid: 0, gid: 0 };
        root.write(&key, meta, Durability::Now, &volume.key).map_err(|e| fail("luks")(&e))?;
        let line = format!("{name} {} /etc/luks/{name} {}\n", volume.device, volume.options.join(","));
        if !text.lines().any(|l| l.split_whitespace().next() == Some(name.as_str())) {
            text.push_str(&line);
        }
    }
    let meta = Meta { mode: 0o600, uid: 0, gid: 0 };
    root.write(crypttab, meta, Durability::Now, text.as_bytes()).map_err(|e| fail("luks")(&e))
}
