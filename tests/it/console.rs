//! The console, as those know it who come from PgBouncer: a real Postgres behind pgweir.

mod columns;
mod ending;
mod entering;
mod holding;
mod metrics;
mod numbers;
mod pins;
mod protocols;

use std::time::Duration;

use pgweir::cluster::Cluster;

use crate::harness::frame::{Frame, render_all};
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::{Login, RawClient};

/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(10);

/// pgweir in front of a Postgres, with `dba` and `viewer` at its console.
fn in_front_of(cluster: &Cluster) -> PgweirOptions {
    let address = cluster.primary().address();
    Pgweir::options()
        .database("postgres", &format!("postgres://{address}/postgres?sslmode=disable"))
        .set("auth", "method = \"trust\"")
        .set("admin", "admins = [\"dba\"]")
        .set("admin", "viewers = [\"viewer\"]")
}

fn app() -> Login {
    Login::new("postgres", "postgres")
}

pub(crate) fn console(pgweir: &Pgweir) -> RawClient {
    pgweir.client(&Login::new("dba", "pgbouncer"))
}

/// A result: the names of its columns, and its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<(String, u32)>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Table {
    pub(crate) fn of(frames: &[Frame]) -> Self {
        let description = frames.iter().find(|frame| frame.tag == b'T');
        let description = description.unwrap_or_else(|| panic!("{}", render_all(frames)));
        let text = |value: Vec<u8>| String::from_utf8(value).expect("UTF-8");
        let row = |row: Vec<Option<Vec<u8>>>| row.into_iter().map(|v| v.map(text)).collect();
        Table {
            columns: columns_of(&description.body),
            rows: frames.iter().filter_map(Frame::columns).map(row).collect(),
        }
    }

    pub(crate) fn at(&self, row: &[Option<String>], column: &str) -> String {
        let at = self.columns.iter().position(|(name, _)| name == column);
        let at = at.unwrap_or_else(|| panic!("no column {column}: {:?}", self.columns));
        row[at].clone().unwrap_or_else(|| "NULL".into())
    }

    /// The value of `wanted` in the only row where all of `keys` hold.
    pub(crate) fn value(&self, keys: &[(&str, &str)], wanted: &str) -> String {
        let holds = |row: &&Vec<Option<String>>| {
            keys.iter().all(|(column, value)| self.at(row, column) == *value)
        };
        let found: Vec<_> = self.rows.iter().filter(holds).collect();
        assert_eq!(found.len(), 1, "rows with {keys:?} in {:?}", self.rows);
        self.at(found[0], wanted)
    }

    pub(crate) fn number(&self, keys: &[(&str, &str)], wanted: &str) -> u64 {
        let value = self.value(keys, wanted);
        value.parse().unwrap_or_else(|_| panic!("{wanted} is {value}"))
    }
}

/// Names and type oids in a RowDescription.
fn columns_of(mut body: &[u8]) -> Vec<(String, u32)> {
    let mut columns = Vec::new();
    body = &body[2..];
    while !body.is_empty() {
        let end = body.iter().position(|&byte| byte == 0).expect("a name");
        let name = String::from_utf8(body[..end].to_vec()).expect("UTF-8");
        let fixed = &body[end + 1..end + 19];
        columns.push((name, u32::from_be_bytes(fixed[6..10].try_into().expect("four bytes"))));
        body = &body[end + 19..];
    }
    columns
}

pub(crate) fn show(console: &mut RawClient, what: &str) -> Table {
    Table::of(&console.ask(&format!("SHOW {what}")))
}

/// The tag of a command that must succeed.
pub(crate) fn tag_of(console: &mut RawClient, command: &str) -> String {
    let frames = console.ask(command);
    let tag = frames.iter().find_map(Frame::command_tag);
    tag.unwrap_or_else(|| panic!("{command}:\n{}", render_all(&frames)))
}

/// SQLSTATE and message of a command that must fail.
pub(crate) fn refusal_of(console: &mut RawClient, command: &str) -> (String, String) {
    let frames = console.ask(command);
    let error = frames.iter().find(|frame| frame.tag == b'E');
    let error = error.unwrap_or_else(|| panic!("{command}:\n{}", render_all(&frames)));
    (error.sqlstate().expect("a SQLSTATE"), error.field(b'M').expect("a message"))
}
