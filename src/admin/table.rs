//! Results: columns with types, rows of values, and both on the wire in text and binary.

use crate::wire::backend::tag;
use crate::wire::build::sized;

/// Types of columns, as PgBouncer has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `text`.
    Text,
    /// `int4`.
    Int4,
    /// `int8`.
    Int8,
    /// `numeric`; only ever whole and not negative here.
    Numeric,
}

impl Type {
    /// The type's oid (pg_type.dat).
    #[must_use]
    pub fn oid(self) -> i32 {
        match self {
            Type::Text => 25,
            Type::Int4 => 23,
            Type::Int8 => 20,
            Type::Numeric => 1700,
        }
    }

    /// Its length in bytes, -1 when that varies.
    #[must_use]
    pub fn width(self) -> i16 {
        match self {
            Type::Int4 => 4,
            Type::Int8 => 8,
            Type::Text | Type::Numeric => -1,
        }
    }
}

/// A column: its name and type.
pub type Column = (&'static str, Type);

/// One value. A number is written as its column's type says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// Text.
    Text(String),
    /// A number that is never negative.
    Number(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Number(u64::from(number))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Value::Number(number as u64)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Value::Number(u64::from(yes))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A row: as many values as there are columns.
pub type Row = Vec<Value>;

/// How a result column is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As text.
    #[default]
    Text,
    /// As the type's send function does.
    Binary,
}

/// Appends a RowDescription. `format` says how each column will be written.
pub fn row_description(out: &mut Vec<u8>, columns: &[Column], format: impl Fn(usize) -> Format) {
    out.push(tag::ROW_DESCRIPTION);
    sized(out, |out| {
        out.extend_from_slice(&count(columns.len()));
        for (index, (name, kind)) in columns.iter().enumerate() {
            out.extend_from_slice(name.as_bytes());
            // No table, no column of a table.
            out.extend_from_slice(&[0; 7]);
            out.extend_from_slice(&kind.oid().to_be_bytes());
            out.extend_from_slice(&kind.width().to_be_bytes());
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            out.extend_from_slice(&[0, u8::from(format(index) == Format::Binary)]);
        }
    });
}

/// Appends a DataRow.
pub fn data_row(
    out: &mut Vec<u8>,
    columns: &[Column],
    row: &[Value],
    format: impl Fn(usize) -> Format,
) {
    out.push(tag::DATA_ROW);
    sized(out, |out| {
        out.extend_from_slice(&count(columns.len()));
        for (index, (_, kind)) in columns.iter().enumerate() {
            match row.get(index) {
                None | Some(Value::Null) => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(value) => {
                    let mut bytes = Vec::new();
                    encode(&mut bytes, value, *kind, format(index));
                    out.extend_from_slice(&length(bytes.len()));
                    out.extend_from_slice(&bytes);
                }
            }
        }
    });
}

fn encode(out: &mut Vec<u8>, value: &Value, kind: Type, format: Format) {
    match (value, format, kind) {
        (Value::Null, _, _) => {}
        // A NUL cannot stand in a text of Postgres; names from clients have none.
        (Value::Text(text), _, _) => out.extend(text.bytes().filter(|&byte| byte != 0)),
        (Value::Number(number), Format::Binary, Type::Int4) => {
            out.extend_from_slice(&int4(*number).to_be_bytes());
        }
        (Value::Number(number), Format::Binary, Type::Int8) => {
            out.extend_from_slice(&int8(*number).to_be_bytes());
        }
        (Value::Number(number), Format::Binary, Type::Numeric) => numeric(out, *number),
        (Value::Number(number), Format::Text, Type::Int4) => {
            out.extend_from_slice(int4(*number).to_string().as_bytes());
        }
        (Value::Number(number), Format::Text, Type::Int8) => {
            out.extend_from_slice(int8(*number).to_string().as_bytes());
        }
        (Value::Number(number), _, Type::Text) | (Value::Number(number), Format::Text, _) => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
    }
}

/// The largest of the type stands for all that are larger.
fn int4(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn int8(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As `numeric_send`: digits to the base of 10,000, their weight, a sign, a scale of 0.
fn numeric(out: &mut Vec<u8>, number: u64) {
    let mut digits = Vec::new();
    let mut rest = number;
    while rest > 0 {
        digits.push(u16::try_from(rest % 10_000).unwrap_or_default());
        rest /= 10_000;
    }
    digits.reverse();
    out.extend_from_slice(&count(digits.len()));
    let weight = i16::try_from(digits.len()).unwrap_or_default() - 1;
    out.extend_from_slice(&weight.max(0).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

fn count(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes()
}

fn length(n: usize) -> [u8; 4] {
    i32::try_from(n).unwrap_or(i32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(number: u64, kind: Type, format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, &Value::Number(number), kind, format);
        out
    }

    #[test]
    fn numbers_are_written_as_their_type_sends_them() {
        assert_eq!(encoded(7, Type::Int4, Format::Text), b"7");
        assert_eq!(encoded(7, Type::Int4, Format::Binary), [0, 0, 0, 7]);
        assert_eq!(encoded(1 << 40, Type::Int4, Format::Binary), i32::MAX.to_be_bytes());
        assert_eq!(encoded(1 << 40, Type::Int4, Format::Text), b"2147483647");
        assert_eq!(encoded(258, Type::Int8, Format::Binary), [0, 0, 0, 0, 0, 0, 1, 2]);
        // SELECT encode(numeric_send(120003), 'hex') gives 00020001000000000000c0003 in words:
        // two digits (12, 3), weight 1.
        let digits = [0, 2, 0, 1, 0, 0, 0, 0, 0, 12, 0, 3];
        assert_eq!(encoded(120_003, Type::Numeric, Format::Binary), digits);
        assert_eq!(encoded(0, Type::Numeric, Format::Binary), [0; 8]);
        assert_eq!(encoded(u64::MAX, Type::Numeric, Format::Text), b"18446744073709551615");
    }

    #[test]
    fn a_row_has_a_length_for_each_value() {
        let columns = [("a", Type::Int4), ("b", Type::Text), ("c", Type::Text)];
        let mut out = Vec::new();
        data_row(&mut out, &columns, &[5_u64.into(), Value::Null, "x".into()], |_| Format::Text);
        assert_eq!(out, b"D\0\0\0\x14\0\x03\0\0\0\x015\xff\xff\xff\xff\0\0\0\x01x");
        let mut out = Vec::new();
        row_description(&mut out, &columns[..1], |_| Format::Binary);
        assert_eq!(out, b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01");
    }
}
