use super::*;

const FILE: &str = "\
[defaults]
pool_size = 7
[databases.shop]
primary = \"postgres://app:secret1@db1/shop\"
replicas = [\"postgres://db2/shop\"]
[databases.shop_ro]
alias_of = \"shop\"
routing.writes = \"reject\"
[databases.\"*\"]
primary = \"host=db3\"
pool_wait_timeout = \"1s\"
[roles.web]
password = \"secret2\"
pool_size = 9
guard = \"ours\"
[guard.ours]
truncate = \"reject\"
";

struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("pgweir-explain-{name}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        File(path)
    }

    fn ask(&self, database: &str, role: Option<&str>, format: ExplainFormat) -> Answer {
        examine(&self.0, Question { database, role }, format)
    }

    /// The value and the line of a key; line 0 is the default.
    fn value(&self, database: &str, role: Option<&str>, key: &str) -> (String, u64) {
        let answer = self.ask(database, role, ExplainFormat::Json);
        assert_eq!(answer.exit_code, 0, "{}", answer.complaint);
        let json: serde_json::Value = serde_json::from_str(&answer.output).unwrap();
        let values = json["values"].as_array().unwrap();
        let found = values.iter().find(|value| value["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no {key} in {json}"));
        let line = found["line"].as_u64().unwrap_or_default();
        assert_eq!(found["file"].is_null(), line == 0, "{found}");
        (found["value"].as_str().unwrap().to_owned(), line)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn every_value_has_the_line_that_set_it() {
    let file = File::new("values", FILE);
    for (database, role, key, value, line) in [
        ("shop", Some("web"), "pool_size", "9", 14),
        ("shop", Some("other"), "pool_size", "7", 2),
        ("shop", None, "pool_size", "7", 2),
        ("shop", None, "pool_mode", "transaction", 0),
        ("shop", Some("web"), "password", "***", 13),
        ("shop", Some("app"), "password", "***", 4),
        ("shop", Some("web"), "server_role", "app", 4),
        ("shop", None, "primary", "db1:5432 dbname=shop user=app sslmode=prefer", 4),
        ("shop", None, "replicas[0]", "db2:5432 dbname=shop sslmode=prefer", 5),
        ("shop_ro", None, "alias_of", "shop", 7),
        ("shop_ro", None, "routing.writes", "reject", 8),
        ("shop_ro", None, "primary", "db1:5432 dbname=shop user=app sslmode=prefer", 4),
        ("any", Some("web"), "pool_wait_timeout", "1s", 11),
        ("any", Some("web"), "primary", "db3:5432 sslmode=prefer", 10),
        ("any", Some("web"), "guard.truncate", "reject", 17),
        ("any", Some("web"), "guard.drop-table", "warn", 0),
        ("any", None, "guard.truncate", "warn", 0),
    ] {
        let found = file.value(database, role, key);
        assert_eq!(found, (value.to_owned(), line), "{key} of {database} {role:?}");
    }
}

#[test]
fn a_password_of_another_table_is_told_by_its_place() {
    let file = File::new(
        "secrets",
        "[databases.a]\nprimary = 'postgres://app:pw@localhost/a'\nserver_role = 'writer'\n\
         [roles.writer]\npassword = 'x'\n",
    );
    assert_eq!(file.value("a", Some("r"), "server_password"), ("***".to_owned(), 5));
    assert_eq!(file.value("a", Some("r"), "password"), ("none".to_owned(), 0));
}

#[test]
fn the_table_for_people_names_files_and_defaults_and_no_secret() {
    let file = File::new("text", FILE);
    let answer = file.ask("shop", Some("web"), ExplainFormat::Text);
    let lines: Vec<Vec<&str>> =
        answer.output.lines().map(|line| line.split_whitespace().collect()).collect();
    let at = |line: u32| format!("{}:{line}", file.0.display());
    assert!(lines.contains(&vec!["pool_size", "9", &at(14)]), "{}", answer.output);
    assert!(lines.contains(&vec!["pool_mode", "transaction", "default"]), "{}", answer.output);
    assert!(answer.output.starts_with("database \"shop\", role \"web\"\n"), "{}", answer.output);
    let json = file.ask("shop", Some("web"), ExplainFormat::Json).output;
    for secret in ["secret1", "secret2"] {
        assert!(!answer.output.contains(secret) && !json.contains(secret), "{secret}");
    }
}

#[test]
fn a_database_that_is_not_there_is_a_problem() {
    let file = File::new("absent", "[databases.shop]\nprimary = 'host=localhost'\n");
    for (name, expected) in [
        ("shp", "did you mean \"shop\"?"),
        ("billing", "there are shop"),
        ("pgbouncer", "is pgweir's console"),
        ("*", "is no name"),
    ] {
        let answer = file.ask(name, None, ExplainFormat::Text);
        assert_eq!((answer.exit_code, answer.output.as_str()), (1, ""), "{name}");
        assert!(answer.complaint.contains(expected), "{name}: {}", answer.complaint);
    }
    let broken = File::new("broken", "[databases.shop]\nprimary = 'host=localhost'\npool_size = 0");
    let answer = broken.ask("shop", None, ExplainFormat::Text);
    assert_eq!(answer.exit_code, 1);
    assert!(answer.complaint.contains("pool_size"), "{}", answer.complaint);
}
