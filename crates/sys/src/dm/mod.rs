//! Device-mapper: creating, loading, asking and removing mapped devices by ioctl, for the few targets
//! this project uses.
//!
//! Reference: the kernel's `include/uapi/linux/dm-ioctl.h` (interface version 4) and
//! `Documentation/admin-guide/device-mapper/verity.rst`.

mod table;

pub use table::{Target, VerityParams};

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Updater, ioctl, opcode};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A device-mapper step that failed.
#[derive(Debug, thiserror::Error)]
pub enum DmError {
    /// The control device could not be opened: device-mapper is not in the kernel.
    #[error("failed to open the device-mapper control `{path}`")]
    Control {
        /// The control device.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An ioctl failed.
    #[error("failed to {verb} mapped device `{name}`")]
    Ioctl {
        /// `create`, `load the table of`, `resume`, `remove`, `ask`.
        verb: &'static str,
        /// The device's name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name or a table does not fit the kernel's interface.
    #[error("failed to describe mapped device `{name}`: {problem}")]
    Description {
        /// The device's name.
        name: String,
        /// What does not fit.
        problem: &'static str,
    },
}

const VERSION: [u32; 3] = [4, 0, 0];
const DM_IOCTL: u8 = 0xfd;
const DEV_CREATE: u32 = opcode::read_write::<Header>(DM_IOCTL, 3);
const DEV_REMOVE: u32 = opcode::read_write::<Header>(DM_IOCTL, 4);
const DEV_SUSPEND: u32 = opcode::read_write::<Header>(DM_IOCTL, 6);
const DEV_STATUS: u32 = opcode::read_write::<Header>(DM_IOCTL, 7);
const TABLE_LOAD: u32 = opcode::read_write::<Header>(DM_IOCTL, 9);
const TABLE_STATUS: u32 = opcode::read_write::<Header>(DM_IOCTL, 12);

const READONLY_FLAG: u32 = 1 << 0;
const STATUS_TABLE_FLAG: u32 = 1 << 4;
const BUFFER_FULL_FLAG: u32 = 1 << 8;

const PAYLOAD: usize = 16 * 1024;

/// `struct dm_ioctl`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

const HEADER: usize = size_of::<Header>();
/// Length of `struct dm_target_spec`.
const SPEC: usize = 40;

/// The header with room for what follows it, as one block of memory.
#[repr(C)]
struct Request {
    header: Header,
    payload: [u8; PAYLOAD],
}

/// Device-mapper's control device.
#[derive(Debug)]
pub struct Control {
    fd: OwnedFd,
}

/// A mapped device that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Major and minor number.
    pub device: (u32, u32),
    /// The kernel's node for it, `/dev/dm-N`.
    pub node: PathBuf,
    /// How many have it open.
    pub open_count: i32,
}

impl Control {
    /// Opens `/dev/mapper/control`.
    ///
    /// # Errors
    /// When device-mapper is not in the kernel, or without privilege.
    pub fn open() -> Result<Self, DmError> {
        let path = Path::new("/dev/mapper/control");
        let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| DmError::Control { path: path.to_owned(), source: e.into() })?;
        Ok(Self { fd })
    }

    /// Creates a device, loads its table and makes it live. A device left half made by a failure is
    /// removed again.
    ///
    /// # Errors
    /// When a step is refused: the name is taken, a target is unknown, its parameters are wrong.
    pub fn create(
        &self,
        name: &str,
        uuid: &str,
        targets: &[Target],
        read_only: bool,
    ) -> Result<Mapped, DmError> {
        let flags = if read_only { READONLY_FLAG } else { 0 };
        let mut request = Request::new(name, uuid, flags)?;
        self.call::<DEV_CREATE>("create", name, &mut request)?;
        let live = || -> Result<Mapped, DmError> {
            let mut request = Request::new(name, "", flags)?;
            request.put_targets(name, targets)?;
            self.call::<TABLE_LOAD>("load the table of", name, &mut request)?;
            let mut request = Request::new(name, "", flags)?;
            self.call::<DEV_SUSPEND>("resume", name, &mut request)?;
            Ok(mapped(&request.header))
        };
        live().inspect_err(|_| {
            let _ = self.remove(name);
        })
    }

    /// Opens a dm-verity device.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn open_verity(&self, name: &str, uuid: &str, params: &VerityParams) -> Result<Mapped, DmError> {
        self.create(name, uuid, &[params.target()], true)
    }

    /// Removes a device nobody has open.
    ///
    /// # Errors
    /// When it does not exist or is in use.
    pub fn remove(&self, name: &str) -> Result<(), DmError> {
        let mut request = Request::new(name, "", 0)?;
        self.call::<DEV_REMOVE>("remove", name, &mut request)
    }

    /// Looks for a device by name.
    ///
    /// # Errors
    /// When asking fails for another reason than that there is none.
    pub fn find(&self, name: &str) -> Result<Option<Mapped>, DmError> {
        let mut request = Request::new(name, "", 0)?;
        match self.call::<DEV_STATUS>("ask", name, &mut request) {
            Ok(()) => Ok(Some(mapped(&request.header))),
            Err(DmError::Ioctl { source, .. }) if source.raw_os_error() == Some(6) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The status of a device's targets (for verity: `V` valid so far, `C` corruption was seen).
    ///
    /// # Errors
    /// When there is no such device.
    pub fn status(&self, name: &str) -> Result<Vec<Target>, DmError> {
        self.targets(name, 0)
    }

    /// The table of a device as it was loaded.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn table(&self, name: &str) -> Result<Vec<Target>, DmError> {
        self.targets(name, STATUS_TABLE_FLAG)
    }

    fn targets(&self, name: &str, flags: u32) -> Result<Vec<Target>, DmError> {
        let mut request = Request::new(name, "", flags)?;
        self.call::<TABLE_STATUS>("ask", name, &mut request)?;
        if request.header.flags & BUFFER_FULL_FLAG != 0 {
            let problem = "its status is longer than 16 KiB";
            return Err(DmError::Description { name: name.to_owned(), problem });
        }
        let start = (request.header.data_start as usize).saturating_sub(HEADER);
        let text = request.payload.get(start..).unwrap_or_default();
        Ok(table::decode(text, request.header.target_count))
    }

    fn call<const OPCODE: u32>(
        &self,
        verb: &'static str,
        name: &str,
        request: &mut Request,
    ) -> Result<(), DmError> {
        // SAFETY: OPCODE is one of dm's commands, all of which take a pointer to a `dm_ioctl` with
        // `data_size` bytes of memory; `data_size` is the size of `Request`, which lives for the call.
        unsafe { ioctl(&self.fd, Updater::<OPCODE, Request>::new(request)) }.map_err(|e| DmError::Ioctl {
            verb,
            name: name.to_owned(),
            source: e.into(),
        })
    }
}

impl Request {
    #[expect(clippy::cast_possible_truncation, reason = "sizes of this struct, below 2^16")]
    fn new(name: &str, uuid: &str, flags: u32) -> Result<Box<Self>, DmError> {
        let mut header = Header {
            version: VERSION,
            data_size: size_of::<Self>() as u32,
            data_start: HEADER as u32,
            target_count: 0,
            open_count: 0,
            flags,
            event_nr: 0,
            padding: 0,
            dev: 0,
            name: [0; 128],
            uuid: [0; 129],
            data: [0; 7],
        };
        put(name, name, &mut header.name, "its name is longer than 127 bytes")?;
        put(name, uuid, &mut header.uuid, "its UUID is longer than 128 bytes")?;
        Ok(Box::new(Self { header, payload: [0; PAYLOAD] }))
    }

    fn put_targets(&mut self, name: &str, targets: &[Target]) -> Result<(), DmError> {
        let description = |problem| DmError::Description { name: name.to_owned(), problem };
        let bytes = table::encode(targets).map_err(description)?;
        let room =
            self.payload.get_mut(..bytes.len()).ok_or(description("its table is longer than 16 KiB"))?;
        room.copy_from_slice(&bytes);
        self.header.target_count =
            u32::try_from(targets.len()).map_err(|_| description("too many targets"))?;
        Ok(())
    }
}

/// Puts a text into a field that must keep a NUL at its end.
fn put(name: &str, text: &str, field: &mut [u8], problem: &'static str) -> Result<(), DmError> {
    if text.len() >= field.len() || text.contains('\0') {
        return Err(DmError::Description { name: name.to_owned(), problem });
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

/// Number and node from the header an ioctl gave back. `dev` is in the kernel's `huge_encode_dev`
/// form, which for our sizes is that of makedev(3).
fn mapped(header: &Header) -> Mapped {
    let device = (rustix::fs::major(header.dev), rustix::fs::minor(header.dev));
    Mapped { device, node: PathBuf::from(format!("/dev/dm-{}", device.1)), open_count: header.open_count }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Header, Request, TABLE_LOAD, VerityParams, put};

    #[test]
    fn the_interface_has_the_kernels_sizes_and_numbers() {
        assert_eq!(HEADER, 312);
        assert_eq!(std::mem::offset_of!(Header, dev), 40);
        assert_eq!(std::mem::offset_of!(Header, uuid), 176);
        assert_eq!(TABLE_LOAD, 0xc138_fd09);
    }

    #[test]
    fn names_must_fit() {
        let mut field = [0; 4];
        put("n", "abc", &mut field, "long").unwrap();
        assert_eq!(&field, b"abc\0");
        let error = put("n", "abcd", &mut field, "its name is too long").unwrap_err();
        assert_eq!(error.to_string(), "failed to describe mapped device `n`: its name is too long");
    }

    #[test]
    fn a_request_carries_its_table() {
        let params = VerityParams::for_tests();
        let mut request = Request::new("usr", "", 1).unwrap();
        request.put_targets("usr", &[params.target()]).unwrap();
        assert_eq!(request.header.target_count, 1);
        assert_eq!(&request.payload[24..31], b"verity\0");
    }
}
