//! Kernel device events (uevents over netlink), used only as a bell: something changed, look again.

use super::BlockError;
use crate::wait::{Deadline, poll_readable};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::os::fd::OwnedFd;

/// An open ear for device events. Open it *before* looking for a device, so that none is missed.
#[derive(Debug)]
pub struct Events {
    socket: OwnedFd,
}

impl Events {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the kernel gives no such socket.
    pub fn open() -> Result<Self, BlockError> {
        let open = || -> rustix::io::Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
            bind(&socket, &SocketAddrNetlink::new(0, 1))?;
            Ok(socket)
        };
        open().map(|socket| Self { socket }).map_err(|e| BlockError::Events { source: e.into() })
    }

    /// Waits until anything happened since the last call; false when the deadline came first.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn wait(&self, deadline: &Deadline) -> Result<bool, BlockError> {
        let fail = |source| BlockError::Events { source };
        if !poll_readable(&self.socket, deadline).map_err(fail)? {
            return Ok(false);
        }
        let mut buffer = [0_u8; 8192];
        // Any error (also "you missed some") ends the draining; the caller looks for itself anyway.
        while recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT).is_ok() {}
        Ok(true)
    }

    /// Calls `look` until it finds something, after each event, until the deadline.
    ///
    /// # Errors
    /// When listening fails, or `look` does.
    pub fn wait_for<T, E: From<BlockError>>(
        &self,
        deadline: &Deadline,
        mut look: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        loop {
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            if !self.wait(deadline)? {
                return look();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Events;
    use crate::block::BlockError;
    use crate::wait::Deadline;
    use std::time::Duration;

    #[test]
    fn the_deadline_ends_the_wait() {
        let events = Events::open().unwrap();
        let deadline = Deadline::after(Some(Duration::from_millis(30)));
        let found: Result<Option<()>, BlockError> = events.wait_for(&deadline, || Ok(None));
        assert!(found.unwrap().is_none());
        let found: Result<Option<u8>, BlockError> = events.wait_for(&deadline, || Ok(Some(7)));
        assert_eq!(found.unwrap(), Some(7));
    }
}
