//! `sudo` without a setuid file.
//!
//! The client ([`client`]) is `/usr/bin/sudo`. It connects to `/run/wellcar/sudo.sock`, where systemd
//! starts one server ([`serve`]) a connection, as root. The client hands over its request and its
//! three streams; the server asks the kernel who the client is (SO_PEERCRED), looks that user up in
//! `/etc/passwd` and `/etc/group`, and runs the command as its own child. At a terminal the command
//! gets a pseudo-terminal of its own; the client keeps the other end and moves bytes between it and
//! the person's terminal. What travels over the socket is in [`frame`] and [`message`].
//!
//! Deciding ([`flags`], [`accounts`], [`environment`], [`plan`]) is apart from acting.

mod accounts;
pub mod client;
mod environment;
mod flags;
mod frame;
mod message;
mod plan;
pub mod serve;
#[cfg(test)]
mod tests;

/// Where the client finds the server.
pub const SOCKET: &str = "/run/wellcar/sudo.sock";

/// The groups whose members may do everything.
const GROUPS: [&str; 2] = ["sudo", "wheel"];
