//! `cargo xtask bench`: how long a boot takes from power-on until Docker answers, in wall seconds and in CPU
//! seconds of QEMU (which do not depend on what else the machine does), and how long a warm image build takes.

use anyhow::Context as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use wellcar_tests::{Environment, Setup, TestMachine};

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Boots to measure.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Leave the image build out.
    #[arg(long)]
    no_build: bool,
}

/// One boot, in seconds of the machine's time.
struct Boot {
    wall: f64,
    cpu: f64,
}

/// Runs the measurements.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    if !args.no_build {
        let folder = root.join("target/bench-image");
        let mut build = Command::new(crate::ci::wellcar(root));
        build.args(["image", "build", "--os"]).arg(root.join("os")).arg("-o").arg(&folder);
        let start = Instant::now();
        crate::ci::step(root, "image build, cache filled", build)?;
        crate::say(&format!("image build: {:.1} s", start.elapsed().as_secs_f64()));
    }
    let environment = Environment::find()?.context("failed to find an image: set WELLCAR_TEST_IMAGE")?;
    let mut boots = Vec::new();
    for run in 1..=args.runs {
        let boot = boot(&environment)?;
        crate::say(&format!(
            "run {run}: power-on to Docker ready {:.1} s wall, {:.1} CPU-s of QEMU ({})",
            boot.wall,
            boot.cpu,
            environment.accelerator.name()
        ));
        boots.push(boot);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    crate::say(&format!(
        "median of {}: {:.1} s wall, {:.1} CPU-s",
        boots.len(),
        median(boots.iter().map(|boot| boot.wall).collect()),
        median(boots.iter().map(|boot| boot.cpu).collect())
    ));
    Ok(())
}

/// A first boot through the firmware, two CPUs, until `docker version` is answered.
fn boot(environment: &Environment) -> anyhow::Result<Boot> {
    let start = Instant::now();
    let machine = TestMachine::start(environment, Setup { uefi: true, ..Setup::default() })?;
    machine.wait_answer(Duration::from_secs(420))?;
    machine.run_for("until docker version >/dev/null 2>&1; do :; done", Duration::from_secs(300))?;
    let boot = Boot { wall: start.elapsed().as_secs_f64(), cpu: machine.machine.cpu_time()?.as_secs_f64() };
    let blame = machine.run("systemd-analyze; systemd-analyze blame --no-pager | head -25; systemd-analyze critical-chain --no-pager docker.service")?;
    crate::say(&blame.text());
    Ok(boot)
}
