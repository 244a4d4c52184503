//! From a text to what it asks for.
//!
//! As in PgBouncer: words in any case, a name bare or in double or single quotes, one `;` at the
//! end. Beyond PgBouncer: several statements in one text. Deliberately absent: whether the client
//! may.

use super::chatter::{Chat, chat};
use super::show::Show;
use crate::sql::{LexOptions, Statements};
use crate::wire::Report;
use crate::worker::mail::Scope;

use super::orders::ShutdownMode;

/// What a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A table.
    Show(Show),
    /// The list of commands, as a notice.
    Help,
    /// Read the configuration again.
    Reload,
    /// Hold clients; answered when no server is open any more.
    Pause(Scope),
    /// Undo [`Command::Pause`] and [`Command::Kill`].
    Resume(Scope),
    /// Close clients and servers, and hold who comes after them.
    Kill(Scope),
    /// Close one client.
    KillClient(i32),
    /// Refuse new clients of a database.
    Disable(String),
    /// Undo [`Command::Disable`].
    Enable(String),
    /// Have servers replaced.
    Reconnect(Scope),
    /// Answered when no server waits to be replaced any more.
    WaitClose(Scope),
    /// End the process.
    Shutdown(ShutdownMode),
    /// Change a setting of pgweir's, which only its file can.
    SetOwn(String),
    /// What drivers say to every server.
    Chat(Chat),
}

impl Command {
    /// Whether only administrators may.
    #[must_use]
    pub fn needs_admin(&self) -> bool {
        match self {
            Command::Show(show) => show.needs_admin(),
            Command::Help | Command::Chat(_) => false,
            Command::Reload
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Kill(_)
            | Command::KillClient(_)
            | Command::Disable(_)
            | Command::Enable(_)
            | Command::Reconnect(_)
            | Command::WaitClose(_)
            | Command::Shutdown(_)
            | Command::SetOwn(_) => true,
        }
    }

    /// The tag of its CommandComplete.
    #[must_use]
    pub fn tag(&self) -> &str {
        match self {
            Command::Show(_) | Command::Help => "SHOW",
            Command::Reload => "RELOAD",
            Command::Pause(_) => "PAUSE",
            Command::Resume(_) => "RESUME",
            Command::Kill(_) => "KILL",
            Command::KillClient(_) => "KILL_CLIENT",
            Command::Disable(_) => "DISABLE",
            Command::Enable(_) => "ENABLE",
            Command::Reconnect(_) => "RECONNECT",
            Command::WaitClose(_) => "WAIT_CLOSE",
            Command::Shutdown(_) => "SHUTDOWN",
            Command::SetOwn(_) => "SET",
            Command::Chat(chat) => chat.tag(),
        }
    }

    /// Reads one statement, without its `;`.
    ///
    /// # Errors
    /// It asks for nothing that there is: 42601.
    pub fn parse(text: &str) -> Result<Command, Report> {
        let words = words(text);
        let refused = || Err(unknown(text));
        let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let name = words.get(1).cloned();
        let scope = |name: Option<String>| name.map_or(Scope::All, Scope::Database);
        let database = |name: Option<String>| {
            name.ok_or_else(|| Report::error(b"42601", "a database is required"))
        };
        Ok(match lower.as_slice() {
            ["show", "help"] | ["help"] => Command::Help,
            ["show" | "select", what] if let Some(show) = Show::named(what) => Command::Show(show),
            ["reload"] => Command::Reload,
            ["pause"] | ["pause", _] => Command::Pause(scope(name)),
            ["resume"] | ["resume", _] => Command::Resume(scope(name)),
            ["kill"] | ["kill", _] => Command::Kill(scope(name)),
            ["kill_client", id] => match id.parse() {
                Ok(id) => Command::KillClient(id),
                Err(_) => return Err(Report::error(b"22023", "invalid client id supplied")),
            },
            ["kill_client"] => return Err(Report::error(b"42601", "a client id is required")),
            ["disable"] | ["disable", _] => Command::Disable(database(name)?),
            ["enable"] | ["enable", _] => Command::Enable(database(name)?),
            ["reconnect"] | ["reconnect", _] => Command::Reconnect(scope(name)),
            ["wait_close"] | ["wait_close", _] => Command::WaitClose(scope(name)),
            ["shutdown"] => Command::Shutdown(ShutdownMode::AtOnce),
            ["shutdown", "wait_for_servers"] | ["drain"] => {
                Command::Shutdown(ShutdownMode::WaitForServers)
            }
            ["shutdown", "wait_for_clients"] => Command::Shutdown(ShutdownMode::WaitForClients),
            ["set", key, ..] if super::show::is_own_setting(key) => {
                Command::SetOwn((*key).to_owned())
            }
            _ => match chat(&lower, text) {
                Some(chat) => Command::Chat(chat),
                None => return refused(),
            },
        })
    }
}

fn unknown(text: &str) -> Report {
    let shown: String = text.trim().chars().take(100).collect();
    Report::error(b"42601", format!("invalid command '{shown}'"))
        .hint("SHOW HELP lists the commands.")
}

/// The statements of a text, without their `;`. Not UTF-8: what is not is replaced, and then is no
/// command.
#[must_use]
pub fn statements(text: &[u8]) -> Vec<String> {
    let spans = Statements::new(text, LexOptions::default());
    let text_of = |span: crate::sql::Span| {
        text.get(span.start..span.end).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    spans.filter_map(text_of).collect()
}

/// The words of a statement. `=` stands for itself; quotes keep a word together and are taken off,
/// doubled ones inside are one.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&next) = rest.peek() {
        if next.is_whitespace() || next == ';' {
            rest.next();
        } else if next == '"' || next == '\'' {
            rest.next();
            let mut word = String::new();
            while let Some(letter) = rest.next() {
                if letter != next {
                    word.push(letter);
                } else if rest.peek() == Some(&next) {
                    rest.next();
                    word.push(next);
                } else {
                    break;
                }
            }
            words.push(word);
        } else if next == '=' {
            rest.next();
            words.push("=".to_owned());
        } else {
            let ends =
                |letter: char| letter.is_whitespace() || matches!(letter, ';' | '=' | '"' | '\'');
            let mut word = String::new();
            while let Some(&letter) = rest.peek().filter(|letter| !ends(**letter)) {
                word.push(letter);
                rest.next();
            }
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests;
