//! What is said of statements, by their JSON.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use super::*;
use serde_json::{Value, json};

const CONFIG: &str = "\
[databases.shop]
primary = \"postgres://db/shop\"
statement_timeout = \"15s\"
maintenance_timeout = \"1h\"
lock_timeout = \"1s\"
ddl_lock_timeout = \"2s\"
[databases.strict]
alias_of = \"shop\"
session_state = \"refuse\"
guard = \"strict\"
[databases.loose]
alias_of = \"shop\"
session_state = \"ignore\"
timeout_action = \"close\"
[roles.migrator]
password = \"${PGWEIR_EXPLAIN_NOT_SET}\"
pool_mode = \"session\"
statement_timeout = \"off\"
";

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("pgweir-statement-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The answer about the last of several messages.
fn about(messages: &str, more: impl FnOnce(&mut Statements)) -> Value {
    let mut messages: Vec<String> = messages.split(" | ").map(str::to_owned).collect();
    let sql = messages.pop();
    let format = ExplainFormat::Json;
    let mut asked = Statements { sql, context: messages, format, ..Statements::default() };
    more(&mut asked);
    let mut output = Vec::new();
    assert_eq!(answer(&asked, &mut output), Ok(true));
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn the_guard_says_what_it_does_behind_other_messages() {
    let nothing = json!({"action": "allow", "rule": null, "message": null, "hint": null});
    assert_eq!(about("select 1", |_| ())["guard"], nothing);
    let refused = about("create index i on t (a)", |_| ());
    assert_eq!(refused["guard"]["action"], "reject");
    assert_eq!(refused["guard"]["rule"], "index-create-blocking");
    assert!(refused["guard"]["message"].as_str().unwrap().contains("\"t\""));
    assert!(
        refused["guard"]["hint"].as_str().unwrap().contains("create index CONCURRENTLY i on t")
    );
    assert_eq!(
        about("begin | create table t (a int) | create index i on t (a)", |_| ())["guard"],
        nothing
    );
    let gone = "begin | create table t (a int) | rollback | create index i on t (a)";
    assert_eq!(about(gone, |_| ())["guard"]["action"], "reject");
    // Of several findings the strictest.
    let one = about("alter table t add a int; drop index i", |_| ());
    assert_eq!(one["guard"]["rule"], "index-drop-blocking");
    let observed = about("drop index i", |asked| asked.policy = Some("observe".into()));
    assert_eq!(observed["guard"]["action"], "log");
    let keys: Vec<_> = refused.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["guard", "route", "session", "timeouts"]);
}

/// The same database with a replica, and names for who sees it how.
const ROUTED: &str = "\
[databases.shop]
primary = \"postgres://db1/shop\"
replicas = [\"postgres://db2/shop\"]
[databases.alone]
primary = \"postgres://db1/shop\"
[databases.readers]
alias_of = \"shop\"
routing.writes = \"reject\"
[databases.whole]
alias_of = \"shop\"
pool_mode = \"session\"
[roles.reports]
route = \"replica\"
[roles.migrator]
route = \"primary\"
";

#[test]
fn the_route_says_where_it_would_run_and_why() {
    let file = File::new("routed.toml", ROUTED);
    let said = |messages: &str, database: &str, role: &str| {
        let route = about(messages, |asked| {
            asked.config = Some(file.0.clone());
            (asked.database, asked.role) = (Some(database.into()), Some(role.into()));
        })["route"]
            .clone();
        format!("{}: {}", route["target"].as_str().unwrap(), route["reason"].as_str().unwrap())
    };
    for (messages, database, role, expected) in [
        ("select * from t", "shop", "web", "replica: it only reads"),
        ("select nextval('s')", "shop", "web", "primary: nextval belongs to the primary"),
        ("select ours()", "shop", "web", "primary: ours is a function that is not known"),
        ("select 1 for update", "shop", "web", "primary: it locks rows"),
        ("insert into t values (1)", "shop", "web", "primary: it writes"),
        ("select 1; insert into t values (1)", "shop", "web", "primary: "),
        ("set work_mem = '1MB'", "shop", "web", "primary: it is about the session"),
        ("/* pgweir: primary */ select 1", "shop", "web", "primary: its comment says so"),
        ("/* pgweir: replica */ select ours()", "shop", "web", "replica: its comment says so"),
        ("set pgweir.route = 'primary' | select 1", "shop", "web", "primary: pgweir.route is set"),
        ("create temp table x (n int) | select 1", "shop", "web", "primary: the session keeps its"),
        ("prepare r as select 1 | execute r", "shop", "web", "replica: of the statement"),
        ("prepare w as delete from t | execute w", "shop", "web", "primary: of the statement"),
        ("execute nobody", "shop", "web", "primary: it runs a prepared statement"),
        // Transactions.
        ("begin", "shop", "web", "primary: pgweir answers it"),
        ("begin | select 1", "shop", "web", "primary: its transaction is not READ ONLY"),
        ("begin read only | select 1", "shop", "web", "replica: its transaction is READ ONLY"),
        ("begin | set transaction read only | select 1", "shop", "web", "replica: its transaction"),
        ("begin read only | select 1 | select ours()", "shop", "web", "replica: its transaction"),
        (
            "begin read only | select 1 | select pg_advisory_lock(1)",
            "shop",
            "web",
            "replica: its transaction is there, where pg_advisory_lock means something else: refused",
        ),
        (
            "begin read only | select 1 | delete from t",
            "shop",
            "web",
            "replica: its transaction is there and only reads: refused with 25006",
        ),
        ("begin read only | select nextval('s') | select 1", "shop", "web", "primary: its trans"),
        (
            "begin read only | select 1 | commit | delete from t",
            "shop",
            "web",
            "primary: it writes",
        ),
        ("begin read only | commit", "shop", "web", "primary: pgweir answers it"),
        (
            "begin isolation level repeatable read, read only | select 1",
            "shop",
            "web",
            "primary: transactions of this isolation level",
        ),
        (
            "set default_transaction_isolation = 'serializable' | select 1",
            "shop",
            "web",
            "primary: transactions of this isolation level",
        ),
        // Roles and aliases.
        ("select ours()", "shop", "reports", "replica: route is \"replica\" (pgweir.toml"),
        ("select 1", "shop", "migrator", "primary: route is \"primary\" (pgweir.toml"),
        ("select ours()", "readers", "web", "replica: writes are rejected here"),
        ("delete from t", "readers", "web", "primary: it is refused with 25006"),
        ("select 1", "whole", "web", "primary: the session keeps its server"),
        (
            "select 1",
            "alone",
            "web",
            "primary: database alone has one server; with replicas, replica:",
        ),
    ] {
        let said = said(messages, database, role);
        let expected = expected.replace("pgweir.toml", &file.0.display().to_string());
        assert!(said.starts_with(&expected), "{messages} in {database} as {role}: {said}");
    }
    let unasked = said("select * from t", "shop", "web");
    assert!(unasked.ends_with("are taken for ordinary tables"), "{unasked}");
}

#[test]
fn without_a_configuration_it_says_what_replicas_would_get() {
    let route = &about("select * from t", |_| ())["route"];
    assert_eq!(route["target"], "replica");
    let reason = route["reason"].as_str().unwrap();
    assert!(reason.starts_with("where there are replicas: it only reads"), "{reason}");
}

#[test]
fn the_session_says_what_it_keeps() {
    let file = File::new("session.toml", CONFIG);
    let said = |messages: &str, database: &str, role: &str| {
        let session = about(messages, |asked| {
            asked.config = Some(file.0.clone());
            (asked.database, asked.role) = (Some(database.into()), Some(role.into()));
        })["session"]
            .clone();
        format!("{}: {}", session["action"].as_str().unwrap(), session["reason"].as_str().unwrap())
    };
    for (messages, database, expected) in [
        ("select 1", "shop", "pass: nothing of the session"),
        (
            "begin | select 1",
            "shop",
            "pass: nothing of the session is involved; the open transaction",
        ),
        ("begin", "shop", "pass: it is about the transaction"),
        ("begin | commit", "shop", "pass: it ends the transaction"),
        ("begin | set local work_mem = '1MB'", "shop", "pass: what it sets ends"),
        ("set timezone = 'UTC'", "shop", "track: followed from server to server: SET"),
        ("prepare p as select 1", "shop", "track: followed from server to server: PREPARE"),
        (
            "select set_config('a.b', $1, false)",
            "shop",
            "track: followed from server to server: SET, as far",
        ),
        (
            "create temp table t (a int)",
            "shop",
            "pin: the session keeps its server: temporary object",
        ),
        (
            "create temp table t (a int) | select 1",
            "shop",
            "pin: the session keeps its server since",
        ),
        ("create temp table t (a int)", "strict", "refuse: session_state is \"refuse\""),
        ("select 1", "strict", "pass: nothing"),
        ("create temp table t (a int)", "loose", "pass: session_state is \"ignore\""),
    ] {
        let said = said(messages, database, "web");
        assert!(said.starts_with(expected), "{messages}: {said}");
    }
    assert!(said("select 1", "shop", "migrator").starts_with("pin: pool_mode is \"session\""));
}

#[test]
fn the_limits_are_those_of_the_statement() {
    let file = File::new("limits.toml", CONFIG);
    let said = |messages: &str, database: &str, role: &str| {
        let limits = about(messages, |asked| {
            asked.config = Some(file.0.clone());
            (asked.database, asked.role) = (Some(database.into()), Some(role.into()));
        })["timeouts"]
            .clone();
        let words = ["statement_timeout", "lock_timeout"]
            .map(|key| limits[key].as_str().unwrap().to_owned());
        (words.join(" "), limits["reason"].as_str().unwrap().to_owned())
    };
    let limits = |messages: &str| said(messages, "shop", "web").0;
    assert_eq!(limits("select 1"), "15s 1s");
    assert_eq!(limits("vacuum t"), "1h 1s");
    assert_eq!(limits("create index concurrently i on t (a)"), "1h 1s");
    assert_eq!(limits("alter table t add a int"), "15s 2s");
    assert_eq!(limits("begin | commit"), "off 1s");
    assert_eq!(limits("set statement_timeout = '5s' | select 1"), "5s 1s");
    assert_eq!(limits("set statement_timeout = '1min' | select 1"), "15s 1s", "only lower");
    assert_eq!(limits("begin | set local lock_timeout = 200 | select 1"), "15s 200ms");
    assert_eq!(said("select 1", "shop", "migrator").0, "off 1s");
    assert_eq!(said("select 1", "loose", "web").0, "15s 1s");
    let line = |key: &str| {
        let line = CONFIG.lines().position(|line| line.starts_with(key)).unwrap() + 1;
        format!("{}:{line}", file.0.display())
    };
    assert!(said("select 1", "shop", "web").1.contains(&line("statement_timeout")));
    assert!(said("vacuum t", "shop", "web").1.contains(&line("maintenance_timeout")));
    assert!(said("drop table t", "shop", "web").1.contains(&line("ddl_lock_timeout")));
}

#[test]
fn lines_are_answered_one_by_one() {
    let config = File::new("lines.toml", CONFIG);
    let input = "\
{\"id\": 7, \"sql\": \"select 1\", \"database\": \"shop\"}
{\"id\": \"x\", \"sql\": \"truncate t\", \"database\": \"strict\", \"role\": \"web\"}

{\"id\": null, \"sql\": \"create index i on t (a)\", \"context\": [\"begin\", \"create table t (a int)\"]}
{\"sql\": \"select 1\", \"database\": \"nowhere\"}
{\"id\": 8}
not json
{\"id\": 9, \"sql\": \"select '\\\\'; drop index i; --'\", \"parameters\": {\"standard_conforming_strings\": \"off\"}}
{\"id\": 10, \"sql\": \"select 1\", \"parameters\": {\"work_mem\": []}}
";
    let lines = File::new("lines.jsonl", input);
    let asked = Statements {
        jsonl: Some(lines.0.clone()),
        config: Some(config.0.clone()),
        database: Some("shop".into()),
        ..Statements::default()
    };
    let mut output = Vec::new();
    assert_eq!(answer(&asked, &mut output), Ok(false));
    let answers: Vec<Value> =
        output.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(answers.len(), 8);
    assert_eq!((&answers[0]["id"], &answers[0]["guard"]["action"]), (&json!(7), &json!("allow")));
    assert_eq!(
        (&answers[1]["id"], &answers[1]["guard"]["action"]),
        (&json!("x"), &json!("reject"))
    );
    assert_eq!(answers[2]["guard"]["action"], "allow");
    assert_eq!(answers[2].get("id"), Some(&Value::Null));
    assert!(answers[3]["error"].as_str().unwrap().contains("no database \"nowhere\""));
    assert_eq!(answers[3].get("id"), None);
    assert_eq!(answers[4]["id"], 8);
    assert!(answers[4]["error"].as_str().unwrap().contains("`sql`"));
    assert!(answers[5]["error"].as_str().unwrap().contains("not JSON"));
    assert_eq!(answers[6]["guard"]["action"], "allow", "it is all one string");
    assert!(answers[7]["error"].as_str().unwrap().contains("work_mem"));
}

#[test]
fn what_cannot_be_asked_is_told() {
    let complaint = |more: fn(&mut Statements)| {
        let mut asked = Statements { sql: Some("select 1".into()), ..Statements::default() };
        more(&mut asked);
        answer(&asked, &mut Vec::new()).unwrap_err().0
    };
    assert!(complaint(|asked| asked.policy = Some("ours".into())).contains("no policy \"ours\""));
    assert!(complaint(|asked| asked.config = Some("no/such.toml".into())).contains("no/such.toml"));
    let gone = complaint(|asked| (asked.sql, asked.jsonl) = (None, Some("no/such.jsonl".into())));
    assert!(gone.contains("no/such.jsonl"), "{gone}");
}

#[test]
fn people_read_the_same() {
    let mut output = Vec::new();
    let asked = Statements { sql: Some("truncate t".into()), ..Statements::default() };
    assert_eq!(answer(&asked, &mut output), Ok(true));
    let text = String::from_utf8(output).unwrap();
    let heads = [
        "guard     warn ",
        "route     primary\n",
        "session   pass\n",
        "timeouts  statement_timeout off, ",
    ];
    for head in heads {
        assert!(
            text.lines().any(|line| format!("{line}\n").starts_with(head)),
            "{head:?} in\n{text}"
        );
    }
}
