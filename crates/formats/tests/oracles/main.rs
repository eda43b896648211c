//! The formats judged by the tools that own them.
//!
//! A tool is looked for in the directories of `WELLCAR_ORACLES`, then in `PATH` and the `sbin`s. Where
//! it is missing the test says so, and fails if `WELLCAR_REQUIRE_ORACLES=1`.

mod boot;
mod disk;
mod find;
