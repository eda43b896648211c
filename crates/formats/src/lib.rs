//! Values ↔ bytes of the formats an image is made of and read back from.
//!
//! Everything works over `Read`, `Write` and `Seek`: no paths, no clock, no environment, no
//! randomness. Time stamps and identifiers are arguments, so the same values always give the same
//! bytes. Every reader of outside bytes has a limit and answers hostile input with a typed error.

#![forbid(unsafe_code)]

pub mod ar;
mod bytes;
pub mod cpio;
pub mod deb;
pub mod erofs;
pub mod fat;
pub mod fuzz;
pub mod gpt;
pub mod probe;
pub mod qcow2;
pub mod tar_in;
pub mod tar_out;
pub mod uki;
pub mod verity;
pub mod vhd;
