//! What drivers and frameworks say to every server before, between and after statements. It is
//! answered so that they go on, and changes nothing.

use super::table::{Column, Type};

/// Something that a driver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// `BEGIN` and its kin.
    Begin,
    /// `COMMIT` and its kin.
    Commit,
    /// `ROLLBACK` and its kin.
    Rollback,
    /// Something that has nothing to do here; with the tag of its CommandComplete.
    Done(&'static str),
    /// A question with one answer.
    Answer {
        /// Tag of the CommandComplete.
        tag: &'static str,
        /// The answer's column, alone in a list.
        column: &'static [Column; 1],
        /// The answer.
        value: Known,
    },
}

/// What a question is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A fixed text.
    Text(&'static str),
    /// The number one.
    One,
    /// What SHOW VERSION says.
    Version,
    /// The role that logged in.
    Role,
    /// The database's name as the client gave it.
    Database,
}

impl Chat {
    /// The tag of its CommandComplete.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Chat::Begin => "BEGIN",
            Chat::Commit => "COMMIT",
            Chat::Rollback => "ROLLBACK",
            Chat::Done(tag) | Chat::Answer { tag, .. } => tag,
        }
    }
}

/// What a new session is told without asking, and what `SHOW name` answers.
pub const REPORTED: [(&str, &str); 9] = [
    // The digits of the PgBouncer whose console this is, as clients of PgBouncer expect them.
    ("server_version", "1.25.0/bouncer"),
    ("client_encoding", "UTF8"),
    ("server_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "GMT"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "on"),
];

macro_rules! shown {
    ($($name:literal => $value:expr,)+) => {
        /// A parameter's column and value.
        fn shown(name: &str) -> Option<(&'static [Column; 1], &'static str)> {
            match name {
                $($name => Some((&[($name, Type::Text)], $value)),)+
                _ => None,
            }
        }
    };
}

shown! {
    "server_version" => "1.25.0/bouncer",
    "client_encoding" => "UTF8",
    "server_encoding" => "UTF8",
    "datestyle" => "ISO",
    "intervalstyle" => "postgres",
    "timezone" => "GMT",
    "integer_datetimes" => "on",
    "standard_conforming_strings" => "on",
    "is_superuser" => "on",
    "default_transaction_isolation" => "read committed",
    "transaction_isolation" => "read committed",
    "default_transaction_read_only" => "off",
    "transaction_read_only" => "off",
    "in_hot_standby" => "off",
    "search_path" => "public",
    "application_name" => "",
    "extra_float_digits" => "1",
    "statement_timeout" => "0",
}

/// What a statement, its words in lower case, says of this kind.
#[must_use]
pub fn chat(words: &[&str], text: &str) -> Option<Chat> {
    Some(match words {
        ["set", _, ..] => Chat::Done("SET"),
        ["begin", ..] => Chat::Begin,
        ["start", "transaction", ..] => Chat::Begin,
        ["commit" | "end", ..] => Chat::Commit,
        ["rollback" | "abort", ..] => Chat::Rollback,
        ["reset", _] | ["reset", "session", "authorization"] => Chat::Done("RESET"),
        ["discard", "all"] => Chat::Done("DISCARD ALL"),
        ["deallocate", ..] => Chat::Done("DEALLOCATE"),
        ["close", "all"] => Chat::Done("CLOSE CURSOR ALL"),
        ["unlisten", _] => Chat::Done("UNLISTEN"),
        ["show", "transaction", "isolation", "level"] => shown_as("transaction_isolation")?,
        ["show", "time", "zone"] => shown_as("timezone")?,
        ["show", name] => shown_as(name)?,
        ["select", ..] => select(text)?,
        _ => return None,
    })
}

fn shown_as(name: &str) -> Option<Chat> {
    let (column, value) = shown(name)?;
    Some(Chat::Answer { tag: "SHOW", column, value: Known::Text(value) })
}

/// Health checks, and what drivers ask when they connect.
fn select(text: &str) -> Option<Chat> {
    let compact: String =
        text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    let asked = compact.strip_prefix("select")?.trim_end_matches(';');
    let (column, value): (&'static [Column; 1], Known) = match asked {
        "1" => (&[("?column?", Type::Int4)], Known::One),
        "version()" | "pg_catalog.version()" => (&[("version", Type::Text)], Known::Version),
        "current_database()" => (&[("current_database", Type::Text)], Known::Database),
        "current_user" => (&[("current_user", Type::Text)], Known::Role),
        "session_user" => (&[("session_user", Type::Text)], Known::Role),
        "current_schema()" => (&[("current_schema", Type::Text)], Known::Text("public")),
        "pg_is_in_recovery()" => (&[("pg_is_in_recovery", Type::Text)], Known::Text("f")),
        "pg_advisory_unlock_all()" => (&[("pg_advisory_unlock_all", Type::Text)], Known::Text("")),
        _ => return None,
    };
    Some(Chat::Answer { tag: "SELECT 1", column, value })
}
