//! Provisioning: one process a stage, the same code on a booting machine, on loop devices and image files, and
//! in a test's directory. The planner (crate `provision`) decides; this module looks, does and records.
//!
//! It is driven by the command line of [`flags`]; what stages tell each other is in [`context`].

mod config;
mod context;
mod disks;
mod failure;
mod fetch;
mod files;
mod flags;
mod mounts;
mod units;
mod users;

use std::ffi::OsString;
use std::path::Path;

use ::provision::{Facts, Stage, plan};
use report::Exit;

use context::{Context, write_atomic};
use failure::{Failure, Result};

/// Runs `wellcar-node provision ARGS`; the exit code.
pub fn run(args: &[String]) -> u8 {
    let flags = match flags::parse(args) {
        Ok(flags) => flags,
        Err(message) => {
            use std::io::Write as _;
            let help = args.iter().any(|a| matches!(a.as_str(), "-h" | "-help" | "--help"));
            let text = if help {
                flags::USAGE.to_owned()
            } else {
                format!("wellcar-node provision: {message}\n{}", flags::USAGE)
            };
            let _ = if help {
                std::io::stdout().write_all(text.as_bytes())
            } else {
                std::io::stderr().write_all(text.as_bytes())
            };
            return if help { Exit::Done } else { Exit::Usage }.code();
        }
    };
    let context = Context { flags, env: |name: &str| -> Option<OsString> { std::env::var_os(name) } };
    match stage(&context) {
        Ok(()) => Exit::Done.code(),
        Err(mut failure) => {
            failure.stage = Some(context.flags.stage);
            context.print(&failure.render());
            if let Some(path) = &context.flags.report
                && let Err(error) = write_atomic(path, failure.to_json().as_bytes())
            {
                context.log(&format!("WARNING: failed to write the report `{}`: {error}", path.display()));
            }
            failure.exit.code()
        }
    }
}

fn stage(context: &Context) -> Result<()> {
    match context.flags.stage {
        Stage::FetchOffline => config::run(context, false),
        Stage::Fetch => config::run(context, true),
        Stage::Kargs => {
            let (config, side, _) = context.cached()?;
            let facts = Facts { cmdline: context.cmdline(), ..Facts::default() };
            let plan = plan(Stage::Kargs, &config, &side.origins, &facts)
                .map_err(|p| Box::new(Failure::problems(&p)))?;
            if context.flags.dry_run {
                context.print(&plan.to_string());
            }
            Ok(())
        }
        Stage::Disks => {
            let (config, side, _) = context.cached()?;
            disks::run(context, &config, &side.origins)
        }
        Stage::Mount => {
            let (config, side, _) = context.cached()?;
            need_root(context)?;
            mounts::mount(context, &config, &side.origins)
        }
        Stage::Files => {
            let (config, side, sha256) = context.cached()?;
            need_root(context)?;
            files::run(context, &config, &side, &sha256)
        }
        Stage::Umount => mounts::umount(context),
    }
}

fn need_root(context: &Context) -> Result<()> {
    if Path::new(&context.flags.root).is_dir() {
        return Ok(());
    }
    Err(Box::new(Failure::new(
        "root",
        format!("failed to open root `{}`: no such directory", context.flags.root.display()),
    )))
}
