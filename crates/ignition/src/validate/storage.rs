//! Checks of file systems, encrypted volumes and RAID arrays.

use super::Checker;
use crate::model::{Clevis, Filesystem, Luks, OptExt as _, Raid, Storage, Tang, flag, text};
use crate::url;
use crate::version::Version;
use report::{Reports, codes};
use std::collections::HashMap;

impl Checker<'_> {
    pub(super) fn storage(&mut self, storage: &Storage) {
        self.tables(&storage.disks);
        self.unique("filesystems", &storage.filesystems);
        self.unique("luks", &storage.luks);
        self.unique("raid", &storage.raid);
        self.each("filesystems", &storage.filesystems, Checker::filesystem);
        self.each("luks", &storage.luks, Checker::luks);
        self.each("raid", &storage.raid, Checker::raid);
        self.nodes(storage);
        let disks: HashMap<&str, _> = storage.disks.iter().map(|d| (text(&d.device), d)).collect();
        self.each("filesystems", &storage.filesystems, |c, fs| {
            let Some(disk) = disks.get(text(&fs.device)) else { return };
            if !disk.partitions.is_empty() {
                c.warning(
                    codes::FILESYSTEM,
                    "device",
                    fs.device.span(),
                    "filesystem overwrites partitioned device",
                );
            } else if !flag(&fs.wipe_filesystem) && flag(&disk.wipe_table) {
                let message = "device matches disk with wipeTable enabled; filesystem will be wiped";
                c.warning(codes::FILESYSTEM, "device", fs.device.span(), message);
            }
        });
    }

    fn filesystem(&mut self, fs: &Filesystem) {
        self.check_path("device", text(&fs.device), fs.device.span().known().unwrap_or(fs.span));
        if let Some(path) = fs.path.as_ref().filter(|p| !p.is_empty()) {
            self.check_path("path", path, path.span);
        }
        let format = text(&fs.format);
        let none = self.version >= Version::V3_3;
        match format {
            "" => {
                let late = none && (flag(&fs.wipe_filesystem) || !fs.mount_options.is_empty());
                let set = |o: &crate::model::Opt<String>| !text(o).is_empty();
                if set(&fs.path) || set(&fs.label) || set(&fs.uuid) || !fs.options.is_empty() || late {
                    let message = "format cannot be empty when path, label, uuid, wipeFilesystem, options, or \
                                   mountOptions is specified";
                    self.error(codes::FILESYSTEM, "format", fs.span, message);
                }
            }
            "ext4" | "btrfs" | "xfs" | "vfat" | "swap" => {}
            "none" if none => {}
            _ => {
                let known = if none {
                    "ext4, btrfs, xfs, vfat, swap or none"
                } else {
                    "ext4, btrfs, xfs, vfat or swap"
                };
                let message = "invalid filesystem format";
                self.error_hint(
                    codes::FILESYSTEM,
                    "format",
                    fs.format.span(),
                    message,
                    format!("use {known}"),
                );
            }
        }
        let Some(label) = fs.label.as_ref().filter(|l| !l.is_empty()) else { return };
        let most = match format {
            "ext4" => 16,
            "btrfs" => 256,
            "xfs" => 12,
            "swap" => 15,
            "vfat" => 11,
            "" => {
                let message = "filesystem must specify format if label is specified";
                return self.error(codes::FILESYSTEM, "label", label.span, message);
            }
            _ => return,
        };
        if label.len() > most {
            let message =
                format!("filesystem labels cannot be longer than {most} characters when using {format}");
            self.error(codes::FILESYSTEM, "label", label.span, &message);
        }
    }

    fn raid(&mut self, raid: &Raid) {
        let level = text(&raid.level);
        let span = raid.level.span().known().unwrap_or(raid.span);
        match level {
            "linear" | "raid0" | "0" | "stripe" => {
                if raid.spares.get().is_some_and(|s| *s != 0) {
                    let message = "spares unsupported for linear and raid0 arrays";
                    self.error(codes::RAID, "spares", raid.spares.span(), message);
                }
            }
            "raid1" | "1" | "mirror" | "raid4" | "4" | "raid5" | "5" | "raid6" | "6" | "raid10" | "10" => {}
            "" => self.error(codes::RAID, "level", span, "raid level is required"),
            _ => {
                let hint = "use linear, raid0, raid1, raid4, raid5, raid6 or raid10".to_owned();
                self.error_hint(codes::RAID, "level", span, "unrecognized raid level", hint);
            }
        }
        if raid.devices.is_empty() && self.version >= Version::V3_3 {
            self.error(codes::RAID, "devices", raid.span, "raid devices required");
        }
        self.unique_strings("devices", &raid.devices);
        self.each("devices", &raid.devices, |c, device| c.check_path("", device, device.span));
    }

    fn luks(&mut self, luks: &Luks) {
        let name = text(&luks.name);
        if name.contains('/') {
            self.error(codes::LUKS, "name", luks.name.span(), "device names cannot contain slashes");
        }
        if name.is_empty() {
            self.warning(
                codes::LUKS,
                "name",
                luks.span,
                "the volume has no name; the machine cannot open it",
            );
        }
        if text(&luks.label).len() > 47 {
            let message = "luks device labels cannot be longer than 47 characters";
            self.error(codes::LUKS, "label", luks.label.span(), message);
        }
        match text(&luks.device) {
            "" => self.error(codes::LUKS, "device", luks.span, "disk device is required"),
            device => self.check_path("device", device, luks.device.span()),
        }
        self.under("clevis", |c| c.clevis(&luks.clevis));
        self.under("keyFile", |c| c.resource(&luks.key_file, false));
        if flag(&luks.cex.enabled) {
            let c = &luks.clevis;
            if !c.tang.is_empty() || flag(&c.tpm2) || c.custom.pin.is_some() {
                self.error(codes::LUKS, "cex", luks.cex.span, "cannot use cex with clevis");
            }
            if luks.key_file.source.is_some() {
                self.error(codes::LUKS, "cex", luks.cex.span, "cannot use cex with a key file");
            }
        }
    }

    fn clevis(&mut self, clevis: &Clevis) {
        let custom = &clevis.custom;
        let others =
            !clevis.tang.is_empty() || flag(&clevis.tpm2) || clevis.threshold.get().is_some_and(|t| *t != 0);
        if !text(&custom.pin).is_empty() && others {
            let message = "cannot use custom clevis config with tpm2, tang, or threshold";
            self.error(codes::LUKS, "custom", custom.span, message);
        }
        if !text(&custom.pin).is_empty() || !text(&custom.config).is_empty() || flag(&custom.needs_network) {
            match text(&custom.pin) {
                "tpm2" | "tang" | "sss" => {}
                "" => {
                    self.error(codes::LUKS, "custom.pin", custom.span, "missing required custom clevis pin");
                }
                _ => self.error(codes::LUKS, "custom.pin", custom.pin.span(), "unsupported clevis pin"),
            }
            if text(&custom.config).is_empty() {
                self.error(
                    codes::LUKS,
                    "custom.config",
                    custom.span,
                    "missing required custom clevis config",
                );
            }
        }
        self.unique("tang", &clevis.tang);
        self.each("tang", &clevis.tang, Checker::tang);
    }

    fn tang(&mut self, tang: &Tang) {
        let span = tang.url.span().known().unwrap_or(tang.span);
        match url::parse(text(&tang.url)).map(|u| u.scheme).as_deref() {
            None => self.error(codes::URL, "url", span, "unable to parse url"),
            Some("http" | "https") => {}
            Some(_) => self.error(codes::URL, "url", span, "invalid url scheme"),
        }
        if text(&tang.thumbprint).is_empty() {
            self.error(codes::LUKS, "thumbprint", tang.span, "thumbprint is required");
        }
        if let Some(advertisement) = tang.advertisement.as_ref().filter(|a| !a.is_empty()) {
            let id = advertisement.span.source;
            if crate::json::parse(advertisement, id, 1 << 20, &mut Reports::new()).is_err() {
                self.error(
                    codes::LUKS,
                    "advertisement",
                    advertisement.span,
                    "advertisement is not valid JSON",
                );
            }
        }
    }
}
