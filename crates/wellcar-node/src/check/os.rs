//! The operating system's promises (contract sections 1 and 2).

use super::Row;
use super::facts::OsFacts;

/// Directories that exist before any kubelet starts.
const KUBELET: [(&str, &str); 3] = [
    ("cni-conf-dir", "/etc/cni/net.d"),
    ("pod-manifest-path", "/etc/kubernetes/manifests"),
    ("volume-plugin-dir", "/var/lib/kubelet/volumeplugins"),
];

/// The administrator's groups.
const CORE_GROUPS: [&str; 4] = ["wheel", "docker", "sudo", "systemd-journal"];

/// Decides the rows.
#[must_use]
pub fn rows(facts: &OsFacts) -> Vec<Row> {
    let mut rows = vec![
        Row::is(
            "os.identity",
            "ID=wellcar, ID_LIKE=flatcar coreos debian",
            facts.os_release.clone(),
            facts.os_release == "wellcar (flatcar coreos debian)",
        ),
        Row::is(
            "os.usr-read-only",
            "/usr is mounted read-only",
            facts.usr_mount.clone(),
            facts.usr_read_only,
        ),
        Row::is(
            "os.usr-verified",
            "/usr lies on dm-verity that panics on corruption and has found none",
            facts.verity.clone(),
            facts.verity_ok,
        ),
        Row::is(
            "os.etc-overlay",
            "/etc is an overlay on /usr/share/wellcar/etc",
            facts.etc_mount.clone(),
            facts.etc_overlay,
        ),
        Row::is(
            "os.machine-id",
            "32 hex digits, made at first boot",
            facts.machine_id.clone(),
            is_machine_id(&facts.machine_id),
        ),
        Row::is(
            "os.core",
            "uid 500, gid 500, /bin/bash, groups wheel docker sudo systemd-journal",
            facts.core.clone(),
            facts.core_account
                && CORE_GROUPS.iter().all(|group| facts.core_groups.iter().any(|have| have == group)),
        ),
        Row::none("os.privileged-files", "setuid or setgid file in /usr", &facts.privileged),
        Row::is(
            "os.listening",
            "TCP port 22 at most, on addresses that others reach",
            if facts.listening.is_empty() { "none".into() } else { facts.listening.join(", ") },
            facts.listening.iter().all(|socket| socket.ends_with(":22")),
        ),
        Row::none("os.failed-units", "failed unit", &facts.failed_units),
        Row::none("os.forbidden-programs", "package manager, compiler, Perl or Python", &facts.forbidden),
    ];
    for (setting, path) in KUBELET {
        let there = facts.directories.iter().any(|have| have == path);
        rows.push(Row::is(
            &format!("kubelet.{setting}"),
            &format!("{path} is a directory"),
            if there { path } else { "not there" },
            there,
        ));
    }
    rows
}

/// The paths whose presence the facts must tell.
#[must_use]
pub fn directories() -> Vec<&'static str> {
    KUBELET.iter().map(|(_, path)| *path).collect()
}

fn is_machine_id(text: &str) -> bool {
    text.len() == 32
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_promises_are_named() {
        let facts = OsFacts {
            listening: vec!["0.0.0.0:22".into(), "0.0.0.0:111".into()],
            failed_units: vec!["x.service".into()],
            ..OsFacts::default()
        };
        let rows = rows(&facts);
        let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        assert!(!row("os.listening").kept);
        assert_eq!(row("os.failed-units").found, "x.service");
        assert!(row("os.privileged-files").kept);
        assert!(!row("kubelet.cni-conf-dir").kept);
    }
}
