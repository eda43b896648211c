//! The life of one machine, started by QEMU directly and without a config but the tests' channel:
//! it boots, keeps what it has over a restart, and is reachable by nobody without a key.

use crate::{environment, node};
use anyhow::{Result, ensure};
use wellcar_tests::{Group, Setup, Test, TestMachine};

pub fn group() -> Group<TestMachine> {
    let tests = vec![
        Test { name: "no_failed_units", run: node::no_failed_units },
        Test { name: "docker_info", run: crate::contract::docker_info },
        Test { name: "default_identity", run: identity },
        Test { name: "second_boot_is_no_first_boot", run: second_boot },
        Test { name: "no_failed_units_again", run: node::no_failed_units },
        Test { name: "powers_off", run: powers_off },
    ];
    Group { name: "life", setup, tests, finish: node::console_is_clean }
}

fn setup() -> Result<TestMachine> {
    TestMachine::boot(environment()?, Setup::default())
}

fn identity(machine: &TestMachine) -> Result<()> {
    let id = machine.ok("cat /etc/machine-id")?;
    ensure!(id.len() == 32, "found `{id}`");
    let keys = machine.ok("ls /etc/ssh/ssh_host_*_key 2>/dev/null || true")?;
    ensure!(keys.is_empty() || keys == "/etc/ssh/ssh_host_ed25519_key", "found `{keys}`");
    Ok(())
}

fn second_boot(machine: &TestMachine) -> Result<()> {
    let facts = "cat /etc/machine-id; sha256sum /var/lib/wellcar/provisioned.json; \
                 stat -c %Y /var/lib/wellcar/provisioned.json; blkid -o value -s UUID $(findmnt -nro SOURCE /); \
                 cat /var/lib/kept";
    machine.ok("echo kept >/var/lib/kept; sync")?;
    let before = machine.ok(facts)?;
    let boot = machine.ok("cat /proc/sys/kernel/random/boot_id")?;
    let mark = machine.machine.console().mark();
    machine.reboot()?;
    ensure!(boot != machine.ok("cat /proc/sys/kernel/random/boot_id")?, "the machine did not restart");
    let after = machine.ok(facts)?;
    ensure!(before == after, "expected\n{before}\nfound\n{after}");
    let console = machine.machine.console().text(mark);
    ensure!(!console.contains("wellcar: first boot"), "it was provisioned again:\n{console}");
    Ok(())
}

fn powers_off(machine: &TestMachine) -> Result<()> {
    machine.machine.shut_down(vm::Deadline::seconds(90))?;
    Ok(())
}
