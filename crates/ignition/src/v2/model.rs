//! Spec 2.4 as types, a superset of 2.0 to 2.3; fields in the order of Go's structs. An `Option<Object>`
//! tells "not there" from "there and empty" where that matters.

use crate::model::{Dropin, Opt, Owner, Proxy, Timeouts, Verification};
use crate::node::model;
use report::Spanned;

model! {
    /// A whole config.
    pub struct Config {
        /// Version, other configs to fetch, timeouts, proxy, certificates.
        ignition: Ignition = "ignition", V2_0, [always];
        /// networkd units.
        networkd: Networkd = "networkd", V2_0, [];
        /// Users and groups.
        passwd: Passwd = "passwd", V2_0, [];
        /// Disks, file systems, files.
        storage: Storage = "storage", V2_0, [];
        /// Units.
        systemd: Systemd = "systemd", V2_0, [];
    }

    /// `ignition`.
    pub struct Ignition {
        /// Configs to append or to use instead.
        config: IgnitionConfig = "config", V2_0, [];
        /// Proxy for fetching.
        proxy: Proxy = "proxy", V2_4, [];
        /// Certificate authorities for fetching.
        security: Security = "security", V2_2, [];
        /// Timeouts for fetching.
        timeouts: Timeouts = "timeouts", V2_1, [];
        /// The spec version.
        version: Opt<String> = "version", V2_0, [nonzero];
    }

    /// `ignition.config`.
    pub struct IgnitionConfig {
        /// Configs to append to this one, in order.
        append: Vec<Resource> = "append", V2_0, [append];
        /// A config to use instead of this one.
        replace: Option<Resource> = "replace", V2_0, [];
    }

    /// A config or certificate to fetch.
    pub struct Resource {
        /// Headers for http and https.
        http_headers: Vec<HttpHeader> = "httpHeaders", V2_4, [append];
        /// URL.
        source: Opt<String> = "source", V2_0, [nonzero];
        /// What the bytes must hash to.
        verification: Verification = "verification", V2_0, [];
    }

    /// One HTTP header.
    pub struct HttpHeader {
        /// Header name.
        name: Opt<String> = "name", V2_4, [nonzero];
        /// Header value.
        value: Opt<String> = "value", V2_4, [nonzero];
    }

    /// `ignition.security`.
    pub struct Security {
        /// TLS.
        tls: Tls = "tls", V2_2, [];
    }

    /// `ignition.security.tls`.
    pub struct Tls {
        /// Added to the system's pool.
        certificate_authorities: Vec<Resource> = "certificateAuthorities", V2_2, [append];
    }

    /// `networkd`.
    pub struct Networkd {
        /// Units.
        units: Vec<NetworkdUnit> = "units", V2_0, [append];
    }

    /// A networkd unit.
    pub struct NetworkdUnit {
        /// The unit file.
        contents: Opt<String> = "contents", V1, [nonzero];
        /// Drop-ins.
        dropins: Vec<Dropin> = "dropins", V2_2, [append];
        /// File name.
        name: Opt<String> = "name", V1, [nonzero];
    }

    /// `passwd`.
    pub struct Passwd {
        /// Groups.
        groups: Vec<PasswdGroup> = "groups", V1, [append];
        /// Users.
        users: Vec<PasswdUser> = "users", V1, [append];
    }

    /// A group.
    pub struct PasswdGroup {
        /// Group id.
        gid: Opt<i64> = "gid", V1, [];
        /// Group name.
        name: Opt<String> = "name", V1, [nonzero];
        /// Crypted password.
        password_hash: Opt<String> = "passwordHash", V1, [nonzero];
        /// A system group.
        system: Opt<bool> = "system", V1, [nonzero];
    }

    /// A user.
    pub struct PasswdUser {
        /// The older place of the fields from `uid` to `shell`.
        create: Option<UserCreate> = "create", V1, [];
        /// Comment field.
        gecos: Opt<String> = "gecos", V2_1, [nonzero];
        /// Supplementary groups.
        groups: Vec<Spanned<String>> = "groups", V2_1, [append];
        /// Home directory.
        home_dir: Opt<String> = "homeDir", V2_1, [nonzero];
        /// Login name.
        name: Opt<String> = "name", V1, [nonzero];
        /// Do not make the home directory.
        no_create_home: Opt<bool> = "noCreateHome", V2_1, [nonzero];
        /// Keep out of lastlog and faillog.
        no_log_init: Opt<bool> = "noLogInit", V2_1, [nonzero];
        /// Do not make a group of the same name.
        no_user_group: Opt<bool> = "noUserGroup", V2_1, [nonzero];
        /// Crypted password.
        password_hash: Opt<String> = "passwordHash", V1, [];
        /// Primary group.
        primary_group: Opt<String> = "primaryGroup", V2_1, [nonzero];
        /// Keys for `authorized_keys`.
        ssh_authorized_keys: Vec<Spanned<String>> = "sshAuthorizedKeys", V1, [append];
        /// Login shell.
        shell: Opt<String> = "shell", V2_1, [nonzero];
        /// A system account.
        system: Opt<bool> = "system", V2_1, [nonzero];
        /// User id.
        uid: Opt<i64> = "uid", V2_1, [];
    }

    /// `passwd.users[].create`.
    pub struct UserCreate {
        /// Comment field.
        gecos: Opt<String> = "gecos", V1, [nonzero];
        /// Supplementary groups.
        groups: Vec<Spanned<String>> = "groups", V1, [append];
        /// Home directory.
        home_dir: Opt<String> = "homeDir", V1, [nonzero];
        /// Do not make the home directory.
        no_create_home: Opt<bool> = "noCreateHome", V1, [nonzero];
        /// Keep out of lastlog and faillog.
        no_log_init: Opt<bool> = "noLogInit", V1, [nonzero];
        /// Do not make a group of the same name.
        no_user_group: Opt<bool> = "noUserGroup", V1, [nonzero];
        /// Primary group.
        primary_group: Opt<String> = "primaryGroup", V1, [nonzero];
        /// Login shell.
        shell: Opt<String> = "shell", V1, [nonzero];
        /// A system account.
        system: Opt<bool> = "system", V1, [nonzero];
        /// User id.
        uid: Opt<i64> = "uid", V1, [];
    }

    /// `storage`.
    pub struct Storage {
        /// Directories.
        directories: Vec<Directory> = "directories", V2_1, [append];
        /// Disks.
        disks: Vec<Disk> = "disks", V2_0, [append];
        /// Files.
        files: Vec<File> = "files", V2_0, [append];
        /// File systems.
        filesystems: Vec<Filesystem> = "filesystems", V2_0, [append];
        /// Links.
        links: Vec<Link> = "links", V2_1, [append];
        /// RAID arrays.
        raid: Vec<Raid> = "raid", V2_0, [append];
    }

    /// A directory.
    pub struct Directory {
        /// Name of the file system it is on.
        filesystem: Opt<String> = "filesystem", V2_0, [nonzero];
        /// Owning group.
        group: Option<Owner> = "group", V2_0, [];
        /// Remove what is there before.
        overwrite: Opt<bool> = "overwrite", V2_2, [];
        /// Absolute path on its file system.
        path: Opt<String> = "path", V2_0, [nonzero];
        /// Owning user.
        user: Option<Owner> = "user", V2_0, [];
        /// Mode bits.
        mode: Opt<i64> = "mode", V2_0, [];
    }

    /// A file.
    pub struct File {
        /// Name of the file system it is on.
        filesystem: Opt<String> = "filesystem", V2_0, [nonzero];
        /// Owning group.
        group: Option<Owner> = "group", V2_0, [];
        /// Remove what is there before; default true.
        overwrite: Opt<bool> = "overwrite", V2_2, [];
        /// Absolute path on its file system.
        path: Opt<String> = "path", V2_0, [nonzero];
        /// Owning user.
        user: Option<Owner> = "user", V2_0, [];
        /// Add the contents at the end of what is there.
        append: Opt<bool> = "append", V2_2, [nonzero];
        /// The contents.
        contents: FileContents = "contents", V2_0, [];
        /// Mode bits.
        mode: Opt<i64> = "mode", V2_0, [];
    }

    /// `storage.files[].contents`.
    pub struct FileContents {
        /// `gzip`, or empty for none.
        compression: Opt<String> = "compression", V2_0, [nonzero];
        /// Headers for http and https.
        http_headers: Vec<HttpHeader> = "httpHeaders", V2_4, [append];
        /// URL.
        source: Opt<String> = "source", V2_0, [nonzero];
        /// What the decompressed bytes must hash to.
        verification: Verification = "verification", V2_0, [];
    }

    /// A link.
    pub struct Link {
        /// Name of the file system it is on.
        filesystem: Opt<String> = "filesystem", V2_1, [nonzero];
        /// Owning group.
        group: Option<Owner> = "group", V2_1, [];
        /// Remove what is there before.
        overwrite: Opt<bool> = "overwrite", V2_2, [];
        /// Absolute path on its file system.
        path: Opt<String> = "path", V2_1, [nonzero];
        /// Owning user.
        user: Option<Owner> = "user", V2_1, [];
        /// A hard link instead of a symbolic one.
        hard: Opt<bool> = "hard", V2_1, [nonzero];
        /// What it points to.
        target: Opt<String> = "target", V2_1, [nonzero];
    }

    /// A disk.
    pub struct Disk {
        /// Path of the device.
        device: Opt<String> = "device", V1, [nonzero];
        /// Its partitions.
        partitions: Vec<Partition> = "partitions", V1, [append];
        /// Remove every partition first.
        wipe_table: Opt<bool> = "wipeTable", V1, [nonzero];
    }

    /// A partition.
    pub struct Partition {
        /// Unique GUID.
        guid: Opt<String> = "guid", V2_1, [nonzero];
        /// GPT label.
        label: Opt<String> = "label", V1, [];
        /// Partition number.
        number: Opt<i64> = "number", V1, [nonzero];
        /// False: the partition is deleted; default true.
        should_exist: Opt<bool> = "shouldExist", V2_3, [];
        /// Size in sectors (deprecated).
        size: Opt<i64> = "size", V1, [];
        /// Size in MiB.
        size_mib: Opt<i64> = "sizeMiB", V2_3, [];
        /// Start in sectors (deprecated).
        start: Opt<i64> = "start", V1, [];
        /// Start in MiB.
        start_mib: Opt<i64> = "startMiB", V2_3, [];
        /// Type GUID.
        type_guid: Opt<String> = "typeGuid", V1, [nonzero];
        /// Remake an existing partition that does not match.
        wipe_partition_entry: Opt<bool> = "wipePartitionEntry", V2_3, [nonzero];
    }

    /// A file system: a mount or a path of an existing one, under a name that nodes refer to.
    pub struct Filesystem {
        /// A device to mount, and maybe to make.
        mount: Option<Mount> = "mount", V2_0, [];
        /// Its name.
        name: Opt<String> = "name", V2_0, [nonzero];
        /// Path of one that is mounted.
        path: Opt<String> = "path", V2_0, [];
    }

    /// `storage.filesystems[].mount`.
    pub struct Mount {
        /// Make the file system (deprecated).
        create: Option<Create> = "create", V2_0, [];
        /// Path of the device.
        device: Opt<String> = "device", V2_0, [nonzero];
        /// `ext4`, `btrfs`, `xfs`, `vfat` or `swap`.
        format: Opt<String> = "format", V2_0, [nonzero];
        /// Label.
        label: Opt<String> = "label", V2_1, [];
        /// Options for mkfs.
        options: Vec<Spanned<String>> = "options", V2_1, [append];
        /// UUID.
        uuid: Opt<String> = "uuid", V2_1, [];
        /// Make it anew even if a matching one is there.
        wipe_filesystem: Opt<bool> = "wipeFilesystem", V2_1, [nonzero];
    }

    /// `storage.filesystems[].mount.create`.
    pub struct Create {
        /// Overwrite what is there.
        force: Opt<bool> = "force", V1, [nonzero];
        /// Options for mkfs.
        options: Vec<Spanned<String>> = "options", V1, [append];
    }

    /// A RAID array.
    pub struct Raid {
        /// Paths of the devices.
        devices: Vec<Spanned<String>> = "devices", V1, [append];
        /// Level.
        level: Opt<String> = "level", V1, [nonzero];
        /// Name of the array.
        name: Opt<String> = "name", V1, [nonzero];
        /// Options for mdadm.
        options: Vec<Spanned<String>> = "options", V2_2, [append];
        /// How many of the devices are spares.
        spares: Opt<i64> = "spares", V1, [nonzero];
    }

    /// `systemd`.
    pub struct Systemd {
        /// Units.
        units: Vec<Unit> = "units", V1, [append];
    }

    /// A unit.
    pub struct Unit {
        /// The unit file.
        contents: Opt<String> = "contents", V1, [nonzero];
        /// Drop-ins.
        dropins: Vec<Dropin> = "dropins", V1, [append];
        /// Enable it (deprecated).
        enable: Opt<bool> = "enable", V1, [nonzero];
        /// Enable or disable it.
        enabled: Opt<bool> = "enabled", V2_1, [];
        /// Mask it.
        mask: Opt<bool> = "mask", V1, [nonzero];
        /// Unit name with its suffix.
        name: Opt<String> = "name", V1, [nonzero];
    }
}

macro_rules! plain {
    ($($name:ident)*) => { $( impl crate::merge::Hooks for $name {} )* };
}
plain! {
    Config Ignition IgnitionConfig Resource HttpHeader Security Tls Networkd NetworkdUnit Passwd PasswdGroup
    PasswdUser UserCreate Storage Directory File FileContents Link Disk Partition Filesystem Mount Create Raid
    Systemd Unit
}
