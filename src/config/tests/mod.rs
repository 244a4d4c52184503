//! Whole files: what they become, and every kind of problem with its place.

use super::interpolate::tests::Fake;
use super::load::{Files, read};
use super::*;
use std::path::Path;

mod files;
mod not_yet;
mod problems;
mod properties;
mod reload;

/// The surroundings that the reference file expects.
fn fake() -> Fake {
    Fake {
        variables: vec![
            ("SHOP_APP_PASSWORD", "app's"),
            ("WEB_DB_PASSWORD", "web's"),
            ("MIGRATOR_DB_PASSWORD", "migrator's"),
            ("POOL_SIZE", "7"),
            ("HOST", "db1"),
            ("SECRET", "hunter2"),
        ],
        files: vec![("/run/secrets/reports_db", "reports'\n")],
    }
}

fn load(text: &str) -> Result<Loaded, ConfigProblems> {
    read(text, "pgweir.toml", &fake(), Files::Ignore)
}

fn good(text: &str) -> Config {
    load(text).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn read_reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/pgweir.toml");
    std::fs::read_to_string(path).unwrap()
}

fn reference() -> Config {
    good(&read_reference())
}

/// Checks every problem of a text, written `error 3:7 key: message`; `…` at the end of a message leaves off its rest.
fn check(text: &str, expected: &[&str]) {
    let problems = match load(text) {
        Ok(loaded) => loaded.warnings,
        Err(refused) => refused.problems,
    };
    let shown: Vec<String> = problems.iter().map(one_line).collect();
    let fits = |(shown, expected): (&String, &&str)| match expected.strip_suffix('…') {
        Some(start) => shown.starts_with(start),
        None => shown == expected,
    };
    let all_fit = shown.len() == expected.len() && shown.iter().zip(expected).all(fits);
    assert!(all_fit, "\n{text}\nfound:\n{}\nexpected:\n{}", shown.join("\n"), expected.join("\n"));
}

fn one_line(problem: &Problem) -> String {
    let place = problem
        .location
        .as_ref()
        .map_or_else(|| "-".to_owned(), |at| format!("{}:{}", at.line, at.column));
    let key = problem.key.as_deref().unwrap_or("-");
    let help = problem.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    format!("{} {place} {key}: {}{help}", problem.severity.as_str(), problem.message)
}

/// A file whose databases and secrets are in order, with `text` in front.
fn with_database(text: &str) -> String {
    format!(
        "{text}\n[databases.shop]\nprimary = \"postgres://localhost/shop\"\n[roles.web]\npassword = \"x\"\n"
    )
}

#[test]
fn the_reference_file_sets_what_it_says() {
    let config = reference();
    let listen: Vec<_> = config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:6432", "[::]:6432"]);
    assert_eq!(config.server.unix_socket_path().unwrap(), Path::new("/run/pgweir/.s.PGSQL.6432"));
    assert_eq!(config.server.tls.as_ref().map(|tls| tls.mode), Some(TlsMode::Prefer));
    assert_eq!(config.auth.auth_query_role.as_deref(), Some("pgweir_auth"));
    assert_eq!(config.auth.auth_query.as_deref(), Some(DEFAULT_AUTH_QUERY));
    assert_eq!(
        config.http.listen.as_ref().map(ToString::to_string).as_deref(),
        Some("127.0.0.1:9127")
    );
    assert!(
        config.admin.serves("pgbouncer")
            && config.admin.serves("pgweir")
            && !config.admin.serves("shop")
    );

    let names: Vec<_> = config.databases().map(|database| database.name.as_str()).collect();
    assert_eq!(names, ["*", "shop", "shop_migrate", "shop_ro"]);
    let shop = config.resolve("shop", "web").unwrap();
    assert_eq!(shop.database.replicas.len(), 2);
    assert_eq!(shop.database.replicas[0].max_lag, Timeout::from_secs(2));
    assert_eq!(shop.database.replicas[1].max_lag, Timeout::from_secs(5));
    assert_eq!(shop.database.primary.sslmode, SslMode::VerifyFull);
    assert_eq!(shop.max_server_connections, 80);
    assert_eq!(shop.server_role.as_deref(), Some("shop_app"));
    assert_eq!(shop.server_password.unwrap().expose(), "app's");
    assert_eq!(shop.password.unwrap().expose(), "web's");
    assert_eq!(config.role_password("reports").unwrap().expose(), "reports'");

    let policy = &config.resolve("shop", "migrator").unwrap().policy;
    assert_eq!(policy.name, "migrations");
    assert_eq!(policy.partitioned_tables, ["events"]);
    assert_eq!(policy.action("index-create-blocking"), crate::rules::Action::Reject);
    assert_eq!(config.policies["application"].action("truncate"), crate::rules::Action::Reject);
    assert_eq!(
        config.policies["application"].origin("truncate").to_string(),
        origin_of("truncate ")
    );
}

/// `pgweir.toml:LINE` of the first line of the reference that begins so.
fn origin_of(start: &str) -> String {
    let line = read_reference().lines().position(|line| line.starts_with(start)).unwrap();
    format!("pgweir.toml:{}", line + 1)
}

#[test]
fn the_reference_file_shows_the_built_in_defaults_except_where_it_recommends() {
    let config = reference();
    let defaults = good("databases.shop.primary = \"host=localhost\"");
    let differing = |ours: Vec<Explained>, builtin: Vec<Explained>| -> Vec<String> {
        ours.into_iter()
            .zip(builtin)
            .filter(|(a, b)| a.value != b.value)
            .map(|(a, _)| a.key)
            .collect()
    };
    // A database that only has what [defaults] gives.
    let ours = config.explain("any_other", "nobody").unwrap();
    let builtin = defaults.explain("shop", "nobody").unwrap();
    assert_eq!(differing(ours, builtin), ["statement_timeout", "idle_in_transaction_timeout"]);

    assert_eq!(
        ServerConfig {
            listen: config.server.listen.clone(),
            unix_socket: config.server.unix_socket.clone(),
            tls: config.server.tls.clone(),
            ..ServerConfig::default()
        },
        config.server
    );
    assert_eq!(LogConfig::default(), config.log);
    assert_eq!(
        HttpConfig { listen: config.http.listen.clone(), ..HttpConfig::default() },
        config.http
    );
    assert_eq!(
        AdminConfig {
            admins: config.admin.admins.clone(),
            viewers: config.admin.viewers.clone(),
            ..AdminConfig::default()
        },
        config.admin
    );
}

#[test]
fn the_documentation_and_the_reference_file_have_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let reference = read_reference();
    for key in keys::all() {
        assert!(docs.contains(&format!("`{key}`")), "docs/configuration.md lacks {key}");
        assert!(reference.contains(key), "config/pgweir.toml lacks {key}");
    }
    for rule in crate::rules::RULES {
        let [default, strict, restore] = [rule.default, rule.strict, rule.restore];
        let row =
            format!("| `{}` | {default} | {strict} | {restore} | {} |", rule.name, rule.summary);
        assert!(docs.contains(&row), "docs/configuration.md lacks {row}");
    }
    for (table, _) in keys::TABLES.iter().filter(|(table, _)| table.starts_with('[')) {
        assert!(docs.contains(table), "docs/configuration.md lacks {table}");
    }
}

#[test]
fn the_more_specific_table_wins() {
    let config = reference();
    let size = |database: &str, role: &str| config.resolve(database, role).unwrap().pool_size;
    assert_eq!(size("shop", "nobody"), 20);
    assert_eq!(size("shop", "web"), 60);
    assert_eq!(size("other", "web"), 40);
    assert_eq!(size("other", "nobody"), 20);

    let config = good(
        "[defaults]\npool_size = 1\nlock_timeout = '1s'\n\
         [databases.a]\nprimary = 'host=localhost'\npool_size = 2\nlock_timeout = '2s'\n\
         [roles.r]\npassword = 'x'\npool_size = 3\n\
         [databases.a.roles.r]\npool_size = 4",
    );
    let of = |role: &str| {
        config.resolve("a", role).map(|e| (e.pool_size, e.lock_timeout.as_millis())).unwrap()
    };
    assert_eq!(of("r"), (4, Some(2_000)));
    assert_eq!(of("other"), (2, Some(2_000)));
    let origin = |role: &str, key: &str| config.origin("a", role, key).unwrap().to_string();
    assert_eq!(origin("r", "pool_size"), "pgweir.toml:12");
    assert_eq!(origin("r", "lock_timeout"), "pgweir.toml:7");
    assert_eq!(origin("r", "pool_mode"), "built in");
    assert_eq!(config.origin("a", "r", "pool_sze"), None);
    assert_eq!(config.origin("none", "r", "pool_size"), None);
}

#[test]
fn an_alias_inherits_and_what_it_sets_itself_stands_above_the_role() {
    let config = reference();
    let web = config.resolve("shop_migrate", "web").unwrap();
    // [roles.web] has 15s and 30s; the door for migrations takes them off.
    assert_eq!(
        (web.statement_timeout, web.idle_in_transaction_timeout),
        (Timeout::Off, Timeout::Off)
    );
    assert_eq!(web.pool_mode, PoolMode::Session);
    assert_eq!(web.pool_size, 60);
    assert_eq!(web.server_role.as_deref(), Some("shop_app"));
    assert_eq!(web.database.name, "shop_migrate");
    assert_eq!(web.database.server_database, "shop");
    assert_eq!(web.database.alias_of.as_deref(), Some("shop"));

    let ro = config.resolve("shop_ro", "web").unwrap();
    assert_eq!(
        (ro.database.routing.reads, ro.database.routing.writes),
        (Reads::Replica, Writes::Reject)
    );
    assert_eq!(ro.database.routing.lag_interval, Timeout::from_millis(100));
    assert_eq!(ro.database.replicas.len(), 2);
    assert_eq!(
        config.origin("shop_ro", "web", "routing.writes").unwrap().to_string(),
        origin_of("writes = \"reject\"")
    );
    assert_ne!(config.origin("shop_ro", "web", "routing.strategy"), Some(Origin::BuiltIn));
}

#[test]
fn any_other_database_goes_by_its_own_name() {
    let config = reference();
    let other = config.resolve("crm", "web").unwrap();
    assert_eq!(
        (other.database.name.as_str(), other.database.server_database.as_str()),
        ("crm", "crm")
    );
    for name in ["pgbouncer", "pgweir", ""] {
        assert!(config.resolve(name, "web").is_none(), "{name}");
    }
    assert!(good("databases.a.primary = 'host=localhost'").resolve("b", "r").is_none());
    assert!(good("databases.a.primary = 'host=localhost'").resolve("*", "r").is_none());
    let renamed = good("databases.a.primary = 'host=localhost dbname=b'");
    assert_eq!(renamed.resolve("a", "r").unwrap().database.server_database, "b");
}

#[test]
fn the_connection_string_may_say_who_logs_in() {
    let config = good("databases.a.primary = 'postgres://app:pw@localhost/a?connect_timeout=9'");
    let app = config.resolve("a", "app").unwrap();
    let secrets = |e: &Effective| {
        (
            e.server_role.clone(),
            e.server_password.as_ref().map(|s| s.expose().to_owned()),
            e.password.as_ref().map(|s| s.expose().to_owned()),
        )
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(secrets(&app), (text("app"), text("pw"), text("pw")));
    assert_eq!(app.connect_timeout, Timeout::from_secs(9));
    let other = config.resolve("a", "other").unwrap();
    assert_eq!(secrets(&other), (text("app"), text("pw"), None));
}

#[test]
fn a_password_goes_with_the_role_beside_it() {
    let config = good(
        "[databases.a]\nprimary = 'postgres://app:pw@localhost/a'\n\
         [databases.a.roles.r]\nserver_role = 'writer'\n[databases.a.roles.s]\nserver_role = 'unknown'\n\
         [databases.b]\nprimary = 'postgres://app:pw@localhost/b'\nserver_role = 'writer'\n\
         [roles.writer]\npassword = \"writer's\"",
    );
    let password = |database: &str, role: &str| {
        let effective = config.resolve(database, role).unwrap();
        effective.server_password.map(|secret| secret.expose().to_owned())
    };
    assert_eq!(password("a", "r").as_deref(), Some("writer's"));
    assert_eq!(password("a", "s"), None);
    assert_eq!(password("a", "other").as_deref(), Some("pw"));
    assert_eq!(password("b", "other").as_deref(), Some("writer's"));
}

#[test]
fn explain_has_every_value_and_no_secret() {
    let explained = reference().explain("shop", "web").unwrap();
    assert_eq!(explained.len(), Settings::KEYS.len() + RoutingConfig::KEYS.len());
    let of = |key: &str| {
        let found = explained.iter().find(|one| one.key == key).unwrap();
        (found.value.clone(), found.origin.to_string())
    };
    assert_eq!(of("pool_size"), ("60".to_owned(), origin_of("pool_size = 60")));
    assert_eq!(of("password"), ("***".to_owned(), origin_of("password ")));
    assert_eq!(
        of("statement_timeout"),
        ("15s".to_owned(), origin_of("statement_timeout = \"15s\""))
    );
    assert_eq!(of("routing.replica_safe_functions").0, "[shop.price_of]");
    let everything = format!("{explained:?}{:?}", reference());
    for secret in ["web's", "app's", "migrator's", "reports'"] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

#[test]
fn each_column_of_an_access_rule_decides() {
    let check = |rule: &str, database: &str, role: &str, peer: &str, tls: bool, expected: bool| {
        let config = good(&with_database(&format!("[[access]]\n{rule}\n")));
        let found = config.access_method(database, role, peer.parse().ok(), tls);
        assert_eq!(found.is_some(), expected, "{rule}: {database} {role} {peer} {tls}");
    };
    for everything in ["", "database = '*'\nrole = '*'\nfrom = '*'", "from = 'all'\ntls = false"] {
        check(everything, "shop", "web", "1.2.3.4", false, true);
        check(everything, "any", "one", "2001:db8::1", true, true);
        check(everything, "shop", "web", "unix", false, true);
    }
    check("database = ['crm', '*']\nrole = ['x', '*']", "shop", "web", "::1", false, true);
    check("from = ['10.0.0.0/8', '*']", "shop", "web", "1.2.3.4", false, true);
    check("database = 'shop'", "shop", "web", "1.2.3.4", false, true);
    check("database = 'shop'", "Shop", "web", "1.2.3.4", false, false);
    check("database = ['shop', 'crm']", "crm", "web", "1.2.3.4", false, true);
    check("role = 'web'", "shop", "web", "1.2.3.4", false, true);
    check("role = 'web'", "shop", "webb", "1.2.3.4", false, false);
    check("from = '10.0.0.0/8'", "shop", "web", "10.255.255.255", false, true);
    check("from = '10.0.0.0/8'", "shop", "web", "11.0.0.0", false, false);
    check("from = '10.0.0.0/8'", "shop", "web", "::ffff:10.0.0.1", false, true);
    check("from = ['10.0.0.0/8', '2001:db8::/32']", "shop", "web", "2001:db8::5", false, true);
    check("from = ['10.0.0.0/8', '2001:db8::/32']", "shop", "web", "2001:db9::", false, false);
    check("from = '10.0.0.0/8'", "shop", "web", "unix", false, false);
    check("from = 'unix'", "shop", "web", "unix", false, true);
    check("from = 'unix'", "shop", "web", "127.0.0.1", false, false);
    check("tls = true", "shop", "web", "1.2.3.4", false, false);
    check("tls = true", "shop", "web", "1.2.3.4", true, true);
    check("tls = true", "shop", "web", "unix", false, true);
    // Every column must match.
    let rule = "database = 'shop'\nrole = 'web'\nfrom = '10.0.0.0/8'\ntls = true";
    check(rule, "shop", "web", "10.0.0.1", true, true);
    check(rule, "crm", "web", "10.0.0.1", true, false);
    check(rule, "shop", "dba", "10.0.0.1", true, false);
    check(rule, "shop", "web", "9.0.0.1", true, false);
    check(rule, "shop", "web", "10.0.0.1", false, false);
}

#[test]
fn access_rules_are_tried_in_order() {
    let config = good(&with_database(
        "[[access]]\nrole = 'migrator'\nfrom = ['10.0.9.0/24']\ntls = true\n\
         [[access]]\ndatabase = ['shop', 'pgbouncer']\nfrom = 'unix'\nmethod = 'peer'\n\
         [[access]]\nrole = 'web'",
    ));
    let ask = |role: &str, peer: &str, tls: bool| {
        config.access_method("shop", role, peer.parse().ok(), tls)
    };
    assert_eq!(ask("migrator", "10.0.9.1", true), Some(AuthMethod::ScramSha256));
    assert_eq!(ask("migrator", "10.0.9.1", false), None);
    assert_eq!(ask("migrator", "10.0.8.1", true), None);
    assert_eq!(ask("dba", "unix", false), Some(AuthMethod::Peer));
    assert_eq!(ask("web", "1.2.3.4", false), Some(AuthMethod::ScramSha256));
    assert_eq!(ask("other", "1.2.3.4", true), None);
    let open = good(&with_database(""));
    assert_eq!(
        open.access_method("shop", "x", "1.2.3.4".parse().ok(), false),
        Some(AuthMethod::ScramSha256)
    );
}
