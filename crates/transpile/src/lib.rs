//! Compiles Container Linux Configs, Butane files and Ignition JSON, with snippets laid over them,
//! into one Ignition config; every complaint points to the line it is about.
//!
//! ```
//! use transpile::{Input, Options, compile};
//! let text = b"systemd:\n  units:\n    - name: etcd.service\n      enabled: true\n";
//! let outcome = compile(vec![Input { name: "a.yaml".into(), bytes: text.to_vec() }], &Options::default());
//! assert!(outcome.json(false).is_some_and(|json| json.contains("etcd.service")));
//! ```
//!
//! The way: bytes → [`yaml`] tree → [`detect`] → [`schema`] check → [`merge`] of snippets →
//! [`clc`] or [`butane`] to Ignition values that keep their positions → the Ignition crate, which
//! checks them → JSON. Nothing here does I/O; local files come through [`files::Files`].
#![forbid(unsafe_code)]

pub mod butane;
pub mod clc;
mod compile;
mod dataurl;
pub mod detect;
mod engine;
pub mod files;
pub mod fuzz;
mod json;
pub mod merge;
mod out;
pub mod schema;
pub mod yaml;

pub use compile::{Input, Options, Outcome, compile};
pub use detect::Language;
pub use engine::Spec;
pub use files::{FileError, Files, TreeEntry, TreeKind};
