//! A SELECT that sends every row of a table.
//!
//! Owns the reading of one SELECT as far as it must be known for that: where its clauses begin, whether it has one row
//! for all (an aggregate), and that nothing but tables is behind FROM. A doubt says nothing: set operations, DISTINCT,
//! GROUP BY, and functions, queries and parentheses behind FROM may yield few rows.

use super::super::{Kind, Name, Token};
use super::predicate::{self, Meaning};
use super::reader::{ObjectName, Reader};
use super::{Command, Commands, Place};

/// Clauses that leave rows out, or may.
const BOUNDS: &[&str] =
    &["fetch", "group", "having", "union", "intersect", "except", "tablesample", "into"];

/// Clauses behind those of tables.
const BEHIND_FROM: &[&str] = &["where", "window", "order", "limit", "offset", "for"];

/// Tokens of a condition that are read to say that it is always true.
const CONDITION_MAX: usize = 1_000;

/// Queries of a WITH that are kept; with more, nothing is said.
const QUERIES_MAX: usize = 64;

/// Calls of aggregates as window functions that are read.
const WINDOWS_MAX: usize = 64;

/// Adds the finding, where the query at `at` is one.
pub(super) fn read(at: Reader, out: &mut Commands) {
    // In code rows go to variables.
    if matches!(at.place, Place::Plain | Place::Prepared)
        && let Some(table) = table(at)
    {
        out.add(&at, Command::WholeSelect { table });
    }
}

/// The first table behind FROM, where every row of it is sent.
fn table(mut at: Reader) -> Option<ObjectName> {
    let queries = if at.eat("with") { with(&mut at)? } else { Vec::new() };
    if at.eat("select") {
        if at.at("distinct") {
            return None;
        }
        select_list(&mut at)?;
    } else if !at.eat("table") {
        return None;
    }
    let table = item(&mut at, &queries)?;
    is_unbounded(at, &queries).then_some(table)
}

/// Behind WITH: eats its queries and gives their names.
fn with(at: &mut Reader) -> Option<Vec<Name>> {
    at.eat("recursive");
    let mut names = Vec::new();
    loop {
        names.push(at.column()?);
        at.parentheses();
        if !at.eat("as") || names.len() > QUERIES_MAX {
            return None;
        }
        at.eat("not");
        at.eat("materialized");
        at.parentheses()?;
        // SEARCH and CYCLE are seldom.
        if !at.eat_symbol(b',') {
            return Some(names);
        }
    }
}

/// Eats the select list and FROM. None without FROM, and where an aggregate makes one row of all.
fn select_list(at: &mut Reader) -> Option<()> {
    let mut depth = 0_usize;
    let mut windows = 0;
    let mut before: Option<Token> = None;
    loop {
        let token = at.peek()?;
        let named = before.is_some_and(|before| is_named(at, before));
        match token.kind {
            Kind::Symbol(b'(') => {
                let mut inside = *at;
                inside.bump();
                if inside.at_any(&["select", "with", "values", "table"]) {
                    at.parentheses();
                    before = None;
                    continue;
                }
                depth += 1;
            }
            Kind::Symbol(b'[') => depth += 1,
            Kind::Symbol(b')' | b']') => depth = depth.checked_sub(1)?,
            Kind::Word if depth == 0 && !named && at.at("from") => {
                at.bump();
                // IS DISTINCT FROM
                if !before.is_some_and(|before| at.is(before, "distinct")) {
                    return Some(());
                }
                before = None;
                continue;
            }
            Kind::Word if depth == 0 && !named && at.at_any(BOUNDS) => return None,
            kind if kind.is_word() && is_call(at) && has_aggregate_name(*at) => {
                windows += 1;
                if windows > WINDOWS_MAX || !is_window(*at) {
                    return None;
                }
            }
            _ => {}
        }
        before = Some(token);
        at.bump();
    }
}

/// True behind AS or a point: the word is a name.
fn is_named(at: &Reader, before: Token) -> bool {
    at.is(before, "as") || before.kind == Kind::Symbol(b'.')
}

/// True at a word before a parenthesis.
fn is_call(at: &Reader) -> bool {
    at.peek_second().is_some_and(|token| token.kind == Kind::Symbol(b'('))
}

/// True at a call that is one of a window function.
fn is_window(mut at: Reader) -> bool {
    at.name();
    at.parentheses();
    if at.eat("filter") {
        at.parentheses();
    }
    at.at("over")
}

/// True at the name of an aggregate of Postgres' own.
fn has_aggregate_name(mut at: Reader) -> bool {
    const AGGREGATES: &[&[u8]] = &[
        b"any_value",
        b"avg",
        b"bit_and",
        b"bit_or",
        b"bit_xor",
        b"bool_and",
        b"bool_or",
        b"corr",
        b"count",
        b"covar_pop",
        b"covar_samp",
        b"every",
        b"json_arrayagg",
        b"json_objectagg",
        b"max",
        b"min",
        b"stddev",
        b"stddev_pop",
        b"stddev_samp",
        b"sum",
        b"var_pop",
        b"var_samp",
        b"variance",
        b"xmlagg",
    ];
    at.name().is_some_and(|name| {
        let name = name.as_bytes();
        AGGREGATES.binary_search(&name).is_ok()
            || name.ends_with(b"_agg")
            || name.starts_with(b"regr_")
            || name.windows(b"_agg_".len()).any(|part| part == b"_agg_")
    })
}

/// Eats a table behind FROM, JOIN or a comma. None for anything else there, and for catalogs, which are small.
fn item(at: &mut Reader, queries: &[Name]) -> Option<ObjectName> {
    let rows = at.at("rows") && at.peek_second().is_some_and(|token| at.is(token, "from"));
    let (table, _) = at.relation();
    let table = table.filter(|_| !rows && !at.at_symbol(b'('))?;
    let catalog = match &table.schema {
        Some(schema) => *schema == *"pg_catalog" || *schema == *"information_schema",
        None => table.name.as_bytes().starts_with(b"pg_") || queries.contains(&table.name),
    };
    (!catalog).then_some(table)
}

/// Behind the first table: true where neither a clause nor another item of FROM can leave rows out.
fn is_unbounded(mut at: Reader, queries: &[Name]) -> bool {
    let mut in_from = true;
    let mut budget = CONDITION_MAX;
    let mut before: Option<Token> = None;
    while let Some(token) = at.peek() {
        let named = before.is_some_and(|before| is_named(&at, before));
        before = Some(token);
        if at.parentheses().is_some() {
            continue;
        }
        let (comma, word) = (token.kind == Kind::Symbol(b','), token.kind == Kind::Word && !named);
        if word && at.at_any(BOUNDS) {
            return false;
        }
        in_from &= !(word && at.at_any(BEHIND_FROM));
        let joins = in_from && (comma || word && at.at("join"));
        let (filters, limits) = (word && at.at("where"), word && at.at("limit"));
        at.bump();
        if joins && item(&mut at, queries).is_none() {
            return false;
        }
        if filters && predicate::read(at, &mut budget) != Meaning::AlwaysTrue {
            return false;
        }
        if limits && !at.at_any(&["all", "null"]) {
            return false;
        }
    }
    true
}
