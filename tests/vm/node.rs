//! One machine, booted by the firmware from a Container Linux Config: what it is, read only.

use crate::{contract, environment};
use anyhow::{Context as _, Result, ensure};
use wellcar_tests::{Group, Setup, Test, TestMachine};

pub const CONFIG: &str = include_str!("node.yaml");

pub fn group() -> Group<TestMachine> {
    let mut tests = vec![
        Test { name: "no_failed_units", run: no_failed_units },
        Test { name: "provisioned_hostname", run: hostname },
        Test { name: "provisioned_file", run: file },
        Test { name: "provisioned_directory_and_link", run: directory_and_link },
        Test { name: "provisioned_user_and_group", run: user_and_group },
        Test { name: "provisioned_key_of_core", run: key_of_core },
        Test { name: "provisioned_unit_ran", run: unit_ran },
        Test { name: "provisioned_mask_and_dropin", run: mask_and_dropin },
        Test { name: "provisioning_left_its_record", run: record },
        Test { name: "root_is_grown_and_unique", run: root_is_grown },
        Test { name: "boot_was_blessed", run: blessed },
    ];
    tests.extend(contract::tests());
    Group { name: "node", setup, tests, finish: console_is_clean }
}

fn setup() -> Result<TestMachine> {
    TestMachine::boot(environment()?, Setup { uefi: true, ..Setup::default() }.config("node.yaml", CONFIG))
}

/// The console showed nothing that a healthy machine does not show.
pub fn console_is_clean(machine: &TestMachine) -> Result<()> {
    match machine.machine.console().trouble() {
        None => Ok(()),
        Some(trouble) => Err(anyhow::anyhow!("{trouble}\n{}", machine.last_words())),
    }
}

pub fn no_failed_units(machine: &TestMachine) -> Result<()> {
    let failed = machine.ok("systemctl list-units --failed --plain --no-legend")?;
    if !failed.is_empty() {
        let first = failed.split_whitespace().next().unwrap_or_default();
        let log = machine.ok(&format!("journalctl -b -u {first} --no-pager | tail -20"))?;
        anyhow::bail!("expected no failed unit, found:\n{failed}\n{log}");
    }
    Ok(())
}

fn equal(machine: &TestMachine, command: &str, expected: &str) -> Result<()> {
    let found = machine.ok(command).with_context(|| format!("`{command}`"))?;
    ensure!(found == expected, "`{command}`: expected `{expected}`, found `{found}`");
    Ok(())
}

fn hostname(machine: &TestMachine) -> Result<()> {
    equal(machine, "hostname; cat /proc/sys/kernel/hostname", "node1\nnode1")
}

fn file(machine: &TestMachine) -> Result<()> {
    equal(machine, "cat /opt/test/file", "provisioned by the test")?;
    equal(machine, "stat -c '%a %u %g' /opt/test/file", "640 500 1600")
}

fn directory_and_link(machine: &TestMachine) -> Result<()> {
    equal(machine, "stat -c '%F %a %u %g' /opt/test/empty", "directory 750 0 0")?;
    equal(machine, "readlink /opt/test/link", "/opt/test/file")
}

fn user_and_group(machine: &TestMachine) -> Result<()> {
    equal(machine, "id -u alice; id -nG alice | tr ' ' '\\n' | sort | tr '\\n' ' '", "1500\nalice docker")?;
    equal(machine, "getent passwd alice | cut -d: -f6,7", "/home/alice:/bin/bash")?;
    equal(machine, "stat -c '%U %a' /home/alice", "alice 700")
        .or_else(|_| equal(machine, "stat -c '%U %a' /home/alice", "alice 755"))?;
    equal(machine, "getent group staff-tests | cut -d: -f3", "1600")
}

fn key_of_core(machine: &TestMachine) -> Result<()> {
    equal(
        machine,
        "cat /home/core/.ssh/authorized_keys /home/core/.ssh/authorized_keys.d/* 2>/dev/null | \
         grep -c 'operator@example'",
        "1",
    )?;
    equal(machine, "stat -c '%U %G %a' /home/core/.ssh", "core core 700")
}

fn unit_ran(machine: &TestMachine) -> Result<()> {
    equal(machine, "cat /var/lib/test-boots", "boot")?;
    equal(machine, "systemctl is-enabled test-oneshot.service", "enabled")
}

fn mask_and_dropin(machine: &TestMachine) -> Result<()> {
    equal(machine, "systemctl is-enabled test-masked.service || true", "masked")?;
    equal(
        machine,
        "systemctl show -p Environment docker.service | tr ' ' '\\n' | grep -o 'WELLCAR_TEST=dropin'",
        "WELLCAR_TEST=dropin",
    )
}

fn record(machine: &TestMachine) -> Result<()> {
    let record = machine.ok("cat /var/lib/wellcar/provisioned.json")?;
    let record: serde_json::Value = serde_json::from_str(&record)?;
    ensure!(record.get("config_sha256").is_some(), "expected the config's hash in the record: {record}");
    ensure!(!record.to_string().contains("operator@example"), "the record holds a key: {record}");
    equal(machine, "test ! -e /var/lib/wellcar/provisioning.json && echo finished", "finished")
}

fn root_is_grown(machine: &TestMachine) -> Result<()> {
    let size: u64 = machine.ok("lsblk -bnro SIZE $(findmnt -nro SOURCE /)")?.parse()?;
    ensure!(size > 9 << 30, "expected ROOT to fill the disk of 16 GiB, found {size} bytes");
    let machine_id = machine.ok("cat /etc/machine-id")?;
    ensure!(
        machine_id.len() == 32 && machine_id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "expected a machine id, found `{machine_id}`"
    );
    let condition = machine.ok("sgdisk -v /dev/disk/by-diskseq/* 2>&1 || sgdisk -v /dev/vda 2>&1")?;
    ensure!(condition.contains("No problems found"), "the partition table is not whole: {condition}");
    Ok(())
}

fn blessed(machine: &TestMachine) -> Result<()> {
    // systemd-bless-boot removes the counter from the entry's name once boot-complete.target is
    // reached.
    equal(machine, "systemctl is-active boot-complete.target", "active")?;
    let entries = machine.ok("ls /boot/EFI/Linux")?;
    ensure!(entries.lines().any(|name| name.ends_with(".efi")), "expected an entry, found `{entries}`");
    ensure!(!entries.contains('+'), "expected no boot counter in the entry's name, found `{entries}`");
    Ok(())
}
