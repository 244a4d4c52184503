//! Frames that a server sent: reading their fields, and printing each in one line.

use std::fmt;
use std::fmt::Write as _;

/// One message of the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message's letter.
    pub tag: u8,
    /// What follows the length word.
    pub body: Vec<u8>,
}

impl Frame {
    /// The transaction status of a ReadyForQuery.
    pub fn status(&self) -> Option<char> {
        (self.tag == b'Z').then(|| self.body.first().map_or('?', |byte| char::from(*byte)))
    }

    /// A field of an ErrorResponse or NoticeResponse, by its letter.
    pub fn field(&self, letter: u8) -> Option<String> {
        if self.tag != b'E' && self.tag != b'N' {
            return None;
        }
        error_fields(&self.body).find(|(found, _)| *found == letter).map(|(_, value)| text(value))
    }

    /// The SQLSTATE of an error or notice.
    pub fn sqlstate(&self) -> Option<String> {
        self.field(b'C')
    }

    /// The columns of a DataRow, `None` for NULL.
    pub fn columns(&self) -> Option<Vec<Option<Vec<u8>>>> {
        (self.tag == b'D').then(|| read_columns(&self.body)).flatten()
    }

    /// The first column of a DataRow as text.
    pub fn first_text(&self) -> Option<String> {
        self.columns()?.into_iter().next()?.map(|value| text(&value))
    }

    /// The columns of a DataRow as texts, without those that are NULL.
    pub fn texts(&self) -> Vec<String> {
        let columns = self.columns().unwrap_or_default().into_iter();
        columns.flatten().map(|value| text(&value)).collect()
    }

    /// The command tag of a CommandComplete.
    pub fn command_tag(&self) -> Option<String> {
        (self.tag == b'C').then(|| text(self.body.strip_suffix(&[0]).unwrap_or(&self.body)))
    }

    /// Pid and secret key of BackendKeyData.
    pub fn backend_key(&self) -> Option<(u32, Vec<u8>)> {
        let (pid, key) = self.body.split_first_chunk::<4>()?;
        (self.tag == b'K').then(|| (u32::from_be_bytes(*pid), key.to_vec()))
    }

    /// The whole frame, as it was on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        super::message::framed(self.tag, &self.body)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self))
    }
}

/// The name of a server message.
pub fn name_of(tag: u8) -> Option<&'static str> {
    Some(match tag {
        b'R' => "Authentication",
        b'K' => "BackendKeyData",
        b'S' => "ParameterStatus",
        b'Z' => "ReadyForQuery",
        b'T' => "RowDescription",
        b'D' => "DataRow",
        b'C' => "CommandComplete",
        b'I' => "EmptyQueryResponse",
        b'E' => "ErrorResponse",
        b'N' => "NoticeResponse",
        b'A' => "NotificationResponse",
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'n' => "NoData",
        b's' => "PortalSuspended",
        b't' => "ParameterDescription",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'W' => "CopyBothResponse",
        b'd' => "CopyData",
        b'c' => "CopyDone",
        b'V' => "FunctionCallResponse",
        b'v' => "NegotiateProtocolVersion",
        _ => return None,
    })
}

/// A reply stream, one line a message.
pub fn render_all(frames: &[Frame]) -> String {
    frames.iter().map(|frame| render(frame) + "\n").collect()
}

/// One message in one line.
pub fn render(frame: &Frame) -> String {
    let name = name_of(frame.tag)
        .map_or_else(|| format!("message {:?}", frame.tag as char), str::to_owned);
    let detail = detail_of(frame).unwrap_or_else(|| format!("(odd) {}", quoted(&frame.body)));
    format!("{name} {detail}").trim_end().to_owned()
}

/// `None` when the body is not what the tag promises.
fn detail_of(frame: &Frame) -> Option<String> {
    let body = frame.body.as_slice();
    Some(match frame.tag {
        b'Z' => char::from(*body.first()?).to_string(),
        b'D' => {
            let columns = read_columns(body)?;
            let shown = columns.iter().map(|c| c.as_deref().map_or("NULL".to_owned(), quoted));
            shown.collect::<Vec<_>>().join(" ")
        }
        b'T' => row_description(body)?,
        b't' => {
            let (_, oids) = body.split_first_chunk::<2>()?;
            let (oids, []) = oids.as_chunks::<4>() else { return None };
            format!("{:?}", oids.iter().map(|oid| u32::from_be_bytes(*oid)).collect::<Vec<_>>())
        }
        b'C' => quoted(body.strip_suffix(&[0])?),
        b'S' => {
            let mut parts = body.strip_suffix(&[0])?.splitn(2, |byte| *byte == 0);
            format!("{} = {}", text(parts.next()?), quoted(parts.next()?))
        }
        b'K' => {
            let (pid, key) = frame.backend_key()?;
            format!("pid {pid}, key of {} bytes", key.len())
        }
        b'A' => {
            let (pid, rest) = body.split_first_chunk::<4>()?;
            let mut parts = rest.strip_suffix(&[0])?.splitn(2, |byte| *byte == 0);
            let (channel, payload) = (quoted(parts.next()?), quoted(parts.next()?));
            format!("pid {} {channel} {payload}", u32::from_be_bytes(*pid))
        }
        b'E' | b'N' => error_detail(body),
        b'R' => authentication(body)?,
        b'G' | b'H' | b'W' => {
            let (format, rest) = body.split_first()?;
            let (_, columns) = rest.split_first_chunk::<2>()?;
            let columns: Vec<u8> = columns.as_chunks::<2>().0.iter().map(|c| c[1]).collect();
            format!("format {format} columns {columns:?}")
        }
        b'd' => quoted(body),
        b'V' => {
            let (length, value) = body.split_first_chunk::<4>()?;
            if i32::from_be_bytes(*length) < 0 { "NULL".to_owned() } else { quoted(value) }
        }
        b'v' => {
            let (minor, rest) = body.split_first_chunk::<4>()?;
            let (_, names) = rest.split_first_chunk::<4>()?;
            format!("minor {} options {}", u32::from_be_bytes(*minor) & 0xffff, quoted(names))
        }
        b'I' | b'1' | b'2' | b'3' | b'n' | b's' | b'c' if body.is_empty() => String::new(),
        _ => return None,
    })
}

fn authentication(body: &[u8]) -> Option<String> {
    let (code, rest) = body.split_first_chunk::<4>()?;
    Some(match u32::from_be_bytes(*code) {
        0 => "Ok".to_owned(),
        3 => "CleartextPassword".to_owned(),
        5 => format!("MD5Password salt of {} bytes", rest.len()),
        10 => {
            let names = rest.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(text);
            format!("SASL {}", names.collect::<Vec<_>>().join(" "))
        }
        11 => "SASLContinue".to_owned(),
        12 => "SASLFinal".to_owned(),
        other => format!("code {other}"),
    })
}

fn row_description(body: &[u8]) -> Option<String> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut shown = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let name = text(&rest[..end]);
        let (fixed, after) = rest[end + 1..].split_first_chunk::<18>()?;
        rest = after;
        let [t0, t1, t2, t3, a0, a1, o0, o1, o2, o3, s0, s1, m0, m1, m2, m3, f0, f1] = *fixed;
        let table = u32::from_be_bytes([t0, t1, t2, t3]);
        let attribute = i16::from_be_bytes([a0, a1]);
        let oid = u32::from_be_bytes([o0, o1, o2, o3]);
        let size = i16::from_be_bytes([s0, s1]);
        let modifier = i32::from_be_bytes([m0, m1, m2, m3]);
        let format = i16::from_be_bytes([f0, f1]);
        shown.push(format!(
            "{name}:{oid}(table {table}.{attribute} size {size} mod {modifier} format {format})"
        ));
    }
    rest.is_empty().then(|| shown.join(" "))
}

/// The fields of an ErrorResponse or NoticeResponse.
pub fn error_fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    body.split(|byte| *byte == 0).filter_map(|field| {
        let (letter, value) = field.split_first()?;
        Some((*letter, value))
    })
}

fn error_detail(body: &[u8]) -> String {
    let mut line = String::new();
    for (letter, value) in error_fields(body) {
        let letter = char::from(letter);
        // Severity comes twice, once translated; one is enough when they agree.
        if letter == 'V' && error_fields(body).any(|(l, v)| l == b'S' && v == value) {
            continue;
        }
        let _ = write!(line, "{letter}={} ", quoted(value));
    }
    line.trim_end().to_owned()
}

fn read_columns(body: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        if let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) {
            let (value, after) = rest.split_at_checked(length)?;
            rest = after;
            columns.push(Some(value.to_vec()));
        } else {
            columns.push(None);
        }
    }
    rest.is_empty().then_some(columns)
}

/// Bytes in quotes, escaped; long ones shortened, with their length and a checksum of the whole.
pub fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    if bytes.len() <= SHOWN {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{}\"… ({} bytes, sum {sum:016x})", bytes[..80].escape_ascii(), bytes.len())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
