//! From spec 2.4 to spec 3.1, as Flatcar's engine does it at run time, in a fixed order and without its crash on
//! file systems that only have a path.

use super::model::{
    Config, Directory, Disk, File, Filesystem, HttpHeader, Link, NetworkdUnit, PasswdGroup, PasswdUser, Raid,
    Resource, Unit, UserCreate,
};
use crate::model::{self as v3, Dropin, Opt, OptExt as _, Owner, flag, text};
use crate::path;
use crate::resource::data_url;
use crate::version::Version;
use report::{Report, Reports, Span, Spanned, codes};
use std::collections::HashMap;

/// Where named file systems are mounted.
type Mounts = HashMap<String, String>;

/// Translates a valid 2.x config. `None` when spec 3 has no meaning for it; the reports say why. Spans are kept.
#[must_use]
pub fn to_v3(config: &Config) -> (Option<v3::Config>, Reports) {
    let mut reports = Reports::new();
    let mounts = mounts(config, &mut reports);
    let version_span = config.ignition.version.span();
    let ignition = &config.ignition;
    let mut out = v3::Config {
        ignition: v3::Ignition {
            version: Some(Spanned::new(Version::V3_1.as_str().to_owned(), version_span)),
            config: v3::IgnitionConfig {
                merge: ignition.config.append.iter().map(resource).collect(),
                replace: ignition.config.replace.as_ref().map(resource).unwrap_or_default(),
                span: ignition.config.span,
            },
            proxy: ignition.proxy.clone(),
            timeouts: ignition.timeouts.clone(),
            security: v3::Security {
                tls: v3::Tls {
                    certificate_authorities: ignition
                        .security
                        .tls
                        .certificate_authorities
                        .iter()
                        .map(resource)
                        .collect(),
                    span: ignition.security.tls.span,
                },
                span: ignition.security.span,
            },
            span: ignition.span,
        },
        passwd: v3::Passwd {
            users: config.passwd.users.iter().map(user).collect(),
            groups: config.passwd.groups.iter().map(group).collect(),
            span: config.passwd.span,
        },
        span: config.span,
        ..v3::Config::default()
    };
    out.storage = storage(config, &mounts, &mut reports);
    out.systemd =
        v3::Systemd { units: units(&config.systemd.units, &mut reports), span: config.systemd.span };
    refuse(&out, &mut reports);
    let usable = !reports.has_errors();
    (usable.then_some(out), reports)
}

fn strict(field: &Opt<String>) -> Opt<String> {
    field.clone().filter(|s| !s.is_empty())
}

fn set(field: &Opt<bool>) -> Opt<bool> {
    field.filter(|s| s.value)
}

fn nonzero(field: &Opt<i64>) -> Opt<i64> {
    field.filter(|s| s.value != 0)
}

fn headers(headers: &[HttpHeader]) -> Vec<v3::HttpHeader> {
    headers
        .iter()
        .map(|h| v3::HttpHeader { name: h.name.clone(), value: strict(&h.value), span: h.span })
        .collect()
}

fn resource(resource: &Resource) -> v3::Resource {
    v3::Resource {
        compression: None,
        http_headers: headers(&resource.http_headers),
        source: Some(resource.source.clone().unwrap_or_else(|| Spanned::new(String::new(), resource.span))),
        verification: resource.verification.clone(),
        span: resource.span,
    }
}

fn user(user: &PasswdUser) -> v3::PasswdUser {
    let own = UserCreate {
        gecos: user.gecos.clone(),
        groups: user.groups.clone(),
        home_dir: user.home_dir.clone(),
        no_create_home: user.no_create_home,
        no_log_init: user.no_log_init,
        no_user_group: user.no_user_group,
        primary_group: user.primary_group.clone(),
        shell: user.shell.clone(),
        system: user.system,
        uid: user.uid,
        span: user.span,
    };
    let fields = user.create.clone().unwrap_or(own);
    v3::PasswdUser {
        name: user.name.clone(),
        password_hash: user.password_hash.clone(),
        ssh_authorized_keys: user.ssh_authorized_keys.clone(),
        gecos: strict(&fields.gecos),
        groups: fields.groups,
        home_dir: strict(&fields.home_dir),
        no_create_home: set(&fields.no_create_home),
        no_log_init: set(&fields.no_log_init),
        no_user_group: set(&fields.no_user_group),
        primary_group: strict(&fields.primary_group),
        shell: strict(&fields.shell),
        system: set(&fields.system),
        uid: fields.uid,
        should_exist: None,
        span: user.span,
    }
}

fn group(group: &PasswdGroup) -> v3::PasswdGroup {
    v3::PasswdGroup {
        gid: group.gid,
        name: group.name.clone(),
        password_hash: strict(&group.password_hash),
        should_exist: None,
        system: set(&group.system),
        span: group.span,
    }
}

/// Units of one name become one: contents and flags of the later one win, drop-ins are collected.
fn units(units: &[Unit], reports: &mut Reports) -> Vec<v3::Unit> {
    let mut out: Vec<v3::Unit> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for (number, unit) in units.iter().enumerate() {
        let mut enabled = unit.enabled;
        if enabled.is_none() {
            enabled = set(&unit.enable);
        }
        let new = v3::Unit {
            contents: strict(&unit.contents),
            dropins: unit
                .dropins
                .iter()
                .map(|d| Dropin { contents: strict(&d.contents), ..d.clone() })
                .collect(),
            enabled,
            mask: set(&unit.mask),
            name: unit.name.clone(),
            span: unit.span,
        };
        match index.get(text(&unit.name)).and_then(|i| out.get_mut(*i)) {
            None => {
                index.insert(text(&unit.name), out.len());
                out.push(new);
            }
            Some(old) => {
                let message =
                    format!("unit `{}` is defined twice; the two are put together", text(&unit.name));
                reports.push(
                    Report::warning(codes::DUPLICATE_ENTRY, message)
                        .at(unit.span)
                        .path(format!("$.systemd.units.{number}"))
                        .related(old.span, "first defined here"),
                );
                old.contents = new.contents.or_else(|| old.contents.take());
                old.enabled = new.enabled.or(old.enabled);
                old.mask = new.mask.or(old.mask);
                old.dropins.extend(new.dropins);
            }
        }
    }
    out
}

fn mounts(config: &Config, reports: &mut Reports) -> Mounts {
    let mut mounts =
        Mounts::from([("root".to_owned(), "/".to_owned()), ("oem".to_owned(), "/oem".to_owned())]);
    let mut count = 0;
    for (index, fs) in config.storage.filesystems.iter().enumerate() {
        let name = text(&fs.name);
        if let Some(create) = fs.mount.as_ref().and_then(|m| m.create.as_ref())
            && !flag(&create.force)
        {
            reports.push(
                Report::error(
                    codes::TRANSLATE,
                    "`mount.create` without `force: true` has no meaning in spec 3",
                )
                .at(create.span)
                .path(format!("$.storage.filesystems.{index}.mount.create"))
                .hint("use `wipeFilesystem` instead, or set `force`"),
            );
        }
        match (name, &fs.path) {
            ("root" | "oem" | "", _) => {}
            (name, Some(path)) => {
                mounts.insert(name.to_owned(), path.value.clone());
            }
            (name, None) => {
                count += 1;
                mounts.insert(name.to_owned(), format!("/tmp/{name}-ign{count}"));
            }
        }
    }
    mounts
}

fn filesystem(fs: &Filesystem, mounts: &Mounts) -> Option<v3::Filesystem> {
    let mount = fs.mount.as_ref().filter(|_| text(&fs.name) != "root")?;
    let mut options = mount.options.clone();
    let mut wipe = set(&mount.wipe_filesystem);
    if let Some(create) = &mount.create {
        wipe = set(&create.force);
        options.extend(create.options.iter().cloned());
    }
    let device = text(&mount.device);
    let is_oem = matches!(device, "/dev/disk/by-label/OEM" | "/dev/disk/by-partlabel/OEM")
        || text(&mount.label) == "OEM"
        || text(&fs.name) == "oem";
    let format = match strict(&mount.format) {
        Some(format) if is_oem && wipe.is_none() => Some(Spanned::new("btrfs".to_owned(), format.span)),
        format => format,
    };
    let path = mounts.get(text(&fs.name)).map(|p| Spanned::new(p.clone(), fs.name.span()));
    Some(v3::Filesystem {
        device: mount.device.clone(),
        format,
        label: mount.label.clone(),
        mount_options: Vec::new(),
        options,
        path,
        uuid: mount.uuid.clone(),
        wipe_filesystem: wipe,
        span: fs.span,
    })
}

fn disk(disk: &Disk) -> v3::Disk {
    let partitions = disk.partitions.iter().map(|p| v3::Partition {
        guid: strict(&p.guid),
        label: p.label.clone(),
        number: p.number,
        resize: None,
        should_exist: p.should_exist,
        size_mib: p.size_mib,
        start_mib: p.start_mib,
        type_guid: strict(&p.type_guid),
        wipe_partition_entry: set(&p.wipe_partition_entry),
        span: p.span,
    });
    v3::Disk {
        device: disk.device.clone(),
        partitions: partitions.collect(),
        wipe_table: set(&disk.wipe_table),
        span: disk.span,
    }
}

fn raid(raid: &Raid) -> v3::Raid {
    v3::Raid {
        devices: raid.devices.clone(),
        level: raid.level.clone(),
        name: raid.name.clone(),
        options: raid.options.clone(),
        spares: nonzero(&raid.spares),
        span: raid.span,
    }
}

fn owner(owner: Option<&Owner>) -> Owner {
    owner.map_or_else(Owner::default, |o| Owner { id: o.id, name: strict(&o.name), span: o.span })
}

fn place(filesystem: &Opt<String>, at: &Opt<String>, mounts: &Mounts) -> Opt<String> {
    let base = mounts.get(text(filesystem)).map_or("", String::as_str);
    at.clone().map(|p| p.map(|p| path::join(base, &p)))
}

fn file(file: &File, mounts: &Mounts) -> v3::File {
    let contents = v3::Resource {
        compression: strict(&file.contents.compression),
        http_headers: headers(&file.contents.http_headers),
        source: Some(file.contents.source.clone().unwrap_or_else(|| Spanned::new(String::new(), file.span))),
        verification: file.contents.verification.clone(),
        span: file.contents.span,
    };
    let append = flag(&file.append);
    let overwrite = if append {
        Spanned::new(false, file.append.span())
    } else {
        file.overwrite.unwrap_or(Spanned::bare(true))
    };
    v3::File {
        group: owner(file.group.as_ref()),
        overwrite: Some(overwrite),
        path: place(&file.filesystem, &file.path, mounts),
        user: owner(file.user.as_ref()),
        append: if append { vec![contents.clone()] } else { Vec::new() },
        contents: if append { v3::Resource::default() } else { contents },
        mode: file.mode,
        span: file.span,
    }
}

fn directory(directory: &Directory, mounts: &Mounts) -> v3::Directory {
    v3::Directory {
        group: owner(directory.group.as_ref()),
        overwrite: directory.overwrite,
        path: place(&directory.filesystem, &directory.path, mounts),
        user: owner(directory.user.as_ref()),
        mode: directory.mode,
        span: directory.span,
    }
}

fn link(link: &Link, mounts: &Mounts) -> v3::Link {
    v3::Link {
        group: owner(link.group.as_ref()),
        overwrite: link.overwrite,
        path: place(&link.filesystem, &link.path, mounts),
        user: owner(link.user.as_ref()),
        hard: set(&link.hard),
        target: link.target.clone(),
        span: link.span,
    }
}

/// networkd units become files.
fn network_files(unit: &NetworkdUnit) -> Vec<v3::File> {
    let file = |path: String, contents: &str, span: Span| v3::File {
        path: Some(Spanned::new(path, span)),
        overwrite: Some(Spanned::bare(true)),
        mode: Some(Spanned::bare(0o644)),
        contents: v3::Resource {
            source: Some(Spanned::new(data_url::escape(contents.as_bytes()), span)),
            span,
            ..v3::Resource::default()
        },
        span,
        ..v3::File::default()
    };
    let name = text(&unit.name);
    let mut out = Vec::new();
    if !text(&unit.contents).is_empty() {
        out.push(file(format!("/etc/systemd/network/{name}"), text(&unit.contents), unit.span));
    }
    for dropin in unit.dropins.iter().filter(|d| !text(&d.contents).is_empty()) {
        let path = format!("/etc/systemd/network/{name}.d/{}", text(&dropin.name));
        out.push(file(path, text(&dropin.contents), dropin.span));
    }
    out
}

fn storage(config: &Config, mounts: &Mounts, reports: &mut Reports) -> v3::Storage {
    let old = &config.storage;
    let mut files: Vec<v3::File> = old.files.iter().map(|f| file(f, mounts)).collect();
    files.extend(config.networkd.units.iter().flat_map(network_files));
    for (index, fs) in old.filesystems.iter().enumerate().filter(|(_, fs)| text(&fs.name) == "root") {
        if fs.mount.is_some() {
            let message =
                "the file system named `root` is the running one; what is said of it here has no effect";
            reports.push(
                Report::warning(codes::TRANSLATE, message)
                    .at(fs.span)
                    .path(format!("$.storage.filesystems.{index}"))
                    .hint("leave the name out, and label it ROOT, to make a new root file system"),
            );
        }
    }
    v3::Storage {
        directories: old.directories.iter().map(|d| directory(d, mounts)).collect(),
        disks: old.disks.iter().map(disk).collect(),
        files,
        filesystems: old.filesystems.iter().filter_map(|fs| filesystem(fs, mounts)).collect(),
        links: old.links.iter().map(|l| link(l, mounts)).collect(),
        luks: Vec::new(),
        raid: old.raid.iter().map(raid).collect(),
        span: old.span,
    }
}

/// What the translation of the reference refuses beyond the checks of spec 3: a node below a link, two nodes with
/// one path, two drop-ins with one name are found by [`crate::validate`] afterwards; here only what it cannot see.
fn refuse(config: &v3::Config, reports: &mut Reports) {
    for (list, path) in config
        .storage
        .files
        .iter()
        .map(|f| ("files", &f.path))
        .chain(config.storage.links.iter().map(|l| ("links", &l.path)))
    {
        if text(path) == "/" {
            let message = "the root directory cannot be a file or a link";
            reports
                .push(Report::error(codes::FILE, message).at(path.span()).path(format!("$.storage.{list}")));
        }
    }
}
