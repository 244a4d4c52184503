//! `server-side-program`: COPY that runs a program on Postgres' machine, or reads and writes its files.

use super::super::case::{Case, Fault, Rule};
use crate::sql::commands::Command;

pub(super) const RULE: Rule = Rule { name: "server-side-program", judge };

fn judge(case: &Case) -> Option<Fault> {
    let Command::ServerSideCopy { program } = case.command() else { return None };
    let message = if *program {
        "COPY … PROGRAM would run a program on the database server's machine"
    } else {
        "COPY with a file would read or write one on the database server's machine"
    };
    Some(Fault::new(
        message.to_owned(),
        "",
        "Use COPY … FROM STDIN or TO STDOUT, in psql \\copy: then the file is the client's.",
    ))
}
