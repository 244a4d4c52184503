//! Postgres' own scanner and parser, as pg_query packs them, and what the two sides say about one text.

use std::sync::{Mutex, MutexGuard};

use pg_query::protobuf::{ScanToken, Token as Theirs};
use pgweir::sql::{Flaw, Kind, LexOptions, Lexer, Span, Statements};

use crate::explained::{self, Reason};

/// The two sides about one text.
#[derive(Debug)]
pub enum Judgement {
    /// Equal.
    Same,
    /// Both refuse the text.
    BothRefuse,
    /// Only the parser could say, and it refuses the text.
    NoAnswer,
    /// Different, for a reason that is written down.
    Explained(Reason),
    /// Different.
    Different(String),
}

/// pg_query redirects the process' stderr for each call, so calls must not overlap.
static TURN: Mutex<()> = Mutex::new(());

pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Compares every token, comments included.
pub fn tokens(text: &str) -> Judgement {
    let mut lexer = Lexer::new(text.as_bytes(), LexOptions::default());
    let mut ours = Vec::new();
    while let Some(token) = lexer.tile() {
        if token.kind != Kind::Space {
            ours.push((token.span.start, token.span.end, token.kind));
        }
    }
    let scanned = {
        let _turn = turn();
        pg_query::scan(text)
    };
    let theirs = match scanned {
        Ok(result) => merged(text, &result.tokens),
        Err(error) => {
            return match lexer.flaw() {
                Some(_) => Judgement::BothRefuse,
                None => explained::refused_value(&error.to_string()).map_or_else(
                    || Judgement::Different(format!("only theirs refuses: {error}")),
                    Judgement::Explained,
                ),
            };
        }
    };
    if let Some(at) = (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at))
    {
        return Judgement::Different(format!(
            "token {at}: ours {:?}, theirs {:?}",
            ours.get(at),
            theirs.get(at)
        ));
    }
    match lexer.flaw() {
        None => Judgement::Same,
        Some(Flaw::NumberJunk) if explained::has_glued_parameter(text) => {
            Judgement::Explained(Reason::GluedParameter)
        }
        Some(flaw) => Judgement::Different(format!("only ours refuses: {flaw:?}")),
    }
}

/// Their tokens in our words.
fn merged(text: &str, tokens: &[ScanToken]) -> Vec<(usize, usize, Kind)> {
    let mut found: Vec<(usize, usize, Kind)> = Vec::new();
    let mut national = None;
    for token in tokens {
        let (start, end) = (token.start as usize, token.end as usize);
        let raw = &text.as_bytes()[start..end];
        if token.token == Theirs::Nchar as i32 && raw.len() == 1 {
            national = Some(start);
            continue;
        }
        let kind = kind(token.token, raw);
        match national.take() {
            Some(start) if kind == Kind::String => found.push((start, end, Kind::NationalString)),
            _ => found.push((start, end, kind)),
        }
    }
    found
}

fn kind(token: i32, raw: &[u8]) -> Kind {
    if let Ok(byte @ 1..) = u8::try_from(token) {
        let own = b",()[].;:+-*/%^<>=".contains(&byte);
        return if own { Kind::Symbol(byte) } else { Kind::Stray(byte) };
    }
    match Theirs::try_from(token) {
        Ok(Theirs::Ident) if raw.starts_with(b"\"") => Kind::QuotedWord,
        Ok(Theirs::Uident) => Kind::UnicodeWord,
        Ok(Theirs::Fconst) if explained::overflows(raw) => Kind::Integer,
        Ok(Theirs::Fconst) => Kind::Decimal,
        Ok(Theirs::Iconst) => Kind::Integer,
        Ok(Theirs::Sconst) => match raw.first() {
            Some(b'$') => Kind::DollarString,
            Some(b'\'') => Kind::String,
            _ => Kind::EscapeString,
        },
        Ok(Theirs::Usconst) => Kind::UnicodeString,
        Ok(Theirs::Bconst) => Kind::BitString,
        Ok(Theirs::Xconst) => Kind::HexString,
        Ok(Theirs::Op) => Kind::Operator,
        Ok(Theirs::Param) => Kind::Param,
        Ok(Theirs::Typecast) => Kind::TypeCast,
        Ok(Theirs::DotDot) => Kind::DotDot,
        Ok(Theirs::ColonEquals) => Kind::ColonEquals,
        Ok(Theirs::EqualsGreater) => Kind::EqualsGreater,
        Ok(Theirs::LessEquals) => Kind::LessEquals,
        Ok(Theirs::GreaterEquals) => Kind::GreaterEquals,
        Ok(Theirs::NotEquals) => Kind::NotEquals,
        Ok(Theirs::SqlComment) => Kind::LineComment,
        Ok(Theirs::CComment) => Kind::BlockComment,
        Ok(_) | Err(_) => Kind::Word,
    }
}

/// Compares where the statements begin and end, with `standard_conforming_strings` on or off.
pub fn statements(text: &str, standard_conforming_strings: bool) -> Judgement {
    let options = LexOptions { standard_conforming_strings, ..LexOptions::default() };
    let ours: Vec<_> = Statements::new(text.as_bytes(), options).collect();
    let theirs = if standard_conforming_strings {
        let _turn = turn();
        pg_query::split_with_parser(text)
            .map(|parts| parts.into_iter().map(|part| span(text, part)).collect())
    } else {
        let _turn = turn();
        let parsed =
            pg_query::parse(text, pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS);
        // The setting stays with the thread until the next parse.
        let _ = pg_query::parse("", pg_query::ParserOptions::DEFAULT);
        parsed.map(|result| {
            let spans = result.protobuf.stmts.iter().map(|statement| {
                let start = statement.stmt_location as usize;
                let len = statement.stmt_len as usize;
                Span { start, end: if len == 0 { text.len() } else { start + len } }
            });
            spans.collect::<Vec<_>>()
        })
    };
    let Ok(theirs) = theirs else { return Judgement::NoAnswer };
    let theirs: Vec<_> = theirs.into_iter().map(|span| trimmed(text, span, options)).collect();
    if ours == theirs {
        return Judgement::Same;
    }
    let at = (0..).find(|at| ours.get(*at) != theirs.get(*at)).expect("they differ");
    Judgement::Different(format!(
        "statement {at}: ours {:?}, theirs {:?}",
        ours.get(at),
        theirs.get(at)
    ))
}

fn span(text: &str, part: &str) -> Span {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    Span { start, end: start + part.len() }
}

/// Without blanks and comments at both ends: their statements carry them, ours do not.
fn trimmed(text: &str, span: Span, options: LexOptions) -> Span {
    let mut tokens = Lexer::within(text.as_bytes(), span, options);
    let Some(first) = tokens.next() else { return span };
    let last = tokens.last().unwrap_or(first);
    Span { start: first.span.start, end: last.span.end }
}
