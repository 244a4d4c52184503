//! The shape of a text: the text without its literals. Texts of one shape are ruled alike, and one that is put together
//! anew each time is read once.
//!
//! A fast walk over bytes that knows less than the lexer: whatever it is not sure of has no shape, and is read each time.
//! Good for texts under the usual options alone.

/// Longer shapes are not made.
const LONGEST: usize = 1_024;

/// What a byte may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing that matters.
    Other,
    /// A name, or more of one.
    Word,
    Digit,
    Quote,
    /// A name in quotes.
    DoubleQuote,
    Dollar,
    /// Perhaps a comment.
    Dash,
    Slash,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Word,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Quote,
            b'"' => Class::DoubleQuote,
            b'$' => Class::Dollar,
            b'-' => Class::Dash,
            b'/' => Class::Slash,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// A text without its literals.
#[derive(Debug)]
pub struct Shape {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Shape {
    /// The shape of a text, where it has one: no comments, no escapes, no dollar quotes, nothing of which the meaning may
    /// hang on a literal.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        let mut shape = Shape { bytes: [0; LONGEST], len: 0 };
        let mut pos = 0;
        while let Some(&byte) = text.get(pos) {
            let class = CLASSES[usize::from(byte)];
            let begin = pos;
            pos += 1;
            match class {
                Class::Other => shape.add(&[byte])?,
                Class::Word => {
                    pos += run(&text[pos..], |class| {
                        matches!(class, Class::Word | Class::Digit | Class::Dollar)
                    });
                    // Its prefix says how a literal is read.
                    if text.get(pos) == Some(&b'\'') {
                        return None;
                    }
                    let word = &text[begin..pos];
                    if hangs_on_literals(word) {
                        return None;
                    }
                    shape.add(word)?;
                }
                Class::Digit => {
                    pos += run(&text[pos..], |class| class == Class::Digit);
                    if text.get(pos) == Some(&b'.') {
                        pos += 1 + run(&text[pos + 1..], |class| class == Class::Digit);
                    }
                    // An exponent, another base, or junk.
                    if matches!(text.get(pos), Some(&next) if CLASSES[usize::from(next)] == Class::Word)
                    {
                        return None;
                    }
                    shape.add(b"0")?;
                }
                Class::Quote => {
                    pos += text[pos..].iter().position(|byte| *byte == b'\'')? + 1;
                    // Two of them in a literal are one: what comes is more of it.
                    shape.add(b"'")?;
                }
                Class::DoubleQuote => {
                    pos += text[pos..].iter().position(|byte| *byte == b'"')? + 1;
                    shape.add(&text[begin..pos])?;
                }
                Class::Dollar => {
                    let digits = run(&text[pos..], |class| class == Class::Digit);
                    let next = text.get(pos + digits).map(|next| CLASSES[usize::from(*next)]);
                    if digits == 0 || next == Some(Class::Word) {
                        return None;
                    }
                    pos += digits;
                    shape.add(b"$")?;
                }
                Class::Dash if text.get(pos) == Some(&b'-') => return None,
                Class::Slash if text.get(pos) == Some(&b'*') => return None,
                Class::Dash | Class::Slash => shape.add(&[byte])?,
            }
        }
        Some(shape)
    }

    fn add(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.bytes.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// How many bytes at the front are of these classes.
fn run(bytes: &[u8], of: impl Fn(Class) -> bool) -> usize {
    bytes.iter().position(|byte| !of(CLASSES[usize::from(*byte)])).unwrap_or(bytes.len())
}

/// Words behind which a literal decides: it names a parameter or a file, switches an option on or off, or is code.
fn hangs_on_literals(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] =
        [b"current_setting", b"set_config", b"show", b"copy", b"explain", b"do"];
    match word.len() {
        2 | 4 | 7 | 10 | 15 => WORDS.iter().any(|known| known.eq_ignore_ascii_case(word)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Option<String> {
        let shape = Shape::of(text.as_bytes())?;
        Some(String::from_utf8(shape.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn texts_that_differ_in_their_literals_have_one_shape() {
        for (one, other) in [
            ("SELECT a FROM t WHERE id = 17", "SELECT a FROM t WHERE id = 4.25"),
            ("select * from t where a = 'x' and b=$1", "select * from t where a = 'y z' and b=$1"),
            ("select '', 1", "select 'insert into t', 2"),
        ] {
            assert_eq!(shape(one), shape(other), "{one}");
            assert!(shape(one).is_some(), "{one}");
        }
    }

    #[test]
    fn names_are_of_the_shape() {
        for (one, other) in [
            ("select a1", "select a2"),
            ("select \"a\"", "select \"b\""),
            ("select f('x')", "select g('x')"),
            ("select 1", "select 1, 1"),
            ("select a from t1", "select a from t 1"),
            ("select 'a''b'", "select 'ab'"),
        ] {
            assert_ne!(shape(one), shape(other), "{one}");
        }
    }

    #[test]
    fn what_is_not_certain_has_no_shape() {
        for text in [
            "select E'a\\'b'",
            "select U&'x'",
            "select $$a$$",
            "select $x$ a $x$",
            "select 1 -- it's",
            "select /* ' */ 1",
            "select 1e5",
            "select 0x1f",
            "select 1and",
            "select 'open",
            "select \"open",
            "select current_setting('a')",
            "SHOW a",
            "select set_config('a', 'b', false)",
            "explain (analyze 0) insert into t values (1)",
            "do 'begin end'",
        ] {
            assert_eq!(shape(text), None, "{text}");
        }
        assert!(shape(&"x ".repeat(600)).is_none());
        assert!(shape(&format!("select '{}'", "x".repeat(5_000))).is_some());
    }
}
