//! Limits of time that Postgres itself keeps: as servers are dialled, as sessions may change them, and those for
//! maintenance and DDL.

use std::process::Command;

use pgweir::cluster::Cluster;
use pgweir::cluster::process::Signal;

use crate::harness::await_event::{secs, wait_until};
use crate::harness::fake::{self, FakePostgres};
use crate::harness::frame::{Frame, render};
use crate::harness::front;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::{Login, RawClient};

const STATEMENT: &str = "select current_setting('statement_timeout')";
const LOCK: &str = "select current_setting('lock_timeout')";
const PID: &str = "select pg_backend_pid()";

fn with(cluster: &Cluster, size: u32, settings: &str) -> PgweirOptions {
    front::pool_of(size, cluster.primary().address()).set("defaults", settings)
}

fn both(client: &mut RawClient) -> String {
    format!("{} {}", client.ask_value(STATEMENT), client.ask_value(LOCK))
}

fn batch(sql: &str) -> Vec<u8> {
    [
        message::parse("", sql, &[]),
        message::bind("", "", &[]),
        message::execute("", 0),
        message::sync(),
    ]
    .concat()
}

/// The tags of an answer, and its warning.
fn warned(frames: &[Frame]) -> (String, Option<String>) {
    let tags = frames.iter().map(|frame| char::from(frame.tag)).collect();
    let notice = frames.iter().find(|frame| frame.tag == b'N');
    (tags, notice.and_then(|frame| frame.field(b'M')))
}

fn sqlstate(frames: &[Frame]) -> Option<String> {
    frames.iter().find_map(Frame::sqlstate)
}

fn refused(limit: &str) -> Option<String> {
    Some(format!("{limit}, pgweir's limit"))
}

#[test]
fn servers_are_dialled_with_the_limits() {
    let cluster = front::shop();
    let limits = "statement_timeout = \"15s\"\nlock_timeout = \"2s\"";
    let pgweir = with(&cluster, 1, limits).start();
    let mut client = front::client(&pgweir);
    assert_eq!(both(&mut client), "15s 2s");
    let from = "select string_agg(source, ' ') from pg_settings \
                where name in ('statement_timeout', 'lock_timeout')";
    assert_eq!(client.ask_value(from), "client client");
    // They survive whatever a session does.
    for sql in ["discard all", "reset all", "set statement_timeout to default"] {
        client.ask(sql);
        assert_eq!(both(&mut client), "15s 2s", "{sql}");
    }
    let never = "select current_setting('idle_in_transaction_session_timeout')";
    assert_eq!(client.ask_value(never), "0", "what ends sessions is not set");
    let none = with(&cluster, 1, "statement_timeout = \"off\"").start();
    assert_eq!(both(&mut front::client(&none)), "0 0");
}

#[test]
fn the_server_ends_a_statement_at_its_limit_and_the_session_goes_on() {
    let cluster = front::shop();
    let pgweir = with(&cluster, 1, "statement_timeout = \"300ms\"").start();
    let mut client = front::client(&pgweir);
    let pid = client.ask_value(PID);
    assert_eq!(sqlstate(&client.ask("select pg_sleep(60)")).as_deref(), Some("57014"));
    client.ask("set statement_timeout = 0");
    assert_eq!(sqlstate(&client.ask("select pg_sleep(60)")).as_deref(), Some("57014"));
    assert_eq!(client.ask_value(PID), pid);
}

#[test]
fn sessions_lower_limits_and_do_not_raise_them() {
    let cluster = front::shop();
    let limits = "statement_timeout = \"15s\"\nlock_timeout = \"2s\"";
    let pgweir = with(&cluster, 1, limits).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    for (sql, tags, now) in [
        ("set statement_timeout = 0", "NCZ", "15s 2s"),
        ("set statement_timeout = '5s'", "CZ", "5s 2s"),
        ("set session lock_timeout to '1min'", "NCZ", "5s 2s"),
        ("set lock_timeout to 100", "CZ", "5s 100ms"),
        ("reset statement_timeout", "CZ", "15s 100ms"),
        ("select set_config('statement_timeout', '0', false)", "TDNCZ", "15s 100ms"),
        ("select set_config('statement_timeout', '3000', false)", "TDCZ", "3s 100ms"),
        ("set statement_timeout to default; set lock_timeout to default", "CCZ", "15s 2s"),
        ("set lock_timeout = 5; set statement_timeout = '1h'", "CNCZ", "15s 5ms"),
        ("discard all", "CZ", "15s 2s"),
    ] {
        let answer = warned(&client.ask(sql));
        assert_eq!(answer.0, tags, "{sql}");
        assert_eq!(answer.1.is_some(), tags.contains('N'), "{sql}");
        assert_eq!(both(&mut client), now, "{sql}");
        assert_eq!(both(&mut other), "15s 2s", "{sql}");
    }
    let frames = client.ask("set statement_timeout = 0");
    let warning = frames.iter().find(|frame| frame.tag == b'N').expect("a warning");
    assert_eq!(warning.sqlstate().as_deref(), Some("01000"));
    assert_eq!(warning.field(b'S').as_deref(), Some("WARNING"));
    assert_eq!(warning.field(b'M'), refused("statement_timeout stays at 15s"));
    assert_eq!(warning.field(b'R').as_deref(), Some("pgweir"));
    client.send(&batch("set statement_timeout = '1h'")).unwrap();
    assert_eq!(warned(&client.until_ready()).0, "12NCZ");
    assert_eq!(both(&mut client), "15s 2s");
    let values: [Option<&[u8]>; 3] = [Some(b"lock_timeout"), Some(b"0"), Some(b"f")];
    let bound = [
        message::parse("", "select set_config($1, $2, $3)", &[]),
        message::bind("", "", &values),
        message::execute("", 0),
        message::sync(),
    ];
    client.send(&bound.concat()).unwrap();
    assert_eq!(
        warned(&client.until_ready()),
        ("12DNCZ".into(), refused("lock_timeout stays at 2s"))
    );
    assert_eq!(both(&mut client), "15s 2s");
}

#[test]
fn a_transaction_takes_limits_back() {
    let cluster = front::shop();
    let pgweir = with(&cluster, 1, "statement_timeout = \"15s\"").start();
    let mut client = front::client(&pgweir);
    let play = |client: &mut RawClient, steps: &[(&str, bool, &str)]| {
        for (sql, warns, now) in steps {
            let answer = warned(&client.ask(sql));
            assert_eq!(answer.1.is_some(), *warns, "{sql}: {answer:?}");
            assert_eq!(client.ask_value(STATEMENT), *now, "{sql}");
        }
    };
    play(
        &mut client,
        &[
            ("begin", false, "15s"),
            ("set statement_timeout = '5s'", false, "5s"),
            ("savepoint a", false, "5s"),
            ("set statement_timeout = 0", true, "15s"),
            ("savepoint b", false, "15s"),
            ("rollback to a", false, "5s"),
            ("set local statement_timeout = '1h'", true, "15s"),
            ("rollback to a", false, "5s"),
            ("set local statement_timeout = 7; savepoint c", false, "7ms"),
            ("set local statement_timeout = 0; savepoint d", true, "15s"),
            ("rollback to d", false, "15s"),
            ("rollback to c", false, "7ms"),
            ("commit", false, "5s"),
            ("begin; set local statement_timeout = 0", true, "15s"),
            ("rollback", false, "5s"),
            ("begin", false, "5s"),
            ("set statement_timeout = 0", true, "15s"),
            ("rollback", false, "5s"),
            ("begin; reset statement_timeout; select 1", false, "15s"),
            ("commit and chain", false, "15s"),
            ("set statement_timeout = '3s'", false, "3s"),
            ("rollback", false, "15s"),
        ],
    );
    // An error takes it back, too, and what is sent in the failed transaction is Postgres' to answer.
    client.ask("begin; set statement_timeout = 0");
    client.ask("select 1/0");
    assert_eq!(sqlstate(&client.ask(STATEMENT)).as_deref(), Some("25P02"));
    client.ask("rollback");
    assert_eq!(client.ask_value(STATEMENT), "15s");
}

/// An xorshift generator.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.throw(choices.len() as u64)).unwrap()]
    }
}

/// A statement for a session under limits of an hour, and what a session without any says to end up with the same.
fn change(dice: &mut Dice) -> [String; 2] {
    let limit = dice.of(&["statement_timeout", "lock_timeout"]);
    let lower = 60_000 + dice.throw(1_000);
    let same = |sql: String| [sql.clone(), sql];
    match dice.throw(12) {
        0 | 1 => same(format!("set {limit} = {lower}")),
        2 => same(format!("set local {limit} to '{lower}ms'")),
        3 | 4 => {
            let scope = dice.of(&["", "local "]);
            let more = dice.of(&["0", "'2h'", "7200000"]);
            [more, "'1h'"].map(|value| format!("set {scope}{limit} = {value}"))
        }
        5 => same(format!("reset {limit}")),
        6 => same(dice.of(&["reset all", "set statement_timeout to default"]).to_owned()),
        7 => {
            let local = dice.of(&["true", "false"]);
            same(format!("select set_config('{limit}', '{lower}', {local})"))
        }
        8 => same(dice.of(&["drop view if exists nothing", "analyze pg_am"]).to_owned()),
        9 => same("select 1/0".to_owned()),
        _ => {
            same(dice.of(&["savepoint a", "savepoint b", "rollback to a", "release b"]).to_owned())
        }
    }
}

/// The requests of one round, through pgweir and straight. No transaction is left open.
fn round(dice: &mut Dice) -> [Vec<Vec<u8>>; 2] {
    let mut requests = [vec![], vec![]];
    let mut ask = |[through, straight]: [String; 2], in_batch: bool| {
        for (requests, sql) in requests.iter_mut().zip([through, straight]) {
            requests.push(if in_batch { batch(&sql) } else { message::query(&sql) });
        }
    };
    let block = dice.throw(3) > 0;
    if block {
        ask(["begin".into(), "begin".into()], false);
    }
    for _ in 0..=dice.throw(6) {
        let mut next = change(dice);
        let several = dice.throw(4) == 0;
        if several {
            let more = change(dice);
            next = [0, 1].map(|side| format!("{}; {}", next[side], more[side]));
        }
        ask(next, !several && dice.throw(2) == 0);
        if dice.throw(2) == 0 {
            for probe in [STATEMENT, LOCK] {
                ask([probe.into(), probe.into()], dice.throw(2) == 0);
            }
        }
    }
    if block {
        let end = dice.of(&["commit", "rollback", "commit"]);
        ask([end.into(), end.into()], dice.throw(2) == 0);
    }
    for probe in [STATEMENT, LOCK] {
        ask([probe.into(), probe.into()], false);
    }
    requests
}

fn answers(client: &mut RawClient, requests: &[Vec<u8>], at_once: bool) -> Vec<String> {
    let mut all = Vec::new();
    if at_once {
        client.send(&requests.concat()).unwrap();
    }
    for request in requests {
        if !at_once {
            client.send(request).unwrap();
        }
        let frames = client.until_ready();
        all.extend(frames.iter().filter(|frame| frame.tag != b'N').map(render));
    }
    all
}

#[test]
fn sessions_see_the_limits_that_a_server_of_their_own_would_have() {
    let cluster = front::shop();
    let limits = "statement_timeout = \"1h\"\nlock_timeout = \"1h\"\n\
                  ddl_lock_timeout = \"50min\"\nmaintenance_timeout = \"off\"";
    let pgweir = with(&cluster, 2, limits).start();
    let straight = cluster.primary().address().into();
    std::thread::scope(|scope| {
        for who in 1..=6 {
            let (pgweir, straight) = (&pgweir, &straight);
            scope.spawn(move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ who);
                let login = front::login();
                let limited = login
                    .clone()
                    .parameter("options", "-c statement_timeout=1h -c lock_timeout=1h");
                let mut direct = RawClient::login(straight, &limited);
                let mut pooled = pgweir.client(&login);
                for number in 0..60 {
                    let [through, expected] = round(&mut dice);
                    let at_once = dice.throw(2) == 0;
                    let sent = || {
                        let texts = through.iter().map(|r| String::from_utf8_lossy(r).into_owned());
                        texts.collect::<Vec<_>>()
                    };
                    assert_eq!(
                        answers(&mut pooled, &through, at_once),
                        answers(&mut direct, &expected, false),
                        "client {who}, round {number}: {:?}",
                        sent()
                    );
                }
            });
        }
    });
}

#[test]
fn a_startup_packet_raises_no_limit() {
    let cluster = front::shop();
    let limits = "statement_timeout = \"15s\"\nlock_timeout = \"2s\"";
    let pgweir = with(&cluster, 1, limits).start();
    for _ in 0..2 {
        let login = front::login().parameter("options", "-c statement_timeout=0 -c lock_timeout=7");
        let mut client = pgweir.client(&login);
        assert_eq!(both(&mut client), "15s 7ms");
        client.ask("set statement_timeout = 50");
        client.ask("reset all");
        assert_eq!(both(&mut client), "15s 7ms");
    }
}

#[test]
fn operators_say_what_clients_may_do() {
    let cluster = front::shop();
    let of = |word: &str| {
        let limits = format!("statement_timeout = \"15s\"\ntimeout_override = \"{word}\"");
        with(&cluster, 1, &limits).start()
    };
    let never = of("never");
    let mut client = front::client(&never);
    assert_eq!(warned(&client.ask("set statement_timeout = '5s'")).0, "NCZ");
    assert_eq!(client.ask_value(STATEMENT), "15s");
    let any = of("any");
    let mut client = front::client(&any);
    assert_eq!(warned(&client.ask("set statement_timeout = '1h'")).0, "CZ");
    assert_eq!(client.ask_value(STATEMENT), "1h");
    client.ask("begin; set local statement_timeout = 0");
    assert_eq!(client.ask_value(STATEMENT), "0");
    client.ask("rollback");
    assert_eq!(client.ask_value(STATEMENT), "1h");
}

#[test]
fn roles_that_share_servers_keep_their_own_limits() {
    let cluster = front::shop();
    let address = cluster.primary().address();
    let pgweir = Pgweir::options()
        .database("shop", &format!("postgres://postgres@{address}/shop?sslmode=disable"))
        .role("web", "x")
        .role("migrator", "x")
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 1\nreserve_pool_size = 0\nstatement_timeout = \"15s\"")
        .set("roles.web", "statement_timeout = \"3s\"")
        .set("roles.migrator", "statement_timeout = \"off\"")
        .start();
    let mut web = pgweir.client(&Login::new("web", "shop"));
    let mut migrator = pgweir.client(&Login::new("migrator", "shop"));
    let pid = web.ask_value(PID);
    for _ in 0..2 {
        assert_eq!(web.ask_value(STATEMENT), "3s");
        assert_eq!(migrator.ask_value(STATEMENT), "0");
    }
    // Nothing that a session says gains the exemption.
    for sql in [
        "set statement_timeout = 0",
        "set role postgres",
        "set session authorization postgres",
        "set application_name = 'migrator'",
        "/* migrator */ select 1",
    ] {
        web.ask(sql);
        assert_eq!(web.ask_value(STATEMENT), "3s", "{sql}");
    }
    assert_eq!(warned(&migrator.ask("set statement_timeout = '1h'")).0, "CZ");
    assert_eq!(migrator.ask_value(STATEMENT), "1h");
    assert_eq!(migrator.ask_value(PID), pid);
}

#[test]
fn what_alter_role_and_alter_database_say_is_not_raised() {
    let cluster = front::shop();
    let node = cluster.primary();
    node.sql("shop", "alter role postgres set statement_timeout = '4s'").unwrap();
    node.sql("shop", "alter database shop set lock_timeout = '1min'").unwrap();
    let limits = "statement_timeout = \"15s\"\nlock_timeout = \"2s\"";
    let pgweir = with(&cluster, 2, limits).start();
    let (mut first, mut second) = (front::client(&pgweir), front::client(&pgweir));
    assert_eq!(both(&mut first), "4s 2s");
    first.ask("begin");
    assert_eq!(both(&mut second), "4s 2s", "on a server dialled with it");
    first.ask("commit");
    assert_eq!(warned(&first.ask("set statement_timeout = '10s'")).0, "NCZ");
    assert_eq!(both(&mut first), "4s 2s");
    let log = pgweir.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("ALTER ROLE")).collect();
    assert_eq!(told.len(), 1, "{log:?}");
    assert!(told[0].contains("lock_timeout to 1min; pgweir's limit of 2s holds"), "{told:?}");
    // For the role in this database goes before for the role.
    node.sql("shop", "alter role postgres in database shop set statement_timeout = '1s'").unwrap();
    let later = with(&cluster, 1, limits).start();
    assert_eq!(both(&mut front::client(&later)), "1s 2s");
    let any = with(&cluster, 1, &format!("{limits}\ntimeout_override = \"any\"")).start();
    assert_eq!(both(&mut front::client(&any)), "1s 1min");
    let off = with(&cluster, 1, "statement_timeout = \"off\"").start();
    assert_eq!(both(&mut front::client(&off)), "1s 1min", "the server's own");
}

#[test]
fn a_server_that_refuses_limits_at_startup_is_dialled_without() {
    let server = FakePostgres::start(|session| {
        let Some(startup) = session.startup() else { return };
        if startup.contains_key("statement_timeout") {
            let text = "unsupported startup parameter: statement_timeout";
            let mut body = Vec::new();
            for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "08P01"), (b'M', text)]
            {
                body.push(field);
                body.extend(value.bytes());
                body.push(0);
            }
            body.push(0);
            session.send(&message::framed(b'E', &body));
            return session.close();
        }
        session.welcome();
        fake::echo_on(session);
    });
    let pgweir =
        front::pool_of(1, server.address()).set("defaults", "statement_timeout = \"15s\"").start();
    let mut client = front::client(&pgweir);
    assert_eq!(sqlstate(&client.ask("select 'a'")), None);
    let refused = |pgweir: &Pgweir| {
        let log = pgweir.log();
        log.lines().filter(|line| line.contains("in a startup packet")).count()
    };
    assert_eq!(refused(&pgweir), 1, "{:?}", pgweir.log());
}

#[test]
fn a_concurrent_build_may_take_longer_than_a_statement() {
    let cluster = front::shop();
    let node = cluster.primary();
    let slow = "create function slow(int) returns int immutable language plpgsql \
                as 'begin perform pg_sleep(0.5); return $1; end'; \
                create table t as select generate_series(1, 3) as n";
    node.sql("shop", slow).unwrap();
    let pgweir = with(&cluster, 1, "statement_timeout = \"1s\"").start();
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(120));
    let build = "create index concurrently i on t (slow(n))";
    assert_eq!(sqlstate(&client.ask(build)), None);
    client.send(&batch("create index concurrently j on t (slow(n))")).unwrap();
    assert_eq!(sqlstate(&client.until_ready()), None);
    let valid = "select count(*) from pg_index where indisvalid and indrelid = 't'::regclass";
    assert_eq!(client.ask_value(valid), "2");
    assert_eq!(client.ask_value(STATEMENT), "1s");
    let query = client.ask("select slow(n) from t");
    assert_eq!(sqlstate(&query).as_deref(), Some("57014"));
    client.ask("set statement_timeout = '600ms'");
    let lowered = client.ask("create index concurrently k on t (slow(n))");
    assert_eq!(sqlstate(&lowered).as_deref(), Some("57014"), "what the client set is lower");
}

#[test]
fn ddl_does_not_queue_behind_a_long_reader() {
    let cluster = front::shop();
    let node = cluster.primary();
    node.sql("shop", "create table t (n int)").unwrap();
    let limits = "lock_timeout = \"1min\"\nddl_lock_timeout = \"200ms\"";
    let pgweir = with(&cluster, 2, limits).start();
    let (mut reader, mut migrator) = (front::client(&pgweir), front::client(&pgweir));
    reader.ask("begin; select * from t");
    let alter = "alter table t add column a int";
    assert_eq!(sqlstate(&migrator.ask(alter)).as_deref(), Some("55P03"));
    assert_eq!(migrator.ask_value(LOCK), "1min");
    migrator.send(&batch(alter)).unwrap();
    assert_eq!(sqlstate(&migrator.until_ready()).as_deref(), Some("55P03"));
    assert_eq!(migrator.ask_value(LOCK), "1min");
    // A statement that was prepared long before it runs, by its name.
    migrator.send(&[message::parse("s", alter, &[]), message::sync()].concat()).unwrap();
    migrator.until_ready();
    assert_eq!(migrator.ask_value(LOCK), "1min");
    let run = [message::bind("", "s", &[]), message::execute("", 0), message::sync()];
    migrator.send(&run.concat()).unwrap();
    assert_eq!(sqlstate(&migrator.until_ready()).as_deref(), Some("55P03"));
    assert_eq!(migrator.ask_value(LOCK), "1min");
    migrator.ask("begin");
    migrator.ask("savepoint a");
    assert_eq!(sqlstate(&migrator.ask(alter)).as_deref(), Some("55P03"));
    migrator.ask("rollback to a");
    assert_eq!(migrator.ask_value(LOCK), "1min");
    migrator.ask("rollback");
    assert_eq!(migrator.ask_value(LOCK), "1min");
    // A concurrent build that waits for the reader keeps nobody waiting, and is not cut.
    reader.ask("commit");
    reader.ask("begin isolation level repeatable read; select * from t");
    migrator.send(&message::query("create index concurrently i on t (n)")).unwrap();
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' \
                 and clock_timestamp() - query_start > '500ms'";
    let mut watcher = RawClient::login(&node.address().into(), &front::login());
    wait_until("the build waits", secs(60), || watcher.ask_value(waits) == "1");
    reader.ask("commit");
    assert_eq!(sqlstate(&migrator.until_ready()), None);
}

#[test]
fn pg_dump_runs_under_limits() {
    let cluster = front::shop();
    let node = cluster.primary();
    node.sql("shop", "create table t as select generate_series(1, 1000) as n").unwrap();
    let limits = "statement_timeout = \"1min\"\nlock_timeout = \"30s\"";
    let pgweir = with(&cluster, 1, limits).start();
    let address = pgweir.listen();
    let output = Command::new(node.binaries().program("pg_dump"))
        .args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()])
        .args(["--username", "postgres", "--no-password", "shop"])
        .output()
        .expect("pg_dump");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("COPY public.t (n) FROM stdin;"));
}

#[test]
fn a_reload_reaches_servers_that_are_there() {
    let cluster = front::shop();
    let mut pgweir = with(&cluster, 1, "statement_timeout = \"15s\"").start();
    let mut client = front::client(&pgweir);
    let pid = client.ask_value(PID);
    assert_eq!(client.ask_value(STATEMENT), "15s");
    for (limit, shown) in [("20s", "20s"), ("off", "0"), ("1s", "1s")] {
        let limits = format!("statement_timeout = \"{limit}\"");
        pgweir.rewrite_config(|_| with(&cluster, 1, &limits));
        pgweir.signal(Signal::Hup);
        wait_until("the reload", secs(30), || client.ask_value(STATEMENT) == shown);
        assert_eq!(client.ask_value(PID), pid);
    }
}
