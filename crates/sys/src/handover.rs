//! Open files handed from one process to another over a Unix socket (SCM_RIGHTS, unix(7)).

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most descriptors that travel with one message.
pub const MAX_FDS: usize = 4;

/// Sends all bytes; the descriptors travel with the first of them. A peer that is gone is an error,
/// never a SIGPIPE.
///
/// # Errors
/// When there are more than [`MAX_FDS`] descriptors, no bytes to carry them, or sending fails.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let socket = socket.as_fd();
    if fds.len() > MAX_FDS || (bytes.is_empty() && !fds.is_empty()) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut left = bytes;
    while !left.is_empty() {
        match rustix::net::sendmsg(socket, &[IoSlice::new(left)], &mut control, SendFlags::NOSIGNAL) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(count) => {
                left = left.get(count..).unwrap_or_default();
                control.clear();
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Receives what is there, waiting for the first byte: the number of bytes put into `buffer` (0 at
/// the end) and the descriptors that came with them, closed on exec. Descriptors beyond [`MAX_FDS`]
/// are closed by the kernel.
///
/// # Errors
/// When receiving fails.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let socket = socket.as_fd();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        match got {
            Ok(message) => return Ok((message.bytes, fds)),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pipe_travels_with_the_bytes() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        send(&ours, b"hello", &[reader.as_fd()]).unwrap();
        drop((ours, reader));
        let mut buffer = [0; 16];
        let (count, mut fds) = receive(&theirs, &mut buffer).unwrap();
        assert_eq!((&buffer[..count], fds.len()), (b"hello".as_slice(), 1));
        assert!(
            rustix::io::fcntl_getfd(&fds[0]).unwrap().contains(rustix::io::FdFlags::CLOEXEC),
            "closed on exec"
        );
        writer.write_all(b"through the pipe").unwrap();
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(fds.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the pipe");
        assert_eq!(receive(&theirs, &mut buffer).unwrap().0, 0);
    }

    #[test]
    fn descriptors_need_bytes_and_have_a_limit() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(send(&ours, b"", &[ours.as_fd()]).is_err());
        assert!(send(&ours, b"x", &[ours.as_fd(); MAX_FDS + 1]).is_err());
    }
}
