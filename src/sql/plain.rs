//! The one look that nearly every text gets: whether it is of plain queries, and whether the guard has to look closer.
//!
//! Owns the scan, which allocates nothing, and what of [`is_ordinary`](super::is_ordinary) can be told on the way. Where
//! this says that a text is ordinary, so does that; where it does not, that is to be asked.

use super::commands::IN_LIST_MIN;
use super::names::{self, Clause, Suspect};
use super::{Kind, LexOptions, Lexer, Span, Token};

/// A text of queries that leave their session as it is.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// How many statements it has.
    pub count: usize,
    /// It is [ordinary](super::is_ordinary) for certain.
    pub ordinary: bool,
}

/// Where a token stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning of a statement.
    Start,
    /// Inside of one.
    Inside,
    /// Behind an opening parenthesis.
    Open,
    /// Behind INSERT or MERGE: INTO is theirs.
    Insert,
    /// Behind the end of ON CONFLICT DO, FOR, FOR NO KEY: UPDATE begins no write.
    Lock,
}

/// The write that the statement is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    /// None.
    No,
    /// An UPDATE or DELETE that has not come to its WHERE.
    Bare,
    /// One that has.
    Conditional,
}

/// What a text is, if each of its statements is a query that begins with a query's word and holds no suspicious one.
pub fn plain(text: &[u8], options: LexOptions) -> Option<Plain> {
    let mut lexer = Lexer::new(text, options);
    let mut count = 0;
    let mut next = At::Start;
    let (mut parentheses, mut brackets) = (0_usize, 0_usize);
    let mut write = Write::No;
    let mut ordinary = true;
    let mut lists = false;
    while let Some(token) = lexer.next_here() {
        let at = std::mem::replace(&mut next, At::Inside);
        let Span { start, end } = token.span;
        let word = match token.kind {
            Kind::Word => text.get(start..end)?,
            Kind::QuotedWord => text.get(start + 1..end - 1)?, // None: it is not even closed.
            Kind::UnicodeWord => return None,
            Kind::Symbol(b';') => {
                if parentheses == 0 {
                    ordinary &= write != Write::Bare;
                    (next, brackets, write) = (At::Start, 0, Write::No);
                }
                continue;
            }
            Kind::Symbol(b'(') => {
                parentheses += 1;
                next = At::Open;
                if at == At::Start {
                    count += 1;
                    ordinary &= reads(lexer, text);
                }
                continue;
            }
            _ if at == At::Start => return None,
            Kind::Symbol(b')') => {
                ordinary &= parentheses > 0;
                parentheses = parentheses.saturating_sub(1);
                continue;
            }
            Kind::Symbol(b'[') => {
                brackets += 1;
                continue;
            }
            Kind::Symbol(b']') => {
                ordinary &= brackets > 0;
                brackets = brackets.saturating_sub(1);
                continue;
            }
            _ => continue,
        };
        if at == At::Start {
            count += 1;
            match begins_query(word).filter(|_| token.kind == Kind::Word)? {
                Query::Read => {}
                Query::Table => ordinary = false,
                Query::Insert => next = At::Insert,
                Query::Merge => (next, ordinary) = (At::Insert, false),
                Query::Write => write = Write::Bare,
            }
            continue;
        }
        let keyword = token.kind == Kind::Word;
        match names::suspect(word) {
            None if write == Write::No => {}
            None if keyword => {
                let outside = parentheses + brackets == 0;
                if outside && word.eq_ignore_ascii_case(b"where") {
                    write = Write::Conditional;
                    ordinary &= names_something(lexer, text);
                } else if word.eq_ignore_ascii_case(b"or") {
                    ordinary &= names_something(lexer, text);
                }
            }
            None => {}
            // A quoted word is no keyword.
            Some(Suspect::Insert | Suspect::Merge | Suspect::Clause(_)) if !keyword => {}
            // It may be a name in a SELECT: SELECT 1 AS insert INTO t.
            Some(Suspect::Insert | Suspect::Merge)
                if at != At::Open && !is_behind_with(text, start, options) =>
            {
                return None;
            }
            Some(Suspect::Insert) => next = At::Insert,
            Some(Suspect::Merge) => (next, ordinary) = (At::Insert, false),
            Some(Suspect::Into) if at == At::Insert => {}
            Some(Suspect::Clause(clause)) => match clause {
                Clause::In => lists = true,
                Clause::Lock => next = At::Lock,
                Clause::Write => ordinary &= at == At::Lock,
                Clause::Count | Clause::Offset => ordinary = false,
            },
            Some(
                Suspect::Into
                | Suspect::SetConfig
                | Suspect::CurrentSetting
                | Suspect::TempSchema
                | Suspect::Settings
                | Suspect::Prepared
                | Suspect::Call(_),
            ) => return None,
        }
    }
    ordinary &= write != Write::Bare && !(lists && may_be_long(text));
    lexer.flaw().is_none().then_some(Plain { count, ordinary })
}

/// True where nothing but WITH and its queries stands before `end`, if a statement begins there. Where one INSERT has begun
/// there is no second, so that a text is looked at twice at most.
#[inline(never)]
fn is_behind_with(text: &[u8], end: usize, options: LexOptions) -> bool {
    const OTHERS: [&[u8]; 3] = [b"select", b"insert", b"merge"];
    let mut depth = 0_usize;
    for token in Lexer::within(text, Span { start: 0, end }, options) {
        match token.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 => {
                let word = token.span.of(text);
                if OTHERS.iter().any(|other| other.eq_ignore_ascii_case(word)) {
                    return false;
                }
            }
            _ => {}
        }
    }
    depth == 0
}

/// How a query begins.
enum Query {
    /// SELECT, VALUES, WITH.
    Read,
    /// TABLE.
    Table,
    /// INSERT.
    Insert,
    /// MERGE.
    Merge,
    /// UPDATE or DELETE.
    Write,
}

fn begins_query(word: &[u8]) -> Option<Query> {
    let is = |wanted: &[u8]| word.eq_ignore_ascii_case(wanted);
    match word.first().map(u8::to_ascii_lowercase)? {
        b's' if is(b"select") => Some(Query::Read),
        b'u' if is(b"update") => Some(Query::Write),
        b'd' if is(b"delete") => Some(Query::Write),
        b'w' if is(b"with") => Some(Query::Read),
        b'v' if is(b"values") => Some(Query::Read),
        b't' if is(b"table") => Some(Query::Table),
        b'i' if is(b"insert") => Some(Query::Insert),
        b'm' if is(b"merge") => Some(Query::Merge),
        _ => None,
    }
}

/// True where the parentheses that a statement begins with open before SELECT, VALUES or WITH.
#[inline(never)]
fn reads(lexer: Lexer, text: &[u8]) -> bool {
    const READING: [&[u8]; 3] = [b"select", b"values", b"with"];
    let mut tokens = lexer.skip_while(|token| token.kind == Kind::Symbol(b'('));
    let begins = |token: Token| {
        let word = token.span.of(text);
        token.kind == Kind::Word && READING.iter().any(|one| one.eq_ignore_ascii_case(word))
    };
    tokens.next().is_some_and(begins)
}

/// True where what follows WHERE or OR begins with a name, in parentheses or not: then it is no condition that is
/// always true.
#[inline(never)]
fn names_something(lexer: Lexer, text: &[u8]) -> bool {
    const CONSTANTS: [&[u8]; 4] = [b"true", b"false", b"not", b"null"];
    let mut tokens = lexer.skip_while(|token| token.kind == Kind::Symbol(b'('));
    tokens.next().is_some_and(|token| {
        let word = token.span.of(text);
        match token.kind {
            Kind::Word => !CONSTANTS.iter().any(|one| one.eq_ignore_ascii_case(word)),
            Kind::QuotedWord => true,
            _ => false,
        }
    })
}

/// True where there are commas enough for a list that is told of, wherever they stand.
fn may_be_long(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b',').count() >= IN_LIST_MIN - 1
}
