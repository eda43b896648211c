//! Loop devices: a file as a block device, for as long as its owner lives.
//!
//! Reference: loop(4), `include/uapi/linux/loop.h`.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{IoctlOutput, NoArg, Opcode, Setter, ioctl};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

const CTL_GET_FREE: u32 = 0x4c82;
const CONFIGURE: u32 = 0x4c0a;
const CLR_FD: u32 = 0x4c01;
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const PARTSCAN: u32 = 8;
/// How often another process may snatch the free device before we give up.
const TRIES: u32 = 16;

/// A loop device that could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// There is no loop control device, or no free device.
    #[error("failed to get a free loop device")]
    Free {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be attached.
    #[error("failed to attach `{file}` to `{device}`")]
    Attach {
        /// The file.
        file: PathBuf,
        /// The loop device.
        device: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// `struct loop_info64`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// `LOOP_CTL_GET_FREE`: no argument, the answer is the return value.
struct GetFree;

// SAFETY: the command takes no argument and returns a number or an error; nothing is read or written
// through the pointer, which is null.
unsafe impl rustix::ioctl::Ioctl for GetFree {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<Self::Output> {
        Ok(out)
    }
}

/// An attached loop device; dropping it detaches the file as soon as its last user closes it.
#[derive(Debug)]
pub struct LoopDevice {
    fd: OwnedFd,
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches a file, with its partitions as devices beside the loop device (`loop0p1`).
    ///
    /// # Errors
    /// When there is no loop driver, no free device, or the file cannot be attached.
    pub fn attach(file: &Path, read_only: bool) -> Result<Self, LoopError> {
        let free = |source: io::Error| LoopError::Free { source };
        let control = rustix::fs::open("/dev/loop-control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| free(e.into()))?;
        let mut refused = None;
        for _ in 0..TRIES {
            // SAFETY: see `GetFree`.
            let number = unsafe { ioctl(&control, GetFree) }.map_err(|e| free(e.into()))?;
            let device = PathBuf::from(format!("/dev/loop{number}"));
            match Self::configure(file, &device, read_only) {
                Ok(attached) => return Ok(attached),
                // Somebody else was faster: ask for the next one.
                Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                    refused = Some((device, error));
                }
                Err(source) => return Err(LoopError::Attach { file: file.to_owned(), device, source }),
            }
        }
        Err(match refused {
            Some((device, source)) => LoopError::Attach { file: file.to_owned(), device, source },
            None => free(Errno::BUSY.into()),
        })
    }

    fn configure(file: &Path, device: &Path, read_only: bool) -> io::Result<Self> {
        let backing = File::options().read(true).write(!read_only).open(file)?;
        let fd = rustix::fs::open(device, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let config = Config {
            fd: u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?,
            block_size: 0,
            info: Info {
                device: 0,
                inode: 0,
                rdevice: 0,
                offset: 0,
                sizelimit: 0,
                number: 0,
                encrypt_type: 0,
                encrypt_key_size: 0,
                flags: AUTOCLEAR | PARTSCAN | if read_only { READ_ONLY } else { 0 },
                file_name: [0; 64],
                crypt_name: [0; 64],
                encrypt_key: [0; 32],
                init: [0; 2],
            },
            reserved: [0; 8],
        };
        // SAFETY: LOOP_CONFIGURE reads one `loop_config` from the pointer, which `Setter` keeps alive;
        // the descriptor inside it is open until after the call.
        unsafe { ioctl(&fd, Setter::<CONFIGURE, Config>::new(config)) }?;
        Ok(Self { fd, path: device.to_owned() })
    }

    /// The device, `/dev/loopN`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // SAFETY: LOOP_CLR_FD takes no argument.
        let _ = unsafe { ioctl(&self.fd, NoArg::<CLR_FD>::new()) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Info};

    #[test]
    fn the_interface_has_the_kernels_sizes() {
        assert_eq!(size_of::<Info>(), 232);
        assert_eq!(size_of::<Config>(), 304);
    }
}
