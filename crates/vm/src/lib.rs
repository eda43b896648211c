//! QEMU machines as values: what `wellcar run` and the VM tests boot images with.
//!
//! * [`MachineSpec`] says what a machine is; [`command_line`](MachineSpec) is made from it by
//!   a pure function, so that it can be tested without QEMU.
//! * [`Machine::start`] runs it: console, QMP and virtio ports are connected before the first
//!   instruction of the guest, so no byte is lost and nothing is polled.
//! * [`Console`] keeps what the guest printed, waits for text with a deadline and notices
//!   panics, oopses, failed units and unexpected boots ([`Trouble`]).
//! * [`channel`] runs commands in the guest over a virtio port, with no code in the image:
//!   its systemd unit comes by the test's own Ignition config.
//! * [`accel`] trusts KVM only after a small guest really ran under it.
//!
//! This crate knows nothing of Wellcar's image, of configs or of where QEMU comes from:
//! the program, its data directory and the firmware files are arguments.

#![forbid(unsafe_code)]

pub mod accel;
pub mod channel;
pub mod console;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod machine;
mod overlay;
mod port;
mod qmp;
mod spec;
pub mod ssh;
mod wait;

pub use accel::{Accelerator, probe_kvm};
pub use console::{Console, Trouble};
pub use error::{Error, Result};
pub use machine::{Detached, Machine};
pub use overlay::{ImageFormat, create_overlay, image_format};
pub use port::{free_port, is_port_free};
pub use qmp::{Event, Qmp};
pub use spec::{
    Boot, Cache, Disk, Firmware, Forward, MachineSpec, Mebibytes, Network, OnReset, Qemu, SerialLog,
};
pub use ssh::SshClient;
pub use wait::Deadline;
