//! A booted image with a command channel, thrown away at the end.

use crate::environment::Environment;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use transpile::{Input, Options};
use vm::channel::{self, Channel, Output};
use vm::{Boot, Cache, Deadline, Disk, Forward, ImageFormat, Machine, MachineSpec, Mebibytes, Network};

/// How long a command in the guest may take unless it says otherwise.
const COMMAND: Duration = Duration::from_secs(120);
/// How long a boot may take: the slowest machine is one without KVM and with other load.
pub const BOOT: Duration = Duration::from_secs(420);

/// How a machine is to be made.
#[derive(Debug)]
pub struct Setup {
    /// Started by the firmware rather than by QEMU.
    pub uefi: bool,
    /// Words at the end of the kernel's command line, where QEMU starts the kernel.
    pub cmdline: String,
    /// The image, when it is not the one under test.
    pub image: Option<PathBuf>,
    /// The config and its snippets: name and text of each, in any language.
    pub configs: Vec<(String, String)>,
    /// The config as it is, in place of `configs`, without the command channel.
    pub raw_config: Option<Vec<u8>>,
    /// Ports of the guest to forward.
    pub forwards: Vec<u16>,
    /// Memory.
    pub memory: Mebibytes,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            uefi: false,
            cmdline: String::new(),
            image: None,
            configs: Vec::new(),
            raw_config: None,
            forwards: Vec::new(),
            memory: Mebibytes(1536),
        }
    }
}

impl Setup {
    /// Adds a config or snippet.
    #[must_use]
    pub fn config(mut self, name: &str, text: &str) -> Self {
        self.configs.push((name.to_owned(), text.to_owned()));
        self
    }
}

/// A booted image. Dropping it ends it.
#[derive(Debug)]
pub struct TestMachine {
    /// QEMU.
    pub machine: Machine,
    /// Forwarded ports.
    pub forwards: Vec<Forward>,
    channel: Channel,
    // After the machine, so that it is removed last.
    _dir: TempDir,
}

impl TestMachine {
    /// Starts a machine and returns at once.
    ///
    /// # Errors
    /// When the config is invalid or the machine does not start.
    pub fn start(environment: &Environment, setup: Setup) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("wt-").tempdir()?;
        let config = match setup.raw_config {
            Some(bytes) => bytes,
            None => compile(setup.configs)?.into_bytes(),
        };
        let boot = if setup.uefi {
            Boot::Uefi(environment.firmware.clone())
        } else {
            environment.direct_boot(dir.path(), &setup.cmdline)?
        };
        let overlay = dir.path().join("disk.qcow2");
        let image = setup.image.as_deref().unwrap_or(&environment.image);
        vm::create_overlay(image, &overlay, Some(16 << 30))?;
        let mut spec = MachineSpec::new(environment.qemu.clone(), environment.accelerator.clone(), boot);
        spec.memory = setup.memory;
        spec.disks.push(Disk { cache: Cache::Unsafe, ..Disk::new(overlay, ImageFormat::Qcow2) });
        spec.config = Some(config);
        spec.ports.push(channel::PORT.to_owned());
        spec.network = Network::ForwardsOnly;
        for guest in setup.forwards {
            spec.forwards.push(Forward { host: vm::free_port(None)?, guest });
        }
        let machine = Machine::start(&spec, dir.path(), None)?;
        let channel = machine.channel()?;
        Ok(Self { machine, forwards: spec.forwards, channel, _dir: dir })
    }

    /// Starts a machine and waits until systemd has started everything.
    ///
    /// # Errors
    /// As for [`TestMachine::start`], and when the console shows trouble.
    pub fn boot(environment: &Environment, setup: Setup) -> Result<Self> {
        let machine = Self::start(environment, setup)?;
        machine.wait_up()?;
        Ok(machine)
    }

    /// Waits until systemd has started everything, and fails with the console's end.
    ///
    /// # Errors
    /// When the console shows trouble, or the deadline passed.
    pub fn wait_up(&self) -> Result<()> {
        let command = "systemctl is-system-running --wait";
        let waiting = self.run_watched(command, Deadline::after(BOOT));
        let output = waiting.with_context(|| self.last_words())?;
        // `degraded` means a failed unit: a test of its own reports that with the unit's name.
        match output.text().as_str() {
            "running" | "degraded" => Ok(()),
            other => bail!("expected a running system, found `{other}`\n{}", self.last_words()),
        }
    }

    /// Waits until the command channel answers.
    ///
    /// # Errors
    /// When the console shows trouble, or the limit passed.
    pub fn wait_answer(&self, limit: Duration) -> Result<()> {
        self.run_watched("true", Deadline::after(limit)).map(drop)
    }

    /// Runs a command as root; the console is watched while it runs.
    fn run_watched(&self, command: &str, deadline: Deadline) -> Result<Output> {
        let console = self.machine.console();
        let slice = Duration::from_secs(5);
        // The channel cannot be interrupted, so trouble is looked for between slices of waiting
        // for its first answer: a guest that answers `true` is up.
        loop {
            match self.channel.run("true", Deadline::after(slice)) {
                Ok(_) => break,
                Err(vm::Error::Timeout { .. }) => {
                    if let Some(trouble) = console.trouble() {
                        bail!("{trouble}");
                    }
                    if deadline.passed() {
                        bail!(
                            "failed to reach the command channel within {} s",
                            deadline.allowed().as_secs()
                        );
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.channel.run(command, deadline)?)
    }

    /// Runs a command as root in bash; its failure is in the output.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn run(&self, command: &str) -> Result<Output> {
        self.run_for(command, COMMAND)
    }

    /// Runs a command as root in bash with a time limit of its own.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn run_for(&self, command: &str, limit: Duration) -> Result<Output> {
        Ok(self.channel.run(command, Deadline::after(limit))?)
    }

    /// The output of a command that must go well.
    ///
    /// # Errors
    /// When it does not.
    pub fn ok(&self, command: &str) -> Result<String> {
        Ok(self.run(command)?.expect_ok()?)
    }

    /// Restarts the guest by systemd and waits until it is up again.
    ///
    /// # Errors
    /// As for [`TestMachine::wait_up`].
    pub fn reboot(&self) -> Result<()> {
        let boots = self.machine.console().boots();
        self.machine.console().expect_boot();
        // The answer may be lost in the restart.
        let _ = self.channel.run("systemctl reboot", Deadline::seconds(20));
        self.machine
            .console()
            .wait_boots(boots + 1, Deadline::seconds(180))
            .with_context(|| self.last_words())?;
        self.wait_up()
    }

    /// The last lines of the console, for a failure's message.
    #[must_use]
    pub fn last_words(&self) -> String {
        let tail = self.machine.console().tail(40);
        format!(
            "the console ends with:\n{}",
            tail.lines().map(|line| format!("  | {line}\n")).collect::<String>()
        )
    }

    /// The port of this host that leads to a port of the guest.
    ///
    /// # Errors
    /// When it was not asked for in the setup.
    pub fn forwarded(&self, guest: u16) -> Result<u16> {
        let found = self.forwards.iter().find(|forward| forward.guest == guest);
        found.map(|forward| forward.host).with_context(|| format!("port {guest} is not forwarded"))
    }
}

/// Compiles configs, with the command channel's unit as the last snippet.
///
/// # Errors
/// When one of them is invalid.
pub fn compile(mut configs: Vec<(String, String)>) -> Result<String> {
    configs.push(("command channel".to_owned(), channel_config().to_string()));
    let inputs =
        configs.into_iter().map(|(name, text)| Input { name, bytes: text.into_bytes() }).collect::<Vec<_>>();
    let outcome = transpile::compile(inputs, &Options::default());
    let json = outcome.json(false);
    json.with_context(|| format!("invalid config:\n{}", report::text(&outcome.reports, &outcome.sources)))
}

/// The Ignition config of the command channel.
#[must_use]
pub fn channel_config() -> Value {
    json!({
        "ignition": { "version": "3.3.0" },
        "systemd": { "units": [{ "name": channel::UNIT, "enabled": true, "contents": channel::unit() }] },
    })
}

/// A private copy of the image with one bit turned at `offset`.
///
/// # Errors
/// When it cannot be copied.
pub fn flipped_copy(image: &Path, offset: u64, dir: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::FileExt as _;
    let copy = dir.join("flipped.raw");
    sparse_copy(image, &copy)?;
    let file = std::fs::File::options().read(true).write(true).open(&copy)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 1], offset)?;
    Ok(copy)
}

/// Copies a file without writing what is zero.
fn sparse_copy(from: &Path, to: &Path) -> Result<()> {
    use std::io::Read as _;
    use std::os::unix::fs::FileExt as _;
    let mut source = std::fs::File::open(from)?;
    let target = std::fs::File::create_new(to)?;
    target.set_len(source.metadata()?.len())?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let piece = &buffer[..count];
        if piece.iter().any(|&byte| byte != 0) {
            target.write_all_at(piece, at)?;
        }
        at += count as u64;
    }
}
