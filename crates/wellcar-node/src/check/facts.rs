//! What the machine is like: the facts that the promises are held against. Everything is read here, from
//! /proc, /etc, /usr and the answers of `docker` and `systemctl`.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use sys::process::Cmd;

/// How long a program may take to answer.
const ASK: Duration = Duration::from_secs(60);
/// The most bytes of a small file.
const SMALL: u64 = 4 << 20;
/// Programs that have no place in the image.
const FORBIDDEN: [&str; 12] =
    ["dpkg", "apt", "apt-get", "rpm", "perl", "python3", "python", "gcc", "cc", "ld", "make", "snap"];

/// Facts about the operating system; texts are for people, flags are what they mean.
#[derive(Debug, Default)]
pub struct OsFacts {
    /// `ID (ID_LIKE)`.
    pub os_release: String,
    /// The mount of /usr.
    pub usr_mount: String,
    /// Whether it is read-only.
    pub usr_read_only: bool,
    /// The verity device below it.
    pub verity: String,
    /// Whether it verifies, panics on corruption and has found none.
    pub verity_ok: bool,
    /// The mount of /etc.
    pub etc_mount: String,
    /// Whether it is the overlay.
    pub etc_overlay: bool,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// core's line of passwd and its groups.
    pub core: String,
    /// Whether numbers and shell are the promised ones.
    pub core_account: bool,
    /// Names of core's groups.
    pub core_groups: Vec<String>,
    /// Setuid and setgid files below /usr.
    pub privileged: Vec<String>,
    /// Listening TCP sockets that are not on loopback.
    pub listening: Vec<String>,
    /// Units in state failed.
    pub failed_units: Vec<String>,
    /// Programs in PATH that must not be there.
    pub forbidden: Vec<String>,
    /// Which of the promised directories exist.
    pub directories: Vec<String>,
}

/// Gathers the facts.
pub fn os() -> anyhow::Result<OsFacts> {
    let mounts = read("/proc/self/mountinfo");
    let usr = last_mount(&mounts, "/usr");
    let etc = last_mount(&mounts, "/etc");
    let (verity, verity_ok) = verity(usr.as_ref());
    let passwd = read("/etc/passwd");
    let core: Vec<&str> =
        passwd.lines().find(|line| line.starts_with("core:")).unwrap_or_default().split(':').collect();
    let core_groups = groups_of("core", &read("/etc/group"));
    let release = read("/usr/lib/os-release");
    let field = |name: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned()
    };
    let directories = super::os::directories()
        .into_iter()
        .filter(|path| Path::new(path).is_dir())
        .map(str::to_owned)
        .collect();
    Ok(OsFacts {
        os_release: format!("{} ({})", field("ID"), field("ID_LIKE")),
        usr_read_only: usr.as_ref().is_some_and(|mount| mount.options.iter().any(|option| option == "ro")),
        usr_mount: usr.as_ref().map_or_else(|| "not a mount".into(), MountLine::describe),
        verity,
        verity_ok,
        etc_overlay: etc.as_ref().is_some_and(|mount| {
            mount.kind == "overlay"
                && mount
                    .super_options
                    .iter()
                    .any(|option| option.starts_with("lowerdir") && option.contains("/usr/share/wellcar/etc"))
        }),
        etc_mount: etc.as_ref().map_or_else(|| "not a mount".into(), MountLine::describe),
        machine_id: read("/etc/machine-id").trim().to_owned(),
        core_account: matches!(core.as_slice(), [_, _, "500", "500", _, "/home/core", "/bin/bash"]),
        core: format!("{} groups {}", core.join(":"), core_groups.join(" ")),
        core_groups,
        privileged: privileged(Path::new("/usr")),
        listening: listening(&read("/proc/net/tcp"), &read("/proc/net/tcp6")),
        failed_units: failed_units(),
        forbidden: FORBIDDEN
            .iter()
            .filter(|name| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(name).exists()))
            .map(|name| (*name).to_owned())
            .collect(),
        directories,
    })
}

/// `docker info` as JSON, or why there is no answer.
pub fn docker_info() -> Result<Value, String> {
    let out = Cmd::new("docker")
        .args(["info", "--format", "{{json .}}"])
        .timeout(ASK)
        .run()
        .map_err(|error| format!("docker info: {error}"))?;
    let info: Value = serde_json::from_slice(&out.stdout).map_err(|error| format!("docker info: {error}"))?;
    match info.get("ServerErrors").and_then(Value::as_array).and_then(|errors| errors.first()) {
        Some(error) => Err(error.as_str().unwrap_or("docker info: the server failed").to_owned()),
        None => Ok(info),
    }
}

/// The names of failed units, or the reason why systemd does not tell.
pub fn failed_units() -> Vec<String> {
    let out =
        Cmd::new("systemctl").args(["--failed", "--plain", "--no-legend", "--no-pager"]).timeout(ASK).run();
    match out {
        Ok(out) => out
            .stdout_text()
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect(),
        Err(error) => vec![format!("(unknown: {error})")],
    }
}

fn read(path: &str) -> String {
    sys::file::read_text(Path::new(path), SMALL).unwrap_or_default()
}

/// One line of mountinfo (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct MountLine {
    device: String,
    kind: String,
    source: String,
    options: Vec<String>,
    super_options: Vec<String>,
}

impl MountLine {
    fn describe(&self) -> String {
        format!("{} on {} ({})", self.kind, self.source, self.options.join(","))
    }
}

/// The mount on top at a place.
fn last_mount(mountinfo: &str, at: &str) -> Option<MountLine> {
    mountinfo.lines().rev().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        if *left.get(4)? != at {
            return None;
        }
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Some(MountLine {
            device: (*left.get(2)?).to_owned(),
            options: list(left.get(5)?),
            kind: (*right.first()?).to_owned(),
            source: (*right.get(1)?).to_owned(),
            super_options: list(right.get(2)?),
        })
    })
}

/// What device-mapper says of the device below /usr: its name, and whether it is a verity target that
/// panics on corruption and is intact.
fn verity(usr: Option<&MountLine>) -> (String, bool) {
    let Some(mount) = usr else { return ("no device".into(), false) };
    let name = read(&format!("/sys/dev/block/{}/dm/name", mount.device)).trim().to_owned();
    if name.is_empty() {
        return (format!("{} is no device-mapper device", mount.source), false);
    }
    if !rustix::process::geteuid().is_root() {
        return (format!("{name}: only root may ask device-mapper; run `sudo wellcar-node check`"), false);
    }
    let ask = |what: &str| {
        Cmd::new("dmsetup")
            .args([what, &name])
            .timeout(ASK)
            .run()
            .map(|out| out.stdout_text())
            .unwrap_or_default()
    };
    let (table, status) = (ask("table"), ask("status"));
    let panics = table.contains("panic_on_corruption");
    let intact = status.split_whitespace().nth(3) == Some("V");
    let kind = table.split_whitespace().nth(2).unwrap_or("no answer");
    let words = match (panics, intact) {
        (true, true) => "panics on corruption, intact",
        (true, false) => "panics on corruption, CORRUPT or unknown",
        (false, _) => "does not panic on corruption",
    };
    (format!("{name}: {kind}, {words}"), kind == "verity" && panics && intact)
}

fn groups_of(user: &str, group: &str) -> Vec<String> {
    group
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            fields.nth(2)?.split(',').any(|member| member == user).then(|| name.to_owned())
        })
        .collect()
}

fn privileged(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() && meta.permissions().mode() & 0o6000 != 0 {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Listening sockets of /proc/net/tcp and tcp6 (state 0A) that are not bound to loopback.
fn listening(tcp: &str, tcp6: &str) -> Vec<String> {
    let mut found: Vec<String> = tcp
        .lines()
        .chain(tcp6.lines())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if *fields.get(3)? != "0A" {
                return None;
            }
            let (address, port) = fields.get(1)?.split_once(':')?;
            let port = u16::from_str_radix(port, 16).ok()?;
            let loopback = match address.len() {
                8 => address.ends_with("7F"),
                _ => {
                    address == "00000000000000000000000001000000"
                        || address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F")
                }
            };
            let family = if address.len() == 8 { "0.0.0.0" } else { "[::]" };
            (!loopback).then(|| format!("{family}:{port}"))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_on_top_counts() {
        let text = "21 1 254:0 / /usr ro,relatime shared:1 - erofs /dev/mapper/usr ro,user_xattr\n\
                    22 1 0:3 / /etc rw - overlay overlay rw,lowerdir=/usr/share/wellcar/etc,upperdir=/.etc/upper\n";
        let usr = last_mount(text, "/usr").unwrap();
        assert_eq!((usr.device.as_str(), usr.kind.as_str()), ("254:0", "erofs"));
        assert_eq!(last_mount(text, "/home"), None);
    }

    #[test]
    fn loopback_does_not_count() {
        let tcp = "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A\n   1: 3500007F:0035 00000000:0000 0A\n   2: 0100007F:A000 00000000:0000 01\n";
        assert_eq!(listening(tcp, ""), ["0.0.0.0:22"]);
        assert_eq!(groups_of("core", "docker:x:233:core\nwheel:x:10:a,core\nz:x:1:\n"), ["docker", "wheel"]);
    }
}
