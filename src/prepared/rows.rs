//! What a row of a statement's result looks like.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU64;

use crate::wire::frame::{split_cstr, split_u16};

/// Names and types of a result's columns, as a number: equal numbers, equal formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowFormat(NonZeroU64);

/// What follows a column's name in a RowDescription: table, column number, type, size, modifier,
/// format.
const COLUMN_LEN: usize = 18;

impl RowFormat {
    /// No rows at all.
    pub const NONE: RowFormat = RowFormat(NonZeroU64::MIN);

    /// Reads the body of a RowDescription. Which table a column is from and in which format it is
    /// sent does not count.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        // The seed is fixed for the process: formats are compared between servers.
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        let mut rest = split_u16(body).map_or(&b""[..], |(_, rest)| rest);
        while let Some((name, after)) = split_cstr(rest) {
            let Some((column, after)) = after.split_at_checked(COLUMN_LEN) else { break };
            hasher.write(name);
            hasher.write_u8(0);
            hasher.write(&column[6..10]);
            hasher.write(&column[12..16]);
            rest = after;
        }
        // 1 means no rows.
        RowFormat(NonZeroU64::new(hasher.finish() | 2).unwrap_or(NonZeroU64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(columns: &[(&str, u32, u32, u16)]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for (name, table, oid, format) in columns {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(&table.to_be_bytes());
            body.extend_from_slice(&[0, 1]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&[0, 4, 0xff, 0xff, 0xff, 0xff]);
            body.extend_from_slice(&format.to_be_bytes());
        }
        body
    }

    #[test]
    fn names_and_types_make_the_format() {
        let read = |columns: &[(&str, u32, u32, u16)]| RowFormat::read(&described(columns));
        let one = read(&[("a", 1, 23, 0), ("b", 1, 25, 0)]);
        assert_eq!(one, read(&[("a", 2, 23, 1), ("b", 1, 25, 1)]));
        assert_ne!(one, read(&[("a", 1, 20, 0), ("b", 1, 25, 0)]));
        assert_ne!(one, read(&[("a", 1, 23, 0), ("c", 1, 25, 0)]));
        assert_ne!(one, read(&[("a", 1, 23, 0)]));
        assert_ne!(read(&[]), RowFormat::NONE);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| { let _ = RowFormat::read(&bytes); });
    }
}
