//! Contract section 1, row by row, in a running machine. Reads only, so that any machine will do.

use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use wellcar_tests::{Test, TestMachine};

pub fn tests() -> Vec<Test<TestMachine>> {
    vec![
        Test { name: "docker_info", run: docker_info },
        Test { name: "docker_run", run: docker_run },
        Test { name: "kubelet_directories", run: kubelet_directories },
        Test { name: "node_check", run: node_check },
        Test { name: "os_release", run: os_release },
        Test { name: "user_core", run: user_core },
        Test { name: "sudo", run: sudo },
        Test { name: "listening_sockets", run: listening_sockets },
        Test { name: "no_privileged_files", run: no_privileged_files },
        Test { name: "no_compiler_or_package_manager", run: no_compiler_or_package_manager },
        Test { name: "known_units_exist", run: known_units_exist },
        Test { name: "usr_is_verified", run: usr_is_verified },
        Test { name: "usr_cannot_be_written", run: usr_cannot_be_written },
        Test { name: "etc_is_an_overlay", run: etc_is_an_overlay },
    ]
}

pub fn docker_info(machine: &TestMachine) -> Result<()> {
    let info = machine
        .ok("docker info --format '{{.CgroupDriver}} {{.LoggingDriver}} {{.Driver}} {{.CgroupVersion}}'")?;
    ensure!(info == "cgroupfs json-file overlay2 2", "found `{info}`");
    Ok(())
}

/// A container image of bash, coreutils' parts and their libraries, made of the node's own files.
const IMPORT: &str = r#"set -euo pipefail
docker image inspect test-image >/dev/null 2>&1 && exit 0
programs="/usr/bin/bash /usr/bin/cat /usr/bin/id /usr/bin/touch"
libraries=$(for program in $programs; do LD_TRACE_LOADED_OBJECTS=1 $program; done | grep -o '/[^ ]*' | sort -u)
tar --create --absolute-names --dereference --hard-dereference $programs $libraries | docker import - test-image"#;

pub fn docker_run(machine: &TestMachine) -> Result<()> {
    machine.ok(IMPORT)?;
    let limit = Duration::from_secs(180);
    let run = |command: &str| -> Result<String> {
        let line = format!("docker run --rm --network bridge test-image /usr/bin/bash -c '{command}'");
        Ok(machine.run_for(&line, limit)?.expect_ok()?)
    };
    let found = run("echo in a container; id -u; touch /written && echo written; cat /proc/1/cgroup")?;
    ensure!(found.starts_with("in a container\n0\nwritten\n0::/"), "found `{found}`");
    // The log driver keeps what the container said, in a file.
    let logs = machine
        .ok("id=$(docker run -d test-image /usr/bin/bash -c 'echo kept'); docker wait $id >/dev/null; \
         docker logs $id; grep -c kept $(docker inspect -f '{{.LogPath}}' $id); docker rm $id >/dev/null")?;
    ensure!(logs == "kept\n1", "found `{logs}`");
    Ok(())
}

fn kubelet_directories(machine: &TestMachine) -> Result<()> {
    machine.ok("test -d /etc/cni/net.d && test -d /etc/kubernetes/manifests && test -d /var/lib/kubelet/volumeplugins")?;
    Ok(())
}

fn node_check(machine: &TestMachine) -> Result<()> {
    machine.ok("wellcar-node check docker && wellcar-node check os")?;
    machine.ok("wellcar-node status")?;
    Ok(())
}

fn os_release(machine: &TestMachine) -> Result<()> {
    let found = machine.ok(". /etc/os-release; echo \"$ID|$ID_LIKE\"; readlink /etc/os-release")?;
    let mut lines = found.lines();
    ensure!(lines.next() == Some("wellcar|flatcar coreos debian"), "found `{found}`");
    ensure!(lines.next().is_some_and(|target| target.ends_with("usr/lib/os-release")), "found `{found}`");
    Ok(())
}

fn user_core(machine: &TestMachine) -> Result<()> {
    let found = machine
        .ok("id -u core; id -g core; id -nG core | tr ' ' '\\n' | sort | tr '\\n' ' '; echo; \
         getent passwd core | cut -d: -f7; getent shadow core | cut -d: -f2")?;
    let expected = "500\n500\ncore docker sudo systemd-journal wheel \n/bin/bash\n";
    ensure!(found.starts_with(expected), "expected `{expected}`, found `{found}`");
    let password = found.lines().last().unwrap_or_default();
    ensure!(password.starts_with(['!', '*']), "expected a locked password, found `{password}`");
    Ok(())
}

fn sudo(machine: &TestMachine) -> Result<()> {
    let as_core = |command: &str| {
        machine
            .run(&format!("setpriv --reuid=core --regid=core --init-groups -- /usr/bin/bash -c '{command}'"))
    };
    let found = as_core("sudo -n id -u")?.expect_ok()?;
    ensure!(found == "0", "found `{found}`");
    let code = as_core("sudo -n bash -c \"exit 7\"")?.code;
    ensure!(code == 7, "expected the command's own exit code 7, found {code}");
    let other = machine.run("setpriv --reuid=nobody --regid=nogroup --clear-groups -- sudo -n id -u")?;
    ensure!(!other.ok(), "nobody became root: `{}`", other.text());
    Ok(())
}

fn listening_sockets(machine: &TestMachine) -> Result<()> {
    // Loopback and the DHCP client's port are not reachable by others.
    let all = machine.ok("ss -Hltun | awk '{print $1, $5}' | sort -u")?;
    let reachable: Vec<&str> = all
        .lines()
        .filter(|line| !line.contains(" 127.") && !line.contains(" [::1]") && !line.ends_with(":68"))
        .collect();
    let mut ports: Vec<&str> = reachable.iter().filter_map(|line| line.rsplit(':').next()).collect();
    ports.sort_unstable();
    ports.dedup();
    ensure!(ports == ["22"], "expected SSH alone, found:\n{all}");
    Ok(())
}

fn no_privileged_files(machine: &TestMachine) -> Result<()> {
    let found = machine.ok("find /usr -xdev -perm /6000 -type f")?;
    ensure!(found.lines().count() <= 10, "found:\n{found}");
    Ok(())
}

fn no_compiler_or_package_manager(machine: &TestMachine) -> Result<()> {
    let found = machine
        .ok("for p in dpkg apt apt-get rpm perl python3 cc gcc ld make; do command -v $p; done; true")?;
    ensure!(found.is_empty(), "found:\n{found}");
    Ok(())
}

fn known_units_exist(machine: &TestMachine) -> Result<()> {
    for unit in [
        "docker.service",
        "docker.socket",
        "containerd.service",
        "coreos-metadata.service",
        "locksmithd.service",
        "update-engine.service",
        "systemd-networkd.service",
        "systemd-timesyncd.service",
        "sshd.service",
        "sshd.socket",
    ] {
        let state = machine.ok(&format!("systemctl show -p LoadState --value {unit}"))?;
        ensure!(state == "loaded" || state == "masked", "expected `{unit}` to exist, found state `{state}`");
    }
    Ok(())
}

fn usr_is_verified(machine: &TestMachine) -> Result<()> {
    let device = machine.ok("cat /sys/class/block/$(basename $(findmnt -nro SOURCE /usr))/dm/name")?;
    let table = machine.ok(&format!("dmsetup table {device}"))?;
    ensure!(table.contains(" verity 1 ") && table.contains("panic_on_corruption"), "found `{table}`");
    let status = machine.ok(&format!("dmsetup status {device}"))?;
    ensure!(status.contains("verity V"), "found `{status}`");
    let options = machine.ok("findmnt -nro FSTYPE,OPTIONS /usr")?;
    ensure!(options.starts_with("erofs ro"), "found `{options}`");
    let hash = machine.ok("grep -o 'usrhash=[0-9a-f]*' /proc/cmdline | cut -d= -f2")?;
    ensure!(
        table.contains(&hash),
        "the table's root hash is not that of the command line: `{table}`, `{hash}`"
    );
    Ok(())
}

/// Ways in which root might try to write /usr. None may succeed, and /usr must be as before.
const WAYS: [(&str, &str); 11] = [
    ("a new file", "touch /usr/wellcar-test"),
    ("a file that is there", "echo x >>/usr/lib/os-release"),
    ("removal", "rm -f /usr/bin/true && test ! -e /usr/bin/true"),
    ("another name", "mv /usr/bin/true /usr/bin/true2"),
    ("another mode", "chmod 4755 /usr/bin/bash"),
    ("remount", "mount -o remount,rw /usr && touch /usr/wellcar-test"),
    (
        "bind mount",
        "mkdir -p /run/wt/b && mount --bind /usr /run/wt/b && trap 'umount /run/wt/b' EXIT && \
         mount -o remount,bind,rw /run/wt/b && touch /run/wt/b/wellcar-test",
    ),
    (
        "second mount",
        "mkdir -p /run/wt/m && mount -t erofs -o rw \"$(findmnt -nro SOURCE /usr)\" /run/wt/m && \
         trap 'umount /run/wt/m' EXIT && touch /run/wt/m/wellcar-test",
    ),
    (
        "overlay below",
        "mkdir -p /run/wt/u /run/wt/w /run/wt/o && mount -t overlay -o \
         lowerdir=/usr,upperdir=/run/wt/u,workdir=/run/wt/w o /run/wt/o && trap 'umount /run/wt/o' EXIT && \
         touch /run/wt/o/wellcar-test && test -e /usr/wellcar-test",
    ),
    ("the device", "dd if=/dev/zero of=\"$(findmnt -nro SOURCE /usr)\" bs=4096 count=1 conv=fsync"),
    (
        "the device, made writable",
        "d=$(findmnt -nro SOURCE /usr); blockdev --setrw $d; dd if=/dev/zero of=$d bs=4096 count=1 conv=fsync",
    ),
];

fn usr_cannot_be_written(machine: &TestMachine) -> Result<()> {
    let digest = "sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum /usr/bin/bash /usr/lib/os-release; \
                  stat -c '%a %n' /usr/bin/bash; ls -d /usr/* | sha256sum";
    let before = machine.ok(digest)?;
    for (name, command) in WAYS {
        let output = machine.run(&format!("{{ {command}; }} 2>&1"))?;
        ensure!(!output.ok(), "{name} went through: `{command}`: {}", output.text());
    }
    let after = machine.ok(digest).context("after the attempts")?;
    ensure!(before == after, "/usr changed: before\n{before}\nafter\n{after}");
    Ok(())
}

fn etc_is_an_overlay(machine: &TestMachine) -> Result<()> {
    let options = machine.ok("findmnt -nro FSTYPE,OPTIONS /etc")?;
    ensure!(
        options.starts_with("overlay rw") && options.contains("/usr/share/wellcar/etc"),
        "found `{options}`"
    );
    Ok(())
}
