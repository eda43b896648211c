//! Machines that must not come up: a wrong config, a bit turned in /usr, an overwritten slot.

use crate::environment;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::File;
use std::time::Duration;
use vm::Deadline;
use vm::console::{Mark, TroubleKind};
use wellcar_tests::machine::{BOOT, channel_config, flipped_copy};
use wellcar_tests::{Group, Setup, Test, TestMachine};

/// Starts to read every file of /usr, past the page cache, and says on the console when it came to the end.
const READ_ALL: &str = "sync; echo 3 >/proc/sys/vm/drop_caches; \
    (find /usr -xdev -type f -exec cat {} + >/dev/null && echo ALL-OF-USR-WAS-READ >/dev/console) >/dev/null 2>&1 &";
/// What [`READ_ALL`] says at its end.
const READ_TO_THE_END: &str = "ALL-OF-USR-WAS-READ";

pub fn wrong_config() -> Group<TestMachine> {
    let tests = vec![
        Test { name: "the_report_names_field_and_position", run: report_on_the_console },
        Test { name: "nothing_was_started", run: nothing_was_started },
    ];
    Group { name: "wrong_config", setup: start_with_wrong_config, tests, finish: |_| Ok(()) }
}

fn start_with_wrong_config() -> Result<TestMachine> {
    // Valid but for the path, which is not absolute; on line 5 of the text.
    let config = "{\n  \"ignition\": { \"version\": \"3.3.0\" },\n  \"storage\": {\n    \"files\": [\n      \
                  { \"path\": \"etc/hostname\" }\n    ]\n  }\n}\n";
    let setup = Setup { raw_config: Some(config.as_bytes().to_vec()), ..Setup::default() };
    let machine = TestMachine::start(environment()?, setup)?;
    let console = machine.machine.console();
    let trouble = console.wait_trouble(Deadline::after(BOOT)).with_context(|| machine.last_words())?;
    ensure!(trouble.kind() == TroubleKind::Provisioning, "{trouble}\n{}", machine.last_words());
    console.tolerate(TroubleKind::Provisioning);
    Ok(machine)
}

fn report_on_the_console(machine: &TestMachine) -> Result<()> {
    let console = machine.machine.console();
    // The report's last line says what happens next.
    console.wait_for("The machine restarts", Mark::START, Deadline::seconds(60))?;
    let text = console.text(Mark::START);
    let report = text.split_once("provisioning failed").map(|(_, report)| report).unwrap_or_default();
    ensure!(report.contains("$.storage.files.0.path"), "no key path in the report:\n{report}");
    ensure!(report.contains("config:5:"), "no line in the report:\n{report}");
    ensure!(report.contains("etc/hostname"), "the text is not shown:\n{report}");
    Ok(())
}

fn nothing_was_started(machine: &TestMachine) -> Result<()> {
    let text = machine.machine.console().text(Mark::START);
    ensure!(!text.contains("login:") && !text.contains("Welcome to"), "systemd was started:\n{text}");
    Ok(())
}

pub fn turned_bit() -> Group<()> {
    let tests = vec![Test { name: "no_wrong_byte_is_read", run: no_wrong_byte_is_read }];
    Group { name: "turned_bit", setup: || environment().map(drop), tests, finish: |()| Ok(()) }
}

fn no_wrong_byte_is_read((): &()) -> Result<()> {
    let environment = environment()?;
    let dir = tempfile::tempdir()?;
    let mut disk = File::open(&environment.image)?;
    let (table, _) = formats::gpt::Table::read(&mut disk, 512)?;
    let (number, _) = table.by_name("USR-A").context("the image has no USR-A")?;
    let (start, _) = table.byte_range(number).context("USR-A has no extent")?;
    // A place among the files' data: the first 4 KiB of a block of 16 that are not zero, from a
    // third of the slot's used part on.
    let offset = used_block(&disk, start + (150 << 20))?;
    let image = flipped_copy(&environment.image, offset, dir.path())?;
    let setup = Setup {
        image: Some(image),
        raw_config: Some(channel_config().to_string().into()),
        ..Setup::default()
    };
    let machine = TestMachine::start(environment, setup)?;
    let console = machine.machine.console();
    console.tolerate(TroubleKind::Reboot);
    console.tolerate(TroubleKind::FailedUnit);
    // It may panic while it boots or when all is read, but it may not read to the end.
    let _ = machine.run_for(READ_ALL, Duration::from_secs(60));
    panicked_and_restarted(&machine).with_context(|| format!("after a bit was turned at byte {offset}"))
}

/// The first block from `at` on that holds something.
fn used_block(disk: &File, at: u64) -> Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let mut block = [0; 4096];
    for number in 0..65536 {
        let offset = at + number * 4096;
        disk.read_exact_at(&mut block, offset)?;
        if block.iter().filter(|&&byte| byte != 0).count() > 1024 {
            return Ok(offset + 2048);
        }
    }
    bail!("found only zeros in the slot")
}

pub fn overwritten_slot() -> Group<TestMachine> {
    let tests = vec![Test { name: "is_noticed_at_the_next_read", run: overwrite }];
    Group {
        name: "overwritten_slot",
        setup: || TestMachine::boot(environment()?, Setup::default()),
        tests,
        finish: |_| Ok(()),
    }
}

fn overwrite(machine: &TestMachine) -> Result<()> {
    let console = machine.machine.console();
    console.tolerate(TroubleKind::Reboot);
    let slot = "/dev/disk/by-partlabel/USR-A";
    let write = format!("dd if=/dev/urandom of={slot} bs=1M seek=60 count=200 conv=notrunc,fsync 2>&1");
    let written = machine.run(&write)?;
    if !written.ok() {
        // A kernel that lets nobody write below a mounted device is better still.
        return Ok(());
    }
    // The machine may panic before it answers.
    let _ = machine.run_for(READ_ALL, Duration::from_secs(60));
    panicked_and_restarted(machine)
}

/// The kernel panicked over the corruption, and the machine started again by itself.
fn panicked_and_restarted(machine: &TestMachine) -> Result<()> {
    let console = machine.machine.console();
    console.tolerate(TroubleKind::Panic);
    let line = console
        .wait_for("Kernel panic", Mark::START, Deadline::seconds(240))
        .with_context(|| machine.last_words())?;
    ensure!(!console.text(Mark::START).contains(READ_TO_THE_END), "all of /usr was read");
    ensure!(line.contains("verity") || console.text(Mark::START).contains("is corrupted"), "found `{line}`");
    console.wait_boots(2, Deadline::seconds(60)).with_context(|| machine.last_words())?;
    Ok(())
}
