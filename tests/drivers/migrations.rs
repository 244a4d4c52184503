//! What frameworks and tools send to build a schema, through pgweir: none of it is refused by the rules of index DDL.
//! Policy `default`, and `restore` where it says so.
//!
//! `make test-guard` has Django make the tables of all of its tests' apps, `make test` those of a few.

mod rails;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgweir::cluster::process::{Signal, bound_command, spawn, wait_for_exit};
use pgweir::cluster::{Cluster, ClusterOptions, Row};

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::files::Folder;
use crate::harness::frame::render_all;
use crate::harness::http;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Login, RawClient};

/// What is played, by its name.
type Part = (&'static str, fn(&Site));

/// Under policy `default`.
const ROLE: &str = "app";
/// Under policy `restore`.
const RESTORER: &str = "restorer";

#[test]
fn migrations_and_restores_are_never_refused() {
    let site = Site::new();
    let accounts =
        Accounting::of(&site.pgweir, &[site.cluster.primary()]).memory_slack_kb(64 * 1024);
    let mut done = Vec::new();
    let parts: [Part; 5] = [
        ("Django's contrib apps and a shop", django_contrib),
        ("Django's tests, their databases", django_tests),
        ("dumps", dumps),
        ("Rails, as it would send it", rails_loads),
        ("pgbench --initialize", pgbench),
    ];
    for (name, part) in parts {
        let before = site.answered();
        part(&site);
        done.push((name, site.answered() - before));
        assert_eq!(site.rejected(), [""; 0], "{name}");
    }
    for (name, statements) in &done {
        println!("{statements:>6} statements: {name}");
        assert!(*statements > 0, "{name}");
    }
    let all: u64 = done.iter().map(|(_, statements)| statements).sum();
    println!("{all:>6} statements, none refused");
    assert!(all >= 1_000, "only {all} statements");
    accounts.assert_settled(secs(20));
}

/// A Postgres, and pgweir before it.
struct Site {
    pgweir: Pgweir,
    cluster: Cluster,
    folder: Folder,
}

impl Site {
    fn new() -> Self {
        let options: ClusterOptions = Cluster::options().role(ROLE, "x").role(RESTORER, "x");
        let cluster = options.start().unwrap();
        let address = cluster.primary().address();
        let pgweir = Pgweir::options()
            .database("*", &format!("postgres://{address}?sslmode=disable"))
            .role(ROLE, "x")
            .role(RESTORER, "x")
            .set("auth", "method = \"trust\"")
            .set("defaults", "guard = \"default\"\npool_size = 6")
            .set(&format!("roles.{RESTORER}"), "guard = \"restore\"")
            .start();
        pgweir.wait_for_log("HTTP on", secs(10));
        for role in [ROLE, RESTORER] {
            // They make databases and extensions.
            cluster.primary().sql("postgres", &format!("alter role {role} superuser")).unwrap();
        }
        Self { pgweir, cluster, folder: Folder::new() }
    }

    fn make_database(&self, name: &str) {
        self.cluster.primary().sql("postgres", &format!("create database {name}")).unwrap();
    }

    /// How many requests pgweir has had answered.
    fn answered(&self) -> u64 {
        let count =
            |line: String| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
        self.metric("pgweir_queries_total").into_iter().filter_map(count).sum()
    }

    /// What rules have refused.
    fn rejected(&self) -> Vec<String> {
        let mut findings = self.metric("pgweir_guard_findings_total");
        findings.retain(|line| line.contains("action=\"reject\""));
        findings
    }

    fn metric(&self, name: &str) -> Vec<String> {
        let text = http::get(self.pgweir.http(), "/metrics");
        text.lines()
            .filter(|line| line.starts_with(&format!("{name}{{")))
            .map(str::to_owned)
            .collect()
    }

    /// Its indexes, by name and definition.
    fn indexes(&self, database: &str) -> Vec<Row> {
        let sql =
            "select indexname, indexdef from pg_indexes where schemaname = 'public' order by 1";
        self.cluster.primary().sql(database, sql).unwrap()
    }

    fn program(&self, name: &str) -> PathBuf {
        self.cluster.primary().binaries().program(name)
    }

    /// Runs a program through pgweir; panics with all that it said unless it ends well.
    fn run(&self, role: &str, database: &str, command: Command) {
        self.run_at(self.pgweir.listen().port(), role, database, command);
    }

    fn run_straight(&self, database: &str, command: Command) {
        self.run_at(self.cluster.primary().port(), "postgres", database, command);
    }

    fn run_at(&self, port: u16, role: &str, database: &str, command: Command) {
        let mut bound = bound_command(command.get_program().as_ref(), None, Signal::Kill);
        for (name, _) in std::env::vars_os() {
            let bytes = name.as_encoded_bytes();
            if bytes.starts_with(b"PG") || bytes.starts_with(b"DJANGO") {
                bound.env_remove(name);
            }
        }
        bound.args(command.get_args());
        bound.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            bound.current_dir(folder);
        }
        let said = self.folder.write("said", "");
        let append = || fs::OpenOptions::new().append(true).open(&said).unwrap();
        bound
            // Neither password files nor certificates of whoever runs this.
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", role)
            .env("PGPASSWORD", "x")
            .env("PGDATABASE", database)
            .env("PGSSLMODE", "disable")
            .stdin(Stdio::null())
            .stdout(append())
            .stderr(append());
        let program = command.get_program().display().to_string();
        let mut child = spawn(bound).unwrap_or_else(|error| panic!("{program}: {error}"));
        // Many times what it takes on an idle machine.
        let status = wait_for_exit(&mut child, secs(15 * 60)).unwrap();
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let said = String::from_utf8_lossy(&fs::read(&said).unwrap()).into_owned();
        assert!(status.is_some_and(|status| status.success()), "{program}: {status:?}\n{said}");
    }
}

fn python() -> Command {
    let interpreter = repository().join("target/drivers/python/bin/python");
    assert!(interpreter.exists(), "no {}: run .ci/setup test", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg("-B");
    command
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn django_contrib(site: &Site) {
    site.make_database("contrib");
    let mut command = python();
    command.arg(repository().join("tests/drivers/migrations/contrib.py"));
    command.env("PYTHONPATH", repository().join("tests/drivers/django"));
    site.run(ROLE, "contrib", command);
}

/// Django makes the tables of whatever apps the tests are in, by their migrations and straight from their models, in one
/// transaction of thousands of statements; then it runs a single test.
fn django_tests(site: &Site) {
    const FEW: &str = "backends basic constraints indexes many_to_many migrations model_fields postgres_tests schema";
    let listed =
        include_str!("django_suite/apps.txt").lines().filter(|line| !line.starts_with('#'));
    let apps: Vec<&str> = match std::env::var_os("PGWEIR_GUARD") {
        Some(_) => listed.map(|line| line.trim_start_matches('+')).collect(),
        None => FEW.split(' ').collect(),
    };
    let mut command = python();
    command
        .current_dir(repository().join("target/drivers/django/tests"))
        .args(["runtests.py", "--settings", "suite_settings", "--noinput", "--parallel", "1"])
        .args(apps)
        .args(["-k", "test_objects_attribute_is_only_available_on_the_class_itself"])
        .env("PYTHONPATH", repository().join("tests/drivers/django_suite"))
        .env("TMPDIR", site.folder.path())
        .env("PGWEIR_TEST_DRIVER", "psycopg3")
        .env("PGWEIR_TEST_OUTCOMES", site.folder.path().join("outcomes.json"));
    site.run(ROLE, "postgres", command);
    let outcomes = fs::read_to_string(site.folder.path().join("outcomes.json")).unwrap();
    assert!(outcomes.contains("passed"), "no test was run: {outcomes}");
}

/// How many tables the dumped database has; each has three indexes beside its key.
const TABLES: usize = 40;

fn dumps(site: &Site) {
    let source = "source";
    site.make_database(source);
    let mut sql = String::new();
    for n in 0..TABLES {
        sql += &format!(
            "create table item_{n} (id serial primary key, parent int, name text not null, tags text[], at timestamptz); \
             insert into item_{n} (parent, name, tags) select 1 + g % 5, 'n' || g, array['t'] from generate_series(1, 50) g; \
             create index item_{n}_parent on item_{n} (parent); \
             create unique index item_{n}_name on item_{n} (lower(name)) where id > 0; \
             create index item_{n}_tags on item_{n} using gin (tags); \
             alter table item_{n} add foreign key (parent) references item_{} (id);",
            n.saturating_sub(1)
        );
    }
    sql += "create materialized view names as select name from item_0; create unique index on names (name); \
            create table part (id int, day int) partition by range (day); create index on part (day); \
            create table part_1 partition of part for values from (0) to (100); insert into part values (1, 1)";
    site.cluster.primary().sql(source, &sql).unwrap();
    let folder = site.folder.path();
    let (plain, archive, structure) =
        (folder.join("plain"), folder.join("archive"), folder.join("structure.sql"));
    let dump = |arguments: &[&str], file: &Path| {
        let mut command = Command::new(site.program("pg_dump"));
        command.args(arguments).arg("--file").arg(file);
        site.run_straight(source, command);
    };
    dump(&[], &plain);
    dump(&["--format=custom"], &archive);
    // As Rails dumps a structure.sql.
    dump(&["--schema-only", "--no-privileges", "--no-owner"], &structure);
    let psql = |file: &Path, further: &[&str]| {
        let mut command = Command::new(site.program("psql"));
        command
            .args(["--set", "ON_ERROR_STOP=1", "--quiet", "--no-psqlrc", "--file"])
            .arg(file)
            .args(further);
        command
    };
    let restore = |further: &[&str], database: &str| {
        let mut command = Command::new(site.program("pg_restore"));
        command.args(["--exit-on-error", "--dbname", database]).args(further).arg(&archive);
        command
    };
    for database in ["piped", "piped_whole", "structured", "restored", "restored_whole"] {
        site.make_database(database);
    }
    site.run(RESTORER, "piped", psql(&plain, &[]));
    site.run(RESTORER, "restored", restore(&["--jobs=2"], "restored"));
    site.run(RESTORER, "restored", restore(&["--clean", "--if-exists"], "restored"));
    // In one transaction every table is its own, rows and all; and structures are loaded into empty tables.
    site.run(ROLE, "piped_whole", psql(&plain, &["--single-transaction"]));
    site.run(ROLE, "restored_whole", restore(&["--single-transaction"], "restored_whole"));
    site.run(ROLE, "structured", psql(&structure, &[]));
    let expected = site.indexes(source);
    assert!(expected.len() > 4 * TABLES);
    for database in ["piped", "piped_whole", "structured", "restored", "restored_whole"] {
        assert_eq!(site.indexes(database), expected, "{database}");
    }
}

fn rails_loads(site: &Site) {
    site.make_database("rails");
    let mut client = RawClient::login(&site.pgweir.address(), &Login::new(ROLE, "rails"));
    let mut send = |statements: &[String]| {
        for sql in statements {
            let frames = client.ask(sql);
            assert!(
                frames.iter().all(|frame| frame.tag != b'E'),
                "{sql}:\n{}",
                render_all(&frames)
            );
        }
    };
    send(&rails::session());
    send(&rails::schema());
    send(&rails::rows());
    // Over what is there: `force: :cascade` drops each table first.
    send(&rails::schema());
    send(&rails::rows());
    send(&rails::migrations());
    assert!(site.indexes("rails").len() > 60);
}

fn pgbench(site: &Site) {
    for (database, further) in [
        ("bench", &["--init-steps=dtGvp"][..]),
        ("bench_keys", &["--foreign-keys", "--init-steps=dtgvpf"]),
        ("bench_parts", &["--partitions=3", "--init-steps=dtgvp"]),
    ] {
        site.make_database(database);
        // Twice: over what is there, too.
        for _ in 0..2 {
            let mut command = Command::new(site.program("pgbench"));
            command.args(["--initialize", "--quiet", "--scale=1"]).args(further);
            site.run(ROLE, database, command);
        }
    }
}
