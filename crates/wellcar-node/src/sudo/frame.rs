//! The frames on the socket between `sudo` and its server.
//!
//! A frame is a header of 12 bytes and a payload: the magic `WSUD`, the version (one byte, 1), the
//! kind (one byte), two zero bytes, the payload's length (u32). All numbers are little endian.

use thiserror::Error;

/// Bytes of the header.
const HEADER: usize = 12;
const MAGIC: [u8; 4] = *b"WSUD";
const VERSION: u8 = 1;

/// Most bytes of a request: more than the kernel takes as arguments and environment (6 MiB).
pub const MAX_REQUEST: usize = 8 << 20;

/// Most bytes of any other payload.
const MAX_OTHER: usize = 64 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the server, first and once: a request, with the three streams.
    Request,
    /// To the server: a signal for the command.
    Signal,
    /// To the client: the command runs; with the pseudo-terminal's master, when it has one.
    Started,
    /// To the client, last: how the command ended.
    Ended,
    /// To the client, last: why there is no command.
    Refused,
}

impl Kind {
    const ALL: [(u8, Self); 5] = [
        (1, Self::Request),
        (2, Self::Signal),
        (0x81, Self::Started),
        (0x82, Self::Ended),
        (0x83, Self::Refused),
    ];

    fn limit(self) -> usize {
        match self {
            Self::Request => MAX_REQUEST,
            Self::Signal | Self::Started | Self::Ended | Self::Refused => MAX_OTHER,
        }
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The magic is missing.
    #[error("failed to read a frame: expected the magic `WSUD`, found {0:02x?}")]
    Magic([u8; 4]),
    /// The peer is newer or older.
    #[error("failed to read a frame: expected version {VERSION}, found {0}")]
    Version(u8),
    /// No kind of ours.
    #[error("failed to read a frame: unknown kind {0:#04x}")]
    Kind(u8),
    /// The bytes that must be zero are not.
    #[error("failed to read a frame: expected two zero bytes, found {0:02x?}")]
    Reserved([u8; 2]),
    /// Too much to be read.
    #[error("failed to read a frame: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// Bytes that this kind may have.
        limit: usize,
        /// Bytes it says it has.
        found: usize,
    },
}

impl Frame {
    /// The bytes of a frame; `None` when the payload is longer than its kind may be.
    #[must_use]
    pub fn encode(kind: Kind, payload: &[u8]) -> Option<Vec<u8>> {
        let (number, _) = *Kind::ALL.iter().find(|(_, known)| *known == kind)?;
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= kind.limit())?;
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, number, 0, 0]);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(payload);
        Some(bytes)
    }
}

/// Puts frames together from bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// Takes bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` when more bytes are needed. After an error the connection is of
    /// no use.
    ///
    /// # Errors
    /// When the bytes are no frame, or one that is too long: told by its header alone.
    pub fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(&[m0, m1, m2, m3, version, number, r0, r1, l0, l1, l2, l3]) =
            self.bytes.first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::Magic([m0, m1, m2, m3]));
        }
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let Some((_, kind)) = Kind::ALL.into_iter().find(|(known, _)| *known == number) else {
            return Err(FrameError::Kind(number));
        };
        if [r0, r1] != [0, 0] {
            return Err(FrameError::Reserved([r0, r1]));
        }
        let limit = kind.limit();
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length > limit {
            return Err(FrameError::TooLong { limit, found: length });
        }
        let end = HEADER + length;
        let Some(payload) = self.bytes.get(HEADER..end).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.bytes.drain(..end);
        Ok(Some(Frame { kind, payload }))
    }
}
