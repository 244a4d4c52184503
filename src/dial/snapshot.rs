//! The catalog of a database, read for the proofs of `route`: on a connection of its own, as the role that the pool's
//! servers are logged in as, which needs no privileges for it.
//!
//! Owns the questions and their bounds. One snapshot answers all of them (REPEATABLE READ).

use std::time::Duration;

use tokio::time::timeout;

use super::error::DialError;
use super::question::{AnswerError, ask, ask_each, leave};
use super::{Chain, Connected, Dialler};
use crate::pool::PoolSpec;
use crate::route::Catalog;
use crate::route::catalog::{Function, FunctionRow, RelationRow, Rows, UsesRow};
use crate::route::functions::DIFFERS_IN_SOURCE;
use crate::sql::Name;

/// How long it may take, the login included.
const LIMIT: Duration = Duration::from_secs(10);

/// Of each kind of row no more than this is kept; a database with more has no snapshot.
const ROWS_MAX: u32 = 200_000;

/// Gives the connection what the questions count on. What it has is short, read-only, and never waits long for a lock.
const PREPARE: &str = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', false), \
    pg_catalog.set_config('client_encoding', 'UTF8', false), pg_catalog.set_config('jit', 'off', false), \
    pg_catalog.set_config('statement_timeout', '8s', false), pg_catalog.set_config('lock_timeout', '1s', false)";

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Functions that are not Postgres' own, and those of its own that are volatile. An aggregate is what the functions are
/// that it is made of; its own entry always says immutable.
const FUNCTIONS: &str = "SELECT p.oid::text, n.nspname, p.proname, \
    CASE WHEN coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) ~* $1 THEN 'd' \
        WHEN p.provolatile <> 'v' AND NOT EXISTS (SELECT FROM pg_aggregate a JOIN pg_proc part \
            ON part.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) \
            WHERE a.aggfnoid = p.oid AND p.prokind = 'a' AND part.provolatile = 'v') THEN 's' \
        WHEN l.lanname IN ('c', 'internal') THEN 'c' ELSE 'v' END, \
    p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1 AND EXISTS (SELECT FROM pg_type t \
        WHERE t.oid = p.proargtypes[0] AND (t.typtype = 'c' OR t.typtype = 'd' OR t.typtype = 'p')) \
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
    WHERE p.prokind <> 'p' AND (p.oid >= 16384 \
        OR p.provolatile = 'v' AND n.nspname IN ('pg_catalog', 'information_schema'))";

/// What a FROM clause can name.
const RELATIONS: &str = "SELECT c.oid::text, n.nspname, c.relname, c.relkind::text, c.relpersistence::text \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')";

/// What queries of views and conditions of policies use. The dependencies of the catalog do not have what came with
/// Postgres, so the trees themselves are read: functions, operators' functions, aggregates, relations.
const USES: &str = "SELECT used.relation::text, \
    string_agg(p.oid::text, ' ') FILTER (WHERE p.oid >= 16384), \
    string_agg(p.proname::text, ' ') FILTER (WHERE p.oid < 16384), \
    string_agg(used.oid::text, ' ') FILTER (WHERE p.oid IS NULL) \
    FROM (SELECT DISTINCT tree.relation, found[1] = 'relid' AS is_relation, found[2]::oid AS oid FROM \
            (SELECT r.ev_class AS relation, r.ev_action::text AS text FROM pg_rewrite r \
                WHERE r.ev_type = '1' AND r.ev_class >= 16384 \
            UNION ALL SELECT c.oid, o.polqual::text FROM pg_policy o JOIN pg_class c ON c.oid = o.polrelid \
                WHERE c.relrowsecurity) AS tree, \
        regexp_matches(tree.text, ':(relid|funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g') AS found) AS used \
    LEFT JOIN pg_proc p ON p.oid = used.oid AND NOT used.is_relation \
    GROUP BY used.relation";

/// Partitions, and tables that inherit.
const CHILDREN: &str = "SELECT i.inhparent::text, i.inhrelid::text FROM pg_inherits i \
    JOIN pg_class c ON c.oid = i.inhparent WHERE c.relkind IN ('r', 'p', 'f')";

impl Dialler {
    /// Reads the catalog of the pool's database at its primary. Without one, every name is unknown.
    ///
    /// Cancel safe: dropping it closes the connection.
    ///
    /// # Errors
    /// The server could not be reached, did not answer in time, or has more than is kept of: what to say.
    pub async fn read_catalog(&self, pool: &PoolSpec) -> Result<Catalog, String> {
        let safe = pool.settings.load().database.routing.replica_safe_functions.clone();
        let reading = async {
            let (connected, _) = self
                .connect_for(pool)
                .await
                .map_err(|failure| failure.report.message.to_string())?;
            read_snapshot(connected, &safe).await
        };
        match timeout(LIMIT, reading).await {
            Ok(read) => read,
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// The same over a connection that has just logged in, which is given up. `replica_safe`: the functions that the
/// operator vouches for.
///
/// Cancel safe: dropping it closes the connection.
///
/// # Errors
/// The connection failed, the server refused something, or there is more than is kept of: what to say.
pub async fn read_snapshot(
    mut connected: Connected,
    replica_safe: &[String],
) -> Result<Catalog, String> {
    match read(&mut connected).await {
        Ok(rows) => {
            leave(connected).await;
            let many = [rows.functions.len(), rows.relations.len(), rows.uses.len()];
            if many.into_iter().any(|count| count >= ROWS_MAX as usize) {
                return Err(format!("the catalog has {ROWS_MAX} functions or relations, or more"));
            }
            Ok(Catalog::new(rows, replica_safe))
        }
        Err(AnswerError::Dial(error)) => Err(Chain(&error).to_string()),
        Err(AnswerError::Refused(report)) => {
            leave(connected).await;
            Err(report.message.to_string())
        }
    }
}

async fn read(connected: &mut Connected) -> Result<Rows, AnswerError> {
    ask(connected, PREPARE, &[]).await?;
    ask(connected, BEGIN, &[]).await?;
    let mut rows = Rows::default();
    let source = [DIFFERS_IN_SOURCE.as_bytes()];
    ask_each(connected, FUNCTIONS, &source, ROWS_MAX, |row| {
        rows.functions.push(function(row).ok_or(MALFORMED)?);
        Ok(())
    })
    .await?;
    ask_each(connected, RELATIONS, &[], ROWS_MAX, |row| {
        rows.relations.push(relation(row).ok_or(MALFORMED)?);
        Ok(())
    })
    .await?;
    for question in [USES, CHILDREN] {
        ask_each(connected, question, &[], ROWS_MAX, |row| {
            rows.uses.push(uses(row).ok_or(MALFORMED)?);
            Ok(())
        })
        .await?;
    }
    Ok(rows)
}

const MALFORMED: DialError = DialError::Protocol("a row of the catalog that is none");

fn function(row: &[Option<&[u8]>]) -> Option<FunctionRow> {
    let &[Some(oid), Some(schema), Some(name), Some(standing), takes_row] = row else {
        return None;
    };
    Some(FunctionRow {
        oid: number(oid)?,
        schema: Name::new(schema),
        name: Name::new(name),
        standing: match standing {
            b"s" => Function::Stable,
            b"c" => Function::VolatileInC,
            b"d" => Function::Differs,
            _ => Function::Volatile,
        },
        takes_row: takes_row == Some(b"t"),
    })
}

fn relation(row: &[Option<&[u8]>]) -> Option<RelationRow> {
    let &[Some(oid), Some(schema), Some(name), Some(&[kind]), Some(&[persistence])] = row else {
        return None;
    };
    let (schema, name) = (Name::new(schema), Name::new(name));
    Some(RelationRow { oid: number(oid)?, schema, name, kind, persistence })
}

/// A row of [`USES`] or [`CHILDREN`].
fn uses(row: &[Option<&[u8]>]) -> Option<UsesRow> {
    let numbers = |list: Option<&[u8]>| -> Option<Vec<u32>> {
        list.unwrap_or_default()
            .split(|b| *b == b' ')
            .filter(|one| !one.is_empty())
            .map(number)
            .collect()
    };
    match *row {
        [Some(relation), functions, of_postgres, relations] => Some(UsesRow {
            relation: number(relation)?,
            functions: numbers(functions)?,
            of_postgres: of_postgres
                .unwrap_or_default()
                .split(|b| *b == b' ')
                .filter(|one| !one.is_empty())
                .map(Name::new)
                .collect(),
            relations: numbers(relations)?,
        }),
        [Some(parent), child] => Some(UsesRow {
            relation: number(parent)?,
            relations: numbers(child)?,
            ..UsesRow::default()
        }),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let function = function(&[Some(b"20000"), Some(b"s"), Some(b"f"), Some(b"c"), Some(b"t")]);
        let function = function.unwrap();
        assert_eq!((function.oid, function.standing), (20_000, Function::VolatileInC));
        assert!(function.takes_row && function.name == *"f" && function.schema == *"s");
        let relation = relation(&[Some(b"1"), Some(b"s"), Some(b"t"), Some(b"v"), Some(b"p")]);
        assert_eq!(relation.map(|row| (row.kind, row.persistence)), Some((b'v', b'p')));
        let view = uses(&[Some(b"1"), Some(b"20000 20001"), Some(b"now lower"), None]).unwrap();
        assert_eq!((&view.functions[..], view.of_postgres.len()), (&[20_000, 20_001][..], 2));
        let child = uses(&[Some(b"1"), Some(b"2")]).unwrap();
        assert_eq!((child.relation, &child.relations[..]), (1, &[2][..]));
        assert_eq!(uses(&[Some(b"x"), Some(b"2")]), None);
        assert_eq!(uses(&[]), None);
    }
}
