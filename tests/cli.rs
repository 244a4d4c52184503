//! The command line: what it prints, and its exit codes.

use std::process::{Command, Output};

fn pgweir(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pgweir")).args(arguments).output().expect("pgweir starts")
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
        ["run", "check", "explain", "demo", "Exit codes: 0 ok, 1 found problems, 2 usage"]
    {
        assert!(help.contains(expected), "{expected:?} is missing in\n{help}");
    }
    for command in ["run", "reload", "check", "explain", "demo"] {
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
    for arguments in [&["paddle"][..], &["run", "--boat"], &["demo", "--seconds", "0"], &[]] {
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
