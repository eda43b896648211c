//! The command tree of the program in /usr, and its exit codes: 0 done, 1 a promise is broken or the
//! input is invalid, 2 wrong usage, 3 the work failed.

use crate::init;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The node's side of Wellcar.
#[derive(Debug, Parser)]
#[command(name = "wellcar-node", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one stage of provisioning (flags as Ignition's; `--help` shows them).
    #[command(disable_help_flag = true)]
    Provision {
        /// Flags, with one dash or two.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Provision this machine; started by /init at the first boot.
    #[command(hide = true)]
    FirstBoot(init::firstboot::Args),
}

/// Runs the command that was asked for.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match cli.command {
        Command::Provision { args } => ExitCode::from(crate::provision::run(&args)),
        Command::FirstBoot(args) => init::firstboot::run(&args),
    }
}
