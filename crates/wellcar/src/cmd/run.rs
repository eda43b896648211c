//! `wellcar run`: from a config, or from nothing, to a running node one is logged in to.
//!
//! The parts: [`args`] is the command line, [`key`] makes an SSH key for this one machine,
//! [`state`] is the machine's directory, [`boot`] follows the console until SSH answers.
//! This file puts them in order.

mod args;
mod boot;
mod key;
mod setup;
mod state;

pub use args::Args;

use crate::failure::Failure;
use crate::ui::Ui;
use anyhow::Context as _;
use args::{Accel, FirmwareKind};
use setup::Workshop;
use state::State;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vm::{
    Accelerator, Boot, Cache, Deadline, Disk, Forward, ImageFormat, Machine, MachineSpec, Mebibytes,
    SshClient,
};

/// How long a small guest may take to prove that KVM works: it needs some milliseconds.
const KVM_PROOF: Duration = Duration::from_secs(10);
/// How long a machine has to power off after the session has ended.
const POWER_OFF: Duration = Duration::from_secs(60);

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let ui = Ui::detect();
    let state = State::create()?;
    let (private, public) = match &args.ssh_key {
        Some(file) => key::existing(file)?,
        None => key::ephemeral(state.path())?,
    };
    let config = render(args, &state, &public)?;

    let workshop = Workshop::open(args, ui)?;
    let (qemu, firmware) = workshop.qemu()?;
    let ssh = workshop.ssh()?;
    let image = workshop.image()?;

    let accelerator = accelerator(args.accel, &qemu, state.path(), ui)?;
    let boot = match args.firmware {
        FirmwareKind::Uefi => Boot::Uefi(firmware),
        FirmwareKind::Direct => setup::direct_boot(&image, state.path())?,
    };
    let mut spec = MachineSpec::new(qemu, accelerator, boot);
    spec.cpus = args.cpus;
    spec.memory = Mebibytes(args.memory.mebibytes());
    spec.config = Some(config.into_bytes());
    spec.outlive_parent = args.detach;
    spec.disks.push(disk(args, &image, &state)?);
    let port = vm::free_port(Some(2222))?;
    spec.forwards.push(Forward { host: port, guest: 22 });
    for forward in &args.ports {
        if !vm::is_port_free(forward.host) {
            return Err(Failure::work(
                anyhow::anyhow!("failed to listen on 127.0.0.1:{}: it is in use", forward.host),
                format!("choose another port: --port OTHER:{}", forward.guest),
            ));
        }
        spec.forwards.push(*forward);
    }

    let tee: Option<Box<dyn std::io::Write + Send>> =
        if args.console { Some(Box::new(std::io::stdout())) } else { None };
    ui.say(&format!(
        "starting a machine: {} CPUs, {} MiB, {}, disk `{}`",
        spec.cpus,
        spec.memory.0,
        spec.accelerator.name(),
        image.display()
    ));
    let machine = Machine::start(&spec, state.path(), tee)?;
    if args.console {
        boot::forward_input(machine.console().clone());
    }
    if let Err(failure) = boot::until_ssh(&machine, port, Duration::from_secs(args.timeout), ui) {
        let log = state.keep_log(machine.console_log());
        drop(machine);
        return Err(failure.into_failure(log.as_deref()));
    }
    let client = SshClient { command: ssh, port, key: private, user: "core".to_owned() };
    finish(args, machine, state, &client, ui)
}

/// The config for the machine: the user's own with a key for `core` merged into it.
fn render(args: &Args, state: &State, public: &str) -> Result<String, Failure> {
    let snippet = state.path().join("ssh-key.ign");
    std::fs::write(&snippet, key::snippet(public))
        .with_context(|| format!("failed to write `{}`", snippet.display()))?;
    // Without a config of the user the snippet is the config.
    let (config, mut snippets) = match &args.config {
        Some(config) => (config.as_path(), args.snippets.clone()),
        None => (snippet.as_path(), args.snippets.clone()),
    };
    if args.config.is_some() {
        snippets.push(snippet.clone());
    }
    crate::cmd::config::compile_files(Some(config), &snippets, None, args.files_dir.as_deref(), false)
}

fn accelerator(wanted: Accel, qemu: &vm::Qemu, dir: &Path, ui: Ui) -> Result<Accelerator, Failure> {
    if wanted == Accel::Tcg {
        return Ok(Accelerator::Tcg { reason: None });
    }
    match vm::probe_kvm(qemu, dir, KVM_PROOF)? {
        Ok(()) => Ok(Accelerator::Kvm),
        Err(reason) if wanted == Accel::Kvm => Err(Failure::work(
            anyhow::anyhow!("failed to run a guest under KVM: {reason}"),
            "--accel auto takes QEMU's own translation then, which is slower",
        )),
        Err(reason) => {
            ui.say(&format!("KVM does not run a guest here, so QEMU translates (slower): {reason}"));
            Ok(Accelerator::Tcg { reason: Some(reason) })
        }
    }
}

/// The machine's disk: a fresh overlay, or the one the user keeps.
fn disk(args: &Args, image: &Path, state: &State) -> Result<Disk, Failure> {
    let path = args.keep.clone().unwrap_or_else(|| state.path().join("disk.qcow2"));
    if args.keep.is_none() || !path.exists() {
        vm::create_overlay(image, &path, Some(args.disk.bytes()))?;
    }
    let mut disk = Disk::new(path, ImageFormat::Qcow2);
    // What is thrown away afterwards needs no flush.
    disk.cache = if args.keep.is_some() { Cache::Writeback } else { Cache::Unsafe };
    Ok(disk)
}

/// SSH answers: says how to log in, or logs in.
fn finish(args: &Args, machine: Machine, state: State, client: &SshClient, ui: Ui) -> Result<(), Failure> {
    let mut lines = vec![format!("log in:   {}", client.command_line())];
    for forward in &args.ports {
        lines.push(format!("port:     127.0.0.1:{} is port {} of the machine", forward.host, forward.guest));
    }
    if args.detach {
        let detached = machine.detach();
        let dir = state.keep();
        lines.push(format!("console:  {}", detached.console_log.display()));
        lines.push(format!("pid:      {}", detached.pid));
        lines.push(format!("stop:     kill {} && rm -r {}", detached.pid, dir.display()));
        return print(&lines);
    }
    if args.console || !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        lines.push(
            "The machine runs until it powers off, or until this command is stopped (Ctrl-C).".to_owned(),
        );
        print(&lines)?;
        while !machine.console().wait_closed(Deadline::seconds(3600)) {}
        ui.say("the machine has ended");
        return Ok(());
    }
    for line in lines.iter().skip(1) {
        ui.say(line);
    }
    ui.say("logging in as `core`; the machine powers off when the session ends");
    client.session()?;
    ui.say("powering off");
    machine.console().tolerate(vm::console::TroubleKind::FailedUnit);
    if machine.shut_down(Deadline::after(POWER_OFF)).is_err() {
        machine.kill()?;
    }
    Ok(())
}

fn print(lines: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}").context("failed to write to standard output")?;
    }
    out.flush().context("failed to write to standard output")?;
    Ok(())
}

/// A file the user named, as an absolute path.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path).with_context(|| format!("failed to resolve `{}`", path.display()))?)
}
