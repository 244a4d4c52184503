//! What holds for every text: shared by the fuzz targets and the test that replays their findings.
//!
//! The first byte of the data says how the text is read, so that a fuzzer finds its way into every encoding.

use pgweir::sql::commands::{Command, Place, is_ordinary};
use pgweir::sql::reads::reading;
use pgweir::sql::{
    Encoding, LexOptions, Lexer, Span, Statements, commands, facts, plain, upkeep, vacated,
};

/// How to read a text, and the text.
fn split(data: &[u8]) -> Option<(LexOptions, &[u8])> {
    const ENCODINGS: [Encoding; 5] = [
        Encoding::AsciiSafe,
        Encoding::Sjis,
        Encoding::TwoByte,
        Encoding::Gb18030,
        Encoding::Johab,
    ];
    let (first, text) = data.split_first()?;
    // Letters and blanks, which texts begin with, mean the usual settings.
    let special = first.checked_sub(0x80).map(usize::from);
    let encoding = special.and_then(|n| ENCODINGS.get(n % 8)).copied().unwrap_or_default();
    let standard_conforming_strings = special.is_none_or(|n| n & 8 == 0);
    let options = LexOptions { standard_conforming_strings, encoding };
    Some((options, if special.is_some() { text } else { data }))
}

/// Tokens tile the text, the short way reads what the long way does, statements hold every token.
pub fn lexer(data: &[u8]) {
    let Some((options, text)) = split(data) else { return };
    let mut tiles = Lexer::new(text, options);
    let mut tokens = Lexer::new(text, options);
    let mut at = 0;
    while let Some(tile) = tiles.tile() {
        assert_eq!(tile.span.start, at);
        assert!(tile.span.end > at);
        at = tile.span.end;
        if !tile.kind.is_trivia() {
            assert_eq!(tokens.next(), Some(tile));
        }
    }
    assert_eq!(at, text.len());
    assert_eq!(tokens.next(), None);
    let mut covered = 0;
    for span in Statements::new(text, options) {
        assert!(span.start >= covered && span.end > span.start);
        for token in Lexer::within(text, Span { start: covered, end: span.start }, options) {
            assert_eq!(token.span.of(text), b";");
        }
        covered = span.end;
    }
}

/// Facts and commands agree with themselves and each other.
pub fn recognisers(data: &[u8]) {
    let Some((options, text)) = split(data) else { return };
    let known = facts(text, options);
    assert_eq!(known.count(), Statements::new(text, options).count());
    for statement in known.statements() {
        let _ = upkeep(statement, text, options);
    }
    let _ = vacated(text, options);
    let _ = reading(text, options);
    let found = commands(text, options);
    let told = plain(text, options).is_some_and(|found| found.ordinary);
    assert!(!told || is_ordinary(text, options), "the first look says ordinary");
    if is_ordinary(text, options) {
        let longer = [b"analyze;", text].concat();
        assert_eq!(commands(&longer, options).found().len(), 1, "not ordinary after all");
        return;
    }
    assert_eq!(found.statements(), known.count());
    let mut before = 0;
    for one in found.found() {
        assert!(one.statement >= before && one.statement < found.statements());
        assert!(one.span.end <= text.len());
        before = one.statement;
        // With the word put in where we say, the command is concurrent.
        let at = match &one.command {
            Command::CreateIndex(index) => index.insert_concurrently,
            Command::DropIndex(drop) => drop.insert_concurrently,
            Command::Reindex(reindex) => reindex.insert_concurrently,
            Command::Refresh(refresh) => refresh.insert_concurrently,
            _ => None,
        };
        let Some(at) = at else { continue };
        assert!(one.place == Place::Plain && one.span.start < at && at <= one.span.end);
        let safe = [&text[..at], b" CONCURRENTLY ", &text[at..]].concat();
        let changed = commands(&safe, options);
        let same = changed.found().iter().find(|other| other.statement == one.statement);
        let concurrent = same.is_some_and(|other| match &other.command {
            Command::Refresh(refresh) => refresh.concurrently,
            command => {
                !command.is_blocking_index_ddl()
                    && std::mem::discriminant(command) == std::mem::discriminant(&one.command)
            }
        });
        assert!(concurrent, "still blocking: {:?}", String::from_utf8_lossy(&safe));
    }
}
