//! The language of scripts, and the files that hold them.
//!
//! ```text
//! # A comment.
//! === copy/in-of-two-rows              a script begins; its name is unique
//! setup create table t (n int)         SQL run beforehand on a direct connection, one call a line
//! login client_encoding=LATIN1         startup parameters; their replies are compared as well
//! login none                           no login: the script sends its own first bytes
//! Q "copy t from stdin"                messages gather …
//! d "1\n"                              (see `message_line` below for all of them)
//! d "2\n"
//! c
//! ---                                  … and are written here; then as many ReadyForQuery are
//!                                      awaited as Query, Sync and FunctionCall were sent
//! --- Z 2                              awaits exactly two ReadyForQuery
//! --- tag G                            awaits the next CopyInResponse
//! --- closed                           awaits the end of the connection
//! --- byte                             awaits one byte without a frame, the answer to `ssl`
//! --- half-close                       ends our sending side, then reads to the end
//! --- cut                              closes without a word; nothing is read any more
//! --- go on                            writes, awaits nothing
//! aside alter table t add m int        SQL on another, direct connection, between steps
//! ```
//!
//! A script that does not end with `closed`, `half-close` or `cut` ends with Terminate, and whatever the
//! server still says before it closes is compared as well. A table makes a family of scripts:
//!
//! ```text
//! === simple/tag-{name}
//! row select | "select 1"
//! row insert | "insert into t values (1)"
//! Q {1}
//! ---
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::lexer::{Word, words};
use crate::harness::message;

/// A script, ready to be played.
#[derive(Debug, Clone)]
pub struct Script {
    /// Family and name.
    pub name: String,
    /// How it logs in.
    pub login: ScriptLogin,
    /// SQL for a direct connection, beforehand.
    pub setup: Vec<String>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// How a script logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptLogin {
    /// As the target says; the replies are not compared.
    Plain,
    /// With these parameters; the replies are compared.
    With(Vec<(String, String)>),
    /// Not at all.
    None,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes these pieces in one go.
    Write(Vec<Piece>),
    /// Waits for something.
    Await(Await),
    /// Runs SQL on a direct connection.
    Aside(String),
}

/// A part of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A startup packet; `{user}` and `{database}` in its values are the target's.
    Startup(u32, Vec<(String, String)>),
}

/// What a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Await {
    /// So many ReadyForQuery.
    Ready(usize),
    /// The next frame with this tag.
    Tag(u8),
    /// The end of the connection.
    Closed,
    /// One byte without a frame.
    Byte,
    /// Ends our side, then the end of the connection.
    HalfClose,
    /// Closes and reads no more.
    Cut,
}

/// All scripts in `tests/it/scripts`, in the order of their files.
pub fn stored_scripts() -> Vec<Script> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/scripts"));
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .filter(|path| path.file_name().is_some_and(|name| name != "explained.txt"))
        .collect();
    files.sort();
    let mut scripts = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable script file");
        let parsed = parse_scripts(&text);
        scripts.extend(parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    let mut names = BTreeSet::new();
    for script in &scripts {
        assert!(names.insert(&script.name), "two scripts are called {}", script.name);
    }
    scripts
}

/// Reads the scripts in a text; the error names every line that is wrong.
pub fn parse_scripts(text: &str) -> Result<Vec<Script>, String> {
    let mut sections: Vec<(&str, Vec<(usize, &str)>)> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
        if let Some(name) = line.strip_prefix("===") {
            sections.push((name.trim(), Vec::new()));
        } else if !line.is_empty() && !line.starts_with('#') {
            let Some((_, lines)) = sections.last_mut() else {
                return Err(format!("line {number}: a step before the first ==="));
            };
            lines.push((number, line));
        }
    }
    let (mut scripts, mut errors) = (Vec::new(), Vec::new());
    for (name, lines) in sections {
        match expand(name, &lines) {
            Ok(expanded) => scripts.extend(expanded),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(scripts) } else { Err(errors.join("\n")) }
}

/// One script, or one per `row`.
fn expand(name: &str, lines: &[(usize, &str)]) -> Result<Vec<Script>, String> {
    let (rows, body): (Vec<_>, Vec<_>) = lines.iter().partition(|(_, l)| l.starts_with("row "));
    let owned = |name: &str, value: &dyn Fn(&str) -> String| {
        let lines: Vec<(usize, String)> = body.iter().map(|(n, line)| (*n, value(line))).collect();
        script(name, &lines)
    };
    if rows.is_empty() {
        return Ok(vec![owned(name, &|line| line.to_owned())?]);
    }
    let mut scripts = Vec::new();
    for (_, row) in rows {
        let cells: Vec<&str> = row["row ".len()..].split(" | ").map(str::trim).collect();
        let fill = |text: &str| {
            let mut text = text.replace("{name}", cells[0]);
            for (number, cell) in cells.iter().enumerate().skip(1) {
                text = text.replace(&format!("{{{number}}}"), cell);
            }
            text
        };
        scripts.push(owned(&fill(name), &fill)?);
    }
    Ok(scripts)
}

fn script(name: &str, lines: &[(usize, String)]) -> Result<Script, String> {
    if name.is_empty() || name.contains(char::is_whitespace) || name.contains('{') {
        return Err(format!("{name:?} is no name for a script"));
    }
    let mut script = Script {
        name: name.to_owned(),
        login: ScriptLogin::Plain,
        setup: Vec::new(),
        steps: Vec::new(),
    };
    let mut gathered = Gathered::default();
    for (number, line) in lines {
        add_line(&mut script, &mut gathered, line)
            .map_err(|error| format!("line {number} ({name}): {error}"))?;
    }
    if !gathered.pieces.is_empty() {
        return Err(format!("{name}: messages after the last ---"));
    }
    Ok(script)
}

#[derive(Default)]
struct Gathered {
    pieces: Vec<Piece>,
    owed: usize,
}

fn add_line(script: &mut Script, gathered: &mut Gathered, line: &str) -> Result<(), String> {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match first {
        "setup" => script.setup.push(rest.to_owned()),
        "aside" => script.steps.push(Step::Aside(rest.to_owned())),
        "login" if rest == "none" => script.login = ScriptLogin::None,
        "login" => script.login = ScriptLogin::With(pairs(&words(rest)?)?),
        "---" => {
            let pieces = std::mem::take(&mut gathered.pieces);
            let owed = std::mem::take(&mut gathered.owed);
            if !pieces.is_empty() {
                script.steps.push(Step::Write(pieces));
            }
            script.steps.extend(awaited(rest, owed)?.map(Step::Await));
        }
        "repeat" => {
            let (count, rest) = rest.split_once(' ').ok_or("repeat N message")?;
            let count: usize = count.parse().map_err(|_| "repeat N message")?;
            let (piece, owes) = message_line(rest)?;
            gathered.owed += count * usize::from(owes);
            if let Piece::Bytes(bytes) = piece {
                gathered.pieces.push(Piece::Bytes(bytes.repeat(count)));
            }
        }
        _ => {
            let (piece, owes) = message_line(line)?;
            gathered.owed += usize::from(owes);
            gathered.pieces.push(piece);
        }
    }
    Ok(())
}

fn awaited(words: &str, owed: usize) -> Result<Option<Await>, String> {
    let (first, rest) = words.split_once(' ').unwrap_or((words, ""));
    Ok(Some(match (first, rest) {
        ("", "") if owed == 0 => return Err("nothing is owed here: say what is awaited".into()),
        ("", "") => Await::Ready(owed),
        ("Z", count) => Await::Ready(count.parse().map_err(|_| "--- Z N")?),
        ("tag", tag) => Await::Tag(*tag.as_bytes().first().ok_or("--- tag T")?),
        ("closed", "") => Await::Closed,
        ("byte", "") => Await::Byte,
        ("half-close", "") => Await::HalfClose,
        ("cut", "") => Await::Cut,
        ("go", "on") => return Ok(None),
        _ => return Err(format!("nobody knows how to await {words:?}")),
    }))
}

/// One message, and whether a ReadyForQuery is owed for it.
fn message_line(line: &str) -> Result<(Piece, bool), String> {
    let words = words(line)?;
    let (Some(Word::Bare(kind)), arguments) = (words.first(), words.get(1..).unwrap_or_default())
    else {
        return Err("a message begins with its letter".into());
    };
    let at = |index: usize| arguments.get(index);
    let text = |index: usize| text_of(at(index).ok_or("too few words")?);
    let name = |index: usize| -> Result<String, String> {
        String::from_utf8(text(index)?).map_err(|_| "a name is UTF-8".into())
    };
    let number = |index: usize| number_of::<i32>(at(index).ok_or("too few words")?);
    let letter = |index: usize| -> Result<u8, String> {
        text(index)?.first().copied().ok_or_else(|| "a letter is missing".into())
    };
    let bytes = match kind.as_str() {
        "Q" => message::query(text(0)?),
        "P" => message::parse(text(0)?, text(1)?, &numbers(at(2))?),
        "B" => {
            let values = values(at(2))?;
            let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
            let (formats, results) = (numbers(at(3))?, numbers(at(4))?);
            message::bind_with(text(0)?, text(1)?, &formats, &values, &results)
        }
        "D" => message::describe(letter(0)?, text(1)?),
        "E" => message::execute(text(0)?, number(1)?),
        "C" => message::close(letter(0)?, text(1)?),
        "S" => message::sync(),
        "H" => message::flush(),
        "X" => message::terminate(),
        "d" => message::copy_data(text(0)?),
        "c" => message::copy_done(),
        "f" => message::copy_fail(text(0)?),
        "p" => message::password(text(0)?),
        // F function-oid [arguments] [formats] result-format
        "F" => {
            let values = values(at(1))?;
            let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
            let function = number_of(at(0).ok_or("too few words")?)?;
            let result = at(3).map_or(Ok(0), number_of)?;
            message::function_call(function, &numbers(at(2))?, &values, result)
        }
        // Any tag with a true length; any tag with the length given; any bytes.
        "msg" => message::framed(letter(0)?, &text(1)?),
        "lie" => message::lying(letter(0)?, number(1)?, &text(2)?),
        "raw" => text(0)?,
        "ssl" => message::ssl_request(),
        "gss" => message::gssenc_request(),
        "cancel" => message::cancel_request(number_of(at(0).ok_or("a pid")?)?, &text(1)?),
        "startup" => {
            let (major, minor) =
                name(0)?.split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).ok_or("3.0")?;
            let part = |text: &str| text.parse::<u32>().map_err(|_| "a version such as 3.0");
            let version = part(&major)? << 16 | part(&minor)?;
            return Ok((Piece::Startup(version, pairs(&arguments[1..])?), false));
        }
        other => return Err(format!("nobody knows the message {other:?}")),
    };
    Ok((Piece::Bytes(bytes), matches!(kind.as_str(), "Q" | "S" | "F")))
}

fn text_of(word: &Word) -> Result<Vec<u8>, String> {
    match word {
        Word::Bare(text) => Ok(text.clone().into_bytes()),
        Word::Bytes(bytes) => Ok(bytes.clone()),
        Word::List(_) => Err("a list stands where text should".into()),
    }
}

fn number_of<T: std::str::FromStr>(word: &Word) -> Result<T, String> {
    match word {
        Word::Bare(text) => text.parse().map_err(|_| format!("{text:?} is no such number")),
        Word::Bytes(_) | Word::List(_) => Err("a number was expected".into()),
    }
}

fn list(word: Option<&Word>) -> Result<&[Word], String> {
    match word {
        None => Ok(&[]),
        Some(Word::List(words)) => Ok(words),
        Some(Word::Bare(_) | Word::Bytes(_)) => Err("a list was expected".into()),
    }
}

fn numbers<T: std::str::FromStr>(word: Option<&Word>) -> Result<Vec<T>, String> {
    list(word)?.iter().map(number_of).collect()
}

fn values(word: Option<&Word>) -> Result<Vec<Option<Vec<u8>>>, String> {
    let null = Word::Bare("null".into());
    list(word)?.iter().map(|w| if *w == null { Ok(None) } else { text_of(w).map(Some) }).collect()
}

/// `name=value` words; a quoted word holds blanks: `"options=-c a=b"`.
fn pairs(words: &[Word]) -> Result<Vec<(String, String)>, String> {
    let pair = |word: &Word| {
        let text = String::from_utf8(text_of(word)?).map_err(|_| "name=value in UTF-8")?;
        let (name, value) = text.split_once('=').ok_or("name=value")?;
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}
