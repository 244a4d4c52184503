//! A Bind message, as far as commands without parameters need it.

use super::table::Format;
use crate::wire::Report;
use crate::wire::frame::{split_cstr, split_i32, split_u16};

/// A Bind message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bind<'a> {
    pub(super) portal: &'a [u8],
    pub(super) statement: &'a [u8],
    /// How many parameter values it carries.
    pub(super) parameters: u16,
    result_formats: Vec<u16>,
}

impl<'a> Bind<'a> {
    /// Reads a whole body; leftover or missing bytes give `None`.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (portal, rest) = split_cstr(body)?;
        let (statement, rest) = split_cstr(rest)?;
        let (_, rest) = codes(rest)?;
        let (parameters, mut rest) = split_u16(rest)?;
        for _ in 0..parameters {
            let (len, after) = split_i32(rest)?;
            rest = match usize::try_from(len) {
                Ok(len) => after.split_at_checked(len)?.1,
                Err(_) => after,
            };
        }
        let (result_formats, rest) = codes(rest)?;
        rest.is_empty().then_some(Bind { portal, statement, parameters, result_formats })
    }

    /// The formats of a result with so many columns.
    ///
    /// # Errors
    /// As Postgres: neither none, nor one, nor as many as there are columns; or not known.
    pub(super) fn formats(&self, columns: usize) -> Result<Vec<Format>, Report> {
        let count = self.result_formats.len();
        if count > 1 && count != columns {
            let message =
                format!("bind message has {count} result formats but query has {columns} columns");
            return Err(Report::error(b"08P01", message));
        }
        let format = |code: &u16| match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(Report::error(b"22023", format!("unsupported format code: {code}"))),
        };
        self.result_formats.iter().map(format).collect()
    }
}

/// A count and so many codes of 16 bits.
fn codes(bytes: &[u8]) -> Option<(Vec<u16>, &[u8])> {
    let (count, mut rest) = split_u16(bytes)?;
    let mut codes = Vec::new();
    for _ in 0..count {
        let (code, after) = split_u16(rest)?;
        codes.push(code);
        rest = after;
    }
    Some((codes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_read_exactly() {
        let body = b"p\0s\0\0\x01\0\0\0\x01\0\0\0\x02ab\0\x02\0\0\0\x01";
        let bind = Bind::read(body).unwrap();
        assert_eq!((bind.portal, bind.statement, bind.parameters), (&b"p"[..], &b"s"[..], 1));
        assert_eq!(bind.formats(2).unwrap(), [Format::Text, Format::Binary]);
        assert_eq!(bind.formats(3).unwrap_err().sqlstate(), "08P01");
        for cut in 0..body.len() {
            assert_eq!(Bind::read(&body[..cut]), None, "{cut}");
        }
        let odd = Bind::read(b"\0\0\0\0\0\0\0\x01\0\x02").unwrap();
        assert_eq!(odd.formats(1).unwrap_err().sqlstate(), "22023");
        proptest::proptest!(|(bytes: Vec<u8>)| { let _ = Bind::read(&bytes); });
    }
}
