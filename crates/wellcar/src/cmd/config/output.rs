//! Where results and reports go: results to standard output or a file, reports to standard error.

use crate::failure::Failure;
use anyhow::Context as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use transpile::Outcome;

/// Prints everything that was found to standard error.
pub fn reports(outcome: &Outcome) {
    let text = report::text(&outcome.reports, &outcome.sources);
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says that we wait, where a person would wonder.
pub fn waiting_for_input() {
    if std::io::stdin().is_terminal() {
        let _ = writeln!(std::io::stderr().lock(), "reading the config from standard input, to its end");
    }
}

/// Writes a result to standard output. A reader that went away is no failure of ours.
pub fn standard(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("failed to write to standard output").into())
        }
        _ => Ok(()),
    }
}

/// Writes a result to a file, which appears complete or not at all.
pub fn file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let shown = path.display();
    // A device or a pipe cannot be replaced, only written to.
    let special = std::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    if special {
        return Ok(std::fs::write(path, bytes).with_context(|| format!("failed to write `{shown}`"))?);
    }
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().ok_or_else(|| Failure::Usage(format!("`{shown}` names no file")))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    let temporary = target.with_file_name(hidden);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &target)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Failure::from(anyhow::Error::new(error).context(format!("failed to write `{shown}`")))
    })
}
