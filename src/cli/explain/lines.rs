//! `pgweir explain --jsonl`: many statements, one JSON object a line in and one out.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde_json::Value;

use super::super::json;
use super::super::terms::{Held, Terms, Who};
use super::statement;
use crate::guard::rehearsal::Parameters;

/// One line.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, rename = "id")]
    _id: Option<Value>,
    sql: String,
    #[serde(default)]
    context: Option<Vec<String>>,
    #[serde(default)]
    database: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    parameters: Option<BTreeMap<String, Value>>,
}

/// Who asks, as a key: database, role, policy.
type Asker = (Option<String>, Option<String>, Option<String>);

/// What holds for those who have asked.
struct Known<'a> {
    terms: &'a Terms,
    /// Whose values are asked for where a line does not say.
    who: Who<'a>,
    held: BTreeMap<Asker, Held>,
}

/// More askers than this are not remembered.
const ASKERS_MAX: usize = 1_000;

/// Answers each line; whether all of them could be.
///
/// # Errors
/// A line cannot be read, or the answer not be written.
pub(super) fn answer(
    terms: &Terms,
    who: Who<'_>,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> io::Result<bool> {
    let mut known = Known { terms, who, held: BTreeMap::new() };
    let mut all = true;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if !line.trim_ascii().is_empty() {
            let (id, answer) = known.answer(&line);
            let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
            all &= answer.is_ok();
            match answer {
                Ok(members) => writeln!(output, "{{{id}{members}}}")?,
                Err(error) => writeln!(output, "{{{id}\"error\":{}}}", json::string(&error))?,
            }
        }
        line.clear();
    }
    output.flush()?;
    Ok(all)
}

impl Known<'_> {
    /// The line's id, as far as it has one, and the members of the answer or what is wrong.
    fn answer(&mut self, line: &[u8]) -> (Option<Value>, Result<String, String>) {
        let value: Value = match serde_json::from_slice(line) {
            Ok(value) => value,
            Err(error) => return (None, Err(format!("not JSON: {error}"))),
        };
        let id = value.get("id").cloned();
        let answer = serde_json::from_value(value)
            .map_err(|error| error.to_string())
            .and_then(|line| self.explain(line));
        (id, answer)
    }

    fn explain(&mut self, line: Line) -> Result<String, String> {
        let Line { _id: _, sql, context, database, role, policy, parameters } = line;
        let mut settings = Vec::new();
        for (name, value) in parameters.unwrap_or_default() {
            let value = match value {
                Value::String(text) => text,
                Value::Bool(on) => if on { "on" } else { "off" }.to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(format!("the value of the parameter \"{name}\" is no text"));
                }
            };
            settings.push((name.into_bytes(), value.into_bytes()));
        }
        let terms = self.terms;
        let held = self.held((database, role, policy))?;
        let parameters = Parameters::new(settings);
        let (context, inquirer) = (context.unwrap_or_default(), terms.inquirer());
        let explained = statement::explain(held, inquirer, parameters, &context, &sql)?;
        Ok(explained.members())
    }

    fn held(&mut self, asker: Asker) -> Result<&Held, String> {
        if !self.held.contains_key(&asker) {
            let (database, role, policy) = &asker;
            let who = Who {
                database: database.as_deref().or(self.who.database),
                role: role.as_deref().or(self.who.role),
                policy: policy.as_deref().or(self.who.policy),
            };
            let held = self.terms.hold(who)?;
            if self.held.len() >= ASKERS_MAX {
                self.held.clear();
            }
            self.held.insert(asker.clone(), held);
        }
        self.held.get(&asker).ok_or_else(|| "nothing holds".to_owned())
    }
}
