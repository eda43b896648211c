//! The project's only place for system calls, `unsafe` and child processes.
//!
//! Everything here acts; nothing here decides. What other crates need to replace in tests is behind
//! a trait as small as the need.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![expect(unsafe_code, reason = "this crate is where it lives; every block says why it is sound")]

pub mod beneath;
pub mod block;
pub mod clock;
pub mod cmdline;
pub mod console;
pub mod dm;
pub mod file;
pub mod handover;
pub mod loopdev;
pub mod modules;
pub mod mount;
pub mod power;
pub mod process;
pub mod rooted;
pub mod signals;
pub mod terminal;
pub mod wait;
pub mod watchdog;
