//! Names from outside, fit for a line of the log.

use std::fmt::{self, Write};

/// Characters of a name that a log line shows.
const SHOWN_CHARS: usize = 128;

/// A text with control characters escaped and its length capped: nobody writes log lines of their
/// own by what they call themselves.
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, c) in self.0.chars().enumerate() {
            if n == SHOWN_CHARS {
                return f.write_str("...");
            }
            if c.is_control() || c == '"' || c == '\\' {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_log_lines() {
        assert_eq!(Shown("näme").to_string(), "näme");
        assert_eq!(Shown("a\nINFO b\"\u{1b}[31m").to_string(), "a\\nINFO b\\\"\\u{1b}[31m");
        assert_eq!(Shown(&"x".repeat(1000)).to_string().len(), 131);
    }
}
