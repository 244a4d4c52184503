//! The stage: a server that each play gets a copy of, pgweir with one server connection before it, a rival for that
//! connection, and psql.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pgweir::cluster::process::{Signal, bound_command, spawn, wait_for_exit};
use pgweir::cluster::{Cluster, Node, Shutdown};

use serde_json::Value;

use crate::comparison::Difference;
use crate::harness::accounting::ProcessState;
use crate::harness::await_event::secs;
use crate::harness::files::Folder;
use crate::harness::front;
use crate::harness::http;
use crate::harness::pgweir_process::Pgweir;
use crate::rival::Rival;
use crate::scripts::Corpus;

/// The database of `pg_regress`.
pub const DATABASE: &str = "regression";

/// Scripts whose tables others build on. They are played on what `test_setup` leaves, the others on what they leave.
const BASE: &[&str] = &[
    "point",
    "lseg",
    "line",
    "box",
    "path",
    "polygon",
    "circle",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "create_misc",
    "create_operator",
    "create_type",
    "create_index",
    "create_view",
];

/// How long a script may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Servers that stand still, to be copied.
pub struct Stage<'a> {
    corpus: &'a Corpus,
    first: Cluster,
    second: Cluster,
}

/// What came of a script.
pub struct Played {
    /// What psql wrote, output and errors in their order.
    pub output: String,
    /// What pgweir warned of in its log.
    pub warnings: Vec<Difference>,
    /// What pgweir still held after everybody had left.
    pub left_over: Vec<String>,
    /// How often the rival had the server.
    pub turns: u64,
}

impl<'a> Stage<'a> {
    /// Makes the servers.
    pub fn new(corpus: &'a Corpus) -> Self {
        let first = Cluster::options()
            .conf("max_prepared_transactions = 2")
            // Otherwise its rounds show in plans.
            .conf("autovacuum = off")
            // Less to copy.
            .conf("wal_keep_size = 0")
            .start()
            .unwrap();
        let node = first.primary();
        node.sql("postgres", &format!("CREATE DATABASE {DATABASE} TEMPLATE template0")).unwrap();
        for setting in
            ["lc_messages TO 'C'", "bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"]
        {
            node.sql("postgres", &format!("ALTER DATABASE {DATABASE} SET {setting}")).unwrap();
        }
        psql(corpus, node, node.address(), &corpus.script("test_setup"));
        let filled = psql(corpus, node, node.address(), include_bytes!("fill.sql"));
        assert!(!filled.contains("ERROR"), "{filled}");
        node.stop(Shutdown::Fast).unwrap();
        let second = copy_of(&first);
        for name in BASE {
            psql(corpus, second.primary(), second.primary().address(), &corpus.script(name));
        }
        second.primary().stop(Shutdown::Fast).unwrap();
        Self { corpus, first, second }
    }

    /// The version that is tested with, and its major version.
    pub fn version(&self) -> (&str, u32) {
        let binaries = self.first.primary().binaries();
        (binaries.version(), binaries.major())
    }

    fn copy(&self, script: &str) -> Cluster {
        copy_of(if BASE.contains(&script) { &self.first } else { &self.second })
    }

    /// Plays it straight to Postgres.
    pub fn straight(&self, script: &str) -> String {
        let cluster = self.copy(script);
        let node = cluster.primary();
        psql(self.corpus, node, node.address(), &self.corpus.script(script))
    }

    /// Plays it through pgweir, on one server connection that somebody else wants as well.
    pub fn through_pgweir(&self, script: &str) -> Played {
        let cluster = self.copy(script);
        let node = cluster.primary();
        let pgweir = front::pool_of(1, node.address())
            .set("defaults", "pool_mode = \"transaction\"\npool_wait_timeout = \"off\"")
            .start();
        let rival = Rival::start(&pgweir.address(), DATABASE);
        let output = psql(self.corpus, node, pgweir.listen(), &self.corpus.script(script));
        let turns = rival.stop();
        let left_over = left_over(&pgweir, node);
        let warnings = warnings(&pgweir.log());
        Played { output, warnings, left_over, turns }
    }
}

fn copy_of(stopped: &Cluster) -> Cluster {
    Cluster::options().copy_of(stopped.primary().data_folder()).start().unwrap()
}

/// The warnings in pgweir's log, each as a difference, for Postgres gives none; without their causes, which vary.
fn warnings(log: &str) -> Vec<Difference> {
    let lines =
        log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let warned = lines.filter(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    let messages = warned.map(|line| line["message"].as_str().unwrap_or_default().to_owned());
    messages
        .filter(|message| !message.starts_with("running as root"))
        .map(|message| message.split(": ").next().unwrap_or_default().to_owned())
        .map(|message| Difference { lines: vec![format!("!{message}")] })
        .collect()
}

/// What pgweir still holds after everybody has left, a line each.
fn left_over(pgweir: &Pgweir, node: &Node) -> Vec<String> {
    let end = Instant::now() + secs(20);
    loop {
        let state = ProcessState::parse(&http::get(pgweir.http(), "/api/state")).unwrap();
        let mut wrong = Vec::new();
        for pool in &state.pools {
            if pool.idle != pool.open || pool.waiting != 0 || pool.clients != 0 {
                wrong.push(format!("not quiet: {pool:?}"));
            }
        }
        let open: u64 = state.pools.iter().map(|pool| pool.open).sum();
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let rows = node.sql("postgres", sql).unwrap();
        if rows[0][0].as_deref() != Some(&open.to_string()) {
            wrong.push(format!("open are {open}, Postgres has {:?}", rows[0][0]));
        }
        if wrong.is_empty() || Instant::now() >= end {
            return wrong;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Plays a script as `pg_regress` does; gives what psql wrote, without what names this run's place.
fn psql(corpus: &Corpus, node: &Node, address: SocketAddr, script: &[u8]) -> String {
    let program = node.binaries().client_program("psql").expect("a psql, of any version");
    let folder = Folder::new();
    let (input, output) = (folder.path().join("script.sql"), folder.path().join("output"));
    fs::write(&input, script).unwrap();
    let mut command = bound_command(&program, None, Signal::Kill);
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.as_encoded_bytes().starts_with(b"PG")) {
        command.env_remove(name);
    }
    command
        .args(["-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"])
        .args(["-d", DATABASE])
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("PGHOST", address.ip().to_string())
        .env("PGPORT", address.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGCONNECT_TIMEOUT", "20")
        .env("PGTZ", if node.binaries().major() < 17 { "PST8PDT" } else { "America/Los_Angeles" })
        .env("PGDATESTYLE", "Postgres, MDY")
        .env("PGOPTIONS", "-c intervalstyle=postgres_verbose")
        .env("PG_ABS_SRCDIR", corpus.sources())
        .env("PG_ABS_BUILDDIR", node.data_folder())
        .env("PG_LIBDIR", "/nonexistent")
        .env("PG_DLSUFFIX", ".so");
    let written = File::create(&output).unwrap();
    command.stdin(File::open(&input).unwrap()).stderr(Stdio::from(written.try_clone().unwrap()));
    command.stdout(Stdio::from(written));
    let mut child = spawn(command).unwrap();
    let ended = wait_for_exit(&mut child, PATIENCE).unwrap();
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut text = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
    // It ends with 2 where its connection was lost, as some scripts want it.
    match ended.and_then(|status| status.code()) {
        Some(code) => text.push_str(&format!("psql ended with {code}\n")),
        None => text.push_str("psql hung and was killed\n"),
    }
    neutral(&text, node.data_folder().parent().unwrap(), address.port())
}

/// Without the numbers of this run.
fn neutral(text: &str, folder: &Path, port: u16) -> String {
    text.replace(folder.to_str().unwrap(), "FOLDER").replace(&format!("port {port}"), "port PORT")
}
