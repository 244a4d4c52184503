//! What errors of a server say of the statements that it was to have, and in whose words a client
//! reads them.

use super::statements::{CHANGED, DISGUISE};
use crate::client::Session;
use crate::errors;
use crate::prepared::{PREFIX, StatementId, Statements};
use crate::server::ledger::Sent;
use crate::session::Pins;
use crate::wire::Report;
use crate::wire::backend::{ErrorFields, error_fields, tag};
use crate::wire::build;
use crate::wire::frame::Header;

/// Why a server refuses a statement that it was to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its result type has changed (0A000).
    Changed,
    /// It does not have it (26000).
    Missing,
    /// A Bind of what the server keeps for an unnamed statement failed.
    Repeated,
    /// Its text has no meaning any more (class 42): something that it names was changed or dropped.
    Meaningless,
}

/// An error that names a statement as pgweir calls it, with the client's name for it; `None` for
/// nearly all, which name none, and for those of over 4 KB.
pub(super) fn in_the_clients_words(
    session: &Session,
    statements: &Statements,
    header: Header,
    body: &[u8],
) -> Option<Vec<u8>> {
    let fields = ErrorFields::read(body);
    if fields.sqlstate == b"55000"
        && session.pins.has(Pins::BACKEND_STATE)
        && !session.pins.has(Pins::SESSION_MODE)
        && has(fields.message, b"is not yet defined in this session")
    {
        // As Postgres says it; what is to be read may have been left on another server.
        let mut out = Vec::new();
        Report::from_server(body)
            .hint("Use RETURNING, or read it in the transaction that called nextval().")
            .write(&mut out);
        return Some(out);
    }
    if !has(fields.message, PREFIX) || body.len() != header.body_len as usize {
        return None;
    }
    if fields.sqlstate == b"26000" && has(fields.message, CHANGED) {
        let mut out = Vec::new();
        errors::result_type_changed().write(&mut out);
        return Some(out);
    }
    let mut out = vec![tag::ERROR_RESPONSE];
    build::sized(&mut out, |out| {
        for (kind, value) in error_fields(body) {
            out.push(kind);
            match kind {
                b'M' => with_names(session, statements, value, out),
                _ => out.extend_from_slice(value),
            }
            out.push(0);
        }
        out.push(0);
    });
    Some(out)
}

/// A message in which `"_pgweir_7"` is what the client calls it.
fn with_names(session: &Session, statements: &Statements, message: &[u8], out: &mut Vec<u8>) {
    for (n, part) in message.split(|byte| *byte == b'"').enumerate() {
        if n > 0 {
            out.push(b'"');
        }
        let name = match statements.called(part) {
            Some(id) if session.unnamed == Some(id) => Some(&b""[..]),
            Some(id) => session.names.as_ref().and_then(|names| names.name_of(id)),
            None => part.strip_prefix(DISGUISE),
        };
        out.extend_from_slice(name.unwrap_or(part));
    }
}

/// The shared statement that an error is about, when it says that the server cannot use it.
pub(super) fn refused(failed: Option<Sent>, error: &[u8]) -> Option<(StatementId, Refusal)> {
    let Some(Sent::Bind(Some(id)) | Sent::DescribeStatement(Some(id))) = failed else {
        return None;
    };
    let fields = ErrorFields::read(error);
    match fields.sqlstate {
        b"0A000" => Some((id, Refusal::Changed)),
        b"26000" if !has(fields.message, CHANGED) => Some((id, Refusal::Missing)),
        // Permissions are looked at each time.
        b"42501" => None,
        code if code.starts_with(b"42") => Some((id, Refusal::Meaningless)),
        _ => None,
    }
}

/// Whether the error that answers a Bind may be one that another Parse mends, or puts otherwise;
/// not those of a cancel, a limit or a lack of resources.
pub(super) fn is_about_the_statement(error: &[u8]) -> bool {
    let code = ErrorFields::read(error).sqlstate;
    ![&b"25"[..], b"40", b"53", b"55", b"57", b"58"].iter().any(|class| code.starts_with(class))
}

/// Whether a Bind was refused because its rows look otherwise than its client was told.
pub(super) fn is_in_our_words(error: &[u8]) -> bool {
    has(ErrorFields::read(error).message, CHANGED)
}

/// An error that says nothing of the statement that it answers.
pub(super) fn in_failed_transaction(error: &[u8]) -> bool {
    ErrorFields::read(error).sqlstate == b"25P02"
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
