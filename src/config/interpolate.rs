//! `${ENV}`, `${ENV:-default}`, `${file:path}` and `$$` inside string values.
//!
//! It runs after the file is parsed, so that no secret can change the file's structure.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// What a configuration may look at outside its own text. Tests bring their own.
pub(super) trait Surroundings {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// A file's text.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// The process's own environment and file system.
pub(super) struct Process;

impl Surroundings for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// The same on a machine where pgweir does not run: secrets that are missing there are taken to be something.
pub(super) struct Elsewhere;

/// What stands in for them.
const STAND_IN: &str = "elsewhere";

impl Surroundings for Elsewhere {
    fn variable(&self, name: &str) -> Option<String> {
        Some(Process.variable(name).unwrap_or_else(|| STAND_IN.to_owned()))
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        Ok(Process.read(path).unwrap_or_else(|_| STAND_IN.to_owned()))
    }
}

/// Surroundings that remember the secrets that were found there, so that no message repeats one.
pub(super) struct Discreet<'a> {
    inner: &'a dyn Surroundings,
    secrets: RefCell<BTreeSet<String>>,
}

/// In the name of a variable: it holds a secret.
const SECRET_WORDS: [&str; 5] = ["PASS", "PWD", "SECRET", "TOKEN", "KEY"];

impl<'a> Discreet<'a> {
    pub fn new(inner: &'a dyn Surroundings) -> Self {
        Discreet { inner, secrets: RefCell::default() }
    }

    /// What was read: files' texts, and variables whose names say that they hold a secret.
    pub fn into_secrets(self) -> BTreeSet<String> {
        self.secrets.into_inner()
    }

    fn remember(&self, text: &str) {
        let text = text.trim_end();
        // Two characters are in every message.
        if text.len() > 2 {
            self.secrets.borrow_mut().insert(text.to_owned());
        }
    }
}

impl Surroundings for Discreet<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        let value = self.inner.variable(name)?;
        let upper = name.to_ascii_uppercase();
        if SECRET_WORDS.iter().any(|word| upper.contains(word)) {
            self.remember(&value);
        }
        Some(value)
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        let text = self.inner.read(path)?;
        self.remember(&text);
        Ok(text)
    }
}

/// Why a reference has no value. Never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InterpolateError {
    pub message: String,
    pub help: Option<String>,
    /// The reference's beginning, as it stands in the text, to find its column.
    pub reference: String,
}

/// Replaces every reference in `text`. Borrowed when there was none, and no `$$`.
pub(super) fn interpolate<'a>(
    text: &'a str,
    base: &Path,
    surroundings: &dyn Surroundings,
) -> Result<Cow<'a, str>, Vec<InterpolateError>> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some((reference, after)) = after.split_once('}') else {
                errors.push(InterpolateError {
                    message: "`${` without `}`".to_owned(),
                    help: Some("a dollar sign itself is written $$".to_owned()),
                    reference: "${".to_owned(),
                });
                break;
            };
            match value_of(reference, base, surroundings) {
                Ok(value) => out.push_str(&value),
                Err((message, help)) => {
                    errors.push(InterpolateError {
                        message,
                        help,
                        reference: format!("${{{reference}}}"),
                    });
                }
            }
            rest = after;
        } else {
            // A lone dollar sign, as in `$1` of a query.
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(if errors.is_empty() { rest } else { "" });
    if errors.is_empty() { Ok(Cow::Owned(out)) } else { Err(errors) }
}

/// The value of what stands between `${` and `}`.
fn value_of(
    reference: &str,
    base: &Path,
    surroundings: &dyn Surroundings,
) -> Result<String, (String, Option<String>)> {
    if let Some(path) = reference.strip_prefix("file:") {
        let path = base.join(path);
        return match surroundings.read(&path) {
            Ok(text) => Ok(without_newline(text)),
            Err(error) => Err((format!("cannot read {}: {error}", path.display()), None)),
        };
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err((
            "no name of an environment variable stands between `${` and `}`".to_owned(),
            Some(
                "write ${NAME}, ${NAME:-default} or ${file:/path}; a dollar sign itself is $$"
                    .to_owned(),
            ),
        ));
    }
    match (surroundings.variable(name), default) {
        // As in a shell, `:-` also replaces an empty value.
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            Some(format!("set it, or write a default: ${{{name}:-…}}")),
        )),
    }
}

/// Editors and `echo` end a file with a newline that is no part of the secret.
fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Variables and files that exist only in a test.
    #[derive(Default)]
    pub(crate) struct Fake {
        pub variables: Vec<(&'static str, &'static str)>,
        pub files: Vec<(&'static str, &'static str)>,
    }

    impl Surroundings for Fake {
        fn variable(&self, name: &str) -> Option<String> {
            self.variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        }

        fn read(&self, path: &Path) -> io::Result<String> {
            let found = self.files.iter().find(|(known, _)| Path::new(known) == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    fn fake() -> Fake {
        Fake {
            variables: vec![
                ("HOST", "db1"),
                ("EMPTY", ""),
                ("QUOTE", "a\"b"),
                ("NESTED", "${HOST}"),
            ],
            files: vec![("/etc/pgweir/pw", "s3cret\n"), ("/run/pw", "two\nlines\r\n")],
        }
    }

    fn check(input: &str, expected: &str) {
        let fake = fake();
        let value = interpolate(input, Path::new("/etc/pgweir"), &fake);
        assert_eq!(value.as_deref(), Ok(expected), "{input}");
    }

    fn refuse(input: &str, messages: &[&str]) {
        let fake = fake();
        let errors = interpolate(input, Path::new("/etc/pgweir"), &fake).unwrap_err();
        assert_eq!(errors.len(), messages.len(), "{input}");
        for (error, message) in errors.iter().zip(messages) {
            assert!(error.message.contains(message), "{input}: {}", error.message);
            assert!(input.contains(&error.reference), "{input}: {}", error.reference);
        }
    }

    #[test]
    fn references_are_replaced() {
        check("plain", "plain");
        check("postgres://${HOST}:5432", "postgres://db1:5432");
        check("${HOST}${HOST}", "db1db1");
        check("${NONE:-x}", "x");
        check("${NONE:-}", "");
        check("${EMPTY:-x}", "x");
        check("${EMPTY}", "");
        check("${HOST:-x}", "db1");
        check("${QUOTE}", "a\"b");
        check("${NESTED}", "${HOST}");
        check("${file:pw}", "s3cret");
        check("${file:/run/pw}", "two\nlines");
        check("$$", "$");
        check("$${HOST}", "${HOST}");
        check("$$$${HOST}", "$${HOST}");
        check("WHERE a = $1", "WHERE a = $1");
        check("a$", "a$");
    }

    #[test]
    fn references_without_a_value_are_errors() {
        refuse("${NONE}", &["`NONE` is not set"]);
        refuse("${NONE} ${ALSO}", &["`NONE`", "`ALSO`"]);
        refuse("${file:none}", &["cannot read /etc/pgweir/none"]);
        refuse("${HOST", &["`${` without `}`"]);
        refuse("${}", &["no name"]);
        refuse("${1A}", &["no name"]);
        refuse("${A-B}", &["no name"]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(\\PC|\\$|\\$\\{|\\}){0,40}") {
            let _ = interpolate(&text, Path::new("/"), &fake());
        }
    }
}
