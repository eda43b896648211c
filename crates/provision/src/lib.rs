//! What a first boot does, decided before any of it is done.
//!
//! [`plan`] takes a stage, a config and the [`Facts`] about the machine, and returns typed [`Step`]s in order,
//! each with its origin in the config. It reads no file, no clock and no environment; the executor in
//! `wellcar-node` gathers the facts and does the steps, on a booting machine, on image files and in tests alike.
//!
//! Beside the planner live the pure parts that the executor needs: the account database ([`accounts`]),
//! what enabling a unit means ([`install`]) and the record of what was done ([`record`]).
#![forbid(unsafe_code)]

pub mod accounts;
pub mod base;
mod disks;
mod facts;
mod files;
pub mod fuzz;
pub mod install;
mod origin;
mod plan;
pub mod record;
mod stage;
mod step;
mod users;

pub use disks::{DiskPhase, plan_phase};
pub use facts::{DiskFacts, Facts, Node, NodeKind, PartitionFacts, Probe};
pub use files::{Conflict, Treatment, Wanted, preset, treat};
pub use origin::{Origin, Origins, Place};
pub use plan::{Plan, Problem, plan};
pub use stage::Stage;
pub use step::{
    Action, Content, GroupChange, NodeOwner, PartitionEdit, RaidArray, Step, TargetFile, UnitState,
    UserChange, Volume,
};
