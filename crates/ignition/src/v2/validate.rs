//! The checks of spec 2, as Ignition 0.36 makes them.

use super::model::{
    Config, Disk, FileContents, Filesystem, HttpHeader, Mount, NetworkdUnit, Partition, PasswdUser, Raid,
    Resource, Storage, Unit,
};
use crate::model::{Opt, OptExt as _, Owner, Verification, flag, text};
use crate::unit;
use crate::url;
use crate::validate::{Checker, guid_ok};
use crate::version::Version;
use report::{Reports, Span, Spanned, codes};
use std::collections::HashSet;

/// Checks a config by the rules of spec 2. What the reference calls deprecated (partition `size` and `start`) is an
/// error: Flatcar's translation refuses it.
pub fn validate(config: &Config, version: Version, reports: &mut Reports) {
    let mut checker = Checker::new(version, reports);
    checker.under("ignition", |c| {
        let ignition = &config.ignition;
        c.under("config", |c| {
            c.each("append", &ignition.config.append, Checker::v2_resource);
            if let Some(replace) = &ignition.config.replace {
                c.under("replace", |c| c.v2_resource(replace));
            }
        });
        let authorities = &ignition.security.tls.certificate_authorities;
        c.under("security.tls", |c| c.each("certificateAuthorities", authorities, Checker::v2_resource));
        c.under("proxy", |c| c.proxy(&ignition.proxy));
    });
    checker.under("networkd", |c| c.each("units", &config.networkd.units, Checker::v2_network_unit));
    checker.under("passwd", |c| c.each("users", &config.passwd.users, Checker::v2_user));
    checker.under("storage", |c| c.v2_storage(&config.storage));
    checker.under("systemd", |c| c.each("units", &config.systemd.units, Checker::v2_unit));
}

impl Checker<'_> {
    fn v2_resource(&mut self, resource: &Resource) {
        self.v2_fetch(&resource.source, &resource.verification, &resource.http_headers, resource.span);
    }

    fn v2_contents(&mut self, contents: &FileContents) {
        if !matches!(text(&contents.compression), "" | "gzip") {
            let message = "invalid compression method";
            self.error(codes::COMPRESSION, "compression", contents.compression.span(), message);
        }
        self.v2_fetch(&contents.source, &contents.verification, &contents.http_headers, contents.span);
    }

    fn v2_fetch(&mut self, source: &Opt<String>, check: &Verification, headers: &[HttpHeader], span: Span) {
        if let Some(source) = source.as_ref().filter(|s| !s.is_empty()) {
            self.url("source", source);
        }
        if let Some(hash) = &check.hash {
            match crate::resource::parse_hash(hash) {
                Ok(("sha512", _)) => {}
                Ok(_) => {
                    self.error(codes::HASH, "verification.hash", hash.span, "unrecognized hash function");
                }
                Err(crate::resource::ResourceError::HashSyntax { reason }) => {
                    self.error(codes::HASH, "verification.hash", hash.span, reason);
                }
                Err(_) => self.error(codes::HASH, "verification.hash", hash.span, "malformed hash specifier"),
            }
        }
        let mut names = HashSet::new();
        for header in headers {
            let name = text(&header.name);
            if name.is_empty() {
                self.error(codes::HEADER, "httpHeaders", header.span, "HTTP header name can't be empty");
            } else if !names.insert(name) {
                let message = "all header names in the list must be unique";
                self.error(codes::HEADER, "httpHeaders", header.span, message);
            }
        }
        let scheme = url::parse(text(source)).map(|u| u.scheme);
        if !headers.is_empty() && !matches!(scheme.as_deref(), Some("http" | "https")) {
            let message = "cannot use HTTP headers with this source scheme";
            self.error(codes::HEADER, "httpHeaders", span, message);
        }
    }

    fn v2_network_unit(&mut self, unit: &NetworkdUnit) {
        if !matches!(unit::extension(text(&unit.name)), ".link" | ".netdev" | ".network") {
            let span = unit.name.span().known().unwrap_or(unit.span);
            self.error(codes::UNIT, "name", span, "invalid networkd unit extension");
        }
        self.unit_contents(&unit.contents);
        self.each("dropins", &unit.dropins, Checker::dropin);
    }

    fn v2_unit(&mut self, unit: &Unit) {
        let name = text(&unit.name);
        if !unit::has_unit_suffix(name) {
            let span = unit.name.span().known().unwrap_or(unit.span);
            self.error(codes::UNIT, "name", span, "invalid systemd unit extension");
        }
        let options = self.unit_contents(&unit.contents);
        let enabled = flag(&unit.enable) || flag(&unit.enabled);
        let plain = !name.contains('@') && !text(&unit.contents).is_empty();
        if enabled && plain && options.is_some_and(|o| !unit::is_installable(&o)) {
            let message =
                format!("unit `{name}` is enabled, but has no [Install] section so enable does nothing");
            self.warning(codes::UNIT, "contents", unit.contents.span(), &message);
        }
        self.each("dropins", &unit.dropins, Checker::dropin);
    }

    fn v2_user(&mut self, user: &PasswdUser) {
        let Some(create) = &user.create else { return };
        let message = "the create object has been deprecated in favor of user-level options";
        self.warning(codes::DEPRECATED, "create", create.span, message);
        let both = [
            ("gecos", !text(&user.gecos).is_empty(), user.gecos.span()),
            ("groups", !user.groups.is_empty(), user.groups.first().map_or(Span::NONE, |g| g.span)),
            ("homeDir", !text(&user.home_dir).is_empty(), user.home_dir.span()),
            ("noCreateHome", flag(&user.no_create_home), user.no_create_home.span()),
            ("noLogInit", flag(&user.no_log_init), user.no_log_init.span()),
            ("noUserGroup", flag(&user.no_user_group), user.no_user_group.span()),
            ("primaryGroup", !text(&user.primary_group).is_empty(), user.primary_group.span()),
            ("shell", !text(&user.shell).is_empty(), user.shell.span()),
            ("system", flag(&user.system), user.system.span()),
            ("uid", user.uid.is_some(), user.uid.span()),
        ];
        for (key, set, span) in both {
            if set {
                let message = format!("cannot use both the create object and the user-level {key} field");
                self.error(codes::CONFLICT, key, span, &message);
            }
        }
    }

    fn v2_storage(&mut self, storage: &Storage) {
        self.each("disks", &storage.disks, Checker::v2_disk);
        self.each("raid", &storage.raid, Checker::v2_raid);
        self.each("filesystems", &storage.filesystems, Checker::v2_filesystem);
        let mut names: HashSet<&str> = HashSet::from(["root"]);
        for (index, fs) in storage.filesystems.iter().enumerate() {
            let name = text(&fs.name);
            if !names.insert(name) && !name.is_empty() {
                let message = format!("file system `{name}` shadows an existing definition");
                self.warning(
                    codes::FILESYSTEM,
                    &format!("filesystems.{index}.name"),
                    fs.name.span(),
                    &message,
                );
            }
        }
        self.each("files", &storage.files, |c, file| {
            c.v2_node(&file.filesystem, &file.path, file.span, &names);
            c.v2_owners(file.user.as_ref(), file.group.as_ref());
            c.mode(&file.mode);
            if flag(&file.append) && flag(&file.overwrite) {
                c.error(
                    codes::FILE,
                    "append",
                    file.append.span(),
                    "cannot set both append and overwrite to true",
                );
            }
            c.under("contents", |c| c.v2_contents(&file.contents));
        });
        self.each("directories", &storage.directories, |c, directory| {
            c.v2_node(&directory.filesystem, &directory.path, directory.span, &names);
            c.v2_owners(directory.user.as_ref(), directory.group.as_ref());
            c.mode(&directory.mode);
        });
        self.each("links", &storage.links, |c, link| {
            c.v2_node(&link.filesystem, &link.path, link.span, &names);
            c.v2_owners(link.user.as_ref(), link.group.as_ref());
            if flag(&link.hard) {
                c.v2_path("target", &link.target, link.span);
            }
        });
    }

    fn v2_node(&mut self, filesystem: &Opt<String>, path: &Opt<String>, span: Span, names: &HashSet<&str>) {
        match text(filesystem) {
            "" => self.error(codes::MISSING_KEY, "filesystem", span, "no filesystem specified"),
            name if name != "oem" && !names.contains(name) => {
                let message = format!("file system `{name}` is not defined in this config");
                self.warning(codes::FILESYSTEM, "filesystem", filesystem.span(), &message);
            }
            _ => {}
        }
        self.v2_path("path", path, span);
    }

    /// Spec 2 wants paths to be absolute and does not mind how they are written.
    fn v2_path(&mut self, key: &str, path: &Opt<String>, whole: Span) {
        let span = path.span().known().unwrap_or(whole);
        match text(path) {
            "" => self.error(codes::PATH, key, span, "path not specified"),
            path if !path.starts_with('/') => self.error(codes::PATH, key, span, "path not absolute"),
            _ => {}
        }
    }

    fn v2_owners(&mut self, user: Option<&Owner>, group: Option<&Owner>) {
        for (key, owner) in [("user", user), ("group", group)] {
            if let Some(owner) = owner {
                self.owner(key, owner);
            }
        }
    }

    fn v2_filesystem(&mut self, fs: &Filesystem) {
        match (&fs.mount, &fs.path) {
            (None, None) => {
                self.error(codes::FILESYSTEM, "", fs.span, "filesystem is missing mount or path");
            }
            (Some(_), Some(path)) => {
                self.error(codes::CONFLICT, "path", path.span, "filesystem has both mount and path defined");
            }
            (None, Some(_)) => self.v2_path("path", &fs.path, fs.span),
            (Some(mount), None) => self.under("mount", |c| c.v2_mount(mount)),
        }
    }

    fn v2_mount(&mut self, mount: &Mount) {
        self.v2_path("device", &mount.device, mount.span);
        let most = match text(&mount.format) {
            "ext4" => 16,
            "btrfs" => 256,
            "xfs" => 12,
            "swap" => 15,
            "vfat" => 11,
            _ => {
                let span = mount.format.span().known().unwrap_or(mount.span);
                let hint = "use ext4, btrfs, xfs, vfat or swap".to_owned();
                return self.error_hint(codes::FILESYSTEM, "format", span, "invalid filesystem format", hint);
            }
        };
        if text(&mount.label).len() > most {
            let format = text(&mount.format);
            let message =
                format!("filesystem labels cannot be longer than {most} characters when using {format}");
            self.error(codes::FILESYSTEM, "label", mount.label.span(), &message);
        }
        let Some(create) = &mount.create else { return };
        let message = "the create object has been deprecated in favor of mount-level options";
        self.warning(codes::DEPRECATED, "create", create.span, message);
        if mount.label.is_some()
            || mount.uuid.is_some()
            || !mount.options.is_empty()
            || flag(&mount.wipe_filesystem)
        {
            let message = "cannot use both the create object and mount-level options";
            self.error(codes::CONFLICT, "create", create.span, message);
        }
    }

    fn v2_raid(&mut self, raid: &Raid) {
        let span = raid.level.span().known().unwrap_or(raid.span);
        match text(&raid.level) {
            "linear" | "raid0" | "0" | "stripe" => {
                if raid.spares.get().is_some_and(|s| *s != 0) {
                    let message = "spares unsupported for linear and raid0 arrays";
                    self.error(codes::RAID, "spares", raid.spares.span(), message);
                }
            }
            "raid1" | "1" | "mirror" | "raid4" | "4" | "raid5" | "5" | "raid6" | "6" | "raid10" | "10" => {}
            _ => self.error(codes::RAID, "level", span, "unrecognized raid level"),
        }
        self.each("devices", &raid.devices, |c, device: &Spanned<String>| {
            c.v2_path("", &Some(device.clone()), device.span);
        });
    }

    fn v2_disk(&mut self, disk: &Disk) {
        match text(&disk.device) {
            "" => self.error(codes::PARTITION, "device", disk.span, "disk device is required"),
            _ => self.v2_path("device", &disk.device, disk.span),
        }
        self.each("partitions", &disk.partitions, Checker::v2_partition);
        let mut numbers = HashSet::new();
        let mut labels = HashSet::new();
        let mut zero = false;
        let mut gone = false;
        for partition in &disk.partitions {
            let number = partition.number.get().copied().unwrap_or(0);
            zero |= number == 0;
            gone |= partition.should_exist.get() == Some(&false);
            if number != 0 && !numbers.insert(number) {
                self.error(codes::PARTITION, "partitions", partition.span, "partition numbers collide");
            }
            if partition.label.get().is_some_and(|l| !l.is_empty() && !labels.insert(l.as_str())) {
                let message = "cannot use the same partition label twice";
                self.error(codes::PARTITION, "partitions", partition.span, message);
            }
        }
        if zero && gone {
            let message = "shouldExist is false for a partition and other partition(s) has start or size 0";
            self.error(codes::PARTITION, "partitions", disk.span, message);
        }
    }

    fn v2_partition(&mut self, partition: &Partition) {
        for (key, new, field) in
            [("size", "sizeMiB", &partition.size), ("start", "startMiB", &partition.start)]
        {
            if let Some(field) = field {
                let hint = format!("use `{new}` and spec 2.3.0 or later: 2048 sectors are one MiB");
                let message = format!("{key} in sectors is deprecated; today's engine refuses it");
                self.error_hint(codes::DEPRECATED, key, field.span, &message, hint);
            }
        }
        if partition.should_exist.get() == Some(&false)
            && (partition.label.is_some()
                || !text(&partition.type_guid).is_empty()
                || !text(&partition.guid).is_empty()
                || partition.start_mib.is_some()
                || partition.size_mib.is_some())
        {
            let message = "shouldExist specified false with other options also specified";
            self.error(codes::PARTITION, "", partition.span, message);
        }
        if let Some(label) = &partition.label {
            if label.len() > 36 {
                let message = "partition labels may not exceed 36 characters";
                self.error(codes::PARTITION, "label", label.span, message);
            }
            if label.contains(':') {
                let message = "partition label will be truncated to text before the colon";
                self.warning(codes::PARTITION, "label", label.span, message);
            }
        }
        for (key, guid) in [("guid", &partition.guid), ("typeGuid", &partition.type_guid)] {
            if !guid_ok(text(guid)) {
                let message = "doesn't match the form \"01234567-89AB-CDEF-EDCB-A98765432101\"";
                self.error(codes::PARTITION, key, guid.span(), message);
            }
        }
    }
}
