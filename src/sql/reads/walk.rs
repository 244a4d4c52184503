//! The walk over one query: where tables stand, where calls do, and what makes the query more than a read.
//!
//! Owns one level for each open parenthesis, of which there are so many at most; nothing recurses. What it knows of the
//! grammar is where a FROM clause begins and ends, and what may stand in it. Where that leaves a doubt, a name counts.

use super::super::commands::ObjectName;
use super::super::cursor::Cursor;
use super::super::literal::Name;
use super::super::{Kind as TokenKind, Token};
use super::found::{Found, Part};
use super::words::{self, Word};
use super::{Kind, Why};

/// Deeper parentheses than this prove nothing.
const DEPTH_MAX: usize = 64;
/// More CTEs than this neither.
const CTES_MAX: usize = 256;

/// Whether the query is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is.
    Run,
    /// It is only planned, behind EXPLAIN: nothing in it writes.
    Plan,
}

/// Where the walk stands in one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first token.
    #[default]
    Start,
    /// In an expression, or anywhere else where names are columns and calls are calls.
    Expression,
    /// Where a table is to come: behind FROM, a comma of it, or JOIN.
    Item,
    /// Where the table is to come that is written, in what is only planned.
    Target,
    /// Behind a table: its alias, columns, TABLESAMPLE.
    Behind,
    /// In the condition of a join.
    On,
    /// Where WITH names a query.
    Cte,
    /// Behind that name.
    CteName,
    /// Behind its AS.
    CteAs,
    /// Behind its query.
    CteBehind,
}

/// One level of parentheses or brackets.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    at: At,
    /// SELECT, or a verb that writes, has stood here: a FROM is that of a query.
    queries: bool,
    /// A verb that writes has: USING brings tables.
    writes: bool,
    /// WITH RECURSIVE: its queries see their own names.
    recursive: bool,
}

/// The name of a query in WITH.
#[derive(Debug)]
struct Cte {
    name: Name,
    /// Of the level that its WITH stands in.
    depth: usize,
    /// Whether names mean it by now.
    visible: bool,
}

/// A walk over the tokens of a query.
pub(super) struct Walk<'a, 'b> {
    cursor: &'b mut Cursor<'a>,
    found: &'b mut Found,
    mode: Mode,
    levels: [Level; DEPTH_MAX],
    depth: usize,
    ctes: Vec<Cte>,
    /// The token before is the keyword AS.
    behind_as: bool,
}

impl<'a, 'b> Walk<'a, 'b> {
    /// At the beginning of a query.
    pub(super) fn new(cursor: &'b mut Cursor<'a>, found: &'b mut Found, mode: Mode) -> Self {
        let levels = [Level::default(); DEPTH_MAX];
        Self { cursor, found, mode, levels, depth: 0, ctes: Vec::new(), behind_as: false }
    }

    /// Reads the query up to its `;`.
    pub(super) fn query(mut self) -> Kind {
        self.walk().unwrap_or_else(|kind| kind)
    }

    /// Reads arguments, as those of EXECUTE.
    pub(super) fn expression(mut self) -> Kind {
        self.level().at = At::Expression;
        self.walk().unwrap_or_else(|kind| kind)
    }

    /// Reads the name of one table.
    pub(super) fn table(mut self) -> Kind {
        match self.path() {
            Some(path) => {
                self.found.relations.insert(path.object(self.cursor.text()));
                Kind::Read
            }
            None => Kind::Unknown,
        }
    }

    /// # Errors
    /// What the statement is, where it is more than a read.
    fn walk(&mut self) -> Result<Kind, Kind> {
        while let Some(token) = self.cursor.peek() {
            let behind_as = std::mem::take(&mut self.behind_as);
            match token.kind {
                TokenKind::Symbol(b';') if self.depth == 0 => break,
                TokenKind::Symbol(b';') => return Err(Kind::Unknown),
                TokenKind::Symbol(b'(' | b'[') => self.open(token)?,
                TokenKind::Symbol(b')' | b']') => self.close()?,
                TokenKind::Symbol(b',') => {
                    self.cursor.bump();
                    self.comma();
                }
                TokenKind::Word | TokenKind::QuotedWord | TokenKind::UnicodeWord if behind_as => {
                    // A label, an alias, a type: what follows in parentheses are no arguments.
                    self.path();
                }
                TokenKind::Word | TokenKind::QuotedWord | TokenKind::UnicodeWord => {
                    self.word(token)?;
                }
                TokenKind::TypeCast => {
                    self.cursor.bump();
                    self.path();
                }
                // `(row).field`, `rows[1].field`
                TokenKind::Symbol(b'.') => {
                    self.cursor.bump();
                    if let Some(part) = self.part() {
                        self.found.dotted(part, self.cursor.text());
                    }
                }
                // `FROM t *` is FROM t.
                TokenKind::Symbol(b'*') => {
                    self.cursor.bump();
                }
                _ => {
                    self.cursor.bump();
                    let level = self.level();
                    if matches!(level.at, At::Start | At::Behind) {
                        level.at = At::Expression;
                    }
                }
            }
        }
        if self.depth > 0 { Err(Kind::Unknown) } else { Ok(Kind::Read) }
    }

    fn level(&mut self) -> &mut Level {
        // Never past the end: `open` sees to it.
        &mut self.levels[self.depth.min(DEPTH_MAX - 1)]
    }

    fn open(&mut self, token: Token) -> Result<(), Kind> {
        self.cursor.bump();
        let level = self.level();
        let inner = match level.at {
            At::Item if token.kind == TokenKind::Symbol(b'(') => At::Item,
            _ => At::Start,
        };
        if matches!(level.at, At::Start | At::CteBehind) {
            level.at = At::Expression;
        }
        let body = level.at == At::CteAs && level.recursive;
        if self.depth + 1 >= DEPTH_MAX {
            return Err(Kind::Unknown);
        }
        if body && let Some(cte) = self.ctes.last_mut() {
            cte.visible = true;
        }
        self.depth += 1;
        *self.level() = Level { at: inner, ..Level::default() };
        Ok(())
    }

    fn close(&mut self) -> Result<(), Kind> {
        self.cursor.bump();
        let depth = self.depth;
        while self.ctes.pop_if(|cte| cte.depth >= depth).is_some() {}
        self.depth = depth.checked_sub(1).ok_or(Kind::Unknown)?;
        let level = self.level();
        match level.at {
            At::Item | At::Target => level.at = At::Behind,
            At::CteAs => {
                level.at = At::CteBehind;
                if let Some(cte) = self.ctes.last_mut() {
                    cte.visible = true;
                }
            }
            At::Start
            | At::Expression
            | At::Behind
            | At::On
            | At::Cte
            | At::CteName
            | At::CteBehind => {}
        }
        Ok(())
    }

    fn comma(&mut self) {
        let level = self.level();
        level.at = match level.at {
            At::Start | At::Expression => At::Expression,
            At::Item | At::Target | At::Behind | At::On => At::Item,
            At::Cte | At::CteName | At::CteAs | At::CteBehind => At::Cte,
        };
    }

    /// Eats a word, or a name with points in it, and acts on it.
    fn word(&mut self, token: Token) -> Result<(), Kind> {
        let keyword = match token.kind {
            TokenKind::Word => words::word(token.span.of(self.cursor.text())),
            _ => Word::Name,
        };
        // None of the words that could be names is a keyword before a point.
        let pointed = || {
            let next = self.cursor.peek_second();
            next.is_some_and(|token| token.kind == TokenKind::Symbol(b'.'))
        };
        match keyword {
            Word::Name => self.name(token),
            Word::Delete | Word::Insert | Word::Merge | Word::Update if pointed() => {
                self.name(token);
            }
            Word::Delete | Word::Insert | Word::Merge | Word::Update => {
                if self.mode == Mode::Run {
                    return Err(Kind::Write(Why::Dml));
                }
                self.cursor.bump();
                let targets = if keyword == Word::Update {
                    !self.cursor.at("set") // MERGE … THEN UPDATE SET
                } else {
                    self.cursor.eat_any(&["from", "into"])
                };
                let level = self.level();
                (level.queries, level.writes) = (true, true);
                level.at = if targets { At::Target } else { At::Expression };
            }
            Word::As => {
                self.cursor.bump();
                self.behind_as = true;
                let level = self.level();
                if level.at == At::CteName {
                    level.at = At::CteAs;
                }
            }
            Word::Ends => {
                self.cursor.bump();
                self.level().at = At::Expression;
            }
            Word::Combines => {
                self.cursor.bump();
                self.level().at = At::Start;
            }
            Word::All => {
                self.cursor.bump();
            }
            Word::For => return self.locking(),
            Word::From => {
                self.cursor.bump();
                let level = self.level();
                if level.queries {
                    level.at = At::Item;
                } else if level.at == At::Start {
                    level.at = At::Expression;
                }
            }
            Word::Into if self.mode == Mode::Run => return Err(Kind::Write(Why::Into)),
            Word::Into => {
                self.cursor.bump();
                self.level().at = At::Expression;
            }
            Word::Is if self.is_distinct_from() => {}
            Word::Is => self.name(token),
            Word::Join => {
                if self.cursor.peek_second().is_some_and(opens) {
                    // It may be a function's name.
                    self.name(token);
                } else {
                    self.cursor.bump();
                }
                let level = self.level();
                if matches!(level.at, At::Behind | At::On) {
                    level.at = At::Item;
                }
            }
            Word::On => {
                self.cursor.bump();
                if self.level().writes {
                    self.cursor.eat("conflict");
                }
                let level = self.level();
                if level.at == At::Behind {
                    level.at = At::On;
                }
            }
            Word::Only => {
                self.cursor.bump();
            }
            Word::Rows if self.level().at == At::Item && self.is_rows_from() => {
                self.level().at = At::Behind;
            }
            Word::Rows => self.name(token),
            Word::Select => {
                self.cursor.bump();
                let level = self.level();
                level.queries = true;
                level.at = At::Expression;
            }
            Word::Table => {
                self.cursor.bump();
                let level = self.level();
                // Anywhere else it is a label.
                if level.writes || matches!(level.at, At::Start | At::Item | At::CteBehind) {
                    level.at = At::Item;
                }
            }
            // It calls a function by the name of a type.
            Word::Treat if self.cursor.peek_second().is_some_and(opens) => {
                return Err(Kind::Unknown);
            }
            Word::Treat => self.name(token),
            Word::Using => {
                self.cursor.bump();
                let level = self.level();
                if level.writes {
                    level.at = At::Item;
                }
            }
            Word::Values if self.is_values() => {
                self.cursor.bump();
                self.level().at = At::Expression;
            }
            Word::Values => self.name(token),
            Word::Within if self.is_within_group() => {}
            Word::Within => self.name(token),
            Word::With => {
                self.cursor.bump();
                if matches!(self.level().at, At::Start | At::Item) {
                    let recursive = self.cursor.eat("recursive");
                    let level = self.level();
                    level.recursive = recursive;
                    level.at = At::Cte;
                }
            }
            Word::Reserved => {
                self.cursor.bump();
                let level = self.level();
                level.at = match level.at {
                    At::Start => At::Expression,
                    At::Item | At::Target => At::Behind, // CURRENT_DATE, CAST (…)
                    other => other,
                };
            }
        }
        Ok(())
    }

    /// Eats a name that is no keyword here.
    fn name(&mut self, token: Token) {
        let Some(path) = self.path() else { return };
        let (call, names) = (self.cursor.at_symbol(b'('), self.cursor.at("as"));
        let level = self.level();
        match level.at {
            At::Behind | At::CteName | At::CteAs | At::CteBehind => return,
            At::Cte => {
                if !call && !names {
                    // A column of SEARCH or CYCLE.
                    level.at = At::CteBehind;
                    return;
                }
                level.at = At::CteName;
                let depth = self.depth;
                if self.ctes.len() < CTES_MAX {
                    let name = path.name.name(self.cursor.text());
                    self.ctes.push(Cte { name, depth, visible: false });
                }
                return;
            }
            At::Target => {
                level.at = At::Behind;
                self.found.relations.insert(path.object(self.cursor.text()));
                return;
            }
            At::Item => level.at = At::Behind,
            At::Start => level.at = At::Expression,
            At::Expression | At::On => {
                if !call && path.schema.is_none() {
                    return;
                }
            }
        }
        let is_item = self.level().at == At::Behind;
        let text = self.cursor.text();
        if call {
            let bare = token.kind == TokenKind::Word && path.schema.is_none();
            if bare && words::is_construct(token.span.of(text)) {
                return;
            }
            let function = path.object(text);
            if function.name.as_bytes() == b"current_setting" {
                self.setting();
            }
            self.found.functions.insert(function);
        } else if is_item {
            let relation = path.object(text);
            let cte = |cte: &Cte| cte.visible && cte.name == relation.name;
            if relation.schema.is_some() || !self.ctes.iter().any(cte) {
                self.found.relations.insert(relation);
            }
        } else if path.schema.is_some() {
            self.found.dotted(path.name, text);
        }
    }

    /// Before the arguments of `current_setting`.
    fn setting(&mut self) {
        let mut ahead = *self.cursor;
        ahead.bump();
        let name = ahead.string().map(|name| Name::of_parameter(&name));
        let whole = ahead.at_symbol(b')') || ahead.at_symbol(b',');
        let unknown = || Name::new(b"current_setting");
        self.found.reads(name.filter(|_| whole).unwrap_or_else(unknown));
    }

    /// At FOR: a locking clause, or one of SUBSTRING, OVERLAY, XMLTABLE and others.
    fn locking(&mut self) -> Result<(), Kind> {
        self.cursor.bump();
        let locks = self.cursor.eat_any(&["update", "share"])
            || self.cursor.eat_all(&["no", "key", "update"])
            || self.cursor.eat_all(&["key", "share"]);
        if locks && self.mode == Mode::Run {
            return Err(Kind::Write(Why::RowLocks));
        }
        let level = self.level();
        if locks || level.at == At::Start {
            level.at = At::Expression;
        }
        Ok(())
    }

    /// Eats `IS [NOT] DISTINCT FROM` when that is next.
    fn is_distinct_from(&mut self) -> bool {
        self.cursor.eat_all(&["is", "distinct", "from"])
            || self.cursor.eat_all(&["is", "not", "distinct", "from"])
    }

    /// True before `VALUES (`, but behind a table: there it may be an alias with its columns. What an INSERT has there is
    /// read as if it were one, and its calls count all the same.
    fn is_values(&mut self) -> bool {
        self.level().at != At::Behind && self.cursor.peek_second().is_some_and(opens)
    }

    /// Eats `WITHIN GROUP` when that is next, and not an alias before GROUP BY.
    fn is_within_group(&mut self) -> bool {
        let mut trial = *self.cursor;
        let found = trial.eat_all(&["within", "group"]) && trial.at_symbol(b'(');
        if found {
            *self.cursor = trial;
        }
        found
    }

    /// Eats `ROWS FROM` when that is next.
    fn is_rows_from(&mut self) -> bool {
        self.cursor.eat_all(&["rows", "from"])
    }

    /// Eats a name and what hangs on it by points. What stands between the ends of `a.b.c` may be called of `a`.
    fn path(&mut self) -> Option<Path> {
        let mut path = Path { schema: None, name: self.part()? };
        while self.cursor.eat_symbol(b'.') {
            // Behind a point any word is a name; a `*` is none.
            let Some(part) = self.part() else { break };
            if path.schema.is_some() {
                self.found.dotted(path.name, self.cursor.text());
            }
            path = Path { schema: Some(path.name), name: part };
        }
        Some(path)
    }

    fn part(&mut self) -> Option<Part> {
        let (token, escape) = self.cursor.word()?;
        Some(Part { token, escape })
    }
}

fn opens(token: Token) -> bool {
    token.kind == TokenKind::Symbol(b'(')
}

/// A name with points in it: its last two parts.
struct Path {
    schema: Option<Part>,
    name: Part,
}

impl Path {
    fn object(&self, text: &[u8]) -> ObjectName {
        let schema = self.schema.map(|part| part.name(text));
        ObjectName { database: None, schema, name: self.name.name(text) }
    }
}
