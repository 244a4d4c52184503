//! Code in a text: DO blocks, and the bodies of routines.
//!
//! Owns the reading of PL/pgSQL as a row of statements (one begins behind `;`, BEGIN, THEN, ELSE, LOOP or a label). A
//! body in SQL is a text of statements. Of other languages only words are seen. What EXECUTE is given is for `dynamic`.
//!
//! Deliberately absent: PL/pgSQL's grammar, the values of variables, and functions that the code calls.

use super::super::literal::Name;
use super::super::{Kind, Span, Statements};
use super::reader::{ObjectList, Reader};
use super::{Command, Commands, DEPTH_MAX, Place, dynamic, statement};
use super::{CreateIndex, DropIndex, Reindex, ReindexKind};

/// Code whose statements the text does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Why not.
    pub reason: OpaqueReason,
    /// CREATE or DROP with INDEX, or REINDEX, is among its words and literals.
    pub names_index_ddl: bool,
}

/// Why code cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpaqueReason {
    /// EXECUTE of something that is not one literal.
    Execute,
    /// It is in this language.
    Language(Name),
    /// It is inside of code inside of code, and so on.
    TooDeep,
}

/// Behind DO: `[LANGUAGE name] 'code' [LANGUAGE name]`.
pub(super) fn anonymous_block(mut at: Reader, out: &mut Commands) {
    let mut language = None;
    let mut code = None;
    while !at.at_end() {
        if at.eat("language") {
            language = at.name().or_else(|| at.string().map(|name| Name::of_parameter(&name)));
        } else if let Some(found) = at.string() {
            code = Some(found);
        } else {
            return out.add_unknown(&at);
        }
    }
    match code {
        Some(code) => body(&at, language.as_ref(), &code, out),
        // The grammar takes a DO without code; the server then refuses it.
        None if language.is_some() => {}
        None => out.add_unknown(&at),
    }
}

/// Adds the commands of a body; `at` is where it stands.
pub(super) fn body(at: &Reader, language: Option<&Name>, code: &[u8], out: &mut Commands) {
    if at.depth >= DEPTH_MAX {
        return opaque(at, OpaqueReason::TooDeep, names_index_ddl(code), out);
    }
    match language {
        None => block(at, code, out),
        Some(language) if *language == *"plpgsql" => block(at, code, out),
        Some(language) if *language == *"sql" => texts(at, code, code_place(at, true), out),
        Some(language) => foreign(at, language, code, out),
    }
}

/// Adds what cannot be read.
pub(super) fn opaque(at: &Reader, reason: OpaqueReason, names_index_ddl: bool, out: &mut Commands) {
    out.add(at, Command::Opaque(Opaque { reason, names_index_ddl }));
}

/// Adds the commands of a text that code runs.
pub(super) fn texts(at: &Reader, text: &[u8], place: Place, out: &mut Commands) {
    if at.depth >= DEPTH_MAX {
        return opaque(at, OpaqueReason::TooDeep, names_index_ddl(text), out);
    }
    for span in Statements::new(text, at.options()) {
        statement::read(at.inside(text, span, place), out);
    }
}

/// The place of code within `at`: it is as certain as that is.
pub(super) fn code_place(at: &Reader, certain: bool) -> Place {
    match at.place {
        Place::Assembled => Place::Assembled,
        Place::Code { certain: outer } => Place::Code { certain: certain && outer },
        Place::Plain | Place::Element | Place::Prepared => Place::Code { certain },
    }
}

/// Words behind which a statement may begin.
const STARTERS: &[&str] = &["begin", "declare", "then", "else", "loop"];

/// Adds the commands of a PL/pgSQL body.
fn block(at: &Reader, code: &[u8], out: &mut Commands) {
    let mut found = out.alike();
    let whole = Span { start: 0, end: code.len() };
    let mut block = Block {
        at: at.inside(code, whole, code_place(at, true)),
        nesting: 0,
        leaves: false,
        declares: false,
        opaque: false,
        read_until: 0,
        // Literals outside of EXECUTE matter only where something opaque may execute them.
        literals: out.alike(),
    };
    block.read(&mut found);
    if block.opaque {
        found.append(block.literals, |_| true);
    }
    let certain = !block.leaves;
    found.settle(certain, names_index_ddl(code));
    out.append(found, |_| true);
}

/// A walk over a PL/pgSQL body.
struct Block<'a> {
    at: Reader<'a>,
    /// Open IF, CASE and loops.
    nesting: usize,
    /// It has an EXCEPTION part, so whatever was done may be undone; or RETURN, EXIT or CONTINUE, so whatever follows
    /// may not be done.
    leaves: bool,
    /// Between DECLARE and BEGIN: what looks like a statement is a variable.
    declares: bool,
    /// It executes what cannot be read.
    opaque: bool,
    /// Up to here the body has been read as SQL. No other statement begins before.
    read_until: usize,
    literals: Commands,
}

impl Block<'_> {
    fn read(&mut self, out: &mut Commands) {
        let mut at_start = true;
        let mut raises = false;
        let mut executes = false;
        while let Some(token) = self.at.peek() {
            if token.kind.is_string() {
                let literal = self.at.string();
                if let Some(literal) = literal.filter(|_| !raises) {
                    self.literal(&literal);
                }
                at_start = false;
                continue;
            }
            if token.kind != Kind::Word {
                at_start = token.kind == Kind::Symbol(b';')
                    || token.span.of(self.at.text()) == b">>" && token.kind == Kind::Operator;
                self.at.bump();
                continue;
            }
            at_start &= self.at.offset() >= self.read_until;
            if at_start {
                raises = self.at.at("raise");
                self.nest();
            }
            if (at_start || executes) && self.at.eat("execute") {
                self.execute(out);
                at_start = false;
                executes = false;
                continue;
            }
            if at_start {
                self.statement(out);
            }
            // FOR row IN EXECUTE, RETURN QUERY EXECUTE, OPEN cursor FOR EXECUTE
            executes = self.at.at_any(&["in", "query", "for"]);
            at_start = self.at.at_any(STARTERS);
            self.at.bump();
        }
    }

    /// At the first word of a statement: what it opens or closes.
    fn nest(&mut self) {
        if self.at.at_any(&["if", "case", "loop", "while", "for", "foreach"]) {
            self.nesting += 1;
        }
        let mut ahead = self.at;
        if ahead.eat("end") && ahead.at_any(&["if", "case", "loop"]) {
            self.nesting = self.nesting.saturating_sub(1);
        }
        self.leaves |= self.at.at_any(&["exception", "return", "exit", "continue"]);
        self.declares = self.at.at("declare") || (self.declares && !self.at.at("begin"));
    }

    fn place(&self) -> Place {
        code_place(&self.at, self.nesting == 0)
    }

    /// True before an assignment: the word is a variable's name, whatever else it means.
    fn assigns(&self) -> bool {
        self.at.peek_second().is_some_and(|token| {
            matches!(token.kind, Kind::ColonEquals | Kind::Symbol(b'=' | b'.' | b'['))
        })
    }

    /// At the first word of a statement: reads it where it is SQL. The walk itself goes on behind that word.
    fn statement(&mut self, out: &mut Commands) {
        const SQL: &[&str] = &[
            "alter", "analyze", "call", "cluster", "commit", "comment", "copy", "create", "delete",
            "do", "drop", "grant", "insert", "lock", "merge", "refresh", "reindex", "repack",
            "reset", "revoke", "rollback", "select", "set", "truncate", "update", "vacuum", "with",
        ];
        let performs = self.at.at("perform");
        if self.declares || self.assigns() || (!performs && !self.at.at_any(SQL)) {
            return;
        }
        let start = self.at.offset();
        let mut end = self.at;
        while !end.at_end() && !end.at_symbol(b';') {
            end.skip();
        }
        self.read_until = end.behind();
        let part = self.at.part(Span { start, end: end.behind() }, self.place());
        if performs {
            super::query::read(part, out);
        } else {
            statement::read(part, out);
        }
    }

    /// Behind EXECUTE.
    fn execute(&mut self, out: &mut Commands) {
        let place = self.place();
        self.opaque |= dynamic::read(&mut self.at, place, out);
    }

    /// A literal that is not EXECUTE's: it may find its way there.
    fn literal(&mut self, literal: &[u8]) {
        let mut found = self.literals.alike();
        texts(&self.at, literal, Place::Assembled, &mut found);
        self.literals.append(found, Command::is_ddl);
    }
}

/// Code in another language: index DDL by its words, wherever they stand.
fn foreign(at: &Reader, language: &Name, code: &[u8], out: &mut Commands) {
    let seen = IndexWords::of(code);
    opaque(at, OpaqueReason::Language(language.clone()), seen.any(), out);
    let mut at = *at;
    at.place = Place::Assembled;
    if seen.creates {
        let found = CreateIndex {
            unique: false,
            concurrently: false,
            if_not_exists: false,
            name: None,
            table: None,
            only: false,
            insert_concurrently: None,
        };
        out.add(&at, Command::CreateIndex(found));
    }
    if seen.drops {
        let found = DropIndex {
            concurrently: false,
            if_exists: false,
            cascade: false,
            indexes: ObjectList::default(),
            insert_concurrently: None,
        };
        out.add(&at, Command::DropIndex(found));
    }
    if seen.reindexes {
        let found = Reindex {
            concurrently: false,
            kind: ReindexKind::Unknown,
            name: None,
            insert_concurrently: None,
        };
        out.add(&at, Command::Reindex(found));
    }
}

/// True when the words of index DDL are in `text`, wherever they stand.
pub(super) fn names_index_ddl(text: &[u8]) -> bool {
    IndexWords::of(text).any()
}

/// Words of index DDL.
#[derive(Clone, Copy, Default)]
struct IndexWords {
    /// CREATE [UNIQUE] INDEX
    creates: bool,
    /// DROP INDEX
    drops: bool,
    /// REINDEX
    reindexes: bool,
    /// INDEX up to [`FAR`] words behind CREATE or DROP: a newer server may have such a form.
    far: bool,
}

/// See [`IndexWords::far`].
const FAR: usize = 4;

impl IndexWords {
    fn of(text: &[u8]) -> Self {
        let mut found = Self::default();
        let (mut creates, mut drops, mut near) = (false, false, 0_usize);
        let words = text.split(|byte| !super::super::lexer::is_word_byte(*byte));
        for word in words.filter(|word| !word.is_empty()) {
            let is = |wanted: &[u8]| word.eq_ignore_ascii_case(wanted);
            found.creates |= creates && is(b"index");
            found.drops |= drops && is(b"index");
            found.reindexes |= is(b"reindex");
            found.far |= near > 0 && is(b"index");
            creates = is(b"create") || (creates && is(b"unique"));
            drops = is(b"drop");
            near = if creates || drops { FAR } else { near.saturating_sub(1) };
        }
        found
    }

    fn any(self) -> bool {
        self.far || self.reindexes
    }
}
