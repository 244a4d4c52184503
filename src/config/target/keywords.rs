//! The keyword form: `host=db1 port=5432 dbname=shop password='a b'`.

use super::{Parameters, TargetError, clip};
use std::iter::Peekable;
use std::str::Chars;

/// Reads the whole text.
pub(super) fn read(text: &str, given: &mut Parameters) -> Result<(), TargetError> {
    if !text.contains('=') {
        return Err(TargetError::new("neither a URL nor `keyword=value` pairs")
            .help("write `postgres://host:5432/database`, or `host=… port=… dbname=…`"));
    }
    let mut rest = text.chars().peekable();
    loop {
        skip_blanks(&mut rest);
        if rest.peek().is_none() {
            return Ok(());
        }
        let name = read_name(&mut rest)?;
        let value = read_value(&mut rest, &name)?;
        given.set(&name, value)?;
    }
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
}

/// The keyword and the `=` after it, with blanks around both allowed.
fn read_name(rest: &mut Peekable<Chars<'_>>) -> Result<String, TargetError> {
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
        name.push(c);
    }
    skip_blanks(rest);
    if rest.next_if_eq(&'=').is_none() {
        // The text may be the rest of a password with a blank in it: not shown.
        return Err(TargetError::new("a word in the connection string has no `=`")
            .help("quote a value with blanks: password='two words'"));
    }
    if name.is_empty() {
        return Err(TargetError::new("an `=` without a keyword before it"));
    }
    skip_blanks(rest);
    Ok(name)
}

/// A value, quoted or not; a backslash takes the next character as it is.
fn read_value(rest: &mut Peekable<Chars<'_>>, name: &str) -> Result<String, TargetError> {
    let quoted = rest.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match rest.next() {
            Some('\'') if quoted => return Ok(value),
            Some('\\') => value.extend(rest.next()),
            Some(c) if !quoted && c.is_ascii_whitespace() => return Ok(value),
            Some(c) => value.push(c),
            None if quoted => {
                return Err(TargetError::new(format!(
                    "the quote around the value of `{}` is not closed",
                    clip(name)
                )));
            }
            None => return Ok(value),
        }
    }
}
