//! Answers of Postgres and of pgweir in words that can be compared.

use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::raw::RawClient;

/// What stands for a statement that Postgres cannot read, straight, and for one that pgweir refuses.
const REFUSED: &str = "refused";

/// One word or two for each message. Left out: ParameterStatus, and what the guard warns of.
pub fn told(frames: &[Frame]) -> Vec<String> {
    frames.iter().filter_map(told_one).collect()
}

fn told_one(frame: &Frame) -> Option<String> {
    let letter = char::from(frame.tag);
    Some(match frame.tag {
        b'S' => return None,
        b'N' if rule_of(frame).is_some() => return None,
        b'Z' => format!("ready {}", frame.status()?),
        b'C' => frame.command_tag()?,
        b'E' if rule_of(frame).is_some() || is_syntax_error(frame) => REFUSED.to_owned(),
        b'E' | b'N' => format!("{letter} {} {}", frame.sqlstate()?, frame.field(b'M')?),
        b'D' => format!("row {}", frame.texts().join(" ")),
        _ => letter.to_string(),
    })
}

fn is_syntax_error(frame: &Frame) -> bool {
    frame.sqlstate().as_deref() == Some("42601")
}

/// The rule that speaks in an error or a notice.
pub fn rule_of(frame: &Frame) -> Option<String> {
    frame.field(b'R')?.strip_prefix("guard:").map(str::to_owned)
}

/// The rule that has refused; panics when nothing was, or not as a refusal looks.
#[track_caller]
pub fn refusal(frames: &[Frame]) -> String {
    let error = frames.iter().find(|frame| frame.tag == b'E');
    let error = error.unwrap_or_else(|| panic!("nothing was refused: {frames:?}"));
    let rule = rule_of(error).unwrap_or_else(|| panic!("not the guard's: {frames:?}"));
    assert_eq!(error.sqlstate().as_deref(), Some("42501"));
    let message = error.field(b'M').unwrap();
    assert!(message.starts_with("statement refused by query guard: "), "{message}");
    let detail = error.field(b'D').unwrap();
    assert!(detail.starts_with(&format!("Rule {rule}")), "{detail}");
    assert!(error.field(b'H').is_some(), "{frames:?}");
    rule
}

/// A whole unnamed batch, with Sync.
pub fn batch(sql: &str) -> Vec<u8> {
    [unnamed(sql), message::sync()].concat()
}

/// Parse, Bind, Describe, Execute of the unnamed statement.
pub fn unnamed(sql: &str) -> Vec<u8> {
    [
        message::parse("", sql, &[]),
        message::bind("", "", &[]),
        message::describe(b'P', ""),
        message::execute("", 0),
    ]
    .concat()
}

/// Sends, and reads so many ReadyForQuery.
pub fn play(client: &mut RawClient, bytes: &[u8], readies: usize) -> Vec<Frame> {
    client.send(bytes).unwrap();
    (0..readies).flat_map(|_| client.until_ready()).collect()
}
