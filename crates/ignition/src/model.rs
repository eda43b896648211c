//! The typed config: the newest spec 3 (3.7.0-experimental) as one superset of all versions. Each scalar is
//! an `Option<Spanned<_>>`: `None` is "not set", the span says where it stands, also after a merge.
//!
//! Five small objects (verification, proxy, timeouts, owner, drop-in) are those of spec 2 as well and say so in
//! their versions. The order of fields is the order of Go's structs, so that serialised JSON is the reference's.

use crate::node::model;
use report::{Span, Spanned};

/// A scalar that may be unset.
pub type Opt<T> = Option<Spanned<T>>;

/// Short ways to read an [`Opt`].
pub trait OptExt<T> {
    /// The value, if set.
    fn get(&self) -> Option<&T>;
    /// Where it stands; [`Span::NONE`] if unset.
    fn span(&self) -> Span;
}

impl<T> OptExt<T> for Opt<T> {
    fn get(&self) -> Option<&T> {
        self.as_ref().map(|s| &s.value)
    }
    fn span(&self) -> Span {
        self.as_ref().map_or(Span::NONE, |s| s.span)
    }
}

/// The text of an optional string, empty if unset (Go's nil and zero in one).
#[must_use]
pub fn text(field: &Opt<String>) -> &str {
    field.as_ref().map_or("", |s| s.value.as_str())
}

/// The value of an optional flag, false if unset.
#[must_use]
pub fn flag(field: &Opt<bool>) -> bool {
    field.as_ref().is_some_and(|s| s.value)
}

model! {
    /// A whole config.
    pub struct Config {
        /// Version, other configs to fetch, timeouts, proxy, certificates.
        ignition: Ignition = "ignition", V3_0, [always];
        /// Kernel command line words.
        kernel_arguments: KernelArguments = "kernelArguments", V3_3, [];
        /// Users and groups.
        passwd: Passwd = "passwd", V3_0, [];
        /// Disks, file systems, files.
        storage: Storage = "storage", V3_0, [];
        /// Units.
        systemd: Systemd = "systemd", V3_0, [];
    }

    /// `ignition`.
    pub struct Ignition {
        /// Configs to merge or to use instead.
        config: IgnitionConfig = "config", V3_0, [];
        /// Proxy for fetching.
        proxy: Proxy = "proxy", V3_1, [];
        /// Certificate authorities for fetching.
        security: Security = "security", V3_0, [];
        /// Timeouts for fetching.
        timeouts: Timeouts = "timeouts", V3_0, [];
        /// The spec version, a semantic version.
        version: Opt<String> = "version", V3_0, [always];
    }

    /// `ignition.config`.
    pub struct IgnitionConfig {
        /// Configs merged on top of this one, in order.
        merge: Vec<Resource> = "merge", V3_0, [];
        /// A config to use instead of this one.
        replace: Resource = "replace", V3_0, [];
    }

    /// Something to fetch and check.
    pub struct Resource {
        /// `gzip`, or empty for none.
        compression: Opt<String> = "compression", V3_0, [];
        /// Headers for http and https.
        http_headers: Vec<HttpHeader> = "httpHeaders", V3_1, [];
        /// URL: http, https, tftp, s3, arn, gs, data, oem.
        source: Opt<String> = "source", V3_0, [];
        /// What the decompressed bytes must hash to.
        verification: Verification = "verification", V3_0, [];
    }

    /// One HTTP header.
    pub struct HttpHeader by name {
        /// Header name.
        name: Opt<String> = "name", V3_1, [always];
        /// Header value; a child without one deletes the header.
        value: Opt<String> = "value", V3_1, [];
    }

    /// `verification`.
    pub struct Verification {
        /// `sha512-HEX`, from 3.1 also `sha256-HEX`.
        hash: Opt<String> = "hash", V2_0, [];
    }

    /// `ignition.proxy`.
    pub struct Proxy {
        /// For http.
        http_proxy: Opt<String> = "httpProxy", V2_4, [];
        /// For https.
        https_proxy: Opt<String> = "httpsProxy", V2_4, [];
        /// Hosts reached without a proxy.
        no_proxy: Vec<Spanned<String>> = "noProxy", V2_4, [];
    }

    /// `ignition.security`.
    pub struct Security {
        /// TLS.
        tls: Tls = "tls", V3_0, [];
    }

    /// `ignition.security.tls`.
    pub struct Tls {
        /// Added to the system's pool.
        certificate_authorities: Vec<Resource> = "certificateAuthorities", V3_0, [];
    }

    /// `ignition.timeouts`, in seconds.
    pub struct Timeouts {
        /// Until the response header; default 10.
        http_response_headers: Opt<i64> = "httpResponseHeaders", V2_1, [];
        /// For the whole fetch; 0 is for ever.
        http_total: Opt<i64> = "httpTotal", V2_1, [];
    }

    /// `kernelArguments`.
    pub struct KernelArguments {
        /// Words that must be on the command line.
        should_exist: Vec<Spanned<String>> = "shouldExist", V3_3, [];
        /// Words that must not.
        should_not_exist: Vec<Spanned<String>> = "shouldNotExist", V3_3, [];
    }

    /// `passwd`.
    pub struct Passwd {
        /// Groups.
        groups: Vec<PasswdGroup> = "groups", V3_0, [];
        /// Users.
        users: Vec<PasswdUser> = "users", V3_0, [];
    }

    /// A group of `passwd.groups`.
    pub struct PasswdGroup by name {
        /// Group id.
        gid: Opt<i64> = "gid", V3_0, [];
        /// Group name.
        name: Opt<String> = "name", V3_0, [always];
        /// Crypted password.
        password_hash: Opt<String> = "passwordHash", V3_0, [];
        /// False: the group is deleted.
        should_exist: Opt<bool> = "shouldExist", V3_2, [];
        /// A system group.
        system: Opt<bool> = "system", V3_0, [];
    }

    /// A user of `passwd.users`.
    pub struct PasswdUser by name {
        /// Comment field.
        gecos: Opt<String> = "gecos", V3_0, [];
        /// Supplementary groups.
        groups: Vec<Spanned<String>> = "groups", V3_0, [];
        /// Home directory.
        home_dir: Opt<String> = "homeDir", V3_0, [];
        /// Login name.
        name: Opt<String> = "name", V3_0, [always];
        /// Do not make the home directory.
        no_create_home: Opt<bool> = "noCreateHome", V3_0, [];
        /// Keep out of lastlog and faillog.
        no_log_init: Opt<bool> = "noLogInit", V3_0, [];
        /// Do not make a group of the same name.
        no_user_group: Opt<bool> = "noUserGroup", V3_0, [];
        /// Crypted password.
        password_hash: Opt<String> = "passwordHash", V3_0, [];
        /// Primary group.
        primary_group: Opt<String> = "primaryGroup", V3_0, [];
        /// Keys for `authorized_keys`.
        ssh_authorized_keys: Vec<Spanned<String>> = "sshAuthorizedKeys", V3_0, [];
        /// Login shell.
        shell: Opt<String> = "shell", V3_0, [];
        /// False: the user is deleted.
        should_exist: Opt<bool> = "shouldExist", V3_2, [];
        /// A system account.
        system: Opt<bool> = "system", V3_0, [];
        /// User id.
        uid: Opt<i64> = "uid", V3_0, [];
    }

    /// `storage`.
    pub struct Storage {
        /// Directories.
        directories: Vec<Directory> = "directories", V3_0, [];
        /// Disks and their partitions.
        disks: Vec<Disk> = "disks", V3_0, [];
        /// Files.
        files: Vec<File> = "files", V3_0, [];
        /// File systems.
        filesystems: Vec<Filesystem> = "filesystems", V3_0, [];
        /// Links.
        links: Vec<Link> = "links", V3_0, [];
        /// Encrypted volumes.
        luks: Vec<Luks> = "luks", V3_2, [];
        /// RAID arrays.
        raid: Vec<Raid> = "raid", V3_0, [];
    }

    /// The owner of a node: a name or an id.
    pub struct Owner {
        /// Numeric id.
        id: Opt<i64> = "id", V2_0, [];
        /// Name, looked up in the target's passwd or group file.
        name: Opt<String> = "name", V2_1, [];
    }

    /// A directory.
    pub struct Directory by path {
        /// Owning group.
        group: Owner = "group", V3_0, [];
        /// Remove what is there before.
        overwrite: Opt<bool> = "overwrite", V3_0, [];
        /// Absolute path.
        path: Opt<String> = "path", V3_0, [always];
        /// Owning user.
        user: Owner = "user", V3_0, [];
        /// Mode bits; default 0755.
        mode: Opt<i64> = "mode", V3_0, [];
    }

    /// A file.
    pub struct File by path {
        /// Owning group.
        group: Owner = "group", V3_0, [];
        /// Remove what is there before.
        overwrite: Opt<bool> = "overwrite", V3_0, [];
        /// Absolute path.
        path: Opt<String> = "path", V3_0, [always];
        /// Owning user.
        user: Owner = "user", V3_0, [];
        /// Contents to add at the end, in order.
        append: Vec<Resource> = "append", V3_0, [append];
        /// The contents.
        contents: Resource = "contents", V3_0, [];
        /// Mode bits; default 0644.
        mode: Opt<i64> = "mode", V3_0, [];
    }

    /// A link.
    pub struct Link by path {
        /// Owning group.
        group: Owner = "group", V3_0, [];
        /// Remove what is there before.
        overwrite: Opt<bool> = "overwrite", V3_0, [];
        /// Absolute path.
        path: Opt<String> = "path", V3_0, [always];
        /// Owning user.
        user: Owner = "user", V3_0, [];
        /// A hard link instead of a symbolic one.
        hard: Opt<bool> = "hard", V3_0, [];
        /// What it points to.
        target: Opt<String> = "target", V3_0, [];
    }

    /// A disk.
    pub struct Disk by device {
        /// Path of the device.
        device: Opt<String> = "device", V3_0, [always];
        /// Its partitions.
        partitions: Vec<Partition> = "partitions", V3_0, [];
        /// Remove every partition first.
        wipe_table: Opt<bool> = "wipeTable", V3_0, [];
    }

    /// A partition.
    pub struct Partition {
        /// Unique GUID.
        guid: Opt<String> = "guid", V3_0, [];
        /// GPT label.
        label: Opt<String> = "label", V3_0, [];
        /// Partition number; 0 or unset is the next free one.
        number: Opt<i64> = "number", V3_0, [nonzero];
        /// Resize an existing partition that matches otherwise.
        resize: Opt<bool> = "resize", V3_2, [];
        /// False: the partition is deleted; default true.
        should_exist: Opt<bool> = "shouldExist", V3_0, [];
        /// Size in MiB; 0 is all that is free.
        size_mib: Opt<i64> = "sizeMiB", V3_0, [];
        /// Start in MiB; 0 is the start of the largest free block.
        start_mib: Opt<i64> = "startMiB", V3_0, [];
        /// Type GUID; default Linux file system data.
        type_guid: Opt<String> = "typeGuid", V3_0, [];
        /// Remake an existing partition that does not match.
        wipe_partition_entry: Opt<bool> = "wipePartitionEntry", V3_0, [];
    }

    /// A file system.
    pub struct Filesystem by device {
        /// Path of the device.
        device: Opt<String> = "device", V3_0, [always];
        /// `ext4`, `btrfs`, `xfs`, `vfat`, `swap`, from 3.3 `none`.
        format: Opt<String> = "format", V3_0, [];
        /// Label.
        label: Opt<String> = "label", V3_0, [];
        /// Options for mounting.
        mount_options: Vec<Spanned<String>> = "mountOptions", V3_1, [append];
        /// Options for mkfs.
        options: Vec<Spanned<String>> = "options", V3_0, [append];
        /// Where it is mounted while files are written.
        path: Opt<String> = "path", V3_0, [];
        /// UUID.
        uuid: Opt<String> = "uuid", V3_0, [];
        /// Make it anew even if a matching one is there.
        wipe_filesystem: Opt<bool> = "wipeFilesystem", V3_0, [];
    }

    /// A LUKS2 volume.
    pub struct Luks by name {
        /// CEX secure key (s390x).
        cex: Cex = "cex", V3_5, [];
        /// Unlocking by network or TPM.
        clevis: Clevis = "clevis", V3_2, [];
        /// Path of the device.
        device: Opt<String> = "device", V3_2, [];
        /// Pass discards through.
        discard: Opt<bool> = "discard", V3_4, [];
        /// The key; default random.
        key_file: Resource = "keyFile", V3_2, [];
        /// Label.
        label: Opt<String> = "label", V3_2, [];
        /// Name of the mapping.
        name: Opt<String> = "name", V3_2, [always];
        /// Options for `cryptsetup luksOpen`.
        open_options: Vec<Spanned<String>> = "openOptions", V3_4, [append];
        /// Options for `cryptsetup luksFormat`.
        options: Vec<Spanned<String>> = "options", V3_2, [append];
        /// UUID.
        uuid: Opt<String> = "uuid", V3_2, [];
        /// Make it anew even if a matching one is there.
        wipe_volume: Opt<bool> = "wipeVolume", V3_2, [];
    }

    /// `luks[].cex`.
    pub struct Cex {
        /// Use a CEX secure key.
        enabled: Opt<bool> = "enabled", V3_5, [];
    }

    /// `luks[].clevis`.
    pub struct Clevis {
        /// Any other pin.
        custom: ClevisCustom = "custom", V3_2, [];
        /// Tang servers.
        tang: Vec<Tang> = "tang", V3_2, [];
        /// How many pins are needed.
        threshold: Opt<i64> = "threshold", V3_2, [];
        /// Bind to the TPM 2.
        tpm2: Opt<bool> = "tpm2", V3_2, [];
    }

    /// `luks[].clevis.custom`.
    pub struct ClevisCustom {
        /// The pin's config, JSON.
        config: Opt<String> = "config", V3_2, [];
        /// The device needs the network to unlock.
        needs_network: Opt<bool> = "needsNetwork", V3_2, [];
        /// The pin: `tpm2`, `tang` or `sss`.
        pin: Opt<String> = "pin", V3_2, [];
    }

    /// A tang server.
    pub struct Tang by url {
        /// Its advertisement, JSON; needs no network when given.
        advertisement: Opt<String> = "advertisement", V3_4, [];
        /// Thumbprint of its key.
        thumbprint: Opt<String> = "thumbprint", V3_2, [];
        /// Its URL.
        url: Opt<String> = "url", V3_2, [];
    }

    /// A RAID array.
    pub struct Raid by name {
        /// Paths of the devices.
        devices: Vec<Spanned<String>> = "devices", V3_0, [];
        /// `linear`, `raid0`, `raid1`, `raid4`, `raid5`, `raid6`, `raid10` or a synonym.
        level: Opt<String> = "level", V3_0, [];
        /// Name of the array.
        name: Opt<String> = "name", V3_0, [always];
        /// Options for mdadm.
        options: Vec<Spanned<String>> = "options", V3_0, [append];
        /// How many of the devices are spares.
        spares: Opt<i64> = "spares", V3_0, [];
    }

    /// `systemd`.
    pub struct Systemd {
        /// Units.
        units: Vec<Unit> = "units", V3_0, [];
    }

    /// A unit.
    pub struct Unit by name {
        /// The unit file.
        contents: Opt<String> = "contents", V3_0, [];
        /// Drop-ins.
        dropins: Vec<Dropin> = "dropins", V3_0, [];
        /// Enable or disable; unset leaves it to the presets.
        enabled: Opt<bool> = "enabled", V3_0, [];
        /// Mask it.
        mask: Opt<bool> = "mask", V3_0, [];
        /// Unit name with its suffix.
        name: Opt<String> = "name", V3_0, [always];
    }

    /// A drop-in.
    pub struct Dropin by name {
        /// The drop-in file.
        contents: Opt<String> = "contents", V1, [];
        /// File name, ends in `.conf`.
        name: Opt<String> = "name", V1, [always];
    }
}
