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

#[test]
fn the_route_says_what_was_not_asked() {
    let route = &about("select * from t", |_| ())["route"];
    assert_eq!(route["target"], "replica");
    assert!(route["reason"].as_str().unwrap().contains("taken for ordinary tables"));
}

#[test]
fn the_route_is_that_of_the_statement_in_its_session() {
    let replicated = "[databases.shop]\nprimary = \"postgres://db/shop\"\nreplicas = [\"postgres://db2/shop\"]\n\
                      [roles.writer]\nroute = \"primary\"\n";
    let file = File::new("routes.toml", replicated);
    let of = |role: &str, messages: &str| {
        let answer = about(messages, |asked| {
            asked.config = Some(file.0.clone());
            asked.role = Some(role.to_owned());
        });
        let text = |key: &str| answer["route"][key].as_str().unwrap().to_owned();
        (text("target"), text("reason"))
    };
    for (messages, target, reason) in [
        ("select * from t", "replica", "only reads"),
        ("select * from t for update", "primary", "row-locks: it locks rows"),
        ("select * from t where writes()", "primary", "function-unknown: writes is a function"),
        ("select nextval('s')", "primary", "function-of-primary: nextval belongs"),
        ("select * from pg_locks", "primary", "relation-of-server: pg_locks shows"),
        ("select * from pg_temp.t", "primary", "relation: pg_temp.t is temporary"),
        ("/* pgweir: primary */ select 1", "primary", "a comment"),
        ("set pgweir.route = 'primary' | select 1", "primary", "pgweir.route"),
        ("set search_path = x | select 1", "replica", "only reads"),
        ("insert into t values (1)", "primary", "write: it writes"),
        ("begin", "primary", "transaction: "),
        ("begin | select 1", "primary", "the open transaction is at the primary"),
        ("begin read only | select 1", "replica", "only reads"),
        ("begin; set transaction read only | select 1", "primary", "the open transaction"),
        ("begin | set transaction read only | select 1", "replica", "only reads"),
        (
            "begin read only | select nextval('s') | select 1",
            "primary",
            "since its first statement",
        ),
        ("begin read only | select 1 | select 2", "replica", "since its first statement"),
        (
            "begin read only | select 1 | select pg_backend_pid()",
            "replica",
            "refused: pg_backend_pid",
        ),
        ("begin isolation level serializable read only | select 1", "primary", "READ COMMITTED"),
        ("create temp table x (a int) | select * from t", "primary", "keeps its server"),
        ("prepare p as select * from t | execute p", "replica", "only reads"),
        (
            "prepare p as select * from t | execute p(writes())",
            "primary",
            "function-unknown: writes",
        ),
        ("prepare p as delete from t | execute p", "primary", "write: it writes"),
        ("execute p", "primary", "execute: it runs a prepared statement"),
        ("declare c cursor for select 1", "replica", "only reads"),
        ("show transaction_read_only", "primary", "setting: transaction_read_only is"),
    ] {
        let (found, why) = of("web", messages);
        assert_eq!(found, target, "{messages}: {why}");
        assert!(why.contains(reason), "{messages}: {why}");
    }
    assert!(of("writer", "select 1").1.contains("route is \"primary\""));
    let alone = File::new("alone.toml", CONFIG);
    let answer = about("select 1", |asked| {
        asked.config = Some(alone.0.clone());
        asked.database = Some("shop".into());
    });
    assert_eq!(answer["route"]["target"], "primary");
    assert!(answer["route"]["reason"].as_str().unwrap().contains("no replicas"));
}

#[test]
fn the_route_is_that_of_its_role_and_database() {
    let file = File::new(
        "aliases.toml",
        "[databases.shop]\nprimary = \"postgres://db1,db2/shop\"\n\
         [databases.readers]\nalias_of = \"shop\"\nrouting.writes = \"reject\"\n\
         [databases.primary]\nalias_of = \"shop\"\nrouting.reads = \"primary\"\n\
         [databases.whole]\nalias_of = \"shop\"\npool_mode = \"session\"\n\
         [databases.alone]\nprimary = \"postgres://db1/shop\"\n\
         [roles.reports]\nroute = \"replica\"\n",
    );
    for (messages, database, role, target, reason) in [
        ("select 1", "shop", "web", "replica", "only reads"),
        ("select ours()", "shop", "web", "primary", "function-unknown: ours"),
        ("/* pgweir: replica */ select ours()", "shop", "web", "replica", "a comment"),
        ("set pgweir.route = 'replica' | select ours()", "shop", "web", "replica", "pgweir.route"),
        ("set pgweir.route = 'replica' | delete from t", "shop", "web", "primary", "it writes"),
        (
            "set default_transaction_isolation = 'serializable' | select 1",
            "shop",
            "web",
            "primary",
            "isolation level",
        ),
        (
            "set default_transaction_read_only = on | begin | select 1",
            "shop",
            "web",
            "replica",
            "READ ONLY, and it only reads",
        ),
        ("begin read only | select 1 | delete from t", "shop", "web", "replica", "with 25006"),
        ("begin read only | select 1 | commit | delete from t", "shop", "web", "primary", "writes"),
        ("begin read only | commit", "shop", "web", "primary", "pgweir answers it"),
        ("begin read only | savepoint s | select ours()", "shop", "web", "replica", "since its"),
        ("select ours()", "shop", "reports", "replica", "route is \"replica\" ("),
        ("delete from t", "shop", "reports", "primary", "write: it writes"),
        ("select pg_backend_pid()", "shop", "reports", "primary", "function-of-primary"),
        ("begin | select 1", "shop", "reports", "primary", "not READ ONLY"),
        ("select ours()", "readers", "web", "replica", "writes are rejected"),
        ("begin | select ours()", "readers", "web", "replica", "writes are rejected"),
        ("delete from t", "readers", "web", "replica", "refused with 25006"),
        ("select 1", "primary", "web", "primary", "routing.reads is \"primary\" ("),
        ("select 1", "whole", "web", "primary", "keeps its server"),
        ("select 1", "alone", "web", "primary", "no replicas; with one, replica: it only reads"),
    ] {
        let answer = about(messages, |asked| {
            asked.config = Some(file.0.clone());
            (asked.database, asked.role) = (Some(database.into()), Some(role.into()));
        });
        let route = &answer["route"];
        assert_eq!(route["target"], target, "{messages} in {database} as {role}: {route}");
        assert!(route["reason"].as_str().unwrap().contains(reason), "{messages}: {route}");
    }
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
