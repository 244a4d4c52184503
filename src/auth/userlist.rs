//! PgBouncer's `auth_file`, `userlist.txt`: one role and its secret a line.
//!
//! ```text
//! ; a comment
//! "shop" "SCRAM-SHA-256$4096:…"
//! "a ""quoted"" name" "md5…"   whatever follows is ignored
//! ```
//!
//! Deliberately absent: reading the file, and asking whether others can.

use std::collections::HashMap;
use std::fmt;

use super::secret::{StoredSecret, StoredSecretError};

/// The roles of a file.
#[derive(Debug, Default)]
pub struct Userlist {
    roles: HashMap<String, Entry>,
    /// Roles that stand in the file more than once, with the line of the later entry, which
    /// counts: a warning is due.
    pub repeated: Vec<(String, usize)>,
}

#[derive(Debug)]
struct Entry {
    secret: Option<StoredSecret>,
    line: usize,
}

/// Why a file cannot be used, with the line, counted from 1. No part of the file is used then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserlistError {
    /// Where.
    pub line: usize,
    /// What.
    pub problem: UserlistProblem,
}

/// What is wrong with a line. Carries nothing of it: it may be a secret in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserlistProblem {
    /// The line does not begin with a quoted role name or a comment.
    ExpectedRole,
    /// After the role name comes no quoted secret.
    ExpectedSecret,
    /// A quoted text does not end on its line.
    Unterminated,
    /// The role name is empty.
    EmptyRole,
    /// The role name is longer than Postgres allows (63 bytes).
    RoleTooLong,
    /// The role name is not UTF-8.
    RoleNotUtf8,
    /// A NUL byte.
    Nul,
    /// The secret looks like one thing and is another.
    Secret(StoredSecretError),
}

/// Postgres' NAMEDATALEN, less its NUL.
const ROLE_LIMIT: usize = 63;

impl fmt::Display for UserlistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match self.problem {
            UserlistProblem::ExpectedRole => f.write_str("expected \"role\" \"secret\""),
            UserlistProblem::ExpectedSecret => {
                f.write_str("expected a secret in double quotes after the role name")
            }
            UserlistProblem::Unterminated => f.write_str("closing double quote is missing"),
            UserlistProblem::EmptyRole => f.write_str("the role name is empty"),
            UserlistProblem::RoleTooLong => {
                write!(f, "the role name is longer than {ROLE_LIMIT} bytes")
            }
            UserlistProblem::RoleNotUtf8 => f.write_str("the role name is not UTF-8"),
            UserlistProblem::Nul => f.write_str("there is a NUL byte"),
            UserlistProblem::Secret(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UserlistError {}

impl Userlist {
    /// Reads a file's contents, as PgBouncer's `load_auth_file` but stricter: a line that it
    /// would stop at is an error, and so is a line break within quotes.
    pub fn parse(contents: &[u8]) -> Result<Self, UserlistError> {
        let mut list = Self::default();
        for (index, text) in contents.split(|&byte| byte == b'\n').enumerate() {
            let line = index + 1;
            list.read_line(line, text).map_err(|problem| UserlistError { line, problem })?;
        }
        Ok(list)
    }

    fn read_line(&mut self, line: usize, text: &[u8]) -> Result<(), UserlistProblem> {
        let text = text.trim_ascii_start();
        if let [] | [b';', ..] = text {
            return Ok(());
        }
        if text.contains(&0) {
            return Err(UserlistProblem::Nul);
        }
        let text = text.strip_prefix(b"\"").ok_or(UserlistProblem::ExpectedRole)?;
        let (role, text) = unquote(text)?;
        let text = text.trim_ascii_start().strip_prefix(b"\"");
        let (secret, _ignored) = unquote(text.ok_or(UserlistProblem::ExpectedSecret)?)?;
        let role = String::from_utf8(role).map_err(|_| UserlistProblem::RoleNotUtf8)?;
        match role.len() {
            0 => return Err(UserlistProblem::EmptyRole),
            1..=ROLE_LIMIT => {}
            _ => return Err(UserlistProblem::RoleTooLong),
        }
        let secret = match StoredSecret::parse(&zeroize::Zeroizing::new(secret)) {
            Ok(secret) => Some(secret),
            // PgBouncer's way of listing a role that has no password.
            Err(StoredSecretError::Empty) => None,
            Err(error) => return Err(UserlistProblem::Secret(error)),
        };
        if self.roles.insert(role.clone(), Entry { secret, line }).is_some() {
            self.repeated.push((role, line));
        }
        Ok(())
    }

    /// Keeps the verifiers that `before` made of passwords which are the same here: making one is
    /// slow, and a salt that changed would tell a role that exists from one that does not.
    pub fn keep_verifiers_of(&mut self, before: &Self) {
        for (role, entry) in &mut self.roles {
            if let (Some(StoredSecret::Plain(here)), Some(StoredSecret::Plain(there))) =
                (&mut entry.secret, before.secret(role))
                && here.password().matches(there.password().expose())
            {
                here.clone_from(there);
            }
        }
    }

    /// A role's secret. `None` also where the role is listed with an empty one: it cannot log in
    /// by password.
    pub fn secret(&self, role: &str) -> Option<&StoredSecret> {
        self.roles.get(role)?.secret.as_ref()
    }

    /// The line of a role, where it is listed.
    pub fn line(&self, role: &str) -> Option<usize> {
        self.roles.get(role).map(|entry| entry.line)
    }

    /// All roles, in no order, with their secrets.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&StoredSecret>)> {
        self.roles.iter().map(|(role, entry)| (role.as_str(), entry.secret.as_ref()))
    }

    /// How many roles there are.
    pub fn len(&self) -> usize {
        self.roles.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }
}

/// The text up to the closing quote, with `""` for `"`, and what follows it.
fn unquote(text: &[u8]) -> Result<(Vec<u8>, &[u8]), UserlistProblem> {
    let mut unquoted = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.iter().position(|&byte| byte == b'"');
        let (part, after) = rest.split_at(end.ok_or(UserlistProblem::Unterminated)?);
        unquoted.extend_from_slice(part);
        rest = match after {
            [b'"', b'"', after @ ..] => {
                unquoted.push(b'"');
                after
            }
            [_, after @ ..] => return Ok((unquoted, after)),
            [] => return Err(UserlistProblem::Unterminated),
        };
    }
}

#[cfg(test)]
mod tests;
