//! Deciding what an image is made of: the distribution as data (`os/`), package solving, the tree of /usr,
//! its audit and its bill of materials. Pure: files and packages come in as values, a tree and texts go out.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod assemble;
pub mod audit;
pub mod distribution;
pub mod elf;
pub mod kernel;
pub mod libraries;
pub mod pattern;
pub mod repo;
pub mod sbom;
pub mod tree;
