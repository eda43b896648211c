//! Building an image: from the lock to files that boot. The deciding is done in `compose`; here the pieces
//! are fetched, run and written. Needs no root, mounts nothing, and writes no owner to the host's disk.

pub mod boot;
pub mod build;
pub mod disk;
pub mod identity;
pub mod initramfs;
pub mod os_data;
pub mod output;
pub mod unpack;
pub mod usr;
