//! Recognisers of the small statements: EXPLAIN, PREPARE and its family, DISCARD, LISTEN and its family, LOAD, COPY,
//! CALL, and every other command by its first word.
//!
//! Owns their forms. Deliberately absent: what an EXECUTE does; the session knows what was prepared.

use super::Kind;
use super::calls;
use super::cursor::Cursor;
use super::effects::EffectSet;
use super::facts::{CopyDirection, Discard, Explain, StatementFacts, StatementKind};

/// Eats EXPLAIN and its options.
pub(super) fn explain(cursor: &mut Cursor) -> Explain {
    cursor.bump();
    let analyzes = |on: bool| if on { Explain::Analyze } else { Explain::Plan };
    if cursor.at_symbol(b'(') && !explains_parentheses(*cursor) {
        let mut found = Explain::Plan;
        cursor.bump();
        loop {
            let named = eat_analyze(cursor);
            let on = option_value(cursor);
            if named {
                found = analyzes(on); // The last one counts.
            }
            if !cursor.eat_symbol(b',') {
                break;
            }
        }
        cursor.eat_symbol(b')');
        return found;
    }
    let found = analyzes(cursor.eat_any(&["analyze", "analyse"]));
    cursor.eat("verbose");
    found
}

/// Eats the name of an option; true for ANALYZE, which may stand in quotes.
fn eat_analyze(cursor: &mut Cursor) -> bool {
    if cursor.eat_any(&["analyze", "analyse"]) {
        return true;
    }
    match cursor.name() {
        Some(name) => name == *"analyze",
        None => {
            cursor.bump();
            false
        }
    }
}

/// True before the parenthesis of a query, not of options.
fn explains_parentheses(mut cursor: Cursor) -> bool {
    while cursor.eat_symbol(b'(') {}
    cursor.at_any(&["select", "with", "table"])
        || cursor.at("values")
            && cursor.peek_second().is_some_and(|token| token.kind == Kind::Symbol(b'('))
}

/// Eats an option's value up to the comma or parenthesis; false only for what `defGetBoolean` reads as false.
pub(super) fn option_value(cursor: &mut Cursor) -> bool {
    let mut off = false;
    while let Some(token) = cursor.peek() {
        if matches!(token.kind, Kind::Symbol(b',' | b')')) {
            break;
        }
        let raw = token.span.of(cursor.text());
        let value = cursor.string();
        let value = value.as_deref().unwrap_or(raw);
        off = [&b"false"[..], b"off", b"0"].iter().any(|no| no.eq_ignore_ascii_case(value));
        if !token.kind.is_string() {
            cursor.bump();
        }
    }
    !off
}

/// What kind of query follows WITH: the first query's word outside of parentheses that is not the name of a CTE.
pub(super) fn behind_with(mut cursor: Cursor) -> StatementKind {
    let mut name_next = false;
    while let Some(token) = cursor.peek() {
        if cursor.parentheses().is_some() {
            continue;
        }
        let is = |word: &str| cursor.is(token, word);
        if !name_next {
            match () {
                () if is("select") || is("values") || is("table") => return StatementKind::Select,
                () if is("insert") => return StatementKind::Insert,
                () if is("update") => return StatementKind::Update,
                () if is("delete") => return StatementKind::Delete,
                () if is("merge") => return StatementKind::Merge,
                () => {}
            }
        }
        name_next = is("with") || is("recursive") || token.kind == Kind::Symbol(b',');
        cursor.bump();
    }
    // `WITH … (SELECT …)`
    StatementKind::Select
}

/// `PREPARE name [(types)] AS statement`
pub(super) fn prepare(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    cursor.bump();
    let Some(name) = cursor.name() else { return StatementKind::Unknown };
    cursor.parentheses();
    if !cursor.eat("as") || cursor.at_end() {
        return StatementKind::Unknown;
    }
    out.effects.add(EffectSet::PREPARE);
    let body = super::Span { start: cursor.offset(), end: cursor.text().len() };
    StatementKind::Prepare { name, body }
}

/// `EXECUTE name [(arguments)]`
pub(super) fn execute(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    cursor.bump();
    let Some(name) = cursor.name() else { return StatementKind::Unknown };
    out.effects.add(EffectSet::EXECUTE);
    calls::query(cursor, StatementKind::Execute { name }, out)
}

/// `DEALLOCATE [PREPARE] {name | ALL}`
pub(super) fn deallocate(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    cursor.bump();
    if cursor.peek_second().is_some() {
        cursor.eat("prepare");
    }
    let all = cursor.at("all");
    let name = cursor.name();
    if name.is_none() || !cursor.at_end() {
        return StatementKind::Unknown;
    }
    out.effects.add(EffectSet::DEALLOCATE);
    StatementKind::Deallocate { name: name.filter(|_| !all) }
}

/// `DISCARD {ALL | PLANS | SEQUENCES | TEMP | TEMPORARY}`
pub(super) fn discard(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    const KINDS: [(&str, Discard); 5] = [
        ("all", Discard::All),
        ("plans", Discard::Plans),
        ("sequences", Discard::Sequences),
        ("temp", Discard::Temp),
        ("temporary", Discard::Temp),
    ];
    cursor.bump();
    let found = KINDS.into_iter().find(|(word, _)| cursor.eat(word));
    let Some((_, what)) = found.filter(|_| cursor.at_end()) else { return StatementKind::Unknown };
    out.effects.add(EffectSet::DISCARD);
    if what == Discard::All {
        out.effects.add(EffectSet::NO_BLOCK);
    }
    StatementKind::Discard(what)
}

/// `LISTEN name`, `UNLISTEN {name | *}`, `NOTIFY name [, payload]`
pub(super) fn notification(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    let (listen, unlisten) = (cursor.at("listen"), cursor.at("unlisten"));
    cursor.bump();
    if unlisten && cursor.eat_symbol(b'*') {
        out.effects.add(EffectSet::UNLISTEN);
        return StatementKind::Unlisten { channel: None };
    }
    let Some(channel) = cursor.name() else { return StatementKind::Unknown };
    if listen {
        out.effects.add(EffectSet::LISTEN);
        StatementKind::Listen { channel }
    } else if unlisten {
        out.effects.add(EffectSet::UNLISTEN);
        StatementKind::Unlisten { channel: Some(channel) }
    } else {
        out.effects.add(EffectSet::NOTIFY);
        StatementKind::Notify { channel }
    }
}

/// `LOAD 'library'`
pub(super) fn load(out: &mut StatementFacts) -> StatementKind {
    out.effects.add(EffectSet::LOAD);
    StatementKind::Load
}

/// `CALL name(arguments)`
pub(super) fn call(cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    out.effects.add(EffectSet::CODE.with(EffectSet::NO_BLOCK));
    calls::query(cursor, StatementKind::Call, out)
}

/// `COPY [BINARY] {table [(columns)] | (query)} {FROM | TO} {STDIN | STDOUT | 'file' | PROGRAM 'command'} …`
pub(super) fn copy(cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    out.effects.add(EffectSet::COPY);
    let mut ahead = cursor;
    ahead.bump();
    let mut direction = None;
    while direction.is_none() && !ahead.at_end() {
        if ahead.parentheses().is_some() {
            continue;
        }
        direction = ahead.peek().filter(|token| ahead.is(*token, "from") || ahead.is(*token, "to"));
        ahead.bump();
    }
    // The server takes STDIN and STDOUT for each other (copy_file_name in `gram.y`).
    let client = ahead.at_any(&["stdin", "stdout"]);
    let kind = match direction {
        Some(token) if client && ahead.is(token, "from") => CopyDirection::FromClient,
        Some(_) if client => CopyDirection::ToClient,
        Some(_) | None => CopyDirection::OnServer,
    };
    calls::query(cursor, StatementKind::Copy(kind), out)
}

/// Commands of which a session needs no more than that they exist.
const UTILITIES: &[&str] = &[
    "alter",
    "analyse",
    "analyze",
    "checkpoint",
    "cluster",
    "comment",
    "drop",
    "grant",
    "import",
    "lock",
    "reassign",
    "refresh",
    "reindex",
    "repack",
    "revoke",
    "security",
    "truncate",
    "vacuum",
    "wait",
];

/// Those of them that leave the catalog as it is.
const NOT_DDL: &[&str] = &["analyse", "analyze", "checkpoint", "lock", "vacuum", "wait"];

/// Any other command; `word` is its first word in lower case.
pub(super) fn utility(cursor: Cursor, word: &[u8], out: &mut StatementFacts) -> StatementKind {
    let listed = |list: &[&str]| list.iter().any(|known| known.as_bytes() == word);
    if !listed(UTILITIES) {
        return StatementKind::Unknown;
    }
    if !listed(NOT_DDL) {
        out.effects.add(EffectSet::DDL);
    }
    if refuses_block(cursor, word) {
        out.effects.add(EffectSet::NO_BLOCK);
    }
    let kind = calls::query(cursor, StatementKind::Utility, out);
    // ALTER TABLE … SET DEFAULT nextval(…) names a sequence without moving it.
    out.effects = out.effects.without(EffectSet::SEQUENCE_MOVE.with(EffectSet::SEQUENCE_READ));
    kind
}

/// True for what the server refuses, or may refuse, inside a transaction block
/// (`PreventInTransactionBlock`): rather once too often.
pub(super) fn refuses_block(mut cursor: Cursor, word: &[u8]) -> bool {
    if matches!(word, b"vacuum" | b"cluster" | b"reindex" | b"repack") {
        return true;
    }
    cursor.bump();
    if cursor.at_any(&["database", "tablespace", "subscription", "system"]) {
        return true;
    }
    while let Some(token) = cursor.bump() {
        if cursor.is(token, "concurrently") {
            return true;
        }
    }
    false
}
