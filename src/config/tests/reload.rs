//! When changes take effect, and how they are told.

use super::*;

/// The rows of the documentation's tables that end with a column "reload": (table, key, that cell).
fn documented() -> Vec<(String, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let (mut table, mut in_table, mut rows) = (String::new(), false, Vec::new());
    for line in docs.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            table = heading.trim_start_matches('#').trim().to_owned();
            if table == "Top level" {
                table = "the top level".to_owned();
            }
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", "key", .., last, ""] => in_table = *last == "reload",
            ["", key, .., last, ""] if in_table && key.starts_with('`') => {
                rows.push((table.clone(), key.trim_matches('`').to_owned(), (*last).to_owned()));
            }
            [_] => in_table = false,
            _ => {}
        }
    }
    rows
}

#[test]
fn the_documentation_says_when_each_key_takes_effect() {
    let rows = documented();
    for (table, key, cell) in &rows {
        let effect = Effect::of(table, key).as_str();
        let told = cell.trim_start_matches("re-read, ");
        let told = told.split_once("; ").map_or(told, |(told, _)| told);
        assert_eq!(told, effect, "{key} in {table}");
    }
    let has = |table: &str, key: &str| {
        rows.iter().any(|(other, known, _)| other == table && known == key)
    };
    for (table, keys) in keys::TABLES {
        keys.iter().for_each(|key| assert!(has(table, key), "{key} in {table} has no row"));
    }
    for key in Settings::KEYS {
        assert!(has("[defaults]", key), "{key} has no row");
    }
}

#[test]
fn the_reference_file_says_what_needs_a_restart() {
    let reference = read_reference();
    let mut table = "the top level".to_owned();
    let mut comment = String::new();
    let mut marked = Vec::new();
    for line in reference.lines() {
        if line.starts_with('[') {
            table = line.split_inclusive(']').next().unwrap_or_default().to_owned();
        } else if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
            continue;
        } else if let Some((key, _)) = line.split_once('=')
            && comment.to_lowercase().contains("restart.")
        {
            marked.push((table.clone(), key.trim().to_owned()));
        }
        comment.clear();
    }
    let expected = [("[server]", "unix_socket"), ("[server]", "workers"), ("[log]", "format")];
    let expected = expected.map(|(table, key)| (table.to_owned(), key.to_owned()));
    assert_eq!(marked, expected);
    for (table, key) in &marked {
        assert_eq!(Effect::of(table, key), Effect::Restart);
    }
}

fn changes(before: &str, now: &str) -> Vec<String> {
    let changes = good(&with_database(now)).changes_since(&good(&with_database(before)));
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn changes_are_told_by_key_and_value() {
    assert_eq!(changes("", ""), [] as [&str; 0]);
    assert_eq!(
        changes(
            "[server]\nlisten = '127.0.0.1:1'\n[defaults]\npool_size = 5\nguard = 'off'",
            "[server]\nlisten = ['127.0.0.1:1', '127.0.0.1:2']\nworkers = 2\n\
             [defaults]\npool_size = 6\npool_mode = 'session'",
        ),
        [
            "defaults.guard",
            "defaults.pool_mode = \"session\" (new sessions)",
            "defaults.pool_size: 5 -> 6",
            "server.listen: \"127.0.0.1:1\" -> [\"127.0.0.1:1\", \"127.0.0.1:2\"]",
            "server.workers = 2 (not before a restart)",
        ]
    );
}

#[test]
fn changes_of_secrets_are_told_by_key_alone() {
    let before = "[databases.a]\nprimary = 'postgres://u:hunter2@h/d'\n[databases.a.roles.r]\n\
                  password = 'hunter2'\nserver_role = '${HOST}'\npool_size = '${POOL_SIZE}'\n";
    let now = before.replace("hunter2", "hunter3").replace("${HOST}", "other");
    assert_eq!(
        changes(before, &now),
        [
            "databases.a.primary (new servers)",
            "databases.a.roles.r.password (new logins)",
            "databases.a.roles.r.server_role (new servers)",
        ]
    );
    let config = good(&with_database(before));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn only_what_differs_from_the_start_needs_a_restart() {
    let start = good(&with_database("[server]\nworkers = 2"));
    let keys = |text: &str| good(&with_database(text)).keys_for_restart(&start);
    assert_eq!(keys("[server]\nworkers = 2\n[log]\nformat = 'auto'"), [] as [&str; 0]);
    assert_eq!(keys(""), ["server.workers"]);
    assert_eq!(
        keys("[server]\nworkers = 2\nunix_socket = '/run'\n[log]\nformat = 'json'"),
        ["server.unix_socket", "log.format"]
    );
}
