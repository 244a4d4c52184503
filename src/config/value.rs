//! From a node to a typed value, and back to what may be shown of it.

use super::node::{Node, Value};
use super::report::Report;
use super::secret::Secret;
use super::size::{Rate, parse_size, show_size};
use super::timeout::{Timeout, propose_units};
use super::words::{Word, nearest};
use std::path::{Path, PathBuf};

/// A type that a value of the file may have.
pub(super) trait FromNode: Sized {
    /// The value, or `None` after a problem was reported.
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self>;
}

/// A size in bytes. Zero may mean something else; the key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub u64);

/// How a value is shown to people: as the file would have it, secrets as `***`.
pub(super) trait Show {
    fn show(&self) -> String;
}

/// The text of a string node; anything else is reported as not being `wanted`.
fn text<'n>(node: &'n Node, path: &str, wanted: &str, report: &mut Report) -> Option<&'n str> {
    match &node.value {
        Value::String { text, .. } => Some(text),
        Value::Broken => None,
        other => {
            report.error(node.place, path, format!("expected {wanted}, found {}", other.kind()));
            None
        }
    }
}

/// What may be shown of a value in a message: never text from outside the file.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::String { text, outside: false } => {
            format!("{:?}", text.chars().take(60).collect::<String>())
        }
        _ => "the value".to_owned(),
    }
}

impl FromNode for String {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        text(node, path, "a string", report).map(str::to_owned)
    }
}

impl FromNode for Secret {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = text(node, path, "a string", report)?;
        if text.contains('\0') {
            report.error(node.place, path, "a password cannot hold a NUL byte");
            return None;
        }
        if text.is_empty() {
            report.warn(node.place, path, "the password is empty");
        }
        Some(Secret::new(text))
    }
}

impl FromNode for PathBuf {
    /// Relative paths begin at the file that holds them.
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = text(node, path, "a path", report)?;
        if text.is_empty() || text.contains('\0') {
            report.error(node.place, path, "an empty text is no path");
            return None;
        }
        let full = report.sources.directory(node.place.file).join(Path::new(text));
        report.paths.push((path.to_owned(), full.clone(), node.place));
        Some(full)
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Boolean(value) => Some(*value),
            Value::String { text, outside: true } if text == "true" => Some(true),
            Value::String { text, outside: true } if text == "false" => Some(false),
            Value::Broken => None,
            other => {
                report.error(
                    node.place,
                    path,
                    format!("expected true or false, found {}", other.kind()),
                );
                None
            }
        }
    }
}

/// A number from 0 to `max`. Text from outside the file may stand for one: `"${POOL_SIZE}"`.
fn number(node: &Node, path: &str, max: u64, report: &mut Report) -> Option<u64> {
    let value = match &node.value {
        Value::Integer(value) => Some(*value),
        Value::String { text, outside: true } => text.trim().parse().ok(),
        Value::Broken => return None,
        _ => None,
    };
    let Some(value) = value else {
        let message = format!("expected a whole number, found {}", node.value.kind());
        let help = match &node.value {
            Value::String { text, .. } if text.parse::<u64>().is_ok() => {
                Some(format!("write {text} without quotes"))
            }
            _ => None,
        };
        report.error(node.place, path, message).help = help;
        return None;
    };
    match u64::try_from(value) {
        Ok(value) if value <= max => Some(value),
        Ok(_) => {
            report.error(node.place, path, format!("at most {max}"));
            None
        }
        Err(_) => {
            report.error(node.place, path, "a number here is not negative");
            None
        }
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        number(node, path, 1_000_000, report).and_then(|value| value.try_into().ok())
    }
}

impl FromNode for usize {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        number(node, path, 1_000_000, report).and_then(|value| value.try_into().ok())
    }
}

impl FromNode for Timeout {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let (message, help) = match &node.value {
            Value::Integer(0) => return Some(Timeout::Off),
            Value::Broken => return None,
            Value::String { text, outside } => match Timeout::parse(text) {
                Ok(timeout) => return Some(timeout),
                Err(_) if *outside => ("the value is no duration".to_owned(), None),
                Err(error) => (error.to_string(), Some(error.help())),
            },
            Value::Integer(number) if *number > 0 => {
                let number = number.to_string();
                (format!("duration {number} has no unit"), Some(propose_units(&number)))
            }
            Value::Float(number) if *number > 0.0 => {
                let number = number.to_string();
                (format!("duration {number} has no unit"), Some(propose_units(&number)))
            }
            Value::Boolean(false) => {
                ("expected a duration, found false".to_owned(), Some("write \"off\"".to_owned()))
            }
            other => (
                format!("expected a duration, found {}", other.kind()),
                Some("as in \"15s\", or \"off\"".to_owned()),
            ),
        };
        report.error(node.place, path, message).help = help;
        None
    }
}

impl FromNode for Size {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let parsed = match &node.value {
            Value::String { text, outside: false } => parse_size(text),
            Value::String { text, outside: true } => {
                parse_size(text).map_err(|_| "the value is no size".to_owned())
            }
            Value::Integer(number) => parse_size(&number.to_string()),
            Value::Broken => return None,
            other => Err(format!("expected a size as in \"64MB\", found {}", other.kind())),
        };
        parsed.map_err(|message| report.error(node.place, path, message)).ok().map(Size)
    }
}

impl FromNode for Rate {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = text(node, path, "a rate as in \"20/s\"", report)?;
        Rate::parse(text).map_err(|message| report.error(node.place, path, message)).ok()
    }
}

impl<W: Word> FromNode for W {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let listed =
            || W::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let word = match &node.value {
            // `mode = false` says the same as `mode = "off"` where there is such a word.
            Value::Boolean(false) => "off",
            Value::String { text, .. } => text,
            Value::Broken => return None,
            other => {
                let message = format!("expected one of {}, found {}", listed(), other.kind());
                report.error(node.place, path, message);
                return None;
            }
        };
        if let Some(value) = W::parse(word) {
            return Some(value);
        }
        let message = format!("{} is not one of {}", shown(node), listed());
        let meant = nearest(word, W::WORDS.iter().map(|(word, _)| *word));
        let help =
            meant.map(|meant| format!("did you mean \"{meant}\"?")).or_else(|| foreign_word(word));
        report.error(node.place, path, message).help = help;
        None
    }
}

/// Words of other poolers that have no counterpart here.
fn foreign_word(word: &str) -> Option<String> {
    let help = match word {
        "statement" => "pgweir has no statement pooling; \"transaction\" comes closest",
        "plain" => "passwords in clear text are not accepted; \"scram-sha-256\" is the default",
        "hba" => "rules by address stand in [[access]]",
        "any" => "without authentication: \"trust\", over loopback and Unix sockets only",
        _ => return None,
    };
    Some(help.to_owned())
}

impl<T: FromNode> FromNode for Vec<T> {
    /// A list, or one element in its place.
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Array(items) => {
                let read: Vec<_> =
                    items.iter().map(|item| T::from_node(item, path, report)).collect();
                read.into_iter().collect()
            }
            _ => T::from_node(node, path, report).map(|item| vec![item]),
        }
    }
}

impl<T: FromNode> FromNode for Option<T> {
    /// There, or reported: a key that is absent never gets here.
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        T::from_node(node, path, report).map(Some)
    }
}

impl Show for String {
    fn show(&self) -> String {
        self.clone()
    }
}

impl Show for Secret {
    fn show(&self) -> String {
        "***".to_owned()
    }
}

impl Show for Size {
    fn show(&self) -> String {
        show_size(self.0)
    }
}

impl Show for u32 {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for Timeout {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl<W: Word> Show for W {
    fn show(&self) -> String {
        let word = W::WORDS.iter().find(|(_, value)| value == self);
        word.map_or_else(String::new, |(word, _)| (*word).to_owned())
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Show::show)
    }
}
