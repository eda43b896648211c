//! The command tree of the program in /usr, and its exit codes: 0 done, 1 a promise is broken or the
//! input is invalid, 2 wrong usage, 3 the work failed.

use crate::init;
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::path::Path;
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
    /// Verify the promises of this machine, row by row.
    Check(crate::check::Args),
    /// Say what runs here, how it was provisioned and whether it is healthy.
    Status(crate::status::Args),
    /// Write dockerd's configuration; started by docker.service.
    #[command(hide = true)]
    DockerConfig(crate::docker::Args),
    /// Provision this machine; started by /init at the first boot.
    #[command(hide = true)]
    FirstBoot(init::firstboot::Args),
    /// Serve one request of `sudo`; started by wellcar-sudo@.service.
    #[command(hide = true)]
    SudoServe(crate::sudo::serve::Args),
    /// `sudo` at another socket.
    #[command(hide = true)]
    SudoAt(crate::sudo::client::Args),
}

/// Runs the command that was asked for.
pub fn run() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("wellcar-generator".as_ref()) {
        return ExitCode::from(crate::generator::run(&args.collect::<Vec<_>>()));
    }
    if Path::new(&name).file_name() == Some("sudo".as_ref()) {
        return ExitCode::from(crate::sudo::client::run(args, crate::sudo::SOCKET.as_ref()));
    }
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
        Command::SudoServe(args) => ended(crate::sudo::serve::run(&args)),
        Command::SudoAt(args) => ExitCode::from(crate::sudo::client::run_at(args)),
        Command::Check(args) => ended(crate::check::run(&args)),
        Command::Status(args) => ended(crate::status::run(&args)),
        Command::DockerConfig(args) => ended(crate::docker::run(&args).map(|()| 0)),
    }
}

/// The exit code of a command, its error told on standard error.
fn ended(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let causes: String = error.chain().skip(1).map(|cause| format!("\n  because: {cause}")).collect();
            let _ = writeln!(std::io::stderr(), "error: {error}{causes}");
            ExitCode::from(3)
        }
    }
}
