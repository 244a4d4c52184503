//! The file as a tree of values, each with its place, its references resolved.

use super::interpolate::{Surroundings, interpolate};
use super::report::Report;
use super::source::Place;
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// What TOML knows, as far as a configuration needs it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    String {
        text: String,
        /// Whether the text came from outside the file: then it may be a secret, and may stand for a number.
        outside: bool,
    },
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
    /// A string whose reference had no value. Reported already.
    Broken,
}

impl Value {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String { .. } | Value::Broken => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a fractional number",
            Value::Boolean(_) => "true or false",
            Value::Datetime => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Keys and their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub entries: BTreeMap<String, Entry>,
}

/// A value under its key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub key: Place,
    pub node: Node,
}

/// Turns a parsed file into nodes, resolving references on the way.
pub(super) struct TreeReader<'a> {
    pub file: usize,
    /// Relative paths in `${file:…}` begin here.
    pub base: &'a Path,
    pub surroundings: &'a dyn Surroundings,
    pub report: &'a mut Report,
}

impl TreeReader<'_> {
    pub fn table(&mut self, table: &DeTable<'_>, path: &str) -> Table {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let path = join(path, &name);
            let node = self.node(value.get_ref(), Place::new(self.file, value.span()), &path);
            entries.insert(name, Entry { key: Place::new(self.file, key.span()), node });
        }
        Table { entries }
    }

    fn node(&mut self, value: &DeValue<'_>, place: Place, path: &str) -> Node {
        let value = match value {
            DeValue::String(text) => self.string(text, place, path),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => {
                        self.report.error(place, path, "the number is too large");
                        Value::Broken
                    }
                }
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.node(item.get_ref(), Place::new(self.file, item.span()), path))
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table, path)),
        };
        Node { place, value }
    }

    fn string(&mut self, text: &str, place: Place, path: &str) -> Value {
        match interpolate(text, self.base, self.surroundings) {
            Ok(value) => {
                let outside = text.contains("${");
                for reference in text.split("${file:").skip(1) {
                    let path = reference.split('}').next().unwrap_or(reference);
                    self.report.paths.push(("file".to_owned(), self.base.join(path), place));
                }
                Value::String { text: value.into_owned(), outside }
            }
            Err(errors) => {
                for error in errors {
                    let place = self.report.sources.find_in(place, &error.reference);
                    self.report.error(place, path, error.message).help = error.help;
                }
                Value::Broken
            }
        }
    }
}

/// A key path, with the quotes that TOML would need.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare =
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
