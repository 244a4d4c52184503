//! The command line: what it prints, and its exit codes.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn pgweir(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pgweir")).args(arguments).output().expect("pgweir starts")
}

/// The same with something on its standard input.
fn pgweir_reads(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("pgweir starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("pgweir ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks a configuration, and gives the exit code and what was printed.
fn check_config(name: &str, config: &str) -> (Option<i32>, String) {
    let path = std::env::temp_dir().join(format!("pgweir-cli-{name}-{}.toml", std::process::id()));
    std::fs::write(&path, config).expect("a configuration");
    let output = pgweir(&["check", path.to_str().expect("a path in UTF-8")]);
    let _ = std::fs::remove_file(&path);
    (output.status.code(), text(&output.stdout))
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let output = pgweir(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for expected in
        ["run", "check", "explain", "lint", "demo", "Exit codes: 0 ok, 1 found problems, 2 usage"]
    {
        assert!(help.contains(expected), "{expected:?} is missing in\n{help}");
    }
    for command in ["run", "reload", "check", "explain", "lint", "demo"] {
        let output = pgweir(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(text(&output.stdout).contains("Usage: pgweir"), "{command}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let output = pgweir(&["--version"]);
    assert_eq!(text(&output.stdout), concat!("pgweir ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn what_nobody_knows_is_a_usage_error_on_standard_error() {
    for arguments in [
        &["paddle"][..],
        &["run", "--boat"],
        &["demo", "--seconds", "0"],
        &["lint"],
        &["explain"],
        &[],
    ] {
        let output = pgweir(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(text(&output.stderr).contains("--help"), "{arguments:?}");
    }
}

#[test]
fn check_finds_a_typo_with_its_line_and_the_cure() {
    let (code, output) = check_config(
        "typo",
        "[databases.shop]\nprimary = \"postgres://127.0.0.1/shop\"\npool_sze = 20\n",
    );
    assert_eq!(code, Some(1), "{output}");
    for expected in ["pool_sze", ":3", "did you mean `pool_size`"] {
        assert!(output.contains(expected), "{expected:?} is missing in\n{output}");
    }
}

#[test]
fn explain_says_which_line_set_a_value() {
    let path = std::env::temp_dir().join(format!("pgweir-cli-explain-{}.toml", std::process::id()));
    let config = "[databases.\"*\"]\nprimary = \"postgres://127.0.0.1\"\npool_size = 7\n";
    std::fs::write(&path, config).expect("a configuration");
    let file = path.to_str().expect("a path in UTF-8");
    let ask =
        |more: &[&str]| pgweir(&[&["explain", "-c", file, "--database", "shop"], more].concat());
    let (plain, json) = (ask(&["--role", "web"]), ask(&["--format", "json"]));
    let _ = std::fs::remove_file(&path);
    assert_eq!((plain.status.code(), json.status.code()), (Some(0), Some(0)));
    let origin = format!("{file}:3");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let plain = text(&plain.stdout);
    assert!(plain.lines().any(|line| words(line) == ["pool_size", "7", &origin]), "{plain}");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let values = json["values"].as_array().expect("values");
    let of = |key: &str| values.iter().find(|value| value["key"] == key).cloned();
    let expected = serde_json::json!({
        "key": "pool_size", "value": "7", "file": file, "line": 3, "acted_on": true
    });
    assert_eq!(of("pool_size"), Some(expected));
    // The file is gone by now.
    let gone = ask(&[]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(gone.stdout.is_empty() && text(&gone.stderr).contains(file));
}

#[test]
fn check_says_nothing_bad_about_what_is_shipped() {
    let output = pgweir(&["check", "--strict", "config/demo.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn a_file_that_is_not_there_cannot_be_checked_or_run() {
    for arguments in [&["check", "no/such/file.toml"][..], &["run", "-c", "no/such/file.toml"]] {
        let output = pgweir(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("no/such/file.toml"), "{arguments:?}: {said}");
    }
}

#[test]
fn reload_says_when_nobody_runs_with_the_file() {
    let output = pgweir(&["reload", "-c", "nobody/runs/with/this.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(said.contains("no pgweir runs with nobody/runs/with/this.toml"), "{said}");
}

#[test]
fn run_refuses_a_configuration_with_problems() {
    let path = std::env::temp_dir().join(format!("pgweir-cli-run-{}.toml", std::process::id()));
    std::fs::write(&path, "[defaults]\npool_size = 0\n").expect("a configuration");
    let output = pgweir(&["run", "-c", path.to_str().expect("a path in UTF-8")]);
    let _ = std::fs::remove_file(&path);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("pool_size"), "{}", text(&output.stderr));
}

#[test]
fn lint_finds_what_would_lock_a_live_table() {
    let migration = "BEGIN;\nCREATE TABLE t (a int);\nCREATE INDEX i ON t (a);\nCOMMIT;\n";
    let fine = pgweir_reads(&["lint", "-"], migration);
    assert_eq!(fine.status.code(), Some(0));
    assert_eq!(text(&fine.stdout), "1 file, 4 statements, policy \"default\": nothing found\n");
    let broken = format!("{migration}SET lock_timeout = '2s';\nCREATE INDEX j ON orders (a);\n");
    let found = pgweir_reads(&["lint", "-"], &broken);
    assert_eq!(found.status.code(), Some(1));
    let output = text(&found.stdout);
    assert!(
        output.starts_with("<stdin>:6: reject index-create-blocking: CREATE INDEX"),
        "{output}"
    );
    assert!(output.contains("    hint: Run this outside of a transaction block"), "{output}");
    assert!(output.ends_with("policy \"default\": 1 rejected\n"), "{output}");
    assert!(!output.contains('\u{1b}'), "{output}");
    let json = pgweir_reads(&["lint", "--format", "json", "-"], &broken);
    let one: serde_json::Value = serde_json::from_slice(&json.stdout).expect("one object");
    let values = ["file", "line", "statement", "action", "rule"].map(|key| one[key].clone());
    let [file, line, statement, action, rule] = values;
    assert_eq!((file, line), ("-".into(), 6.into()));
    assert_eq!(statement, "CREATE INDEX j ON orders (a)");
    assert_eq!((action, rule), ("reject".into(), "index-create-blocking".into()));
    let off = pgweir_reads(&["lint", "--policy", "off", "-"], &broken);
    assert_eq!(off.status.code(), Some(0));
}

#[test]
fn lint_says_what_it_cannot_read() {
    let gone = pgweir(&["lint", "no/such/file.sql"]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(gone.stdout.is_empty() && text(&gone.stderr).contains("no/such/file.sql"));
    let unknown = pgweir_reads(&["lint", "--policy", "stict", "-"], "select 1");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("there is no policy \"stict\""));
}

#[test]
fn explain_says_what_would_be_done_with_a_statement() {
    let json = |arguments: &[&str]| {
        let output = pgweir(&[&["explain", "--format", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let refused = json(&["--sql", "CREATE INDEX ON t (a)"]);
    assert_eq!(refused["guard"]["rule"], "index-create-blocking");
    let made = ["--context", "BEGIN", "--context", "CREATE TABLE t (a int)"];
    let allowed = json(&[&made[..], &["--sql", "CREATE INDEX ON t (a)"]].concat());
    assert_eq!(allowed["guard"]["action"], "allow");
    assert_eq!(allowed["route"]["target"], "primary");
    assert_eq!(allowed["session"]["action"], "pass");
    let lines =
        "{\"id\": 1, \"sql\": \"set a.b = 1\"}\nbroken\n{\"id\": 2, \"sql\": \"select 1\"}\n";
    let many = pgweir_reads(&["explain", "--jsonl", "-"], lines);
    assert_eq!(many.status.code(), Some(1));
    let answers = text(&many.stdout);
    let answers: Vec<serde_json::Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0]["session"]["action"], "track");
    assert!(answers[1]["error"].is_string());
    assert_eq!(answers[2]["id"], 2);
    let policy = pgweir(&["explain", "--sql", "select 1", "--policy", "none"]);
    assert_eq!(policy.status.code(), Some(2));
}
