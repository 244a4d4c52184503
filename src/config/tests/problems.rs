//! Every kind of problem, with its place.

use super::*;
use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};

#[test]
fn problems_of_values_are_all_reported() {
    check(
        &with_database(
            "[server]\nlogin_timeout = 15\nworkers = -1\nlisten = 'x:y'\nmax_client_connections = 0\n\
             max_statement_size = '1kB'\nunix_socket = 5\n[defaults]\npool_mode = 'transactoin'\n\
             statement_timeout = '15m'\npool_size = '20'\nlock_timeout = true\nroute = 1\nguard = 'defaul'",
        ),
        &[
            "error 2:17 server.login_timeout: duration 15 has no unit (write \"15s\" or \"15ms\")",
            "error 3:11 server.workers: a number here is not negative",
            "error 4:10 server.listen: not an address; write as in \"127.0.0.1:6432\"",
            "error 5:26 server.max_client_connections: with 0 no client could connect",
            "error 6:22 server.max_statement_size: from 64kB to just below 1GB, Postgres' own limit",
            "error 7:15 server.unix_socket: expected a path, found an integer",
            "error 9:13 defaults.pool_mode: \"transactoin\" is not one of \"transaction\", \"session\" (did you mean \"transaction\"?)",
            "error 10:21 defaults.statement_timeout: `m` is no unit of time (the unit is written `min`)",
            "error 11:13 defaults.pool_size: expected a whole number, found a string (write 20 without quotes)",
            "error 12:16 defaults.lock_timeout: expected a duration, found true or false (as in \"15s\", or \"off\")",
            "error 13:9 defaults.route: expected one of \"auto\", \"primary\", \"replica\", found an integer",
            "error 14:9 defaults.guard: there is no guard policy `defaul` (did you mean \"default\"?)",
        ],
    );
}

#[test]
fn unknown_keys_are_all_reported_with_advice() {
    check(
        &with_database(
            "x = 1\n[server]\nlogin_timout = '1s'\npool_size = 5\n[server.tls]\nmode = 'off'\ncert = 'x'\n\
             [databases.b]\nprimary = 'host=localhost'\nreplica = []\n[databases.b.routing]\nread = 'replica'\n\
             [roles.r]\nmax_server_connections = 5\n[defaults]\npassword = 'x'\nserver_reset_query = ''",
        ),
        &[
            "error 1:1 x: unknown key `x` at the top level (known here: …",
            "error 3:1 server.login_timout: unknown key `login_timout` in [server] (did you mean `login_timeout`?)",
            "error 4:1 server.pool_size: unknown key `pool_size` in [server] (`pool_size` stands in [defaults], [databases.X], [roles.Y] or [databases.X.roles.Y])",
            "error 7:1 server.tls.cert: unknown key `cert` in [server.tls] (known here: …",
            "error 10:1 databases.b.replica: unknown key `replica` in [databases.b] (did you mean `replicas`?)",
            "error 12:1 databases.b.routing.read: unknown key `read` in [databases.b.routing] (did you mean `reads`?)",
            "error 14:1 roles.r.max_server_connections: unknown key `max_server_connections` in [roles.r] (`max_server_connections` stands in [defaults] or [databases.X])",
            "error 16:1 defaults.password: unknown key `password` in [defaults] (`password` stands in [roles.Y] or [databases.X.roles.Y])",
            "error 17:1 defaults.server_reset_query: unknown key `server_reset_query` in [defaults]",
        ],
    );
}

#[test]
fn pgbouncers_names_are_taken_and_noted_once() {
    let text = with_database(
        "[server]\nmax_client_conn = 9\n[defaults]\nquery_wait_timeout = '1s'\ndefault_pool_size = 8\n\
         [roles.a]\ndefault_pool_size = 6",
    );
    check(
        &text,
        &[
            "note 2:1 server.max_client_conn: `max_client_conn` is PgBouncer's name; here it is `max_client_connections`",
            "note 4:1 defaults.query_wait_timeout: `query_wait_timeout` is PgBouncer's name; here it is `pool_wait_timeout`",
            "warning 4:22 reserve_pool_wait: the reserve is never used in database `shop`: …",
            "note 5:1 defaults.default_pool_size: `default_pool_size` is PgBouncer's name; here it is `pool_size`",
        ],
    );
    let config = good(&text);
    assert_eq!(config.server.max_client_connections, 9);
    assert_eq!(config.resolve("shop", "a").unwrap().pool_size, 6);
    check(
        &with_database("[defaults]\npool_size = 5\ndefault_pool_size = 8"),
        &[
            "error 3:1 defaults.default_pool_size: `default_pool_size` is PgBouncer's name for `pool_size`, which is set too",
        ],
    );
}

#[test]
fn references_are_resolved_inside_strings_only() {
    let config = good(
        "databases.shop.primary = 'postgres://${HOST}/shop'\n[defaults]\npool_size = \"${POOL_SIZE}\"\n\
         statement_timeout = '${LIMIT:-5s}'\n[roles.web]\npassword = \"$${HOST}\"",
    );
    let web = config.resolve("shop", "web").unwrap();
    assert_eq!(web.database.primary.hosts[0].to_string(), "db1:5432");
    assert_eq!((web.pool_size, web.statement_timeout), (7, Timeout::from_secs(5)));
    assert_eq!(web.password.unwrap().expose(), "${HOST}");
    check(
        "[databases.shop]\nprimary = \"postgres://${HOST}:${PORT}/shop\"\n[roles.web]\npassword = '${file:none}'",
        &[
            "error 2:31 databases.shop.primary: the environment variable `PORT` is not set (set it, or write a default: ${PORT:-…})",
            "error 4:13 roles.web.password: cannot read none: entity not found",
        ],
    );
}

#[test]
fn no_message_shows_a_secret() {
    let texts = [
        "[databases.shop]\nprimary = 'postgres://u:hunter2'",
        "[databases.shop]\nprimary = 'postgres://u:hun/hunter2@h'",
        "[databases.shop]\nprimary = 'postgres://u:hunter2@h:x/shop'",
        "[databases.shop]\nprimary = '${SECRET}'",
        "[databases.shop]\nprimary = 'host=h password=x hunter2'",
        "[defaults]\npool_mode = '${SECRET}'\nstatement_timeout = '${SECRET}'\npool_size = '${SECRET}'",
        "[roles.web]\npasword = 'hunter2'",
        "[roles.web]\npassword = ['hunter2']",
        "[server]\nlisten = '${SECRET}'\nmax_statement_size = '${SECRET}'",
    ];
    for text in texts {
        let refused = load(text).unwrap_err();
        let shown = format!("{refused}{refused:?}");
        assert!(!shown.contains("hunter2"), "{text}\n{refused}");
    }
}

#[test]
fn a_file_without_databases_says_which_line_to_write() {
    let line = "databases.shop.primary = \"postgres://localhost:5432/shop\"";
    for text in ["", "[server]\n", "[databases]\n"] {
        let refused = load(text).unwrap_err();
        assert_eq!(refused.problems.len(), 1, "{refused}");
        assert!(refused.problems[0].help.as_ref().unwrap().ends_with(line));
    }
    good(line);
}

#[test]
fn databases_and_aliases() {
    check(
        "[databases.a]\npool_size = 5\n[databases.b]\nalias_of = 'aa'\n[databases.c]\nalias_of = 'd'\n\
         [databases.d]\nalias_of = 'c'\n[databases.e]\nalias_of = 'real'\nprimary = 'host=localhost'\n\
         [databases.f]\nalias_of = '*'\n[databases.g]\nalias_of = 5\n[databases.pgbouncer]\nprimary = 'host=localhost'\n\
         [databases.real]\nprimary = 'host=localhost'\n[roles.r]\npassword = 'x'",
        &[
            "error 1:12 databases.a: the database `a` has no `primary` (write primary = …",
            "error 4:12 databases.b.alias_of: there is no database `aa` (did you mean \"a\"?)",
            "error 6:12 databases.c.alias_of: the aliases lead in a circle",
            "error 8:12 databases.d.alias_of: the aliases lead in a circle",
            "error 11:11 databases.e.primary: an alias takes its `primary` from the database that it is an alias of …",
            "error 13:12 databases.f.alias_of: there is no database `*`",
            "error 15:12 databases.g.alias_of: expected a string, found an integer",
            "error 16:12 databases.pgbouncer: `pgbouncer` is the console's name, not a database's …",
        ],
    );
    let chain = good(
        "databases.a.primary = 'host=localhost'\n[databases.b]\nalias_of = 'a'\npool_size = 2\n[databases.c]\nalias_of = 'b'\nlock_timeout = '1s'",
    );
    let c = chain.resolve("c", "r").unwrap();
    assert_eq!(
        (c.pool_size, c.lock_timeout, c.database.server_database.as_str()),
        (2, Timeout::from_secs(1), "a")
    );
}

#[test]
fn sizes_that_contradict_each_other() {
    check(
        &with_database(
            "[defaults]\nmin_pool_size = 30\nreserve_pool_wait = '10s'\nlock_timeout = '5s'\nstatement_timeout = '5s'\n\
             [roles.small]\npool_size = 0\n[roles.migrator]\nserver_password = 'x'\n[databases.b]\n\
             primary = 'host=localhost'\nmax_server_connections = 10\n[databases.b.roles.web]\nmin_pool_size = 5",
        ),
        &[
            "error 2:17 min_pool_size: `min_pool_size` is 30, above `pool_size`, which is 20 in database `b`",
            "warning 3:21 reserve_pool_wait: the reserve is never used in database `b`: clients give up after 10s, before `reserve_pool_wait`, 10s",
            "warning 5:21 lock_timeout: `lock_timeout` never strikes in database `b`: `statement_timeout` is 5s",
            "error 7:13 roles.small.pool_size: a pool of size 0 serves nobody (to keep clients out, write an [[access]] rule)",
            "warning 8:8 statement_timeout: migrations may be cut off for role `migrator` in database `b`: statements end after 5s and sessions are pooled",
            "warning 9:19 server_password: `server_password` does nothing for role `migrator` in database `b` without `server_role`",
            "warning 12:26 pool_size: `pool_size` is 20 in database `b`, but `max_server_connections` is 10",
        ],
    );
}

#[test]
fn authentication_that_lets_anybody_or_nobody_in() {
    let start = "databases.a.primary = 'host=localhost'\n";
    let exposed = "[server]\nlisten = '0.0.0.0:6432'\n";
    let cases = [
        (
            format!("{start}{exposed}[auth]\nmethod = 'trust'"),
            vec![
                "error 4:2 auth.method: with `trust` anybody who reaches this port is whoever they say they are …",
            ],
        ),
        (format!("{start}[auth]\nmethod = 'trust'"), vec![]),
        (
            format!(
                "{start}{exposed}[auth]\nmethod = 'trust'\n[[access]]\nfrom = ['127.0.0.1', '::1', 'unix']"
            ),
            vec![],
        ),
        (
            format!(
                "{start}{exposed}[auth]\nuserlist = 'u'\n[[access]]\nfrom = ['10.0.0.0/8']\nmethod = 'trust'"
            ),
            vec!["error 6:1 access[0]: with `trust` anybody …"],
        ),
        (
            format!("{start}[auth]\nmethod = 'peer'"),
            vec!["error 2:2 auth.method: `peer` knows only clients of the Unix socket …"],
        ),
        (
            format!("{start}[auth]\nmethod = 'peer'\n[server]\nlisten = []\nunix_socket = '/run'"),
            vec![],
        ),
        (
            format!("{start}[auth]\nmethod = 'cert'"),
            vec!["error 2:2 auth.method: `cert` needs the authority …"],
        ),
        (
            format!("{start}[auth]\nmethod = 'md5'"),
            vec!["warning 2:2 auth: no client can log in: no role's password is known …"],
        ),
        (
            format!("{start}[auth]\nauth_query_role = 'q'"),
            vec![
                "warning 2:2 auth.auth_query_role: `auth_query_role` is `q`, whose password is not known (write [roles.q] with its password)",
            ],
        ),
        (
            format!(
                "{start}[auth]\nauth_query = 'SELECT 1'\nuserlist = 'u'\ncache_ttl = '5min'\nauth_query_database = 'pgbouncer'"
            ),
            vec![
                "error 2:2 auth.auth_query_database: the console's database has no roles to ask for …",
                "error 3:14 auth.auth_query_role: `auth_query` needs `auth_query_role`, the role that runs it",
                "error 3:14 auth.auth_query: the query has no `$1`, where the role's name goes",
                "error 5:13 auth.cache_ttl: at most 60s: …",
            ],
        ),
        (
            format!(
                "{start}[[access]]\ndatabase = 'aa'\nfrom = '10.0.0.1/8'\ntls = true\nmethod = 'none'\n[auth]\nuserlist = 'u'"
            ),
            vec![
                "warning 2:1 access[0]: the rule asks for TLS, and there is no [server.tls]: it matches nobody",
                "warning 2:1 access[0]: the rule is about a database `aa`, which is not configured (did you mean \"a\"?)",
                "error 4:8 access[0].from: bits are set beyond the first 8; write \"10.0.0.0/8\"",
                "error 6:10 access[0].method: \"none\" is not one of …",
            ],
        ),
    ];
    for (text, expected) in cases {
        check(&text, &expected);
    }
}

#[test]
fn tls_towards_clients() {
    check(
        &with_database("[server.tls]\nmode = 'verify-full'\ncertificate = 'c'"),
        &[
            "error 1:9 server.tls.private_key: TLS with clients needs `private_key`",
            "error 1:9 server.tls.client_ca: `verify-full` needs `client_ca`",
        ],
    );
    let off = good(&with_database("[server.tls]\nmode = 'off'"));
    assert_eq!(off.server.tls, None);
}

#[test]
fn tls_towards_servers() {
    check(
        "[databases.a]\nprimary = 'postgres://u:p@db1/a'\n\
         replicas = ['host=db2 sslmode=disable', { url = 'host=db3 sslmode=require keepalives=1', weight = 0, lag = 1 }]\n\
         [databases.a.routing]\nmax_lag = 'off'",
        &[
            "warning 2:11 databases.a.primary: `sslmode=prefer` lets anybody between here and db1:5432 switch TLS off …",
            "warning 3:13 databases.a.replicas[0]: passwords and rows travel to db2:5432 in clear text …",
            "warning 3:13 databases.a.replicas[0]: without `max_lag` this replica gets reads however far it is behind",
            "warning 3:41 databases.a.replicas[1]: without `max_lag` this replica gets reads however far it is behind",
            "warning 3:75 databases.a.replicas[1].url: pgweir does not use `keepalives`",
            "error 3:99 databases.a.replicas[1].weight: a weight is at least 1; a replica without reads is left out",
            "error 3:102 databases.a.replicas[1].lag: unknown key `lag` in [databases.a.replicas[1]] (known here: `max_lag`, `url`, `weight`)",
        ],
    );
    check(
        "[databases.a]\nprimary = 'postgres://u:p@localhost/a'\n[databases.a.routing]\nreads = 'replica'\nlag_interval = 0",
        &[
            "warning 4:9 databases.a.routing.reads: reads are to go to replicas, and `a` has none",
            "error 5:16 databases.a.routing.lag_interval: positions must be read at some interval",
        ],
    );
}

#[test]
fn guard_policies() {
    check(
        &with_database(
            "[guard]\ntruncate = 'warn'\n[guard.a]\nbase = 'b'\nwrite_without_where = 'warn'\ntruncate = 'rejct'\n\
             [guard.b]\nbase = 'a'\n[guard.c]\nbase = 'strct'\nwhere = 'off'\n[guard.strict]\ntruncate = 'off'",
        ),
        &[
            "error 2:1 guard.truncate: a rule's action stands in a policy, not in [guard] itself …",
            "error 4:8 guard.a.base: the policies base on each other in a circle",
            "error 5:1 guard.a.write_without_where: the guard has no rule `write_without_where` (did you mean `write-without-where`?)",
            "error 6:12 guard.a.truncate: a rule's action is one of off, log, warn, reject (did you mean \"reject\"?)",
            "error 8:8 guard.b.base: the policies base on each other in a circle",
            "error 10:8 guard.c.base: there is no policy `strct` (did you mean \"strict\"?)",
            "error 11:1 guard.c.where: the guard has no rule `where` (there are write-without-where)",
            "error 12:8 guard.strict: the policy `strict` ships with pgweir and stays as it is …",
        ],
    );
    let config = good(&with_database(
        "[guard.outer]\nbase = 'inner'\ndrop-table = 'log'\n[guard.inner]\nbase = 'strict'\ndrop-table = 'off'\ntruncate = false",
    ));
    use crate::rules::{Action, BuiltinPolicy};
    let outer = &config.policies["outer"];
    let of = |rule: &str| outer.action(rule);
    assert_eq!(
        (of("drop-table"), of("truncate"), of("drop-column")),
        (Action::Log, Action::Off, Action::Reject)
    );
    assert_eq!(outer.base, BuiltinPolicy::Strict);
    assert!(config.policies["off"].is_off() && !config.policies["observe"].is_off());
}

#[test]
fn syntax_errors_do_not_hide_other_problems() {
    check(
        "[server]\nlogin_timeout = \nworkers = 1.5\n[defaults\npool_sze = 1\n[log]\nlevl = 1\n",
        &[
            "error 2:17 -: not TOML: …",
            "error 3:11 server.workers: expected a whole number, found a fractional number",
            "error 4:10 -: not TOML: …",
            "error 7:1 log.levl: unknown key `levl` in [log] (did you mean `level`?)",
        ],
    );
    check(
        "a = 1\na = 2\n[databases.a]\nprimary = 'host=localhost'",
        &["error 1:1 a: …", "error 2:1 -: not TOML: duplicate key…"],
    );
    check(
        "config_version = 2\nserver = 5\naccess = 1\n[databases.a]\nprimary = 'host=localhost'\nroles = 1\n[roles]\nr = 1",
        &[
            "error 1:18 config_version: this pgweir reads version 1 of the format, not 2",
            "error 2:10 server: `server` is a table, not an integer (write [server] and its keys below)",
            "error 3:10 access: `access` is a list of tables, not an integer (write [[access]])",
            "error 6:9 databases.a.roles: `roles` is a table, not an integer …",
            "error 8:5 roles.r: `r` is a table, not an integer …",
        ],
    );
}

/// Keys and values that get far into the reader, in any order.
fn near_configuration() -> impl Strategy<Value = String> {
    let key = prop::sample::select(keys::all().into_iter().collect::<Vec<_>>());
    let value = prop_oneof![
        Just("\"5s\"".to_owned()),
        Just("\"*\"".to_owned()),
        Just("5".to_owned()),
        Just("[]".to_owned()),
        Just("\"host=localhost\"".to_owned()),
        Just("\"shop\"".to_owned()),
        Just("{ a = 1 }".to_owned()),
        Just("\"${SECRET}\"".to_owned()),
        "\\PC{0,8}".prop_map(|text| format!("'{text}'")),
    ];
    let header = prop::sample::select(vec![
        "[server]",
        "[server.tls]",
        "[auth]",
        "[[access]]",
        "[defaults]",
        "[databases.shop]",
        "[databases.shop.routing]",
        "[databases.'*']",
        "[databases.b]",
        "[databases.b.roles.web]",
        "[roles.web]",
        "[guard.a]",
        "[guard.b]",
        "[admin]",
        "[http]",
        "[log]",
    ]);
    let line = prop_oneof![
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => header.prop_map(str::to_owned),
    ];
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
}

/// Reads a text; whatever comes out must be fit to be shown and asked.
fn survives(text: &str) {
    match load(text) {
        Ok(Loaded { config, warnings, .. }) => {
            for database in ["shop", "b", "any", "*"] {
                let _ = config.resolve(database, "web");
                let _ = config.explain(database, "web");
            }
            let _ = config.budget();
            let _ = warnings.iter().map(ToString::to_string).count();
        }
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(\\PC|\n){0,200}") {
        survives(&text.replace("include", ""));
    }

    #[test]
    fn what_looks_like_a_configuration_never_panics(text in near_configuration()) {
        survives(&text.replace("include", ""));
    }
}
