//! Any statement: by its first word to the family that reads it.

use super::super::Kind;
use super::super::facts::Explain;
use super::super::statements;
use super::reader::Reader;
use super::{
    Command, Commands, Place, alter, code, create, drop, maintenance, query, reindex, session,
    whole,
};

/// Adds the commands of the statement at `at`.
pub(super) fn read(at: Reader, out: &mut Commands) {
    let mut at = at;
    let explained = at.at("explain");
    if explained && statements::explain(&mut at) != Explain::Analyze {
        return; // It is planned only.
    }
    let Some(first) = at.peek() else { return };
    let mut word = [0_u8; 16];
    let raw = first.span.of(at.text());
    let word = match (first.kind, word.get_mut(..raw.len())) {
        (Kind::Symbol(b'('), _) => b"select",
        (Kind::Word, Some(word)) => {
            word.copy_from_slice(raw);
            word.make_ascii_lowercase();
            &*word
        }
        _ => return out.add_unknown(&at),
    };
    match word {
        b"select" | b"values" | b"table" | b"with" | b"insert" | b"update" | b"delete"
        | b"merge" | b"execute" => {
            // EXPLAIN ANALYZE sends no rows.
            if out.closely && !explained {
                whole::read(at, out);
            }
            query::read(at, out);
        }
        b"create" => create::read(behind(at), out),
        b"alter" => alter::read(behind(at), out),
        b"drop" => drop::read(behind(at), out),
        b"reindex" => reindex::read(behind(at), out),
        b"cluster" => maintenance::cluster(behind(at), out),
        b"vacuum" => maintenance::vacuum(behind(at), out),
        b"repack" => maintenance::repack(behind(at), out),
        b"refresh" => maintenance::refresh(behind(at), out),
        b"lock" => maintenance::lock(behind(at), out),
        b"truncate" => maintenance::truncate(behind(at), out),
        b"analyze" | b"analyse" => out.add(&at, Command::Analyze),
        b"do" => code::anonymous_block(behind(at), out),
        b"call" => session::call(behind(at), out),
        b"copy" => {
            session::copy(at, out);
            let at = behind(at);
            if at.at_symbol(b'(') {
                query::read(at, out);
            }
        }
        b"prepare" => prepare(at, out),
        b"declare" => {
            while !at.at_end() && !at.eat("for") {
                at.bump();
            }
            query::read(at, out);
        }
        b"begin" | b"start" | b"commit" | b"end" | b"rollback" | b"abort" | b"savepoint"
        | b"release" | b"set" | b"reset" | b"discard" => session::read(at, out),
        b"comment" | b"grant" | b"import" | b"reassign" | b"revoke" | b"security" => {
            out.add(&at, Command::OtherDdl);
        }
        b"checkpoint" | b"close" | b"deallocate" | b"fetch" | b"listen" | b"load" | b"move"
        | b"notify" | b"show" | b"unlisten" | b"wait" => {}
        _ => out.add_unknown(&at),
    }
}

/// PREPARE TRANSACTION, or PREPARE with a query.
fn prepare(mut at: Reader, out: &mut Commands) {
    if at.peek_second().is_some_and(|word| at.is(word, "transaction")) {
        return session::read(at, out);
    }
    at.bump();
    at.name();
    at.parentheses();
    if !at.eat("as") {
        return out.add_unknown(&at);
    }
    let place = if at.place == Place::Plain { Place::Prepared } else { at.place };
    let body = at.part(at.rest(), place);
    if out.closely {
        whole::read(body, out);
    }
    query::read(body, out);
}

/// Behind the next token.
fn behind(mut at: Reader) -> Reader {
    at.bump();
    at
}
