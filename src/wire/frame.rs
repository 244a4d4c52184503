//! Frames: a tag, a length word, a body.
//!
//! A length is checked against the limit of its phase before anything is sized by it; nothing is
//! allocated here at all.

use std::fmt;

/// Bytes of a tag and a length word.
pub const HEADER_LEN: usize = 5;

/// The longest message that Postgres takes: `PQ_LARGE_MESSAGE_LIMIT`, one below `MaxAllocSize`, the
/// length word included.
pub const LONGEST_REQUEST: u32 = 0x3fff_fffe;

/// The longest message that Postgres sends: a body of up to one below `MaxAllocSize`, and the length
/// word.
pub const LONGEST_REPLY: u32 = LONGEST_REQUEST + 4;

/// Tag and body length of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message's type byte.
    pub tag: u8,
    /// Bytes after the length word. Invariant: at most the limit it was read under.
    pub body_len: u32,
}

impl Header {
    /// Bytes of the whole message.
    #[must_use]
    pub fn frame_len(self) -> usize {
        HEADER_LEN + self.body_len as usize
    }
}

/// Why a length word cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The length word is below 4, which it counts itself, or negative.
    TooShort {
        /// The message's type byte.
        tag: u8,
    },
    /// The message is longer than its phase allows.
    TooLong {
        /// The message's type byte.
        tag: u8,
        /// Announced bytes after the tag.
        len: u32,
        /// The limit it broke, counted the same way.
        limit: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooShort { tag } => {
                write!(f, "invalid message length in message type 0x{tag:02X}")
            }
            FrameError::TooLong { tag, len, limit } => {
                write!(f, "message type 0x{tag:02X} of {len} bytes is over the limit of {limit}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Reads the header at the start of `bytes`; `None` when fewer than five bytes are there.
///
/// `limit` bounds the length word, which counts itself and the body.
///
/// # Errors
/// The length word is impossible or over `limit`.
#[inline]
pub fn header(bytes: &[u8], limit: u32) -> Result<Option<Header>, FrameError> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([a, b, c, d]);
    if !(4..=0x7fff_ffff).contains(&len) {
        return Err(FrameError::TooShort { tag });
    }
    if len > limit {
        return Err(FrameError::TooLong { tag, len, limit });
    }
    Ok(Some(Header { tag, body_len: len - 4 }))
}

/// Splits a NUL-terminated string off the front; `None` when there is no NUL.
#[inline]
#[must_use]
pub fn split_cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((text, rest.get(1..)?))
}

/// Splits a big-endian 32-bit integer off the front.
#[must_use]
pub fn split_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (&word, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(word), rest))
}

/// Splits a big-endian 16-bit integer off the front.
#[must_use]
pub fn split_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (&word, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(word), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_sized_by_them() {
        let with_len = |len: i64| {
            let mut bytes = vec![b'Q'];
            bytes.extend_from_slice(&(len as u32).to_be_bytes());
            header(&bytes, 1000)
        };
        for len in [-1, 0, 3, 0x8000_0000, 0xffff_ffff] {
            assert_eq!(with_len(len), Err(FrameError::TooShort { tag: b'Q' }), "{len}");
        }
        for len in [1001, 0x7fff_ffff] {
            assert!(matches!(with_len(len), Err(FrameError::TooLong { .. })), "{len}");
        }
        assert_eq!(with_len(4), Ok(Some(Header { tag: b'Q', body_len: 0 })));
        assert_eq!(with_len(1000), Ok(Some(Header { tag: b'Q', body_len: 996 })));
    }

    #[test]
    fn a_header_needs_all_its_five_bytes() {
        for n in 0..5 {
            assert_eq!(header(&[b'S', 0, 0, 0, 4][..n], 100), Ok(None));
        }
    }
}
