//! `wellcar image lock`: pins every package of the image and of the build tools, or measures how far
//! the lock is behind the security archive.

use crate::archive::Reading;
use crate::failure::Failure;
use crate::locking::{self, Locks, OS_LOCK, Pending, TOOLS_LOCK};
use crate::mirror::{self, MirrorArgs};
use crate::store::{self, Store};
use crate::ui::{Ui, mebibytes};
use compose::repo::{Archive, Lock, LockedSuite};
use net::{Client, HttpTransport, Patience, Policy, Settings};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trust::UnixTime;

/// How old an update may be that a lock does not have, in seconds.
const MAX_BEHIND: i64 = 24 * 3600;
/// apt's folder.
const APT: &str = "/etc/apt";
/// The most bytes of one file of `os/`.
const MAX_OS_FILE: u64 = 16 << 20;

/// Arguments of `wellcar image lock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing; say which security updates the lock is behind, and fail when one is older than
    /// 24 hours.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    mirrors: MirrorArgs,
    /// The folder of the distribution's data [default: `os` of the checkout around the working folder]
    #[arg(long, value_name = "DIR")]
    os: Option<PathBuf>,
    /// Take a mirror whose Release file is too old, or older than the lock.
    #[arg(long)]
    allow_stale: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The time now, by this machine's clock.
pub fn now() -> UnixTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UnixTime(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The cache and what fetches for it, set up from the environment.
pub fn open_store() -> Result<Store, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut settings = Settings::from_env(variable)?;
    let apt = Path::new(APT);
    settings.http_proxy = settings.http_proxy.or_else(|| mirror::apt_proxy(apt, "http"));
    settings.https_proxy = settings.https_proxy.or_else(|| mirror::apt_proxy(apt, "https"));
    let transport = HttpTransport::new(settings, Duration::from_secs(20), Duration::from_secs(60))?;
    let client = Client::new(transport, Patience::default());
    let seed = u64::from(std::process::id()) << 32 | u64::try_from(now().0).unwrap_or(0) & 0xffff_ffff;
    let policy = Policy { seed, allow_file: true, ..Policy::default() };
    let root = store::cache_root(variable)?;
    Store::open(&root, client, policy).map_err(|error| failure(error, store::StoreError::hint))
}

/// The mirrors, from the options, the environment or apt.
pub fn find_mirrors(args: &MirrorArgs) -> Result<mirror::Mirrors, Failure> {
    mirror::resolve(args, |name| std::env::var(name).ok(), Path::new(APT))
        .map_err(|error| failure(error, |error| Some(error.hint())))
}

/// A failure with the error's own hint.
pub fn failure<E>(error: E, hint: impl Fn(&E) -> Option<String>) -> Failure
where
    E: std::error::Error + Send + Sync + 'static,
{
    let hint = hint(&error);
    Failure::Work { error: error.into(), hint }
}

/// Reads files below a folder with `os/`'s layout.
pub fn read_below(folder: &Path) -> impl Fn(&str) -> std::io::Result<Vec<u8>> + use<> {
    let folder = folder.to_owned();
    move |file| {
        let path = folder.join(file);
        if std::fs::metadata(&path)?.len() > MAX_OS_FILE {
            return Err(std::io::Error::other(format!("expected at most {MAX_OS_FILE} bytes")));
        }
        std::fs::read(path)
    }
}

/// `os/` of the checkout around `start`.
pub fn os_around(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|folder| folder.join("os")).find(|os| os.join("suites.toml").is_file())
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let folder = match &args.os {
        Some(folder) => folder.clone(),
        None => std::env::current_dir().ok().and_then(|start| os_around(&start)).ok_or_else(|| {
            Failure::Usage(
                "there is no `os` folder around the working folder: name it with `--os DIR`".into(),
            )
        })?,
    };
    let os = read_below(&folder);
    let mirrors = find_mirrors(&args.mirrors)?;
    let store = open_store()?;
    let old_os =
        locking::present(&os, OS_LOCK).map_err(|error| failure(error, locking::LockingError::hint))?;
    let old_tools = locking::present(&os, TOOLS_LOCK).unwrap_or_default();
    let not_before: &[LockedSuite] = old_os.as_ref().map_or(&[], |lock| &lock.suites);
    let ui = Ui::detect();
    let reading = Reading {
        os: &os,
        mirrors: &mirrors,
        store: &store,
        now: now(),
        allow_stale: args.allow_stale,
        not_before,
        ui,
    };
    let locks = locking::solve(&reading).map_err(|error| failure(error, locking::LockingError::hint))?;
    if args.check {
        let Some(old) = &old_os else {
            return Err(Failure::work(
                anyhow::anyhow!("failed to check `{}`: there is none", folder.join(OS_LOCK).display()),
                "make it with `wellcar image lock`",
            ));
        };
        return check(old, &locks.os, store.root(), reading.now, args.format);
    }
    for note in &locks.notes {
        ui.say(&format!("note: {note}"));
    }
    locking::write(&locks, &folder).map_err(|error| failure(error, locking::LockingError::hint))?;
    print_changes(&locks, old_os.as_ref(), old_tools.as_ref(), args.format)
}

fn print_changes(
    locks: &Locks,
    old_os: Option<&Lock>,
    old_tools: Option<&Lock>,
    format: Format,
) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut files = Vec::new();
    for (file, lock, old) in [(OS_LOCK, &locks.os, old_os), (TOOLS_LOCK, &locks.tools, old_tools)] {
        let empty = Lock { architecture: String::new(), suites: Vec::new(), packages: Vec::new() };
        let changes = lock.changes_since(old.unwrap_or(&empty));
        let bytes: u64 = lock.packages.iter().map(|package| package.size).sum();
        let security = lock.packages.iter().filter(|package| package.archive == Archive::Security).count();
        if format == Format::Json {
            let list =
                changes.iter().map(|c| serde_json::json!({"name": c.name, "old": c.old, "new": c.new}));
            files.push(serde_json::json!({
                "file": file,
                "packages": lock.packages.len(),
                "bytes": bytes,
                "from-security": security,
                "changes": list.collect::<Vec<_>>(),
            }));
            continue;
        }
        writeln!(
            out,
            "{file}: {} packages, {} to fetch, {security} of the security archive; {} changed",
            lock.packages.len(),
            mebibytes(bytes),
            changes.len()
        )?;
        if old.is_none() {
            continue;
        }
        for change in &changes {
            let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "(none)".into());
            writeln!(out, "  {} {} -> {}", change.name, version(&change.old), version(&change.new))?;
        }
    }
    if format == Format::Json {
        writeln!(out, "{}", serde_json::json!({ "locks": files }))?;
    }
    Ok(())
}

/// What earlier checks found; lies in the cache.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Seen {
    /// The date of the security suite's Release file at the last check.
    checked: String,
    /// What was pending then: name, version, not before.
    pending: Vec<(String, String, String)>,
}

fn check(old: &Lock, fresh: &Lock, cache: &Path, now: UnixTime, format: Format) -> Result<(), Failure> {
    let path = cache.join("security-check.json");
    let seen: Seen = std::fs::read(&path)
        .ok()
        .filter(|bytes| bytes.len() < 1 << 20)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let earlier: Vec<Pending> = seen
        .pending
        .iter()
        .filter_map(|(name, available, not_before)| {
            Some(Pending {
                name: name.clone(),
                locked: String::new(),
                available: available.clone(),
                not_before: UnixTime::parse_rfc3339(not_before)?,
            })
        })
        .collect();
    let pending = locking::pending(old, fresh, &earlier, UnixTime::parse_rfc3339(&seen.checked));
    let security = fresh.suites.iter().find(|suite| suite.archive == Archive::Security);
    let record = Seen {
        checked: security.map_or_else(String::new, |suite| suite.date.to_string()),
        pending: pending
            .iter()
            .map(|p| (p.name.clone(), p.available.clone(), p.not_before.to_string()))
            .collect(),
    };
    // Only a help to later checks: a cache that cannot be written does not fail this one.
    let _ = serde_json::to_vec(&record).map(|bytes| std::fs::write(&path, bytes));
    let oldest = pending.iter().map(|p| now.since(p.not_before)).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        let report = serde_json::json!({ "pending": pending, "oldest-seconds": oldest });
        writeln!(out, "{report}")?;
    } else if pending.is_empty() {
        writeln!(out, "{OS_LOCK} has every security update")?;
    } else {
        for p in &pending {
            let hours = now.since(p.not_before) / 3600;
            writeln!(out, "  {} {} -> {} (at most {hours} h old)", p.name, p.locked, p.available)?;
        }
        writeln!(out, "{OS_LOCK} is behind by {} security updates", pending.len())?;
    }
    if oldest > MAX_BEHIND {
        return Err(Failure::work(
            anyhow::anyhow!(
                "`{OS_LOCK}` is behind by {} security updates, the oldest up to {} hours old, expected at most 24",
                pending.len(),
                oldest / 3600
            ),
            "pin the present packages with `wellcar image lock`",
        ));
    }
    Ok(())
}
