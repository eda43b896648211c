//! The keys of a Container Linux Config, as `ct` 0.9.4 knows them.

use crate::schema::{Field, Obj, STRINGS, Ty, sugar};

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident = { $($key:literal: $ty:expr),* $(,)? };)*) => {
        $($(#[$doc])* pub static $name: Obj = Obj { fields: { const FIELDS: &[Field] = &[$(sugar($key, $ty)),*]; FIELDS } };)*
    };
}

objects! {
    /// The whole file.
    CONFIG = {
        "ignition": Ty::Obj(&IGNITION),
        "storage": Ty::Obj(&STORAGE),
        "systemd": Ty::Obj(&SYSTEMD),
        "networkd": Ty::Obj(&NETWORKD),
        "passwd": Ty::Obj(&PASSWD),
        "etcd": Ty::Any,
        "flannel": Ty::Any,
        "update": Ty::Obj(&UPDATE),
        "docker": Ty::Obj(&DOCKER),
        "locksmith": Ty::Obj(&LOCKSMITH),
        "version": Ty::Int,
    };
    /// `ignition`.
    IGNITION = { "config": Ty::Obj(&IGNITION_CONFIG), "timeouts": Ty::Obj(&TIMEOUTS), "security": Ty::Obj(&SECURITY) };
    /// `ignition.config`.
    IGNITION_CONFIG = { "append": Ty::Keyed(&REFERENCE, &["source"]), "replace": Ty::Obj(&REFERENCE) };
    /// A config or certificate to fetch.
    REFERENCE = { "source": Ty::Str, "verification": Ty::Obj(&VERIFICATION) };
    /// `verification`.
    VERIFICATION = { "hash": Ty::Obj(&HASH) };
    /// `verification.hash`.
    HASH = { "function": Ty::Str, "sum": Ty::Str };
    /// `ignition.timeouts`.
    TIMEOUTS = { "http_response_headers": Ty::Int, "http_total": Ty::Int };
    /// `ignition.security`.
    SECURITY = { "tls": Ty::Obj(&TLS) };
    /// `ignition.security.tls`.
    TLS = { "certificate_authorities": Ty::Keyed(&REFERENCE, &["source"]) };
    /// `storage`.
    STORAGE = {
        "disks": Ty::Keyed(&DISK, &["device"]),
        "raid": Ty::Keyed(&RAID, &["name"]),
        "filesystems": Ty::Keyed(&FILESYSTEM, &["name"]),
        "files": Ty::Keyed(&FILE, &["path"]),
        "directories": Ty::Keyed(&DIRECTORY, &["path"]),
        "links": Ty::Keyed(&LINK, &["path"]),
    };
    /// An item of `storage.disks`.
    DISK = { "device": Ty::Str, "wipe_table": Ty::Bool, "partitions": Ty::Keyed(&PARTITION, &["number", "label"]) };
    /// A partition of a disk.
    PARTITION = {
        "label": Ty::Str, "number": Ty::Int, "size": Ty::Str, "start": Ty::Str, "guid": Ty::Str, "type_guid": Ty::Str,
    };
    /// An item of `storage.raid`.
    RAID = { "name": Ty::Str, "level": Ty::Str, "devices": STRINGS, "spares": Ty::Int, "options": STRINGS };
    /// An item of `storage.filesystems`.
    FILESYSTEM = { "name": Ty::Str, "mount": Ty::Obj(&MOUNT), "path": Ty::Str };
    /// `mount` of a file system.
    MOUNT = {
        "device": Ty::Str, "format": Ty::Str, "create": Ty::Obj(&CREATE), "wipe_filesystem": Ty::Bool,
        "label": Ty::Str, "uuid": Ty::Str, "options": STRINGS,
    };
    /// `mount.create`.
    CREATE = { "force": Ty::Bool, "options": STRINGS };
    /// An item of `storage.files`.
    FILE = {
        "filesystem": Ty::Str, "path": Ty::Str, "contents": Ty::Obj(&CONTENTS), "mode": Ty::Int,
        "user": Ty::Obj(&OWNER), "group": Ty::Obj(&OWNER), "overwrite": Ty::Bool, "append": Ty::Bool,
    };
    /// `contents` of a file.
    CONTENTS = { "remote": Ty::Obj(&REMOTE), "inline": Ty::Str, "local": Ty::Str };
    /// `contents.remote`.
    REMOTE = { "url": Ty::Str, "compression": Ty::Str, "verification": Ty::Obj(&VERIFICATION) };
    /// A user or group of a node.
    OWNER = { "id": Ty::Int, "name": Ty::Str };
    /// An item of `storage.directories`.
    DIRECTORY = {
        "filesystem": Ty::Str, "path": Ty::Str, "user": Ty::Obj(&OWNER), "group": Ty::Obj(&OWNER), "mode": Ty::Int,
        "overwrite": Ty::Bool,
    };
    /// An item of `storage.links`.
    LINK = {
        "filesystem": Ty::Str, "path": Ty::Str, "user": Ty::Obj(&OWNER), "group": Ty::Obj(&OWNER), "hard": Ty::Bool,
        "target": Ty::Str, "overwrite": Ty::Bool,
    };
    /// `systemd`.
    SYSTEMD = { "units": Ty::Keyed(&UNIT, &["name"]) };
    /// A systemd unit.
    UNIT = {
        "name": Ty::Str, "enable": Ty::Bool, "enabled": Ty::Bool, "mask": Ty::Bool, "contents": Ty::Str,
        "dropins": Ty::Keyed(&DROPIN, &["name"]),
    };
    /// A drop-in of a unit.
    DROPIN = { "name": Ty::Str, "contents": Ty::Str };
    /// `networkd`.
    NETWORKD = { "units": Ty::Keyed(&NETWORKD_UNIT, &["name"]) };
    /// A networkd unit.
    NETWORKD_UNIT = { "name": Ty::Str, "contents": Ty::Str, "dropins": Ty::Keyed(&DROPIN, &["name"]) };
    /// `passwd`.
    PASSWD = { "users": Ty::Keyed(&USER, &["name"]), "groups": Ty::Keyed(&GROUP, &["name"]) };
    /// A user.
    USER = {
        "name": Ty::Str, "password_hash": Ty::Str, "ssh_authorized_keys": STRINGS, "create": Ty::Obj(&USER_CREATE),
        "uid": Ty::Int, "gecos": Ty::Str, "home_dir": Ty::Str, "no_create_home": Ty::Bool, "primary_group": Ty::Str,
        "groups": STRINGS, "no_user_group": Ty::Bool, "system": Ty::Bool, "no_log_init": Ty::Bool, "shell": Ty::Str,
    };
    /// `create` of a user, deprecated.
    USER_CREATE = {
        "uid": Ty::Uint, "gecos": Ty::Str, "home_dir": Ty::Str, "no_create_home": Ty::Bool, "primary_group": Ty::Str,
        "groups": STRINGS, "no_user_group": Ty::Bool, "system": Ty::Bool, "no_log_init": Ty::Bool, "shell": Ty::Str,
    };
    /// A group.
    GROUP = { "name": Ty::Str, "gid": Ty::Uint, "password_hash": Ty::Str, "system": Ty::Bool };
    /// `update`.
    UPDATE = {
        "group": Ty::Str, "server": Ty::Str, "pcr_policy_server": Ty::Str, "download_user": Ty::Str,
        "download_password": Ty::Str, "machine_alias": Ty::Str,
    };
    /// `docker`.
    DOCKER = { "flags": STRINGS };
    /// `locksmith`.
    LOCKSMITH = {
        "reboot_strategy": Ty::Str, "window_start": Ty::Str, "window_length": Ty::Str, "group": Ty::Str,
        "etcd_endpoints": Ty::Str, "etcd_cafile": Ty::Str, "etcd_certfile": Ty::Str, "etcd_keyfile": Ty::Str,
    };
}

/// Keys of other languages, and what they are called here.
pub static FOREIGN: &[(&str, &str)] = &[
    ("size_mib", "a Container Linux Config writes `size: 512MiB`"),
    ("start_mib", "a Container Linux Config writes `start: 512MiB`"),
    ("source", "a Container Linux Config writes `contents: {remote: {url: ...}}`"),
    ("with_mount_unit", "only Butane has this: write the mount unit under `systemd.units`"),
    ("contents_local", "only Butane has this: use `contents: {local: ...}` of a file"),
    ("merge", "a Container Linux Config writes `ignition.config.append`"),
    ("trees", "only Butane has this: list the files under `storage.files`"),
    ("luks", "only Ignition 3 and Butane have encrypted volumes"),
    ("kernel_arguments", "only Ignition 3 and Butane have this"),
    ("drop_ins", "it is written `dropins`"),
    ("sshAuthorizedKeys", "it is written `ssh_authorized_keys`"),
    ("write_files", "this is cloud-config: use `storage.files`"),
    ("hostname", "write `/etc/hostname` under `storage.files`"),
    ("ssh_authorized_keys", "keys belong to a user: `passwd.users`"),
    ("users", "users are listed under `passwd.users`"),
    ("units", "units are listed under `systemd.units`"),
];
