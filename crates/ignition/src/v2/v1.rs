//! Spec 1, the oldest: `ignitionVersion: 1`, files inside their file system. It is read and at once turned into
//! spec 2.

use super::model::{
    self, Config, Create, Disk, File, Filesystem, Mount, Networkd, NetworkdUnit, Passwd, Raid, Storage,
    Systemd,
};
use crate::model::{Opt, OptExt as _, Owner};
use crate::node::model;
use crate::resource::data_url;
use report::Spanned;

model! {
    /// A whole config of spec 1.
    pub struct ConfigV1 {
        /// Always 1.
        ignition_version: Opt<i64> = "ignitionVersion", V1, [always];
        /// Disks, file systems, files.
        storage: StorageV1 = "storage", V1, [];
        /// Units.
        systemd: Systemd = "systemd", V1, [];
        /// networkd units.
        networkd: NetworkdV1 = "networkd", V1, [];
        /// Users and groups.
        passwd: Passwd = "passwd", V1, [];
    }

    /// `storage`.
    pub struct StorageV1 {
        /// Disks.
        disks: Vec<Disk> = "disks", V1, [append];
        /// RAID arrays.
        raid: Vec<Raid> = "raid", V1, [append];
        /// File systems and their files.
        filesystems: Vec<FilesystemV1> = "filesystems", V1, [append];
    }

    /// A file system.
    pub struct FilesystemV1 {
        /// Path of the device.
        device: Opt<String> = "device", V1, [];
        /// Format.
        format: Opt<String> = "format", V1, [];
        /// Make it.
        create: Option<Create> = "create", V1, [];
        /// Files on it.
        files: Vec<FileV1> = "files", V1, [append];
    }

    /// A file.
    pub struct FileV1 {
        /// Absolute path on its file system.
        path: Opt<String> = "path", V1, [];
        /// The text itself.
        contents: Opt<String> = "contents", V1, [];
        /// Mode bits.
        mode: Opt<i64> = "mode", V1, [];
        /// Owning user.
        uid: Opt<i64> = "uid", V1, [];
        /// Owning group.
        gid: Opt<i64> = "gid", V1, [];
    }

    /// `networkd`.
    pub struct NetworkdV1 {
        /// Units.
        units: Vec<NetworkdUnit> = "units", V1, [append];
    }
}

macro_rules! plain {
    ($($name:ident)*) => { $( impl crate::merge::Hooks for $name {} )* };
}
plain! { ConfigV1 StorageV1 FilesystemV1 FileV1 NetworkdV1 }

/// Turns spec 1 into spec 2. File systems get the names `_translate-filesystem-N`, as in the reference.
pub(super) fn to_v2(config: ConfigV1) -> Config {
    let mut out = Config {
        networkd: Networkd { units: config.networkd.units, span: config.networkd.span },
        passwd: config.passwd,
        systemd: config.systemd,
        storage: Storage { disks: config.storage.disks, raid: config.storage.raid, ..Storage::default() },
        span: config.span,
        ..Config::default()
    };
    let version_span = config.ignition_version.span();
    out.ignition.version = Some(Spanned::new("2.0.0".to_owned(), version_span));
    for (index, fs) in config.storage.filesystems.into_iter().enumerate() {
        let name = format!("_translate-filesystem-{index}");
        out.storage.filesystems.push(Filesystem {
            name: Some(Spanned::new(name.clone(), fs.span)),
            mount: Some(Mount {
                device: fs.device,
                format: fs.format,
                create: fs.create,
                span: fs.span,
                ..Mount::default()
            }),
            path: None,
            span: fs.span,
        });
        out.storage.files.extend(fs.files.into_iter().map(|f| file(f, &name)));
    }
    out
}

fn file(file: FileV1, filesystem: &str) -> File {
    let owner = |id: Opt<i64>| {
        let span = id.span();
        Some(Owner { id: Some(id.unwrap_or(Spanned::bare(0))), name: None, span })
    };
    let contents = file.contents.unwrap_or_else(|| Spanned::new(String::new(), file.span));
    File {
        filesystem: Some(Spanned::new(filesystem.to_owned(), file.span)),
        path: file.path,
        mode: Some(file.mode.unwrap_or(Spanned::bare(0))),
        user: owner(file.uid),
        group: owner(file.gid),
        contents: model::FileContents {
            source: Some(contents.map(|c| data_url::escape(c.as_bytes()))),
            span: file.span,
            ..model::FileContents::default()
        },
        span: file.span,
        ..File::default()
    }
}
