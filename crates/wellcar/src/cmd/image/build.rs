//! `wellcar image build`, and the image and tools that `wellcar run` asks for.

use super::lock::{failure, find_mirrors, now, open_store};
use crate::archive::Reading;
use crate::failure::Failure;
use crate::image::build::{Workshop, vanished};
use crate::image::os_data::{self, OsFiles};
use crate::image::output::Format;
use crate::locking::{self, LockingError, OS_LOCK, TOOLS_LOCK};
use crate::mirror::{MirrorArgs, Mirrors};
use crate::store::{Store, StoreError};
use crate::tools::{Tool, Tools};
use crate::ui::{Ui, mebibytes};
use compose::repo::Lock;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `wellcar image build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  wellcar image build -o out --format raw,qcow2")]
pub struct Args {
    /// The folder of the artifacts.
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    output: PathBuf,
    /// The forms of the disk, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "raw")]
    format: Vec<Format>,
    #[command(flatten)]
    mirrors: MirrorArgs,
    /// Build from this folder instead of the `os` inside this program.
    #[arg(long, value_name = "DIR")]
    os: Option<PathBuf>,
}

/// What every build starts from.
struct Bench {
    os: OsFiles,
    lock: Lock,
    tools_lock: Lock,
    store: Store,
    mirrors: Mirrors,
    ui: Ui,
}

impl Bench {
    fn open(os: Option<&Path>, mirrors: &MirrorArgs, ui: Ui) -> Result<Self, Failure> {
        let os = os_data::read(os)?;
        let lock = read_lock(&os, OS_LOCK)?;
        let tools_lock = read_lock(&os, TOOLS_LOCK)?;
        Ok(Self { os, lock, tools_lock, store: open_store()?, mirrors: find_mirrors(mirrors)?, ui })
    }

    fn workshop(&self) -> Workshop<'_> {
        Workshop {
            os: &self.os,
            lock: &self.lock,
            tools_lock: &self.tools_lock,
            store: &self.store,
            mirrors: &self.mirrors,
            ui: self.ui,
        }
    }

    /// Does the work; when packages of the lock are gone from the mirror, locks anew into the cache (never
    /// into tracked files), says so, and does it again.
    fn relocking<T>(&mut self, work: impl Fn(&Workshop<'_>) -> anyhow::Result<T>) -> Result<T, Failure> {
        let error = match work(&self.workshop()) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(names) = vanished(&error) else { return Err(with_hint(error)) };
        self.ui.say(&format!(
            "warning: the mirror no longer has {} of the locked packages ({}): locking anew for this image, which then differs from the release; run `wellcar image lock` to update the checkout",
            names.len(),
            names.join(", ")
        ));
        let os = &self.os;
        let read = |file: &str| {
            os.get(file)
                .map(|(bytes, _)| bytes.clone())
                .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
        };
        let reading = Reading {
            os: &read,
            mirrors: &self.mirrors,
            store: &self.store,
            now: now(),
            allow_stale: false,
            not_before: &self.lock.suites,
            ui: self.ui,
        };
        let locks = locking::relock_into(&self.store.root().join("relock"), &reading)
            .map_err(|error| failure(error, LockingError::hint))?;
        self.lock = locks.os;
        self.tools_lock = locks.tools;
        work(&self.workshop()).map_err(with_hint)
    }
}

fn read_lock(os: &OsFiles, name: &'static str) -> Result<Lock, Failure> {
    let text = os.get(name).and_then(|(bytes, _)| std::str::from_utf8(bytes).ok()).ok_or_else(|| {
        Failure::work(anyhow::anyhow!("failed to find `os/{name}`"), "make it with `wellcar image lock`")
    })?;
    Ok(Lock::parse(text)?)
}

/// A failure with the hint that its cause carries.
fn with_hint(error: anyhow::Error) -> Failure {
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>().and_then(StoreError::hint));
    Failure::Work { error, hint }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let ui = Ui::detect();
    let bench = Bench::open(args.os.as_deref(), &args.mirrors, ui)?;
    let formats = args.format.iter().copied().collect();
    let manifest = bench.workshop().build(&args.output, &formats).map_err(with_hint)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "wellcar {} · kernel {} · root hash {}",
        manifest.version, manifest.kernel, manifest.root_hash
    )?;
    for artifact in &manifest.artifacts {
        let path = args.output.join(&artifact.file);
        writeln!(out, "{}  {}  {}", artifact.sha256, mebibytes(artifact.size), path.display())?;
    }
    Ok(())
}

/// The raw image of this program's `os/`, built into the cache if it is not there.
pub fn ensure_image(ui: Ui) -> Result<PathBuf, Failure> {
    let mut bench = Bench::open(None, &MirrorArgs::default(), ui)?;
    let cache = bench.store.root().join("images");
    bench.relocking(|workshop| workshop.ensure(&cache))
}

/// Tools that the host lacks, from pinned packages.
pub fn ensure_tools(wanted: &[Tool], ui: Ui) -> Result<Tools, Failure> {
    let mut bench = Bench::open(None, &MirrorArgs::default(), ui)?;
    bench.relocking(|workshop| workshop.tools(wanted))
}

/// Makes the tests' oracles callable from the folder `dir`, from pinned packages; gives their names.
pub fn ensure_oracles(dir: &Path, ui: Ui) -> Result<Vec<String>, Failure> {
    let mut bench = Bench::open(None, &MirrorArgs::default(), ui)?;
    bench.relocking(|workshop| workshop.oracles(dir))
}
