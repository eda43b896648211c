//! `wellcar`: the operator's command. This file holds the command tree and the exit codes;
//! each command is one module of [`cmd`].

mod archive;
mod binaries;
mod cmd;
mod failure;
mod image;
mod locking;
mod mirror;
mod store;
#[cfg(test)]
mod test_mirror;
mod tools;
mod ui;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, configures and runs Wellcar, an immutable Linux for containers.
#[derive(Debug, Parser)]
#[command(name = "wellcar", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the image if there is none, render the config, boot it in QEMU, log in.
    Run(cmd::run::Args),
    /// Render, check and explain a Container Linux Config, a Butane file or Ignition JSON.
    #[command(subcommand)]
    Config(cmd::config::Command),
    /// Lock, build and inspect images.
    #[command(subcommand)]
    Image(cmd::image::Command),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match cli.command {
        Command::Run(args) => cmd::run::run(&args),
        Command::Config(command) => cmd::config::run(&command),
        Command::Image(command) => cmd::image::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
