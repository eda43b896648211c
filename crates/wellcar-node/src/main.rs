//! `wellcar-node`: the node's side of Wellcar. The same source gives two binaries: the static `/init`
//! of the initramfs (feature `stage1` alone) and the dynamic program in /usr (feature `full`).

#![forbid(unsafe_code)]

#[cfg(feature = "full")]
mod check;
#[cfg(feature = "full")]
mod cli;
#[cfg(feature = "full")]
mod docker;
#[cfg(feature = "full")]
mod generator;
mod init;
#[cfg(feature = "full")]
mod provision;
#[cfg(feature = "full")]
mod status;
#[cfg(feature = "full")]
mod sudo;

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv0 = std::env::args_os().next().unwrap_or_default();
    if init::is_init(rustix::process::getpid().as_raw_nonzero().get(), &argv0) {
        #[cfg(feature = "stage1")]
        init::run();
    }
    #[cfg(feature = "full")]
    return cli::run();
    #[cfg(not(feature = "full"))]
    ExitCode::from(2)
}
