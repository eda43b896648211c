//! `wellcar-node check`: the promises of the running machine, row by row, verified where they hold. Facts are
//! gathered in [`facts`]; this file decides and prints.

mod docker;
mod facts;

mod os;

pub use facts::failed_units;

use serde::Serialize;
use std::io::Write as _;

/// Arguments of `wellcar-node check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  wellcar-node check docker --format json")]
pub struct Args {
    /// Which promises.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// A group of promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The container runtime.
    Docker,
    /// The operating system: /usr, accounts, directories, sockets, units.
    Os,
    /// Everything.
    All,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// One promise and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Stable name, `docker.cgroup-driver`.
    pub name: String,
    /// What is promised.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// Whether the promise is kept.
    pub kept: bool,
}

impl Row {
    /// A row whose promise is one value.
    #[must_use]
    pub fn equal(name: &str, expected: &str, found: &str) -> Self {
        Self { name: name.into(), expected: expected.into(), found: found.into(), kept: expected == found }
    }

    /// A row that was decided elsewhere.
    #[must_use]
    pub fn is(name: &str, expected: &str, found: impl Into<String>, kept: bool) -> Self {
        Self { name: name.into(), expected: expected.into(), found: found.into(), kept }
    }

    /// A row whose promise is that a list is empty.
    #[must_use]
    pub fn none(name: &str, what: &str, found: &[String]) -> Self {
        let text = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        Self::is(name, &format!("no {what}"), text, found.is_empty())
    }
}

/// Runs the command; gives the exit code: 1 when a promise is broken.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut rows = Vec::new();
    if args.what != What::Docker {
        rows.extend(os::rows(&facts::os()?));
    }
    if args.what != What::Os {
        rows.extend(docker::rows(&facts::docker_info()));
    }
    let broken = rows.iter().filter(|row| !row.kept).count();
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
        Format::Text => {
            for row in &rows {
                let mark = if row.kept { "ok    " } else { "BROKEN" };
                writeln!(out, "{mark} {:<28} {}", row.name, row.found)?;
                if !row.kept {
                    writeln!(out, "       {:<28} expected: {}", "", row.expected)?;
                }
            }
            writeln!(out, "{} of {} promises kept", rows.len() - broken, rows.len())?;
        }
    }
    Ok(u8::from(broken > 0))
}
