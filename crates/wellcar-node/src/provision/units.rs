//! Enabling, disabling and masking units in the target, as `systemctl --root` would, and the preset file that says
//! the same to a systemd that applies presets at its first boot.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ::provision::UnitState;
use ::provision::install::{Install, InstallLink, is_unit_name, links, split_instance};
use ::provision::record::UnitRecord;
use sys::rooted::{Kind, Root};

use super::failure::{Result, fail};

/// Where links and the owner's unit files are.
const ETC: &str = "/etc/systemd/system";
/// Where unit files are looked for, in order.
const PLACES: [&str; 4] =
    [ETC, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// The most bytes of a unit file.
const LIMIT: u64 = 4 << 20;
/// Aliases followed, and `Also=` followed.
const MAX_HOPS: u32 = 8;

/// A unit file found in the target.
struct Found {
    name: String,
    path: String,
    text: String,
}

enum Search {
    Found(Found),
    Masked,
    Missing,
}

/// The unit file of `name`, or of its template; aliases are followed to the real one.
fn find(root: &Root, name: &str) -> Result<Search> {
    let mut name = name.to_owned();
    'hop: for _ in 0..MAX_HOPS {
        if !is_unit_name(&name) {
            return Ok(Search::Missing);
        }
        let template = split_instance(&name).map(|(template, _)| template);
        for file in [Some(name.clone()), template].into_iter().flatten() {
            for place in PLACES {
                let path = PathBuf::from(place).join(&file);
                let Some(entry) = root.entry(&path).map_err(|e| fail("unit")(&e))? else { continue };
                if entry.kind == Kind::Symlink {
                    let target = root.read_link(&path).map_err(|e| fail("unit")(&e))?;
                    if target == Path::new("/dev/null") {
                        return Ok(Search::Masked);
                    }
                    let Some(real) = target.file_name().and_then(OsStr::to_str) else {
                        return Ok(Search::Missing);
                    };
                    if real != file {
                        // An alias: the real unit is meant, with the same instance.
                        let instance = split_instance(&name).map(|(_, i)| i.to_owned()).unwrap_or_default();
                        name = match split_instance(real) {
                            Some((template, "")) => template.replacen("@.", &format!("@{instance}."), 1),
                            _ => real.to_owned(),
                        };
                        continue 'hop;
                    }
                }
                if entry.kind == Kind::Directory {
                    continue;
                }
                let Some(bytes) = root.read_opt(&path, LIMIT).map_err(|e| fail("unit")(&e))? else {
                    continue;
                };
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return Ok(Search::Found(Found { name, path: path.display().to_string(), text }));
            }
        }
        return Ok(Search::Missing);
    }
    Ok(Search::Missing)
}

/// Brings one unit into a state; what was done.
pub(super) fn set(root: &Root, name: &str, state: UnitState) -> Result<UnitRecord> {
    let mut record =
        UnitRecord { name: name.to_owned(), state: String::new(), links: Vec::new(), note: None };
    match state {
        UnitState::Enabled => {
            record.state = "enabled".to_owned();
            let mut seen = BTreeSet::new();
            enable(root, name, &mut record, &mut seen, 0)?;
        }
        UnitState::Disabled => {
            record.state = "disabled".to_owned();
            record.links = enabling_links(root, name, true)?;
        }
        UnitState::Masked => {
            record.state = "masked".to_owned();
            let path = Path::new(ETC).join(name);
            root.mkdir_all(Path::new(ETC), 0o755).map_err(|e| fail("unit")(&e))?;
            root.remove_all(&path).map_err(|e| fail("unit")(&e))?;
            root.symlink(OsStr::new("/dev/null"), &path, 0, 0).map_err(|e| fail("unit")(&e))?;
            record.links.push(name.to_owned());
        }
        UnitState::Unmasked => {
            record.state = "unmasked".to_owned();
            let path = Path::new(ETC).join(name);
            if is_link_to(root, &path, "/dev/null")? {
                root.remove_file(&path).map_err(|e| fail("unit")(&e))?;
            }
        }
    }
    Ok(record)
}

fn is_link_to(root: &Root, path: &Path, target: &str) -> Result<bool> {
    let entry = root.entry(path).map_err(|e| fail("unit")(&e))?;
    Ok(entry.is_some_and(|e| e.kind == Kind::Symlink)
        && root.read_link(path).map_err(|e| fail("unit")(&e))? == Path::new(target))
}

fn enable(
    root: &Root,
    name: &str,
    record: &mut UnitRecord,
    seen: &mut BTreeSet<String>,
    depth: u32,
) -> Result<()> {
    if depth > MAX_HOPS || !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let found = match find(root, name)? {
        Search::Found(found) => found,
        Search::Masked | Search::Missing if depth > 0 => return Ok(()),
        Search::Masked => {
            record.note = Some("it is masked: it does not start".to_owned());
            return Ok(());
        }
        Search::Missing => {
            record.note = Some("there is no such unit in this image".to_owned());
            return Ok(());
        }
    };
    let install = Install::parse(&found.text);
    let wanted = links(&found.name, &found.path, &found.text);
    if wanted.is_empty() && install.also.is_empty() && depth == 0 {
        record.note = Some("it has no [Install] section: enabling it does not start it".to_owned());
    }
    for link in wanted {
        if make_link(root, &link)? {
            record.links.push(link.name);
        }
    }
    for also in &install.also {
        enable(root, also, record, seen, depth + 1)?;
    }
    Ok(())
}

/// True if the link is there now; a file of that name is left alone.
fn make_link(root: &Root, link: &InstallLink) -> Result<bool> {
    let path = Path::new(ETC).join(&link.name);
    if is_link_to(root, &path, &link.target)? {
        return Ok(true);
    }
    if let Some(entry) = root.entry(&path).map_err(|e| fail("unit")(&e))? {
        if entry.kind != Kind::Symlink || is_link_to(root, &path, "/dev/null")? {
            return Ok(false);
        }
        root.remove_file(&path).map_err(|e| fail("unit")(&e))?;
    }
    if let Some(dir) = path.parent() {
        root.mkdir_all(dir, 0o755).map_err(|e| fail("unit")(&e))?;
    }
    root.symlink(OsStr::new(&link.target), &path, 0, 0).map_err(|e| fail("unit")(&e))?;
    Ok(true)
}

/// Whether a link below /etc enables the unit.
pub(super) fn is_enabled(root: &Root, name: &str) -> Result<bool> {
    enabling_links(root, name, false).map(|links| !links.is_empty())
}

/// Finds, and removes if told to, every link below /etc that enables `name`; their names.
fn enabling_links(root: &Root, name: &str, remove: bool) -> Result<Vec<String>> {
    let remove_file = |path: &Path| -> Result<()> {
        if remove {
            root.remove_file(path).map_err(|e| fail("unit")(&e))?;
        }
        Ok(())
    };
    let mut names = BTreeSet::from([name.to_owned()]);
    if let Search::Found(found) = find(root, name)? {
        names.insert(found.name);
    }
    let mut found_links = Vec::new();
    for item in root.list(Path::new(ETC)).map_err(|e| fail("unit")(&e))? {
        let Some(item) = item.to_str() else { continue };
        let path = Path::new(ETC).join(item);
        if [".wants", ".requires", ".upholds"].iter().any(|s| item.ends_with(s)) {
            for name in &names {
                let link = path.join(name);
                let entry = root.entry(&link).map_err(|e| fail("unit")(&e))?;
                if entry.is_some_and(|e| e.kind == Kind::Symlink) {
                    remove_file(&link)?;
                    found_links.push(format!("{item}/{name}"));
                }
            }
        } else if root.entry(&path).map_err(|e| fail("unit")(&e))?.is_some_and(|e| e.kind == Kind::Symlink) {
            let target = root.read_link(&path).map_err(|e| fail("unit")(&e))?;
            let to_unit = target.file_name().and_then(OsStr::to_str).is_some_and(|t| names.contains(t));
            if to_unit && !names.contains(item) {
                remove_file(&path)?;
                found_links.push(item.to_owned());
            }
        }
    }
    Ok(found_links)
}
