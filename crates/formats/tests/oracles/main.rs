//! The formats judged by the tools that own them.
//!
//! A tool is looked for in the directories of `WELLCAR_ORACLES`, then in `PATH` and the `sbin`s. Where
//! it is missing the test says so, and fails if `WELLCAR_REQUIRE_ORACLES=1`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is the report of a test; the helpers here are not seen as tests"
)]

mod boot;
mod disk;
mod find;
