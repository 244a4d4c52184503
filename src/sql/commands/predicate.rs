//! Conditions that are true for every row, as far as a text shows it.
//!
//! Owns the reading of a condition as operands with OR between them: it is always true when one of them is. An operand
//! is when it names nothing of the row and is not plainly false. Deliberately absent: any arithmetic, and conditions
//! like `id = id` that would need it.

use super::super::{Kind, Token};
use super::reader::Reader;

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// True for every row.
    AlwaysTrue,
    /// Anything else.
    Other,
}

/// Words that name nothing of a row.
const CONSTANT_WORDS: &[&str] = &[
    "true", "false", "null", "not", "and", "or", "is", "unknown", "between", "like", "distinct",
    "from",
];

/// Words at which a condition is over.
const ENDS: &[&str] = &["returning", "when", "for", "on", "order", "limit", "group", "union"];

/// Reads the condition at `at`; each token costs one of `budget`.
pub(super) fn read(mut at: Reader, budget: &mut usize) -> Meaning {
    let mut depth = 0_usize;
    let mut operand = Operand::default();
    let mut found = Meaning::Other;
    while let Some(token) = at.peek() {
        let Some(left) = budget.checked_sub(1) else { return Meaning::Other };
        *budget = left;
        match token.kind {
            Kind::Symbol(b'(' | b'[') => depth += 1,
            Kind::Symbol(b')' | b']') if depth == 0 => break,
            Kind::Symbol(b')' | b']') => depth -= 1,
            Kind::Symbol(b';') => break,
            Kind::Word if depth == 0 && at.at("or") => {
                if operand.is_true(&at) {
                    found = Meaning::AlwaysTrue;
                }
                operand = Operand::default();
                at.bump();
                continue;
            }
            Kind::Word if depth == 0 && at.at_any(ENDS) => break,
            _ => {}
        }
        operand.add(token, &at);
        at.bump();
    }
    if operand.is_true(&at) { Meaning::AlwaysTrue } else { found }
}

/// Tokens that are kept of an operand.
const KEPT: usize = 16;

/// One operand of OR.
#[derive(Default)]
struct Operand {
    /// The first tokens, parentheses left out.
    tokens: [Option<Token>; KEPT],
    count: usize,
    /// A column, a parameter, a call: something that the text does not know.
    names: bool,
    behind_cast: bool,
}

impl Operand {
    fn add(&mut self, token: Token, at: &Reader) {
        let behind_cast = std::mem::take(&mut self.behind_cast);
        match token.kind {
            Kind::TypeCast => {
                self.behind_cast = true;
                return;
            }
            Kind::Symbol(b'(' | b')') => return,
            kind if kind.is_word() && behind_cast => return,
            Kind::Word => self.names |= !CONSTANT_WORDS.iter().any(|word| at.is(token, word)),
            Kind::QuotedWord | Kind::UnicodeWord | Kind::Param => self.names = true,
            _ => {}
        }
        if let Some(place) = self.tokens.get_mut(self.count) {
            *place = Some(token);
        }
        self.count += 1;
    }

    fn is_true(&self, at: &Reader) -> bool {
        if self.count == 0 || self.names {
            return false;
        }
        let tokens: Vec<Token> = self.tokens.iter().flatten().copied().collect();
        self.count > KEPT || !is_false(&tokens, at)
    }
}

/// Whether an operand without names is plainly not true: FALSE, NULL, NOT TRUE, `1 = 0`.
fn is_false(tokens: &[Token], at: &Reader) -> bool {
    match tokens {
        [one] => {
            let raw = one.span.of(at.text());
            at.is(*one, "false")
                || at.is(*one, "null")
                || one.kind.is_string()
                    && raw.get(1).is_some_and(|b| matches!(b, b'f' | b'F' | b'n' | b'N' | b'0'))
        }
        [not, one] if at.is(*not, "not") => at.is(*one, "true") || at.is(*one, "null"),
        [left, equals, right] => {
            let text = |token: &Token| token.span.of(at.text()).to_ascii_lowercase();
            let same = text(left) == text(right);
            match equals.kind {
                Kind::Symbol(b'=') => !same,
                Kind::NotEquals => same,
                _ => false,
            }
        }
        _ => false,
    }
}
