//! From unpacked packages to the tree of `/usr`: filters, renames, links, units, accounts, certificates,
//! kernel modules. Everything that Debian's maintainer scripts would have done is done here from the data
//! in `os/`; no script is run.

use crate::accounts::{AccountError, account_files};
use crate::distribution::Distribution;
use crate::kernel::{self, KernelError, Modules};
use crate::libraries::{self, MissingLibrary};
use crate::pattern::Patterns;
use crate::tree::{Content, Entry, Node, Tree, merged};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where what a package puts into /etc goes: the lower layer of the machine's /etc (design D8).
pub const ETC: &str = "usr/share/wellcar/etc";

/// One file of a package, as its archive has it.
#[derive(Debug, Clone)]
pub struct PackageFile {
    /// Path without a leading slash.
    pub path: String,
    /// What it is.
    pub node: Node,
    /// Permission bits.
    pub mode: u32,
    /// Owner, by number and by the name that stands in the archive.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Group's name, which counts where `os/users.toml` has it.
    pub group: String,
}

/// One unpacked package.
#[derive(Debug, Clone)]
pub struct PackageFiles {
    /// Package name.
    pub name: Arc<str>,
    /// Its files.
    pub files: Vec<PackageFile>,
}

/// What is built from this workspace and goes into the image.
#[derive(Debug, Clone)]
pub struct OwnFile {
    /// Path in the image.
    pub path: String,
    /// Content.
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the SBOM.
    pub owner: Arc<str>,
}

/// Something about `os/` and the packages that does not fit. All that is wrong is reported at once.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// Two packages have one file.
    #[error("failed to place `{path}`: both `{first}` and `{second}` have it")]
    Conflict {
        /// Path.
        path: String,
        /// Package.
        first: String,
        /// Package.
        second: String,
    },
    /// A program that `os/binaries.toml` does not know.
    #[error(
        "failed to place program `{name}` of package `{package}`: name it under [keep] or [drop] of `os/binaries.toml`"
    )]
    UnknownBinary {
        /// Program.
        name: String,
        /// Package.
        package: String,
    },
    /// A program that `os/binaries.toml` keeps and no package has.
    #[error("failed to find program `{name}` of package `{package}`, which `os/binaries.toml` keeps")]
    NoBinary {
        /// Program.
        name: String,
        /// Package.
        package: String,
    },
    /// A setuid or setgid file that the audit does not allow.
    #[error(
        "failed to place `{path}`: it is setuid or setgid (mode {mode:o}); name it in strip-privileges or privileged-files of `os/image.toml`"
    )]
    Privileged {
        /// Path.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// A unit that `os/units.toml` starts or names does not exist.
    #[error("failed to find unit `{unit}`, which `os/units.toml` names for `{by}`")]
    NoUnit {
        /// Unit.
        unit: String,
        /// Who wants it.
        by: String,
    },
    /// A link of `os/links.toml` that points nowhere inside /usr.
    #[error("failed to place link `{path}` of `os/links.toml`: its target `{target}` is not in the image")]
    DeadLink {
        /// Path.
        path: String,
        /// Target.
        target: String,
    },
    /// The image lacks something that it cannot be without.
    #[error("failed to find {what} in the packages of the lock")]
    Lacks {
        /// What.
        what: &'static str,
    },
    /// Kernel modules.
    #[error("failed to prepare the kernel modules")]
    Kernel(#[from] KernelError),
    /// Libraries.
    #[error(transparent)]
    Library(#[from] MissingLibrary),
    /// Accounts.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// The finished tree of /usr, and what lies beside it.
#[derive(Debug)]
pub struct Assembly {
    /// `usr/…`, with directories.
    pub tree: Tree,
    /// The kernel image.
    pub kernel: Content,
    /// The EFI stub of UKIs.
    pub stub: Content,
    /// The boot loader, systemd-boot.
    pub boot_loader: Content,
    /// The kernel modules.
    pub modules: Modules,
    /// Libraries that nothing needed.
    pub pruned_libraries: Vec<String>,
}

/// Composes the tree.
///
/// # Errors
/// Everything that does not fit, together.
pub fn assemble(
    packages: Vec<PackageFiles>,
    own: Vec<OwnFile>,
    os: &Distribution,
) -> Result<Assembly, Vec<AssembleError>> {
    let mut errors = Vec::new();
    let (mut tree, boot) = place_packages(packages, os, &mut errors);
    let wellcar: Arc<str> = "wellcar".into();
    let (Some(kernel), Some(release)) = (boot.kernel, boot.release) else {
        errors.push(AssembleError::Lacks { what: "a kernel (boot/vmlinuz-*)" });
        return Err(errors);
    };
    let (Some(stub), Some(boot_loader)) = (boot.stub, boot.boot_loader) else {
        errors.push(AssembleError::Lacks { what: "systemd-boot and its EFI stub" });
        return Err(errors);
    };
    let unwanted = Patterns::new(os.files.drop.iter().flat_map(|rule| &rule.paths));
    let modules = match kernel::settle(&mut tree, &release, |path| unwanted.matches(path)) {
        Ok(modules) => modules,
        Err(error) => {
            errors.push(error.into());
            return Err(errors);
        }
    };
    place_own(&mut tree, own, os, &wellcar);
    certificates(&mut tree, &wellcar);
    match account_files(&os.users) {
        Ok(files) => {
            for (path, text, mode, gid) in [
                (format!("{ETC}/passwd"), files.passwd, 0o644, 0),
                (format!("{ETC}/group"), files.group, 0o644, 0),
                (format!("{ETC}/shadow"), files.shadow, 0o640, 42),
                (format!("{ETC}/gshadow"), files.gshadow, 0o640, 42),
                ("usr/lib/sysusers.d/wellcar.conf".to_owned(), files.sysusers, 0o644, 0),
            ] {
                let mut entry = Entry::file(text.into_bytes(), mode, &wellcar);
                entry.gid = gid;
                tree.put(path, entry);
            }
        }
        Err(error) => errors.push(error.into()),
    }
    place_units(&mut tree, os, &wellcar, &mut errors);
    modules.write_indices(&mut tree, &wellcar);
    let pruned_libraries = libraries::prune(&mut tree, &os.files.libraries).unwrap_or_else(|missing| {
        errors.extend(missing.into_iter().map(AssembleError::from));
        Vec::new()
    });
    place_links(&mut tree, os, &wellcar, &mut errors);
    drop_dead_links(&mut tree);
    tree.settle_directories(&wellcar);
    if errors.is_empty() {
        Ok(Assembly { tree, kernel, stub, boot_loader, modules, pruned_libraries })
    } else {
        Err(errors)
    }
}

/// What packages bring that does not go into /usr.
#[derive(Default)]
struct BootFiles {
    kernel: Option<Content>,
    release: Option<String>,
    stub: Option<Content>,
    boot_loader: Option<Content>,
}

impl BootFiles {
    fn take(&mut self, path: &str, node: &Node) {
        let Node::File(content) = node else { return };
        if let Some(release) = path.strip_prefix("boot/vmlinuz-") {
            self.kernel = Some(Arc::clone(content));
            self.release = Some(release.to_owned());
        } else if path.ends_with("/boot/efi/linuxx64.efi.stub") {
            self.stub = Some(Arc::clone(content));
        } else if path.ends_with("/boot/efi/systemd-bootx64.efi") {
            self.boot_loader = Some(Arc::clone(content));
        }
    }
}

/// Applies the rules of `os/` to every file of every package.
fn place_packages(
    packages: Vec<PackageFiles>,
    os: &Distribution,
    errors: &mut Vec<AssembleError>,
) -> (Tree, BootFiles) {
    let dropped = Patterns::new(os.files.drop.iter().flat_map(|rule| &rule.paths));
    let keeps: Vec<(Patterns, Patterns)> = os
        .files
        .keep
        .iter()
        .map(|rule| (Patterns::new([&rule.within]), Patterns::new(&rule.paths)))
        .collect();
    let removed_units = os.units.removed();
    let strip: BTreeSet<&str> = os.image.audit.strip_privileges.iter().map(String::as_str).collect();
    let allowed: BTreeSet<&str> = os.image.audit.privileged_files.iter().map(String::as_str).collect();
    let mut tree = Tree::new();
    let mut boot = BootFiles::default();
    let mut seen_binaries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        for file in package.files {
            let path = merged(&file.path);
            boot.take(&path, &file.node);
            if file.node == Node::Dir || !(path.starts_with("usr/") || path.starts_with("etc/")) {
                continue;
            }
            let module = path.starts_with("usr/lib/modules/") && path.contains("/kernel/");
            if !module && dropped.matches(&path)
                || keeps.iter().any(|(within, keep)| within.matches(&path) && !keep.matches(&path))
            {
                continue;
            }
            if let Some(unit) = path.strip_prefix("usr/lib/systemd/system/")
                && is_removed_unit(&removed_units, unit)
            {
                continue;
            }
            if let Some(name) = path.strip_prefix("usr/bin/").or_else(|| path.strip_prefix("usr/sbin/")) {
                let package_name = package.name.to_string();
                let listed = |table: &BTreeMap<String, Vec<String>>| {
                    table.get(&package_name).is_some_and(|names| names.iter().any(|known| known == name))
                };
                if listed(&os.binaries.drop) {
                    continue;
                }
                if !listed(&os.binaries.keep) {
                    errors
                        .push(AssembleError::UnknownBinary { name: name.to_owned(), package: package_name });
                    continue;
                }
                seen_binaries.entry(package_name).or_default().insert(name.to_owned());
            }
            let mut mode = file.mode & 0o7777;
            if mode & 0o6000 != 0 && !matches!(file.node, Node::Dir) {
                if strip.contains(path.as_str()) {
                    mode &= 0o777;
                } else if !allowed.contains(path.as_str()) {
                    errors.push(AssembleError::Privileged { path: path.clone(), mode });
                }
            }
            let gid = if file.gid == 0 && file.group == "root" {
                0
            } else {
                os.users.groups.get(&file.group).copied().unwrap_or(0)
            };
            let place = match path.strip_prefix("etc/") {
                Some(rest) => format!("{ETC}/{rest}"),
                None => path,
            };
            let entry = Entry { node: file.node, mode, uid: file.uid, gid, owner: Arc::clone(&package.name) };
            if let Some(before) = tree.put(place.clone(), entry) {
                errors.push(AssembleError::Conflict {
                    path: place,
                    first: before.owner.to_string(),
                    second: package.name.to_string(),
                });
            }
        }
    }
    for (package, names) in &os.binaries.keep {
        for name in names {
            if !seen_binaries.get(package).is_some_and(|seen| seen.contains(name)) {
                errors.push(AssembleError::NoBinary { name: name.clone(), package: package.clone() });
            }
        }
    }
    (tree, boot)
}

/// Whether a path below the unit directory is a removed unit, lies in a removed directory, or is a
/// `.wants` link of a removed unit.
fn is_removed_unit(removed: &Patterns, path: &str) -> bool {
    if removed.matches(path) {
        return true;
    }
    match path.split_once('/') {
        Some((dir, name)) => {
            removed.matches(dir)
                || (dir.ends_with(".wants") || dir.ends_with(".requires") || dir.ends_with(".upholds"))
                    && removed.matches(name)
        }
        None => false,
    }
}

fn place_own(tree: &mut Tree, own: Vec<OwnFile>, os: &Distribution, wellcar: &Arc<str>) {
    for (path, (content, mode)) in &os.tree {
        tree.put(path.clone(), Entry::file(content.clone(), *mode, wellcar));
    }
    for file in own {
        tree.put(file.path, Entry::file(file.content, file.mode, &file.owner));
    }
    let product = &os.image.product;
    let release = format!(
        "NAME=\"{}\"\nID={}\nID_LIKE=\"{}\"\nVERSION={v}\nVERSION_ID={v}\nBUILD_ID={v}\nPRETTY_NAME=\"{} {v}\"\nIMAGE_ID={}\nIMAGE_VERSION={v}\nHOME_URL=\"{}\"\n",
        product.name,
        product.id,
        product.id_like,
        product.pretty_name,
        product.id,
        product.home_url,
        v = product.version
    );
    tree.put("usr/lib/os-release", Entry::file(release.into_bytes(), 0o644, wellcar));
}

/// ca-certificates' postinst: one bundle of all certificates, which is the only file that Go, curl and
/// rustls read.
fn certificates(tree: &mut Tree, wellcar: &Arc<str>) {
    let mut bundle = Vec::new();
    for (path, entry) in tree.below("usr/share/ca-certificates") {
        if let (true, Node::File(content)) = (path.ends_with(".crt"), &entry.node) {
            bundle.extend_from_slice(content);
            if !content.ends_with(b"\n") {
                bundle.push(b'\n');
            }
        }
    }
    tree.put(format!("{ETC}/ssl/certs/ca-certificates.crt"), Entry::file(bundle, 0o644, wellcar));
}

fn place_units(tree: &mut Tree, os: &Distribution, wellcar: &Arc<str>, errors: &mut Vec<AssembleError>) {
    const UNITS: &str = "usr/lib/systemd/system";
    for (alias, unit) in &os.units.alias {
        if tree.get(&format!("{UNITS}/{unit}")).is_none() {
            errors.push(AssembleError::NoUnit { unit: unit.clone(), by: alias.clone() });
        }
        tree.put(format!("{UNITS}/{alias}"), Entry::link(unit.clone(), wellcar));
    }
    for (by, wants) in &os.units.enable {
        for unit in wants {
            if tree.get(&format!("{UNITS}/{unit}")).is_none() {
                errors.push(AssembleError::NoUnit { unit: unit.clone(), by: by.clone() });
            }
            tree.put(format!("{UNITS}/{by}.wants/{unit}"), Entry::link(format!("../{unit}"), wellcar));
        }
    }
}

fn place_links(tree: &mut Tree, os: &Distribution, wellcar: &Arc<str>, errors: &mut Vec<AssembleError>) {
    for (path, target) in &os.links {
        let lands = crate::tree::join(path, target);
        if lands.starts_with("usr/") && !path.starts_with(ETC) && tree.resolve(&lands).is_none() {
            errors.push(AssembleError::DeadLink { path: path.clone(), target: target.clone() });
        }
        tree.put(path.clone(), Entry::link(target.clone(), wellcar));
    }
}

/// Links of packages whose target was left out go too, until none is left.
fn drop_dead_links(tree: &mut Tree) {
    loop {
        let dead: Vec<String> = tree
            .iter()
            .filter(|(path, entry)| {
                let Node::Link(target) = &entry.node else { return false };
                let lands = merged(&crate::tree::join(path, target));
                lands.starts_with("usr/")
                    && !path.starts_with(ETC)
                    && tree.get(&lands).is_none()
                    && tree.below(&lands).next().is_none()
            })
            .map(|(path, _)| path.to_owned())
            .collect();
        if dead.is_empty() {
            return;
        }
        for path in dead {
            tree.remove(&path);
        }
    }
}
