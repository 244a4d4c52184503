//! The column "reload" of docs/configuration.md: each key does what it says there, as far as it
//! does anything yet.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pgweir::cluster::Cluster;
use pgweir::config::not_yet::NOT_YET;
use pgweir::config::{Effect, keys};

use super::{Keys, login_outcome, postgres, primary, reload};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::certificates::Authority;
use crate::harness::files::Folder;
use crate::harness::frame::Frame;
use crate::harness::http;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, toml_string};
use crate::harness::raw::{Login, RawClient, Reply};

/// What a key's change looks like from outside.
struct Case {
    table: &'static str,
    key: &'static str,
    /// Where it stands in the file.
    path: &'static str,
    before: String,
    after: String,
    /// Other keys of both configurations.
    beside: Vec<(&'static str, String)>,
    /// What a session that was there before the reload sees, where the key is about sessions.
    session: Option<fn(&Seen<'_>, &mut RawClient) -> String>,
    /// What whoever comes now sees.
    newcomer: fn(&Seen<'_>) -> String,
    /// What is seen with the value before, and after.
    seen: [&'static str; 2],
}

struct Seen<'a> {
    pgweir: &'a Pgweir,
    cluster: &'a Cluster,
    folder: &'a Folder,
}

impl Seen<'_> {
    fn client(&self) -> RawClient {
        self.pgweir.client(&postgres())
    }

    fn leased(&self) -> u64 {
        let accounts = Accounting::of(self.pgweir, &[self.cluster.primary()]);
        accounts.state().pools.iter().map(|pool| pool.leased).sum()
    }
}

fn current_user(_: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask_value("select current_user")
}

fn server_name(_: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask_value("select current_setting('application_name')")
}

fn server_database(_: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask_value("select current_database()")
}

/// Whether a client keeps its server after a statement.
fn keeps_server(seen: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask("select 1");
    if seen.leased() > 0 { "kept" } else { "shared" }.to_owned()
}

/// What a client is told when its pool of one is taken for too long.
fn refusal_of_wait(seen: &Seen<'_>, client: &mut RawClient) -> String {
    let mut holder = seen.client();
    holder.ask("begin");
    let frames = client.ask("select 1");
    let detail = frames.iter().find_map(|frame| frame.field(b'D')).unwrap_or_default();
    holder.ask("rollback");
    detail.split(" (").next().unwrap_or_default().to_owned()
}

/// How many transactions can be open at a time, up to three.
fn size(seen: &Seen<'_>) -> String {
    let mut open: Vec<RawClient> = Vec::new();
    for _ in 0..3 {
        let mut client = seen.client();
        if client.ask("begin").last().and_then(Frame::status) == Some('T') {
            open.push(client);
        }
    }
    open.iter_mut().for_each(|client| drop(client.ask("rollback")));
    open.len().to_string()
}

/// Whether a server is closed within moments of being free.
fn lives_on(seen: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask("select 1");
    let accounts = Accounting::of(seen.pgweir, &[seen.cluster.primary()]);
    let open = || accounts.state().pools.iter().map(|pool| pool.open).sum::<u64>();
    let end = Instant::now() + Duration::from_millis(400);
    while Instant::now() < end {
        if open() == 0 {
            return "closed".to_owned();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    "open".to_owned()
}

/// Whether a client that says nothing is told to go within moments.
fn stays(_: &Seen<'_>, client: &mut RawClient) -> String {
    client.set_deadline(Duration::from_millis(500));
    match client.reply() {
        Ok(Reply::Frame(frame)) if frame.sqlstate().as_deref() == Some("57P05") => "closed".into(),
        Ok(other) => format!("{other:?}"),
        Err(_) => "stays".into(),
    }
}

/// What another client left that called a function which sets a parameter.
fn left_by_code(seen: &Seen<'_>, client: &mut RawClient) -> String {
    let code = "create or replace function sets_work_mem() returns text language sql \
                as $$ select set_config('work_mem', '7MB', false) $$";
    seen.cluster.primary().sql("postgres", code).expect("a function");
    seen.client().ask("select sets_work_mem()");
    client.ask_value("select current_setting('work_mem')")
}

/// Whether a client that keeps a server and says nothing is told to go within moments.
fn stays_pinned(_: &Seen<'_>, client: &mut RawClient) -> String {
    // One that has kept a server since before may have been told so already.
    drop(client.send(&message::query(format!("select pg_advisory_lock({})", fresh()))));
    client.set_deadline(Duration::from_millis(500));
    loop {
        match client.reply() {
            Ok(Reply::Frame(frame)) => match frame.sqlstate().as_deref() {
                Some("57P05") => return "closed".to_owned(),
                Some(other) => return other.to_owned(),
                None => {}
            },
            Ok(other) => return format!("{other:?}"),
            Err(_) => return "stays".to_owned(),
        }
    }
}

/// What becomes of a statement that keeps its server.
/// What an attempt to drop a database that is not there is answered with.
fn drop_of_a_database(_: &Seen<'_>, client: &mut RawClient) -> String {
    let frames = client.ask("drop database nowhere");
    frames.iter().find_map(Frame::sqlstate).unwrap_or_default()
}

/// Which page a refusal names.
fn page_of_a_hint(_: &Seen<'_>, client: &mut RawClient) -> String {
    let frames = client.ask("drop database nowhere");
    let hint = frames.iter().find_map(|frame| frame.field(b'H')).unwrap_or_default();
    if hint.contains("new.example") { "new" } else { "old" }.to_owned()
}

fn temporary_table(seen: &Seen<'_>, client: &mut RawClient) -> String {
    let frames = client.ask(&format!("create temp table t_{} (n int)", fresh()));
    match frames.iter().find_map(Frame::sqlstate) {
        Some(code) => code,
        None if seen.leased() > 0 => "pinned".to_owned(),
        None => "shared".to_owned(),
    }
}

/// A number that nobody has had.
fn fresh() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Whether a named statement binds its session to a server.
fn named_statement(seen: &Seen<'_>, client: &mut RawClient) -> String {
    let name = format!("named_{}", fresh());
    client.send(&[message::parse(&name, "select 1", &[]), message::sync()].concat()).unwrap();
    client.until_ready();
    if seen.leased() > 0 { "pinned" } else { "shared" }.to_owned()
}

/// Whether an unnamed statement that comes again is parsed each time.
fn repeated_statement(seen: &Seen<'_>, client: &mut RawClient) -> String {
    let text = format!("select {}", fresh());
    let messages = [
        message::parse("", &text, &[]),
        message::bind("", "", &[]),
        message::describe(b'P', ""),
        message::execute("", 0),
        message::sync(),
    ];
    let parses = || -> u64 {
        let page = http::get(seen.pgweir.http(), "/metrics");
        let lines = page.lines().filter(|line| line.starts_with("pgweir_server_parses_total"));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    let before = parses();
    for _ in 0..20 {
        client.send(&messages.concat()).unwrap();
        client.until_ready();
    }
    if parses() - before == 20 { "each time" } else { "kept" }.to_owned()
}

fn lock_timeout(_: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask_value("select current_setting('lock_timeout')")
}

/// The limit beside DDL.
fn ddl_lock_timeout(_: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask_value("select current_setting('lock_timeout'); drop view if exists nothing")
}

/// What comes of raising a limit of a second.
fn raised_limit(seen: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask("set lock_timeout = '2s'");
    lock_timeout(seen, client)
}

/// What becomes of a request that may be struck by a limit.
fn outcome(client: &mut RawClient, text: &str) -> String {
    let error = client.ask(text).iter().find_map(Frame::sqlstate);
    error.unwrap_or_else(|| "runs".to_owned())
}

fn slow_statement(_: &Seen<'_>, client: &mut RawClient) -> String {
    outcome(client, "select pg_sleep(0.6)")
}

/// ANALYZE of a table whose index takes its time for each row.
fn slow_maintenance(seen: &Seen<'_>, client: &mut RawClient) -> String {
    let text = "create or replace function slow(int) returns int immutable language plpgsql
                    as $$ begin perform pg_sleep(0.6); return $1; end $$;
                create table if not exists slow (n int);
                create index if not exists slow_index on slow (slow(n));
                insert into slow select 1 where not exists (select from slow)";
    seen.cluster.primary().sql("postgres", text).expect("a table");
    outcome(client, "analyze slow")
}

fn slow_transaction(_: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask("begin");
    let outcome = outcome(client, "select pg_sleep(0.6)");
    client.ask("rollback");
    outcome
}

/// The end of a transaction whose client says nothing for a while.
fn idle_transaction(seen: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask("begin");
    let end = Instant::now() + Duration::from_millis(800);
    while Instant::now() < end && seen.leased() > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    outcome(client, "commit")
}

/// What a client of 100 kB of text leaves behind: text that is too long to be read pins it.
fn long_text(seen: &Seen<'_>, client: &mut RawClient) -> String {
    client.ask(&format!("select 1 /* {} */", "x".repeat(100_000)));
    if seen.leased() > 0 { "pinned" } else { "read" }.to_owned()
}

/// Which password authentication is asked for.
fn asked_for(seen: &Seen<'_>) -> String {
    let mut client = RawClient::connect(&seen.pgweir.address()).unwrap();
    client.send(&Login::new("ann", "postgres").packet()).unwrap();
    let frame = client.frame();
    match frame.body.get(3) {
        Some(5) => "md5".to_owned(),
        Some(10) => "sasl".to_owned(),
        other => format!("{:?} {other:?}", frame.tag as char),
    }
}

fn login_of_ann(seen: &Seen<'_>) -> String {
    login_outcome(seen.pgweir, &Login::new("ann", "postgres").password("right"))
}

/// Two further logins: how the second one ends.
fn second_login(seen: &Seen<'_>) -> String {
    let accounts = Accounting::of(seen.pgweir, &[]);
    wait_until("earlier clients being gone", secs(5), || accounts.state().clients == 0);
    let _first = seen.client();
    login_outcome(seen.pgweir, &postgres())
}

/// Whether who says nothing is sent away within moments.
fn silence(seen: &Seen<'_>) -> String {
    let mut client = RawClient::connect(&seen.pgweir.address()).unwrap();
    client.set_deadline(Duration::from_millis(500));
    match client.reply() {
        Ok(Reply::Closed(_)) => "closed".to_owned(),
        Ok(Reply::Frame(frame)) => format!("{:?}", frame.tag as char),
        Err(_) => "waits".to_owned(),
    }
}

/// The answer to SSLRequest.
fn tls_offer(seen: &Seen<'_>) -> String {
    let mut client = RawClient::connect(&seen.pgweir.address()).unwrap();
    client.send(&message::ssl_request()).unwrap();
    client.byte().unwrap().map_or('-', char::from).to_string()
}

/// Whether a login leaves a line in the log.
fn logs_logins(seen: &Seen<'_>) -> String {
    let lines = || seen.pgweir.log().matches("client logged in").count();
    let before = lines();
    drop(seen.client());
    // A warning after the login: when it is there, so would be the login.
    let warnings = || seen.pgweir.log().matches("cannot log in to the server").count();
    let warned = warnings();
    drop(RawClient::try_login(&seen.pgweir.address(), &Login::new("postgres", "nowhere")));
    wait_until("a dial that fails", secs(5), || warnings() > warned);
    if lines() > before { "logged" } else { "silent" }.to_owned()
}

fn pgbouncer_metrics(seen: &Seen<'_>) -> String {
    let page = http::get(seen.pgweir.http(), "/metrics");
    if page.contains("pgbouncer_up 1") { "with" } else { "without" }.to_owned()
}

fn log_format(seen: &Seen<'_>) -> String {
    let log = seen.pgweir.log();
    let last = log.lines().last().unwrap_or_default();
    if last.starts_with('{') { "json" } else { "text" }.to_owned()
}

fn reached(is_open: bool) -> String {
    if is_open { "open" } else { "closed" }.to_owned()
}

fn unix_socket(seen: &Seen<'_>) -> String {
    let port = seen.pgweir.listen().port();
    reached(seen.folder.path().join(format!(".s.PGSQL.{port}")).exists())
}

fn case(
    (table, key, path): (&'static str, &'static str, &'static str),
    values: [&str; 2],
    seen: [&'static str; 2],
    newcomer: fn(&Seen<'_>) -> String,
) -> Case {
    let [before, after] = values.map(str::to_owned);
    Case { table, key, path, before, after, beside: vec![], session: None, newcomer, seen }
}

impl Case {
    fn beside(mut self, key: &'static str, value: &str) -> Self {
        self.beside.push((key, value.to_owned()));
        self
    }

    fn keys(&self, cluster: &Cluster, value: &str) -> Keys {
        let beside = self.beside.iter();
        let keys = beside.fold(Keys::of(cluster), |keys, (key, value)| keys.set(key, value));
        if value.is_empty() { keys } else { keys.set(self.path, value) }
    }
}

/// A case about what sessions see.
fn session_case(
    place: (&'static str, &'static str, &'static str),
    values: [&str; 2],
    seen: [&'static str; 2],
    session: fn(&Seen<'_>, &mut RawClient) -> String,
    newcomer: fn(&Seen<'_>) -> String,
) -> Case {
    Case { session: Some(session), ..case(place, values, seen, newcomer) }
}

macro_rules! of_sessions {
    ($place:expr, $values:expr, $seen:expr, $see:ident) => {
        session_case($place, $values, $seen, $see, |seen| $see(seen, &mut seen.client()))
    };
}

fn cases(cluster: &Cluster, folder: &Folder, authority: &Authority) -> Vec<Case> {
    let defaults = "[defaults]";
    let shown = authority.issue("pgweir", &["localhost"]);
    let file = |path: &std::path::Path| toml_string(path.to_str().unwrap());
    let named = |name: &str| primary(cluster, &format!("&application_name={name}"));
    let one = |case: Case| case.beside("defaults.pool_size", "1");
    let wait = ["\"1s\"", "\"2s\""];
    let waited = ["Waited 1000 ms", "Waited 2000 ms"];
    let tls = |case: Case| {
        case.beside("server.tls.certificate", &file(&shown.certificate_file))
            .beside("server.tls.private_key", &file(&shown.key_file))
    };
    let ann = |case: Case| case.beside("auth.method", "\"scram-sha-256\"");
    vec![
        of_sessions!(
            (defaults, "max_prepared_statements", "defaults.max_prepared_statements"),
            ["500", "0"],
            ["shared", "pinned"],
            named_statement
        ),
        of_sessions!(
            (defaults, "unnamed_statements", "defaults.unnamed_statements"),
            ["\"shared\"", "\"as_sent\""],
            ["kept", "each time"],
            repeated_statement
        ),
        one(of_sessions!(
            (defaults, "reset_on_handover", "defaults.reset_on_handover"),
            ["\"seen\"", "\"always\""],
            ["7MB", "4MB"],
            left_by_code
        )),
        of_sessions!(
            (defaults, "pool_mode", "defaults.pool_mode"),
            ["\"transaction\"", "\"session\""],
            ["shared", "kept"],
            keeps_server
        ),
        of_sessions!(
            (defaults, "session_state", "defaults.session_state"),
            ["\"track\"", "\"refuse\""],
            ["pinned", "0A000"],
            temporary_table
        ),
        of_sessions!(
            (defaults, "guard", "defaults.guard"),
            ["\"observe\"", "\"strict\""],
            ["3D000", "42501"],
            drop_of_a_database
        ),
        of_sessions!(
            ("[guard.NAME]", "base", "guard.mine.base"),
            ["\"observe\"", "\"strict\""],
            ["3D000", "42501"],
            drop_of_a_database
        )
        .beside("defaults.guard", "\"mine\""),
        of_sessions!(
            ("[guard.NAME]", "hint_url", "guard.mine.hint_url"),
            ["\"https://old.example\"", "\"https://new.example\""],
            ["old", "new"],
            page_of_a_hint
        )
        .beside("guard.mine.base", "\"strict\"")
        .beside("defaults.guard", "\"mine\""),
        of_sessions!(
            (defaults, "pin_timeout", "defaults.pin_timeout"),
            ["\"1h\"", "\"20ms\""],
            ["stays", "closed"],
            stays_pinned
        ),
        case((defaults, "pool_size", "defaults.pool_size"), ["1", "2"], ["1", "2"], size)
            .beside("defaults.pool_wait_timeout", "\"1s\""),
        one(of_sessions!(
            (defaults, "pool_wait_timeout", "defaults.pool_wait_timeout"),
            wait,
            waited,
            refusal_of_wait
        )),
        of_sessions!(
            (defaults, "lock_timeout", "defaults.lock_timeout"),
            wait,
            ["1s", "2s"],
            lock_timeout
        ),
        of_sessions!(
            (defaults, "ddl_lock_timeout", "defaults.ddl_lock_timeout"),
            wait,
            ["1s", "2s"],
            ddl_lock_timeout
        ),
        of_sessions!(
            (defaults, "timeout_override", "defaults.timeout_override"),
            ["\"lower\"", "\"any\""],
            ["1s", "2s"],
            raised_limit
        )
        .beside("defaults.lock_timeout", "\"1s\""),
        of_sessions!(
            (defaults, "statement_timeout", "defaults.statement_timeout"),
            ["\"off\"", "\"100ms\""],
            ["runs", "57014"],
            slow_statement
        ),
        of_sessions!(
            (defaults, "maintenance_timeout", "defaults.maintenance_timeout"),
            ["\"off\"", "\"100ms\""],
            ["runs", "57014"],
            slow_maintenance
        ),
        of_sessions!(
            (defaults, "transaction_timeout", "defaults.transaction_timeout"),
            ["\"off\"", "\"100ms\""],
            ["runs", "25P04"],
            slow_transaction
        ),
        of_sessions!(
            (defaults, "idle_in_transaction_timeout", "defaults.idle_in_transaction_timeout"),
            ["\"off\"", "\"100ms\""],
            ["runs", "25P03"],
            idle_transaction
        ),
        of_sessions!(
            (defaults, "timeout_action", "defaults.timeout_action"),
            ["\"report\"", "\"cancel\""],
            ["runs", "57014"],
            slow_statement
        )
        .beside("defaults.statement_timeout", "\"100ms\""),
        of_sessions!(
            (defaults, "server_lifetime", "defaults.server_lifetime"),
            ["\"1h\"", "\"10ms\""],
            ["open", "closed"],
            lives_on
        ),
        of_sessions!(
            (defaults, "server_idle_timeout", "defaults.server_idle_timeout"),
            ["\"1h\"", "\"10ms\""],
            ["open", "closed"],
            lives_on
        ),
        of_sessions!(
            (defaults, "server_role", "defaults.server_role"),
            ["\"postgres\"", "\"ann\""],
            ["postgres", "ann"],
            current_user
        ),
        of_sessions!(
            ("[databases.X]", "primary", "databases.\"*\".primary"),
            [&named("a"), &named("b")],
            ["a", "b"],
            server_name
        ),
        of_sessions!(
            ("[databases.X]", "alias_of", "databases.postgres.alias_of"),
            ["\"one\"", "\"two\""],
            ["shop", "crm"],
            server_database
        )
        .beside("databases.one.primary", &toml_string(&cluster.primary().url("shop")))
        .beside("databases.two.primary", &toml_string(&cluster.primary().url("crm"))),
        ann(case(
            (defaults, "password", "roles.ann.password"),
            ["\"wrong\"", "\"right\""],
            ["28P01", "in"],
            login_of_ann,
        )),
        of_sessions!(
            ("[server]", "max_statement_size", "server.max_statement_size"),
            ["\"1MB\"", "\"64kB\""],
            ["read", "pinned"],
            long_text
        ),
        of_sessions!(
            ("[server]", "client_idle_timeout", "server.client_idle_timeout"),
            ["\"1h\"", "\"20ms\""],
            ["stays", "closed"],
            stays
        ),
        case(
            ("[server]", "max_client_connections", "server.max_client_connections"),
            ["2", "1"],
            ["in", "53300"],
            second_login,
        ),
        case(
            ("[server]", "login_timeout", "server.login_timeout"),
            ["\"1min\"", "\"50ms\""],
            ["waits", "closed"],
            silence,
        ),
        case(
            ("[server]", "unix_socket", "server.unix_socket"),
            ["", &file(folder.path())],
            ["closed", "open"],
            unix_socket,
        ),
        tls(case(
            ("[server.tls]", "mode", "server.tls.mode"),
            ["\"off\"", "\"prefer\""],
            ["N", "S"],
            tls_offer,
        )),
        case(
            ("[auth]", "method", "auth.method"),
            ["\"md5\"", "\"scram-sha-256\""],
            ["md5", "sasl"],
            asked_for,
        )
        .beside("roles.ann.password", "\"right\""),
        ann(case(
            ("[auth]", "userlist", "auth.userlist"),
            [
                &file(&folder.write("one.txt", "\"ann\" \"wrong\"\n")),
                &file(&folder.write("two.txt", "\"ann\" \"right\"\n")),
            ],
            ["28P01", "in"],
            login_of_ann,
        )),
        ann(case(
            ("[[access]]", "role", "access"),
            ["[{ role = \"postgres\" }]", "[{ role = [\"postgres\", \"ann\"] }]"],
            ["28000", "in"],
            login_of_ann,
        ))
        .beside("roles.ann.password", "\"right\""),
        case(
            ("[http]", "pgbouncer_metrics", "http.pgbouncer_metrics"),
            ["false", "true"],
            ["without", "with"],
            pgbouncer_metrics,
        ),
        case(
            ("[log]", "level", "log.level"),
            ["\"info\"", "\"warn\""],
            ["logged", "silent"],
            logs_logins,
        ),
        case(
            ("[log]", "format", "log.format"),
            ["\"json\"", "\"text\""],
            ["json", "text"],
            log_format,
        ),
    ]
}

/// Keys with a test of their own: where it is.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("the top level", "include", "whole::whatever_is_wrong_nothing_changes"),
    ("[server]", "listen", "whole::new_addresses_are_open_before_old_ones_close_and_sessions_stay"),
    ("[server]", "drain_timeout", "whole::the_limit_of_clients_and_the_time_to_drain_follow"),
    ("[server]", "workers", "whole::what_needs_a_restart_is_named_each_time"),
    ("[server.tls]", "certificate", "secrets::certificates_are_read_again"),
    ("[server.tls]", "private_key", "secrets::certificates_are_read_again"),
    ("[defaults]", "route", "routing::where_requests_go_follows"),
    ("[databases.X]", "replicas", "routing::where_requests_go_follows"),
    ("[databases.X.routing]", "reads", "routing::where_requests_go_follows"),
    ("[databases.X.routing]", "writes", "routing::where_requests_go_follows"),
    ("[admin]", "admins", "console::who_may_enter_the_console_follows"),
    ("[admin]", "stats_period", "console::averages_follow_another_period"),
    ("[http]", "listen", "whole::new_addresses_are_open_before_old_ones_close_and_sessions_stay"),
];

/// Keys whose change is not looked at here, though they do something: read where the keys beside
/// them are read.
const AS_THEIR_NEIGHBOURS: &[(&str, &[&str])] = &[
    ("the top level", &["config_version"]),
    ("[server.tls]", &["client_ca"]),
    ("[auth]", &["auth_query", "auth_query_role", "auth_query_database", "cache_ttl"]),
    ("[[access]]", &["database", "from", "tls", "method"]),
    ("[guard.NAME]", &["partitioned_tables"]),
    (
        "[databases.X.routing]",
        &[
            "strategy",
            "consistency",
            "max_lag",
            "lag_interval",
            "replica_wait",
            "when_no_replica",
            "replica_safe_functions",
        ],
    ),
    ("[admin]", &["database", "viewers"]),
    (
        "[defaults]",
        &[
            "min_pool_size",
            "reserve_pool_size",
            "reserve_pool_wait",
            "max_server_connections",
            "connect_timeout",
            "server_password",
        ],
    ),
];

fn world() -> (Cluster, Folder, Authority) {
    let cluster = Cluster::options().role("ann", "right").database("shop").database("crm");
    (cluster.start().unwrap(), Folder::new(), Authority::new())
}

#[test]
fn each_key_takes_effect_when_the_documentation_says() {
    let (cluster, folder, authority) = world();
    for case in cases(&cluster, &folder, &authority) {
        let mut pgweir = case.keys(&cluster, &case.before).start();
        let look = |pgweir: &Pgweir, session: Option<&mut RawClient>| {
            let seen = Seen { pgweir, cluster: &cluster, folder: &folder };
            let session = case.session.zip(session).map(|(see, client)| see(&seen, client));
            (session, (case.newcomer)(&seen))
        };
        let mut client = case.session.map(|_| pgweir.client(&postgres()));
        let [before, after] = case.seen;
        let effect = Effect::of(case.table, case.key);
        let what = format!("{} of {}, {}", case.key, case.table, effect.as_str());
        let first = look(&pgweir, client.as_mut());
        assert_eq!(
            first,
            (client.as_ref().map(|_| before.to_owned()), before.to_owned()),
            "{what}"
        );
        reload(&mut pgweir, &case.keys(&cluster, &case.after));
        let second = look(&pgweir, client.as_mut());
        let (session, newcomer) = match effect {
            Effect::Reload | Effect::NewServers => (after, after),
            Effect::NewSessions | Effect::NewLogins | Effect::NewHandshakes => (before, after),
            Effect::Restart => (before, before),
        };
        assert_eq!(second, (client.map(|_| session.to_owned()), newcomer.to_owned()), "{what}");
        if effect == Effect::Restart {
            assert!(pgweir.stop(secs(10)).success());
            pgweir.start_again();
            assert_eq!(look(&pgweir, None).1, after, "{what}");
        }
    }
}

#[test]
fn no_key_is_left_out() {
    let (cluster, folder, authority) = world();
    let cases = cases(&cluster, &folder, &authority);
    let mut known: Vec<(&str, &str)> = cases.iter().map(|case| (case.table, case.key)).collect();
    known.extend(ELSEWHERE.iter().map(|(table, key, _)| (*table, *key)));
    for (table, keys) in AS_THEIR_NEIGHBOURS {
        known.extend(keys.iter().map(|key| (*table, *key)));
    }
    let mut unique: BTreeSet<_> = known.iter().copied().collect();
    assert_eq!(unique.len(), known.len(), "a key stands here twice");
    // The rules of a policy are no keys of the table.
    let not_yet = NOT_YET.iter().map(|(table, key, _)| (*table, *key));
    let not_yet = not_yet.filter(|(_, key)| pgweir::rules::find(key).is_none());
    unique.extend(not_yet);
    let tables = keys::TABLES.iter();
    let mut all: BTreeSet<(&str, &str)> =
        tables.flat_map(|(table, keys)| keys.iter().map(|key| (*table, *key))).collect();
    all.extend(pgweir::config::Settings::KEYS.iter().map(|key| ("[defaults]", *key)));
    assert_eq!(unique, all);
}
