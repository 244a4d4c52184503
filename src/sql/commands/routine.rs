//! CREATE FUNCTION and CREATE PROCEDURE: what their bodies hold.
//!
//! Owns the clauses behind the arguments (CreateFunctionStmt in `gram.y`), in any order. The body is only looked into
//! for what it would do when it is called; nothing of it runs now.

use super::super::literal::Name;
use super::reader::{ObjectName, Reader};
use super::{Command, Commands, code};

/// `CREATE [OR REPLACE] {FUNCTION | PROCEDURE} name (arguments) …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRoutine {
    /// A procedure.
    pub procedure: bool,
    /// Its name.
    pub name: Option<ObjectName>,
    /// Its language, where it is said.
    pub language: Option<Name>,
    /// Its body holds commands that change the catalog.
    pub ddl: bool,
    /// CREATE INDEX, DROP INDEX or REINDEX, blocking, is among them.
    pub index_ddl: bool,
    /// Its body runs SQL that the text does not show.
    pub opaque: bool,
}

/// Behind `CREATE FUNCTION` or `CREATE PROCEDURE`.
pub(super) fn create(mut at: Reader, procedure: bool, out: &mut Commands) {
    let name = at.object();
    let mut language = None;
    let mut body = None;
    while !at.at_end() {
        if at.eat("language") {
            language = at.name().or_else(|| at.string().map(|name| Name::of_parameter(&name)));
        } else if at.eat("as") && body.is_none() {
            body = at.string();
        } else if at.at("begin") && at.peek_second().is_some_and(|word| at.is(word, "atomic")) {
            break; // The grammar of such a body has no commands that change the catalog.
        } else {
            at.skip();
        }
    }
    let mut inside = out.alike();
    if let Some(body) = body {
        // What names a library or a symbol of the server is not SQL.
        let linked = language.as_ref().is_some_and(|name| *name == *"c" || *name == *"internal");
        if !linked {
            code::body(&at, language.as_ref(), &body, &mut inside);
        }
    }
    let any = |is: fn(&Command) -> bool| inside.found().iter().any(|found| is(&found.command));
    let found = CreateRoutine {
        procedure,
        name,
        ddl: any(Command::is_ddl),
        index_ddl: any(Command::is_blocking_index_ddl) || inside.beyond().is_blocking_index_ddl(),
        opaque: any(|command| matches!(command, Command::Opaque(_))) || inside.beyond().any,
        language,
    };
    out.add(&at, Command::CreateRoutine(found));
    if out.closely {
        out.append(inside, |_| true);
    }
}
