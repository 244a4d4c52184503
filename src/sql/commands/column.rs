//! Column definitions, as ALTER TABLE … ADD COLUMN takes them.
//!
//! Owns what decides whether the table is rewritten or an index built (columnDef in `gram.y`). An expression's end is
//! found without its grammar: at depth 0 the word that begins the next constraint cannot be inside of it, but where an
//! operand must follow.

use super::super::Kind;
use super::super::literal::Name;
use super::reader::{ObjectList, ObjectName, Reader};

/// A column that is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Option<Name>,
    /// Its type as written, words in lower case, with one blank between words and none elsewhere; at most 200
    /// bytes of it.
    pub type_text: Box<str>,
    /// NOT NULL.
    pub not_null: bool,
    /// DEFAULT.
    pub default: Option<DefaultValue>,
    /// GENERATED, or a serial type.
    pub generated: Generated,
    /// UNIQUE.
    pub unique: bool,
    /// PRIMARY KEY, which implies NOT NULL.
    pub primary_key: bool,
    /// CHECK.
    pub check: bool,
    /// REFERENCES this table.
    pub references: Option<Option<ObjectName>>,
}

/// What stands behind DEFAULT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultValue {
    /// It is NULL and nothing else.
    pub null: bool,
    /// The functions that it calls. Whether they are volatile is not for the text to say.
    pub calls: ObjectList,
}

/// How a column gets its values by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// It does not, but for its DEFAULT.
    No,
    /// `serial` and its family.
    Serial,
    /// GENERATED … AS IDENTITY.
    Identity,
    /// GENERATED ALWAYS AS (…) STORED.
    Stored,
    /// GENERATED ALWAYS AS (…), VIRTUAL or by default so (Postgres 18).
    Virtual,
}

const SERIALS: &[&[u8]] =
    &[b"serial", b"bigserial", b"smallserial", b"serial2", b"serial4", b"serial8"];

/// Eats a column definition, up to the comma or the parenthesis behind it.
pub(super) fn read(at: &mut Reader, if_not_exists: bool) -> Column {
    let name = at.column();
    let serial = is_serial(*at);
    let mut column = Column {
        if_not_exists,
        name,
        type_text: type_text(at),
        not_null: false,
        default: None,
        generated: if serial { Generated::Serial } else { Generated::No },
        unique: false,
        primary_key: false,
        check: false,
        references: None,
    };
    while !at.at_item_end() {
        if at.eat_all(&["not", "null"]) {
            column.not_null = true;
        } else if at.eat("default") {
            column.default = Some(default(at));
        } else if at.eat("unique") {
            column.unique = true;
        } else if at.eat_all(&["primary", "key"]) {
            column.primary_key = true;
        } else if at.eat("check") {
            column.check = true;
        } else if at.eat("references") {
            column.references = Some(at.object());
        } else if at.eat("constraint") {
            at.column();
        } else if at.eat("collate") {
            at.object();
        } else if at.eat("generated") {
            column.generated = generated(at);
        } else {
            at.skip();
        }
    }
    column
}

/// Behind GENERATED: `{ALWAYS | BY DEFAULT} AS {IDENTITY | (expression) [STORED | VIRTUAL]}`.
fn generated(at: &mut Reader) -> Generated {
    if !at.eat("always") {
        at.eat_all(&["by", "default"]);
    }
    at.eat("as");
    if at.eat("identity") {
        return Generated::Identity;
    }
    at.parentheses();
    if at.eat("stored") { Generated::Stored } else { Generated::Virtual }
}

/// True before a serial type: one of those names, alone (`transformColumnDefinition`).
fn is_serial(mut at: Reader) -> bool {
    let Some(name) = at.name() else { return false };
    SERIALS.contains(&name.as_bytes()) && !at.at_symbol(b'.')
}

const CONSTRAINTS: &[&str] = &[
    "constraint",
    "not",
    "null",
    "unique",
    "primary",
    "check",
    "default",
    "generated",
    "references",
    "collate",
    "deferrable",
    "initially",
    "storage",
    "compression",
    "options",
    "using",
];

/// Longest text of a type that is kept.
const TYPE_TEXT_MAX: usize = 200;

/// Eats a type, and gives it as written.
pub(super) fn type_text(at: &mut Reader) -> Box<str> {
    let mut text = String::new();
    let mut depth = 0_usize;
    let mut first = true;
    let mut behind_word = false;
    // The first word is the type's, whatever it is; so is one behind a point.
    let mut behind_point = false;
    while let Some(token) = at.peek() {
        let word = first || behind_point;
        if !first && depth == 0 && (at.at_item_end() || !word && at.at_any(CONSTRAINTS)) {
            break;
        }
        if first && at.at_item_end() {
            break;
        }
        first = false;
        match token.kind {
            Kind::Symbol(b'(' | b'[') => depth += 1,
            Kind::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let raw = String::from_utf8_lossy(token.span.of(at.text()));
        if text.len() + raw.len() < TYPE_TEXT_MAX {
            if behind_word && token.kind.is_word() {
                text.push(' ');
            }
            match token.kind {
                Kind::Word => text.push_str(&raw.to_ascii_lowercase()),
                _ => text.push_str(&raw),
            }
        }
        behind_point = token.kind == Kind::Symbol(b'.');
        behind_word = token.kind.is_word() || token.kind == Kind::Symbol(b')');
        at.bump();
    }
    text.into()
}

/// Eats the expression behind DEFAULT.
fn default(at: &mut Reader) -> DefaultValue {
    let null = at.at("null");
    let mut found = DefaultValue { null, calls: ObjectList { names: Vec::new(), complete: true } };
    let mut tokens = 0_usize;
    let mut depth = 0_usize;
    let mut operand = true;
    let mut behind_is = false;
    // Behind `::` a name is a type, whatever follows it.
    let mut in_type = false;
    while let Some(token) = at.peek() {
        if depth == 0 && !operand && (at.at_item_end() || (!behind_is && at.at_any(CONSTRAINTS))) {
            break;
        }
        if at.at_item_end() && depth == 0 {
            break;
        }
        tokens += 1;
        in_type = token.kind == Kind::TypeCast || (in_type && token.kind.is_word());
        behind_is = at.at("is") || (behind_is && at.at("not"));
        operand = match token.kind {
            Kind::Symbol(b'(' | b'[') => {
                depth += 1;
                true
            }
            Kind::Symbol(b')' | b']') => {
                depth = depth.saturating_sub(1);
                false
            }
            Kind::Word if at.eat("case") => {
                depth += 1;
                continue;
            }
            Kind::Word if depth > 0 && at.eat("end") => {
                depth -= 1;
                operand = false;
                continue;
            }
            kind if kind.is_word() => {
                let before = at.offset();
                let name = at.object();
                if at.at_symbol(b'(') && !in_type {
                    call(&mut found.calls, name);
                }
                if at.offset() == before {
                    at.bump(); // A reserved word.
                }
                operand = false;
                continue;
            }
            Kind::Operator
            | Kind::TypeCast
            | Kind::Symbol(b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>' | b'=' | b',') => {
                true
            }
            Kind::LessEquals | Kind::GreaterEquals | Kind::NotEquals => true,
            _ => false,
        };
        at.bump();
    }
    found.null &= tokens == 1;
    found
}

/// Keeps a name that is called.
fn call(calls: &mut ObjectList, name: Option<ObjectName>) {
    match name {
        Some(name) if calls.names.len() < CALLS_MAX => calls.names.push(name),
        Some(_) | None => calls.complete = false,
    }
}

/// More calls than this in one DEFAULT are not kept.
const CALLS_MAX: usize = 16;
