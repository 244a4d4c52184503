//! Whether a text holds nothing that a rule could ask for: ordinary queries, told in one pass of the lexer.
//!
//! Owns the short list of words that make a query worth a closer look. Saying no too often costs a little time; saying
//! yes too often would lose a finding, so `query` and this file must know the same words.
//! So must `plain`, which asks less exactly, in the look that every text gets anyway.

use super::super::lexer::Lexer;
use super::super::{Kind, LexOptions, Span, Token};
use super::IN_LIST_MIN;
use super::levels::Selects;

/// True for a text of SELECT, INSERT, UPDATE and DELETE without a word that the recognisers look for. Allocates
/// nothing.
pub fn is_ordinary(text: &[u8], options: LexOptions) -> bool {
    let mut lexer = Lexer::new(text, options);
    let mut scan = Scan::new(text);
    while let Some(token) = lexer.next_here() {
        if !scan.token(token) {
            return false;
        }
    }
    lexer.flaw().is_none() && scan.ends()
}

/// What has been seen of the statement so far.
struct Scan<'a> {
    text: &'a [u8],
    state: State,
    /// Open parentheses: a `;` inside of them ends no statement.
    depth: usize,
    /// Open brackets.
    brackets: usize,
    /// An UPDATE or DELETE that has not come to its WHERE.
    wants_condition: bool,
    /// It is an UPDATE or DELETE.
    writes: bool,
    selects: Selects,
    lists: bool,
    commas: usize,
}

/// What the token before leaves to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a statement.
    Start,
    /// Nothing.
    Inside,
    /// Behind a word behind which another means nothing new: the INTO of INSERT, the UPDATE of FOR UPDATE.
    Before(Expected),
    /// Behind WHERE or OR of a write: the condition must begin with a name.
    Condition,
    /// Behind `count`.
    Count,
    /// Behind `count(`.
    CountArgument,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Into,
    Write,
}

impl<'a> Scan<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            state: State::Start,
            depth: 0,
            brackets: 0,
            wants_condition: false,
            writes: false,
            selects: Selects::default(),
            lists: false,
            commas: 0,
        }
    }

    /// Takes one token; false when the text is not ordinary.
    #[inline]
    fn token(&mut self, token: Token) -> bool {
        let Span { start, end } = token.span;
        let state = std::mem::replace(&mut self.state, State::Inside);
        match token.kind {
            Kind::Word => {
                let word = self.text.get(start..end).unwrap_or_default();
                if state == State::Start { self.first(word) } else { self.word(word, state) }
            }
            Kind::QuotedWord => {
                // A quoted name may be that of a function.
                state != State::Start
                    && !is_called_name(self.text.get(start + 1..end - 1).unwrap_or_default())
            }
            Kind::UnicodeWord => false,
            Kind::Symbol(byte) => self.symbol(byte, state),
            Kind::Integer if state == State::CountArgument => false,
            _ => state != State::Start && no_condition(state),
        }
    }

    /// At the end of the text.
    fn ends(&self) -> bool {
        let long_list = self.lists && self.commas >= IN_LIST_MIN - 1;
        !self.wants_condition && !long_list
    }

    fn symbol(&mut self, byte: u8, state: State) -> bool {
        match byte {
            b';' if self.depth == 0 => {
                self.state = State::Start;
                let complete = self.ends();
                self.wants_condition = false;
                self.writes = false;
                self.brackets = 0;
                self.selects = Selects::default();
                return complete && no_condition(state);
            }
            b'(' => {
                self.depth += 1;
                self.selects.open(self.depth);
                match state {
                    // `(SELECT …)`, `WHERE (a = 1)`
                    State::Start | State::Condition => self.state = state,
                    State::Count => self.state = State::CountArgument,
                    State::Inside | State::Before(_) | State::CountArgument => {}
                }
                return true;
            }
            b'[' => self.brackets += 1,
            b']' => {
                let Some(brackets) = self.brackets.checked_sub(1) else { return false };
                self.brackets = brackets;
            }
            b')' => {
                let Some(depth) = self.depth.checked_sub(1) else { return false };
                self.depth = depth;
            }
            b',' => self.commas += 1,
            b'*' if state == State::CountArgument => return false,
            _ => {}
        }
        state != State::Start && no_condition(state)
    }

    /// The first word of a statement.
    fn first(&mut self, word: &[u8]) -> bool {
        let is = |wanted: &[u8]| word.eq_ignore_ascii_case(wanted);
        match (word.len(), word.first().map_or(0, u8::to_ascii_lowercase)) {
            (6, b's') => {
                self.selects.begin(self.depth);
                is(b"select")
            }
            (6, b'i') if is(b"insert") => {
                self.state = State::Before(Expected::Into);
                true
            }
            (6, b'u' | b'd') if is(b"update") || is(b"delete") => {
                self.wants_condition = self.depth == 0;
                self.writes = true;
                self.depth == 0
            }
            (6, b'v') => is(b"values"),
            (4, b'w') => is(b"with"),
            _ => false,
        }
    }

    /// Any other word.
    #[inline]
    fn word(&mut self, word: &[u8], state: State) -> bool {
        let is = |wanted: &[u8]| word.eq_ignore_ascii_case(wanted);
        let first = word.first().map_or(0, |byte| byte | 0x20);
        match (word.len(), first) {
            (2, b'o') if self.writes && is(b"or") => self.state = State::Condition,
            (2, b'i') if is(b"in") => self.lists = true,
            (2, b'd') if is(b"do") => self.state = State::Before(Expected::Write),
            (3, b'f') if is(b"for") => self.state = State::Before(Expected::Write),
            (3, b'k') if is(b"key") => self.state = State::Before(Expected::Write),
            (4, b'i') if is(b"into") => return state == State::Before(Expected::Into),
            (4, b't') if is(b"true") => return no_condition(state),
            (3, b'n') if is(b"not") => return no_condition(state),
            (4, b'n') if is(b"null") => return no_condition(state),
            (5, b'w') if self.writes && self.depth + self.brackets == 0 && is(b"where") => {
                self.wants_condition = false;
                self.state = State::Condition;
            }
            (5, b'c') if is(b"count") => self.state = State::Count,
            (5, b'f') if is(b"false") => return no_condition(state),
            (5, b'm') => return !is(b"merge"),
            (6, b's') if is(b"select") => self.selects.begin(self.depth),
            // In a SELECT it is a name.
            (6, b'i') if is(b"insert") && !self.selects.has(self.depth) => {
                self.state = State::Before(Expected::Into);
            }
            (6, b'u' | b'd') if is(b"update") || is(b"delete") => {
                return state == State::Before(Expected::Write);
            }
            (6, b'o') => return !is(b"offset"),
            (10.., b's' | b'p') => return !is_called_name(word),
            _ => {}
        }
        true
    }
}

/// False where a condition must begin and does not with a name.
fn no_condition(state: State) -> bool {
    state != State::Condition
}

/// True for the functions that rules ask for.
#[inline]
fn is_called_name(word: &[u8]) -> bool {
    match (word.len(), word.first().map_or(0, |byte| byte | 0x20)) {
        (10, b's') => word.eq_ignore_ascii_case(b"set_config"),
        (16.., b'p') => {
            const LOCKS: [&[u8]; 4] = [
                b"pg_advisory_lock",
                b"pg_advisory_lock_shared",
                b"pg_try_advisory_lock",
                b"pg_try_advisory_lock_shared",
            ];
            LOCKS.iter().any(|lock| word.eq_ignore_ascii_case(lock))
        }
        _ => false,
    }
}
