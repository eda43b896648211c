//! Free TCP ports of the local host.

use crate::error::{Error, Result};
use std::net::{Ipv4Addr, TcpListener};

/// A TCP port on 127.0.0.1 that nothing listens on at this moment: `wanted` first, where one
/// is wanted, otherwise one the kernel chooses.
///
/// # Errors
/// [`Error::Port`] when the kernel gives none.
pub fn free_port(wanted: Option<u16>) -> Result<u16> {
    if let Some(port) = wanted
        && is_port_free(port)
    {
        return Ok(port);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|source| Error::Port { source })?;
    let address = listener.local_addr().map_err(|source| Error::Port { source })?;
    Ok(address.port())
}

/// Whether nothing listens on this port of 127.0.0.1.
#[must_use]
pub fn is_port_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_given() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_port_free(port));
        assert_ne!(free_port(Some(port)).unwrap(), port);
    }
}
