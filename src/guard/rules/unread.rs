//! `opaque-code` and `unparsable-statement`: what the guard cannot read.
//!
//! Where words of index DDL are in what cannot be read, it is treated as that: not to be understood is no way past the
//! index rules. For code that puts its statements together from what is not in the text, only the server could tell.

use super::super::case::{Case, Fault, Rule};
use super::super::words::shown;
use super::{INDEX_RULES, create_index, drop_index, reindex};
use crate::sql::commands::{Beyond, Command, Commands, Opaque, OpaqueReason};

pub(super) const OPAQUE: Rule = Rule { name: "opaque-code", judge: opaque };

fn opaque(case: &Case) -> Option<Fault> {
    let (message, as_index_ddl) = match case.command() {
        Command::Opaque(Opaque { reason, names_index_ddl }) => match reason {
            OpaqueReason::Execute => (
                "the code runs SQL that it puts together, which the guard cannot judge".to_owned(),
                false,
            ),
            OpaqueReason::Language(language) => {
                let language = String::from_utf8_lossy(language.as_bytes()).into_owned();
                let language: String = language.chars().filter(|c| !c.is_control()).collect();
                (format!("the guard cannot judge what code in {language} does"), false)
            }
            OpaqueReason::TooDeep => (
                "the code is nested too deeply for the guard to judge it".to_owned(),
                *names_index_ddl,
            ),
        },
        Command::CreateRoutine(made) if made.ddl || made.index_ddl => {
            let what = if made.index_ddl { "blocking index DDL" } else { "DDL" };
            let name = shown(made.name.as_ref(), "the routine");
            (format!("{name} runs {what} wherever it is called, unseen by the guard"), false)
        }
        Command::Call { name } => (
            format!("the guard cannot judge what {} does", shown(name.as_ref(), "the procedure")),
            false,
        ),
        _ => return None,
    };
    let hint = "Send the statements themselves: what code puts together only the server sees.";
    Some(Fault { as_index_ddl, ..Fault::new(message, "", hint) })
}

/// A function that is called by its number.
pub(super) fn call() -> Fault {
    let message = "the guard cannot judge what a function does that is called by its number";
    let hint = "Call it in a SELECT; the protocol's FunctionCall is obsolete.";
    Fault::new(message.to_owned(), "", hint)
}

pub(super) const UNPARSABLE: Rule = Rule { name: "unparsable-statement", judge: unparsable };

fn unparsable(case: &Case) -> Option<Fault> {
    let Command::Unknown { names_index_ddl } = case.command() else { return None };
    let message = if *names_index_ddl {
        "the guard does not know this statement, which holds the words of index DDL"
    } else {
        "the guard does not know this statement"
    };
    let hint = "Is it written as Postgres wants it?";
    let fault = Fault::new(message.to_owned(), "", hint);
    Some(Fault { as_index_ddl: *names_index_ddl, ..fault })
}

/// Judges commands that were too many to be kept.
pub(in super::super) fn beyond(commands: &Commands, note: &mut impl FnMut(&'static str, Fault)) {
    let Beyond { any, creates_index, drops_index, reindexes } = commands.beyond();
    if !any {
        return;
    }
    let [create, drop, rebuild] = INDEX_RULES;
    let hint =
        "Send it in parts: of a text with so many statements the guard keeps only the first.";
    let found = [
        (creates_index, create, "CREATE INDEX", create_index::LOCK),
        (drops_index, drop, "DROP INDEX", drop_index::LOCK),
        (reindexes, rebuild, "REINDEX", reindex::LOCK),
    ];
    for (_, rule, what, lock) in found.into_iter().filter(|(is, ..)| *is) {
        let message = format!(
            "{what} without CONCURRENTLY, late in a text of thousands of statements, would block its table"
        );
        note(rule, Fault::new(message, lock, hint));
    }
    let message = "the text has more statements than the guard keeps in mind".to_owned();
    note(UNPARSABLE.name, Fault::new(message, "", hint));
}
