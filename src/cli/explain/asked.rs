//! `pgweir explain` of statements: reads what is asked, prints what is said.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

use super::super::terms::{Terms, Who};
use super::{ExplainFormat, lines, statement};
use crate::guard::rehearsal::Parameters;

/// What is asked about statements.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    /// The statement; None: `jsonl` has them.
    pub sql: Option<String>,
    /// Messages of the same session before it.
    pub context: Vec<String>,
    /// A file of lines, or `-`.
    pub jsonl: Option<PathBuf>,
    /// The configuration; None: built-in defaults.
    pub config: Option<PathBuf>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// The guard's policy in place of the role's.
    pub policy: Option<String>,
    /// Ask the catalog, at the servers of the configuration.
    pub connect: bool,
    /// How the answer about `sql` is printed.
    pub format: ExplainFormat,
}

/// Explains statements, prints the answers, and gives the exit code: 0 fine, 1 a line could not be explained, 2 usage, or
/// something cannot be read.
pub fn explain_statements(asked: &Statements) -> u8 {
    let mut complaint = io::stderr().lock();
    match answer(asked, &mut io::stdout().lock()) {
        Ok(all) => u8::from(!all),
        // Whoever closed the pipe has seen enough.
        Err((_, Some(io::ErrorKind::BrokenPipe))) => 0,
        Err((message, _)) => {
            let _ = writeln!(complaint, "{}", message.trim_end());
            2
        }
    }
}

/// The same with the output given. Whether every statement could be explained.
///
/// # Errors
/// What to say, and the kind of the error where one of input or output is behind it.
pub fn answer(
    asked: &Statements,
    output: &mut dyn Write,
) -> Result<bool, (String, Option<io::ErrorKind>)> {
    let failed = |error: io::Error| (error.to_string(), Some(error.kind()));
    let plain = |message: String| (message, None);
    let terms = match &asked.config {
        Some(config) if asked.connect => Terms::connecting(config).map_err(plain)?,
        config => Terms::load(config.as_deref()).map_err(|(_, message)| plain(message))?,
    };
    let who = Who {
        database: asked.database.as_deref(),
        role: asked.role.as_deref(),
        policy: asked.policy.as_deref(),
    };
    if let Some(sql) = &asked.sql {
        let held = terms.hold(who).map_err(plain)?;
        let (parameters, inquirer) = (Parameters::default(), terms.inquirer());
        let found = statement::explain(&held, inquirer, parameters, &asked.context, sql);
        let found = found.map_err(plain)?;
        let printed = match asked.format {
            ExplainFormat::Text => found.text(),
            ExplainFormat::Json => format!("{{{}}}\n", found.members()),
        };
        output.write_all(printed.as_bytes()).map_err(failed)?;
        return Ok(true);
    }
    let Some(path) = &asked.jsonl else { return Ok(true) };
    if path.as_os_str() == "-" {
        return lines::answer(&terms, who, &mut io::stdin().lock(), output).map_err(failed);
    }
    let named =
        |error: io::Error| (format!("cannot read {}: {error}", path.display()), Some(error.kind()));
    let file = File::open(path).map_err(named)?;
    lines::answer(&terms, who, &mut BufReader::new(file), output).map_err(failed)
}
