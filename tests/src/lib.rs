//! The harness of the VM tests: boots the built image and asks it questions.
//!
//! * [`runner`] runs groups of tests, one machine for each group, and prints each test's time.
//! * [`environment`] finds the image, QEMU and the firmware.
//! * [`machine`] is a booted image with a command channel.
//!
//! The tests themselves are in `tests/vm/`. They need no network and no root.

#![forbid(unsafe_code)]

pub mod environment;
pub mod machine;
pub mod runner;

pub use environment::Environment;
pub use machine::{Setup, TestMachine};
pub use runner::{Group, Suite, Test};
