//! `unsafe-client-encoding`: encodings in which a byte of a character may look like ASCII.
//!
//! The server converts a text before it reads it; who reads the client's bytes has to step over such characters as the
//! server does (class of CVE-2006-2314). pgweir does. Who wants to rely on nothing forbids them.

use super::super::case::{Case, Fault, Rule};
use super::super::values;
use crate::sql::commands::Command;
use crate::sql::{Encoding, Target};

pub(super) const RULE: Rule = Rule { name: "unsafe-client-encoding", judge };

fn judge(case: &Case) -> Option<Fault> {
    let chosen = match case.command() {
        Command::Parameter(used) => match &used.target {
            Target::Named(name) if *name == *"client_encoding" => {
                Some(values::value(&used.action, case.scene)?)
            }
            Target::Named(_) | Target::All | Target::Param(_) | Target::Expression => None,
        },
        _ => None,
    };
    let unsafe_now = case.context.options.encoding != Encoding::AsciiSafe;
    let found = match chosen {
        Some(name) => Encoding::from_name(&name) != Encoding::AsciiSafe,
        None => unsafe_now && case.command().is_ddl() && !case.scene.text.is_ascii(),
    };
    let message = "characters in this client_encoding may hold bytes that look like quotes or backslashes to whoever does \
                   not decode them as the server does";
    let hint = "SET client_encoding = 'UTF8'.";
    found.then(|| Fault::new(message.to_owned(), "", hint))
}
