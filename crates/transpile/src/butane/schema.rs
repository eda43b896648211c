//! The keys of Butane's base schema. A field's `since` is the base version that brought it: 1 is
//! Ignition 3.0, 2 is 3.1, and so on to 8, which is 3.7-experimental.

use crate::schema::{Field, Obj, STRINGS, Ty, field, sugar};

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident = [$($field:expr),* $(,)?];)*) => {
        $($(#[$doc])* pub static $name: Obj = Obj { fields: { const FIELDS: &[Field] = &[$($field),*]; FIELDS } };)*
    };
}

const PATHS: &[&str] = &["path"];
const NAMES: &[&str] = &["name"];

objects! {
    /// The whole file.
    CONFIG = [
        sugar("variant", Ty::Str),
        sugar("version", Ty::Str),
        field("ignition", Ty::Obj(&IGNITION), "ignition"),
        field("kernel_arguments", Ty::Obj(&KERNEL_ARGUMENTS), "kernelArguments").since(4),
        field("passwd", Ty::Obj(&PASSWD), "passwd"),
        field("storage", Ty::Obj(&STORAGE), "storage"),
        field("systemd", Ty::Obj(&SYSTEMD), "systemd"),
    ];
    /// `ignition`.
    IGNITION = [
        field("config", Ty::Obj(&IGNITION_CONFIG), "config"),
        field("proxy", Ty::Obj(&PROXY), "proxy").since(2),
        field("security", Ty::Obj(&SECURITY), "security"),
        field("timeouts", Ty::Obj(&TIMEOUTS), "timeouts"),
    ];
    /// `ignition.config`.
    IGNITION_CONFIG = [
        field("merge", Ty::Keyed(&RESOURCE, &["source", "local"]), "merge"),
        field("replace", Ty::Obj(&RESOURCE), "replace"),
    ];
    /// `ignition.proxy`.
    PROXY = [
        field("http_proxy", Ty::Str, "httpProxy"),
        field("https_proxy", Ty::Str, "httpsProxy"),
        field("no_proxy", STRINGS, "noProxy"),
    ];
    /// `ignition.security`.
    SECURITY = [field("tls", Ty::Obj(&TLS), "tls")];
    /// `ignition.security.tls`.
    TLS = [field("certificate_authorities", Ty::Keyed(&RESOURCE, &["source", "local"]), "certificateAuthorities")];
    /// `ignition.timeouts`.
    TIMEOUTS = [field("http_response_headers", Ty::Int, "httpResponseHeaders"), field("http_total", Ty::Int, "httpTotal")];
    /// Something to fetch, or given here.
    RESOURCE = [
        field("compression", Ty::Str, "compression"),
        field("http_headers", Ty::Keyed(&HEADER, NAMES), "httpHeaders").since(2),
        field("source", Ty::Str, "source"),
        sugar("inline", Ty::Str),
        sugar("local", Ty::Str).since(2),
        field("verification", Ty::Obj(&VERIFICATION), "verification"),
    ];
    /// An HTTP header.
    HEADER = [field("name", Ty::Str, "name"), field("value", Ty::Str, "value")];
    /// `verification`.
    VERIFICATION = [field("hash", Ty::Str, "hash")];
    /// `kernel_arguments`.
    KERNEL_ARGUMENTS = [field("should_exist", STRINGS, "shouldExist"), field("should_not_exist", STRINGS, "shouldNotExist")];
    /// `passwd`.
    PASSWD = [field("groups", Ty::Keyed(&GROUP, NAMES), "groups"), field("users", Ty::Keyed(&USER, NAMES), "users")];
    /// A group.
    GROUP = [
        field("gid", Ty::Int, "gid"),
        field("name", Ty::Str, "name"),
        field("password_hash", Ty::Str, "passwordHash"),
        field("should_exist", Ty::Bool, "shouldExist").since(3),
        field("system", Ty::Bool, "system"),
    ];
    /// A user.
    USER = [
        field("gecos", Ty::Str, "gecos"),
        field("groups", STRINGS, "groups"),
        field("home_dir", Ty::Str, "homeDir"),
        field("name", Ty::Str, "name"),
        field("no_create_home", Ty::Bool, "noCreateHome"),
        field("no_log_init", Ty::Bool, "noLogInit"),
        field("no_user_group", Ty::Bool, "noUserGroup"),
        field("password_hash", Ty::Str, "passwordHash"),
        field("primary_group", Ty::Str, "primaryGroup"),
        field("should_exist", Ty::Bool, "shouldExist").since(3),
        field("ssh_authorized_keys", STRINGS, "sshAuthorizedKeys"),
        sugar("ssh_authorized_keys_local", STRINGS).since(5),
        field("shell", Ty::Str, "shell"),
        field("system", Ty::Bool, "system"),
        field("uid", Ty::Int, "uid"),
    ];
    /// `storage`.
    STORAGE = [
        field("directories", Ty::Keyed(&DIRECTORY, PATHS), "directories"),
        field("disks", Ty::Keyed(&DISK, &["device"]), "disks"),
        field("files", Ty::Keyed(&FILE, PATHS), "files"),
        field("filesystems", Ty::Keyed(&FILESYSTEM, &["device"]), "filesystems"),
        field("links", Ty::Keyed(&LINK, PATHS), "links"),
        field("luks", Ty::Keyed(&LUKS, NAMES), "luks").since(3),
        field("raid", Ty::Keyed(&RAID, NAMES), "raid"),
        sugar("trees", Ty::Keyed(&TREE, &[])).since(2),
    ];
    /// An item of `storage.directories`.
    DIRECTORY = [
        field("group", Ty::Obj(&OWNER), "group"),
        field("overwrite", Ty::Bool, "overwrite"),
        field("path", Ty::Str, "path"),
        field("user", Ty::Obj(&OWNER), "user"),
        field("mode", Ty::Int, "mode"),
    ];
    /// An item of `storage.disks`.
    DISK = [
        field("device", Ty::Str, "device"),
        field("partitions", Ty::Keyed(&PARTITION, &["number", "label"]), "partitions"),
        field("wipe_table", Ty::Bool, "wipeTable"),
    ];
    /// A partition.
    PARTITION = [
        field("guid", Ty::Str, "guid"),
        field("label", Ty::Str, "label"),
        field("number", Ty::Int, "number"),
        field("resize", Ty::Bool, "resize").since(3),
        field("should_exist", Ty::Bool, "shouldExist"),
        field("size_mib", Ty::Int, "sizeMiB"),
        field("start_mib", Ty::Int, "startMiB"),
        field("type_guid", Ty::Str, "typeGuid"),
        field("wipe_partition_entry", Ty::Bool, "wipePartitionEntry"),
    ];
    /// An item of `storage.files`.
    FILE = [
        field("group", Ty::Obj(&OWNER), "group"),
        field("overwrite", Ty::Bool, "overwrite"),
        field("path", Ty::Str, "path"),
        field("user", Ty::Obj(&OWNER), "user"),
        field("append", Ty::Keyed(&RESOURCE, &[]), "append"),
        field("contents", Ty::Obj(&RESOURCE), "contents"),
        field("mode", Ty::Int, "mode"),
    ];
    /// A user or group of a node.
    OWNER = [field("id", Ty::Int, "id"), field("name", Ty::Str, "name")];
    /// An item of `storage.filesystems`.
    FILESYSTEM = [
        field("device", Ty::Str, "device"),
        field("format", Ty::Str, "format"),
        field("label", Ty::Str, "label"),
        field("mount_options", STRINGS, "mountOptions").since(2),
        field("options", STRINGS, "options"),
        field("path", Ty::Str, "path"),
        field("uuid", Ty::Str, "uuid"),
        field("wipe_filesystem", Ty::Bool, "wipeFilesystem"),
        sugar("with_mount_unit", Ty::Bool).since(2),
    ];
    /// An item of `storage.links`.
    LINK = [
        field("group", Ty::Obj(&OWNER), "group"),
        field("overwrite", Ty::Bool, "overwrite"),
        field("path", Ty::Str, "path"),
        field("user", Ty::Obj(&OWNER), "user"),
        field("hard", Ty::Bool, "hard"),
        field("target", Ty::Str, "target"),
    ];
    /// An item of `storage.luks`.
    LUKS = [
        field("cex", Ty::Obj(&CEX), "cex").since(6),
        field("clevis", Ty::Obj(&CLEVIS), "clevis"),
        field("device", Ty::Str, "device"),
        field("discard", Ty::Bool, "discard").since(5),
        field("key_file", Ty::Obj(&RESOURCE), "keyFile"),
        field("label", Ty::Str, "label"),
        field("name", Ty::Str, "name"),
        field("open_options", STRINGS, "openOptions").since(5),
        field("options", STRINGS, "options"),
        field("uuid", Ty::Str, "uuid"),
        field("wipe_volume", Ty::Bool, "wipeVolume"),
    ];
    /// `cex` of an encrypted volume.
    CEX = [field("enabled", Ty::Bool, "enabled")];
    /// `clevis` of an encrypted volume.
    CLEVIS = [
        field("custom", Ty::Obj(&CLEVIS_CUSTOM), "custom"),
        field("tang", Ty::Keyed(&TANG, &["url"]), "tang"),
        field("threshold", Ty::Int, "threshold"),
        field("tpm2", Ty::Bool, "tpm2"),
    ];
    /// `clevis.custom`.
    CLEVIS_CUSTOM = [
        field("config", Ty::Str, "config"),
        field("needs_network", Ty::Bool, "needsNetwork"),
        field("pin", Ty::Str, "pin"),
    ];
    /// An item of `clevis.tang`.
    TANG = [
        field("thumbprint", Ty::Str, "thumbprint"),
        field("url", Ty::Str, "url"),
        field("advertisement", Ty::Str, "advertisement").since(5),
    ];
    /// An item of `storage.raid`.
    RAID = [
        field("devices", STRINGS, "devices"),
        field("level", Ty::Str, "level"),
        field("name", Ty::Str, "name"),
        field("options", STRINGS, "options"),
        field("spares", Ty::Int, "spares"),
    ];
    /// An item of `storage.trees`.
    TREE = [
        sugar("local", Ty::Str),
        sugar("path", Ty::Str),
        sugar("group", Ty::Obj(&OWNER)).since(7),
        sugar("user", Ty::Obj(&OWNER)).since(7),
        sugar("file_mode", Ty::Int).since(7),
        sugar("dir_mode", Ty::Int).since(7),
    ];
    /// `systemd`.
    SYSTEMD = [field("units", Ty::Keyed(&UNIT, NAMES), "units"), sugar("quadlets", Ty::Keyed(&QUADLET, NAMES)).since(8)];
    /// A unit.
    UNIT = [
        field("contents", Ty::Str, "contents"),
        sugar("contents_local", Ty::Str).since(5),
        field("dropins", Ty::Keyed(&DROPIN, NAMES), "dropins"),
        field("enabled", Ty::Bool, "enabled"),
        field("mask", Ty::Bool, "mask"),
        field("name", Ty::Str, "name"),
    ];
    /// A drop-in.
    DROPIN = [
        field("contents", Ty::Str, "contents"),
        sugar("contents_local", Ty::Str).since(5),
        field("name", Ty::Str, "name"),
    ];
    /// A quadlet.
    QUADLET = [
        sugar("contents", Ty::Str),
        sugar("contents_local", Ty::Str),
        sugar("name", Ty::Str),
        sugar("rootful", Ty::Bool),
    ];
}

/// Keys of other languages, and what they are called here.
pub static FOREIGN: &[(&str, &str)] = &[
    ("enable", "Butane writes `enabled`"),
    ("filesystem", "Butane has no file system names: mount it with `path` under `storage.filesystems`"),
    (
        "networkd",
        "Butane has no such section: write files below `/etc/systemd/network` under `storage.files`",
    ),
    ("remote", "Butane writes `contents: {source: ...}`"),
    ("url", "Butane writes `source`"),
    ("size", "Butane writes `size_mib: 512`"),
    ("start", "Butane writes `start_mib: 512`"),
    ("etcd", "only a Container Linux Config has this: write the unit under `systemd.units`"),
    ("flannel", "only a Container Linux Config has this: write the unit under `systemd.units`"),
    ("docker", "only a Container Linux Config has this: write a drop-in of `docker.service`"),
    (
        "update",
        "only a Container Linux Config has this: write `/etc/flatcar/update.conf` under `storage.files`",
    ),
    (
        "locksmith",
        "only a Container Linux Config has this: write `/etc/flatcar/update.conf` under `storage.files`",
    ),
    ("boot_device", "this describes the disk of Fedora CoreOS, which is laid out differently"),
    ("grub", "this configures the boot loader of Fedora CoreOS, which is not used here"),
    ("create", "Butane has no `create`: its keys stand in the user itself"),
    ("mount", "Butane has no `mount`: its keys stand in the file system itself"),
    ("drop_ins", "it is written `dropins`"),
    ("sshAuthorizedKeys", "it is written `ssh_authorized_keys`"),
    ("users", "users are listed under `passwd.users`"),
    ("units", "units are listed under `systemd.units`"),
];
