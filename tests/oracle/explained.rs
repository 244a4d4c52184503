//! The differences that are as they should be, each with its reason.

/// Why the two sides differ about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The server refuses the value of a literal: a `\u` that is no character, bytes that are not UTF-8, a parameter
    /// number above 2^31. Our lexer only cuts; where the token ends does not depend on it.
    Value,
    /// pg_query takes `$1and` for a parameter and a word (its texts come from pg_stat_statements); servers since 15
    /// refuse it. Ours cuts as pg_query does and notes the flaw.
    GluedParameter,
    /// The recogniser calls a statement more than it is: a name of the user's own that equals one of ours, also one in
    /// quotes and capitals, or an object that cannot be told from its text. It costs a pin, never a leak. A WITH that
    /// writes counts wherever it stands, though the server takes it at the top level only.
    Cautious,
}

/// Explains a refusal that concerns a literal's value.
pub fn refused_value(message: &str) -> Option<Reason> {
    const MESSAGES: &[&str] = &[
        "invalid Unicode escape",
        "invalid Unicode surrogate pair",
        "invalid Unicode escape value",
        "invalid byte sequence for encoding",
        "parameter number too large",
    ];
    MESSAGES.iter().any(|known| message.contains(known)).then_some(Reason::Value)
}

/// True when a letter stands right behind a `$1`.
pub fn has_glued_parameter(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).filter(|at| bytes[*at] == b'$').any(|at| {
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let next = bytes.get(at + 1 + digits).copied().unwrap_or_default();
        digits > 0 && (next.is_ascii_alphabetic() || next == b'_' || next >= 0x80)
    })
}

/// True for an integer that the server calls a float because it does not fit in 32 bits.
pub fn overflows(raw: &[u8]) -> bool {
    let text = String::from_utf8_lossy(raw).replace('_', "").to_ascii_lowercase();
    let parsed = match text.get(..2) {
        Some("0x") => i32::from_str_radix(&text[2..], 16),
        Some("0o") => i32::from_str_radix(&text[2..], 8),
        Some("0b") => i32::from_str_radix(&text[2..], 2),
        _ => text.parse(),
    };
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'x' | b'o'));
    let exponent = !text.starts_with("0x") && text.contains('e');
    digits && !exponent && parsed.is_err()
}
