//! The shape of a text: the text without its literals. Texts of one shape are ruled alike, and one that is put together
//! anew each time is read once.
//!
//! A fast walk over bytes that knows less than the lexer: whatever it is not sure of has no shape, and is read each time.
//! Good for texts under the usual options alone.

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
    /// Perhaps of `U&''`.
    Ampersand,
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
            b'&' => Class::Ampersand,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// A hash that bytes go into one by one, eight of them at a time.
struct Mixer {
    state: u64,
    word: u64,
    count: u32,
}

impl Mixer {
    #[inline]
    fn add(&mut self, byte: u8) {
        self.word = self.word << 8 | u64::from(byte);
        self.count += 1;
        if self.count.is_multiple_of(8) {
            self.fold();
        }
    }

    /// As foldhash and wyhash: the two halves of a wide product.
    #[inline]
    fn fold(&mut self) {
        let wide = u128::from(self.state ^ self.word) * u128::from(0x9e37_79b9_7f4a_7c15_u64 | 1);
        self.state = (wide as u64 ^ (wide >> 64) as u64).rotate_left(23);
        self.word = 0;
    }

    fn finish(mut self) -> u64 {
        self.word |= u64::from(self.count) << 56;
        self.fold();
        self.fold();
        self.state
    }
}

/// A hash of the shape of a text, where it has one: no comments, no escapes, no dollar quotes, nothing of which the
/// meaning may hang on a literal. `seed` is secret.
#[must_use]
pub fn hash(text: &[u8], seed: u64) -> Option<u64> {
    let mut shape = Mixer { state: seed, word: 0, count: 0 };
    let class_at = |pos: usize| text.get(pos).map(|byte| CLASSES[usize::from(*byte)]);
    let mut pos = 0;
    while let Some(&byte) = text.get(pos) {
        let class = CLASSES[usize::from(byte)];
        let begin = pos;
        pos += 1;
        match class {
            Class::Other => shape.add(byte),
            Class::Word => {
                shape.add(byte);
                while let Some(Class::Word | Class::Digit | Class::Dollar) = class_at(pos) {
                    shape.add(text[pos]);
                    pos += 1;
                }
                // Its prefix says how a literal is read.
                let is_prefix = matches!(class_at(pos), Some(Class::Quote | Class::Ampersand));
                if is_prefix || hangs_on_literals(&text[begin..pos]) {
                    return None;
                }
            }
            Class::Digit => {
                while class_at(pos) == Some(Class::Digit) {
                    pos += 1;
                }
                if text.get(pos) == Some(&b'.') {
                    pos += 1;
                    while class_at(pos) == Some(Class::Digit) {
                        pos += 1;
                    }
                }
                // An exponent, another base, or junk.
                if class_at(pos) == Some(Class::Word) {
                    return None;
                }
                shape.add(b'0');
            }
            Class::Quote => {
                // Two of them in a literal are one: what comes is more of it.
                pos += text[pos..].iter().position(|byte| *byte == b'\'')? + 1;
                shape.add(byte);
            }
            Class::DoubleQuote => {
                pos += text[pos..].iter().position(|byte| *byte == b'"')? + 1;
                text[begin..pos].iter().for_each(|byte| shape.add(*byte));
            }
            Class::Dollar => {
                let digits = text[pos..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                pos += digits;
                if digits == 0 || class_at(pos) == Some(Class::Word) {
                    return None;
                }
                shape.add(byte);
            }
            Class::Dash if text.get(pos) == Some(&b'-') => return None,
            Class::Slash if text.get(pos) == Some(&b'*') => return None,
            Class::Dash | Class::Slash | Class::Ampersand => shape.add(byte),
        }
    }
    Some(shape.finish())
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

    fn shape(text: &str) -> Option<u64> {
        hash(text.as_bytes(), 7)
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
    fn many_texts_have_as_many_hashes() {
        let mut seen = std::collections::HashSet::new();
        for n in 0..26_u8 {
            for m in 0..26_u8 {
                for length in 1..20 {
                    let name = format!("{}{}", char::from(b'a' + n), "x".repeat(length));
                    let text = format!("select {name}, {}", char::from(b'a' + m));
                    assert!(seen.insert(shape(&text)), "{text}");
                }
            }
        }
        assert_ne!(hash(b"select a", 1), hash(b"select a", 2));
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
        assert!(shape(&format!("select '{}'", "x".repeat(5_000))).is_some());
    }
}
