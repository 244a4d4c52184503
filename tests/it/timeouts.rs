//! Limits in time on a real Postgres: what is stopped, what is not, and who is never hit.

mod as_postgres;
mod inquiry;
mod own;
mod race;
mod standby;
mod visible;

use std::time::{Duration, Instant};

use pgweir::cluster::Cluster;
use pgweir::cluster::process::Signal;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_for, wait_until};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::{Login, RawClient};

/// A cluster with these roles, and pgweir before it with one server for each.
fn front(cluster: &Cluster, roles: &[&str]) -> PgweirOptions {
    let url = format!("postgres://{}/postgres?sslmode=disable", cluster.primary().address());
    let mut options = Pgweir::options()
        .database("app", &url)
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 1")
        .set("defaults", "reserve_pool_size = 0");
    for role in roles {
        cluster.primary().sql("postgres", &format!("create role {role} login")).unwrap();
        options = options.role(role, "x");
    }
    options
}

fn limit(options: PgweirOptions, role: &str, key: &str, value: &str) -> PgweirOptions {
    options.set(&format!("roles.{role}"), &format!("{key} = \"{value}\""))
}

fn error_of(frames: &[Frame]) -> Frame {
    frames.iter().find(|frame| frame.tag == b'E').expect("an error").clone()
}

/// What processes of a role do.
fn active(cluster: &Cluster, role: &str) -> u64 {
    let text = format!(
        "select count(*) from pg_stat_activity where usename = '{role}' and state = 'active'"
    );
    let rows = cluster.primary().sql("postgres", &text).unwrap();
    rows[0][0].as_deref().unwrap().parse().unwrap()
}

#[test]
fn a_statement_over_its_limit_is_stopped_and_its_session_and_server_go_on() {
    let cluster = Cluster::start().unwrap();
    let options = limit(front(&cluster, &["web"]), "web", "statement_timeout", "2s");
    let pgweir = options.start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]).server_database("app", "postgres");
    let mut client = pgweir.client(&Login::new("web", "app"));
    let server = client.ask_value("select pg_backend_pid()");
    let sleep = "select pg_sleep(60)";
    let batch = [
        message::parse("", sleep, &[]),
        message::bind("", "", &[]),
        message::execute("", 0),
        message::sync(),
    ];
    let mut fastest = [Duration::MAX; 2];
    // Three of each, as a busy machine may be late once.
    for turn in 0..6 {
        let request = if turn % 2 == 0 { message::query(sleep) } else { batch.concat() };
        let began = Instant::now();
        client.send(&request).unwrap();
        let frames = client.until_ready();
        let took = began.elapsed();
        assert!(took >= secs(2) && took < secs(4), "{took:?}");
        fastest[turn % 2] = fastest[turn % 2].min(took);
        let error = error_of(&frames);
        assert_eq!(error.sqlstate().as_deref(), Some("57014"));
        assert_eq!(error.field(b'M').unwrap(), "canceling statement due to statement timeout");
        let detail = error.field(b'D').unwrap();
        assert!(
            detail.contains("statement_timeout is 2s (") && detail.contains(".toml:"),
            "{detail}"
        );
        assert!(error.field(b'H').is_some());
        assert_eq!(frames.last().unwrap().status(), Some('I'));
        assert_eq!(active(&cluster, "web"), 0, "nothing goes on behind its client's back");
        assert_eq!(client.ask_value("select pg_backend_pid()"), server, "the server is used on");
    }
    assert!(fastest.iter().all(|took| took.as_millis() <= 2_100), "{fastest:?}");
    // In a transaction that is the error of any statement.
    client.ask("begin");
    assert_eq!(client.ask(sleep).last().unwrap().status(), Some('E'));
    assert_eq!(error_of(&client.ask("select 1")).sqlstate().as_deref(), Some("25P02"));
    client.ask("rollback");
    assert_eq!(client.ask_value("select pg_backend_pid()"), server);
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_server_that_stands_still_is_given_up_and_accounted_for() {
    let cluster = Cluster::start().unwrap();
    let options = limit(front(&cluster, &["web"]), "web", "statement_timeout", "1s");
    let pgweir = options.start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]).server_database("app", "postgres");
    let mut client = pgweir.client(&Login::new("web", "app"));
    let server: u32 = client.ask_value("select pg_backend_pid()").parse().unwrap();
    client.send(&message::query("select pg_sleep(60)")).unwrap();
    wait_until("it runs", secs(5), || active(&cluster, "web") == 1);
    cluster.primary().signal_backend(server, Signal::Stop).unwrap();
    let began = Instant::now();
    let frames = client.until_ready();
    assert!(began.elapsed() < secs(10), "{:?}", began.elapsed());
    let error = error_of(&frames);
    assert_eq!(error.sqlstate().as_deref(), Some("57014"));
    assert!(error.field(b'D').unwrap().contains("its connection was given up"));
    let state = accounts.state();
    let pool = state.pools.iter().find(|pool| pool.role == "web").unwrap();
    assert_eq!((pool.zombie, pool.open), (1, 1), "{pool:?}");
    // Its place is not free before it is gone.
    client.send(&message::query("select 'next'")).unwrap();
    cluster.primary().signal_backend(server, Signal::Cont).unwrap();
    let frames = client.until_ready();
    assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("next"));
    assert_ne!(client.ask_value("select pg_backend_pid()"), server.to_string());
    drop(client);
    accounts.assert_settled(secs(20));
}

/// How long the exempt ones run, in seconds: a minute with `PGWEIR_TIMEOUTS=long`.
fn exempt_for() -> u64 {
    if std::env::var_os("PGWEIR_TIMEOUTS").is_some() { 60 } else { 4 }
}

#[test]
fn roles_and_aliases_without_limits_are_left_alone_and_nobody_gains_their_freedom() {
    let cluster = Cluster::start().unwrap();
    cluster.primary().sql("postgres", "create role web login").unwrap();
    cluster.primary().sql("postgres", "create role migrator login").unwrap();
    cluster.primary().sql("postgres", "grant migrator to web").unwrap();
    let url = format!("postgres://{}/postgres?sslmode=disable", cluster.primary().address());
    let mut options = Pgweir::options()
        .database("app", &url)
        .set("auth", "method = \"trust\"")
        .set("databases.app_migrate", "alias_of = \"app\"")
        .role("web", "x")
        .role("migrator", "x");
    for key in ["statement_timeout", "transaction_timeout", "idle_in_transaction_timeout"] {
        options = options
            .set("defaults", &format!("{key} = \"1s\""))
            .set("databases.app_migrate", &format!("{key} = \"off\""));
        options = limit(options, "migrator", key, "off");
    }
    let options = options.set("databases.app_migrate", "pool_mode = \"session\"");
    let pgweir = options.set("roles.migrator", "pool_mode = \"session\"").start();
    std::thread::scope(|scope| {
        for (role, database) in [("migrator", "app"), ("web", "app_migrate")] {
            let pgweir = &pgweir;
            scope.spawn(move || {
                let mut client = pgweir.client(&Login::new(role, database));
                let long = exempt_for();
                client.set_deadline(secs(long + 30));
                client.ask("begin");
                let frames = client.ask(&format!("select pg_sleep({long})"));
                assert_eq!(frames.last().unwrap().status(), Some('T'), "{role} {database}");
                std::thread::sleep(secs(long));
                let frames = client.ask("commit");
                assert_eq!(frames[0].command_tag().as_deref(), Some("COMMIT"), "{role} {database}");
            });
        }
        let attempts = [
            "set role migrator",
            "set application_name = 'migrator'",
            "/* pgweir: migrator */ select 1",
            "set statement_timeout = 0",
        ];
        for attempt in attempts {
            let pgweir = &pgweir;
            scope.spawn(move || {
                let login = Login::new("web", "app")
                    .parameter("application_name", "migrator")
                    .parameter("options", "-c statement_timeout=0");
                let mut client = pgweir.client(&login);
                client.ask(attempt);
                let error = error_of(&client.ask("/* migrator */ select pg_sleep(30)"));
                assert_eq!(error.sqlstate().as_deref(), Some("57014"), "{attempt}");
            });
        }
    });
}

#[test]
fn an_idle_transaction_lets_go_of_its_locks_and_its_commit_is_an_error() {
    let cluster = Cluster::start().unwrap();
    cluster.primary().sql("postgres", "create table t (n int)").unwrap();
    cluster.primary().sql("postgres", "grant all on t to public").unwrap();
    let options = front(&cluster, &["web"]);
    let pgweir = limit(options, "web", "idle_in_transaction_timeout", "1s").start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.ask("begin");
    client.ask("insert into t values (1)");
    client.ask("lock table t");
    let other =
        cluster.primary().sql("postgres", "set lock_timeout = '5s'; insert into t values (2)");
    other.expect("the lock is free within a moment");
    assert!(!client.has_unread(), "nothing is sent unasked");
    let frames = client.ask("commit");
    let error = error_of(&frames);
    assert_eq!(error.sqlstate().as_deref(), Some("25P03"));
    assert_eq!(frames.last().unwrap().status(), Some('I'));
    assert_eq!(client.ask_value("select string_agg(n::text, ',') from t"), "2");
}

#[test]
fn a_commit_after_the_servers_own_idle_timeout_is_never_told_as_a_success() {
    let cluster = Cluster::start().unwrap();
    cluster.primary().sql("postgres", "create table t (n int)").unwrap();
    cluster.primary().sql("postgres", "grant all on t to public").unwrap();
    let options = front(&cluster, &["web"]);
    let set = "alter role web set idle_in_transaction_session_timeout = '500ms'";
    cluster.primary().sql("postgres", set).unwrap();
    let pgweir = options.start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    for _ in 0..5 {
        client.ask("begin");
        client.ask("insert into t values (1)");
        wait_until("Postgres has closed it", secs(10), || {
            let text = "select count(*) from pg_stat_activity where usename = 'web'";
            cluster.primary().sql("postgres", text).unwrap()[0][0].as_deref() == Some("0")
        });
        let frames = client.ask("commit");
        assert!(error_of(&frames).sqlstate().is_some());
        assert!(frames.iter().all(|frame| frame.command_tag().is_none()));
    }
    assert_eq!(client.ask_value("select count(*) from t"), "0");
}

#[test]
fn a_write_that_waits_for_a_standby_is_not_cut() {
    // The one that sets things up commits without waiting.
    let cluster = Cluster::options().conf("synchronous_standby_names = 'nobody'").start().unwrap();
    let primary = cluster.primary();
    primary.sql("postgres", "create table t (n int)").unwrap();
    primary.sql("postgres", "grant all on t to public").unwrap();
    let options = front(&cluster, &["web"]);
    primary.sql("postgres", "alter role web set synchronous_commit = on").unwrap();
    // pgweir's clock alone: the server's own limit does not strike in such a wait.
    let pgweir = limit(options, "web", "statement_timeout", "500ms").start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.ask("select 1");
    let waits = |pid: &str| {
        let text = format!("select wait_event from pg_stat_activity where pid = {pid}");
        primary.sql("postgres", &text).unwrap().first().and_then(|row| row[0].clone())
    };
    let server = client.ask_value("select pg_backend_pid()");
    client.send(&message::query("insert into t values (1)")).unwrap();
    wait_until("it waits", secs(10), || waits(&server).as_deref() == Some("SyncRep"));
    client.set_deadline(secs(4));
    let nothing = client.reply();
    assert!(nothing.is_err(), "it was cut: {nothing:?}");
    client.set_deadline(secs(20));
    primary.add_conf("synchronous_standby_names = ''").unwrap();
    primary.reload().unwrap();
    let frames = client.until_ready();
    let notices: Vec<_> = frames.iter().filter(|frame| frame.tag == b'N').collect();
    assert!(notices.is_empty(), "a cancelled wait says that it is only committed locally");
    assert_eq!(frames.iter().find_map(Frame::command_tag).as_deref(), Some("INSERT 0 1"));
    assert_eq!(client.ask_value("select pg_backend_pid()"), server);
}

#[test]
fn a_transaction_over_its_limit_is_rolled_back() {
    let cluster = Cluster::start().unwrap();
    let options = front(&cluster, &["web"]);
    let pgweir = limit(options, "web", "transaction_timeout", "1s").start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.ask("begin");
    let error = error_of(&client.ask("select pg_sleep(30)"));
    assert_eq!(
        (error.sqlstate().as_deref(), error.field(b'S').as_deref()),
        (Some("25P04"), Some("ERROR"))
    );
    assert_eq!(error_of(&client.ask("select 1")).sqlstate().as_deref(), Some("25P02"));
    client.ask("rollback");
    client.ask("begin");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(error_of(&client.ask("commit")).sqlstate().as_deref(), Some("25P04"));
    let mut other: RawClient = pgweir.client(&Login::new("web", "app"));
    let value = wait_for("a server", secs(5), || Some(other.ask_value("select 1")));
    assert_eq!(value, "1");
}
