//! The commands, one module each.

pub mod config;
pub mod image;
pub mod run;
