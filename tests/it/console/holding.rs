//! PAUSE, RESUME, KILL, RECONNECT: what they do to clients and to servers.

use std::thread;
use std::time::{Duration, Instant};

use pgweir::cluster::Cluster;

use super::{SOON, app, console, in_front_of, refusal_of, show, tag_of};
use crate::harness::accounting::{Accounting, activity};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::nonce::{Asks, Nonce};
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Login, RawClient};

/// No backend is left, or none that has not been told to go.
fn assert_gone(cluster: &Cluster) {
    let open = || activity(cluster.primary(), "postgres", "postgres");
    wait_until("the last backend's end", SOON, || open() == 0);
}

/// A client that has asked and waits; its answer.
fn ask_meanwhile(pgweir: &Pgweir, sql: &'static str) -> thread::JoinHandle<String> {
    let mut client = pgweir.client(&app());
    client.send(&message::query(sql)).unwrap();
    thread::spawn(move || client.until_ready().iter().find_map(Frame::first_text).unwrap())
}

#[test]
fn pause_waits_for_transactions_and_holds_who_comes_after() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("defaults", "pool_wait_timeout = \"300ms\"").start();
    let mut busy = pgweir.client(&app());
    busy.ask("BEGIN; SELECT 1");
    let idle = pgweir.client(&app());
    let mut console = console(&pgweir);
    let mut pausing = super::console(&pgweir);
    pausing.send(&message::query("PAUSE postgres")).unwrap();
    let paused = |console: &mut RawClient| {
        show(console, "DATABASES").number(&[("name", "postgres")], "paused") == 1
    };
    wait_until("the pause", SOON, || paused(&mut console));
    let waiting = ask_meanwhile(&pgweir, "SELECT 'came'");
    let began = Instant::now();
    wait_until("the wait", SOON, || {
        show(&mut console, "POOLS").number(&[("database", "postgres")], "cl_waiting") == 1
    });
    // The transaction goes on, and PAUSE with it.
    pausing.set_deadline(Duration::from_millis(200));
    assert!(pausing.reply().is_err(), "PAUSE did not wait");
    pausing.set_deadline(secs(20));
    assert_eq!(busy.ask_value("SELECT 2"), "2");
    busy.ask("COMMIT");
    assert_eq!(pausing.until_ready().iter().find_map(Frame::command_tag).unwrap(), "PAUSE");
    assert_gone(&cluster);
    // Whoever waits is not sent away by pool_wait_timeout.
    wait_until("a long wait", SOON, || began.elapsed() > Duration::from_millis(900));
    let pools = show(&mut console, "POOLS");
    assert_eq!(pools.number(&[("database", "postgres")], "cl_waiting"), 1);
    assert_eq!(pools.number(&[("database", "postgres")], "sv_idle"), 0);
    assert_eq!(tag_of(&mut console, "PAUSE postgres"), "PAUSE");
    assert_eq!(tag_of(&mut console, "RESUME postgres"), "RESUME");
    assert_eq!(waiting.join().unwrap(), "came");
    assert!(!paused(&mut console));
    let refusal = refusal_of(&mut console, "RESUME postgres");
    assert_eq!(refusal, ("55000".into(), "database postgres is not paused".into()));
    drop(idle);
}

#[test]
fn pausing_everything_is_a_state_of_its_own() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    pgweir.client(&app()).ask("SELECT 1");
    let mut console = console(&pgweir);
    assert_eq!(refusal_of(&mut console, "RESUME").1, "pooler is not paused/suspended");
    assert_eq!(tag_of(&mut console, "PAUSE"), "PAUSE");
    assert_gone(&cluster);
    let state = show(&mut console, "STATE");
    assert_eq!(state.value(&[("key", "paused")], "value"), "yes");
    assert_eq!(state.value(&[("key", "active")], "value"), "no");
    assert_eq!(refusal_of(&mut console, "PAUSE").1, "already suspended/paused");
    // Databases that are first used while everything is paused wait as well.
    let waiting = {
        let login = app().parameter("application_name", "late");
        let mut client = RawClient::connect(&pgweir.address()).unwrap();
        client.send(&login.packet()).unwrap();
        thread::spawn(move || client.authenticate(&login).unwrap().last().unwrap().status())
    };
    wait_until("a login that waits", SOON, || {
        show(&mut console, "POOLS").number(&[("database", "postgres")], "cl_waiting") == 1
    });
    assert_eq!(tag_of(&mut console, "RESUME"), "RESUME");
    assert_eq!(waiting.join().unwrap(), Some('I'));
}

#[test]
fn under_load_pause_and_resume_lose_no_statement() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("defaults", "pool_size = 4").start();
    let plan = || Nonce::new(pgweir.listen(), app()).asks(Asks::Both);
    plan().clients(20).rounds(5).run().assert_all_ok(100);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let load = plan().clients(50).rounds(200).limit(secs(60));
    let load = thread::spawn(move || load.run());
    let mut console = console(&pgweir);
    let mut rounds = 0;
    while !load.is_finished() && rounds < 8 {
        assert_eq!(tag_of(&mut console, "PAUSE postgres"), "PAUSE");
        assert_gone(&cluster);
        accounts.assert_balanced();
        assert_eq!(tag_of(&mut console, "RESUME postgres"), "RESUME");
        assert_eq!(tag_of(&mut console, "RECONNECT postgres"), "RECONNECT");
        assert_eq!(tag_of(&mut console, "WAIT_CLOSE postgres"), "WAIT_CLOSE");
        accounts.assert_balanced();
        rounds += 1;
    }
    load.join().unwrap().assert_all_ok(10_000);
    assert!(rounds > 2, "the load was over after {rounds} pauses");
    drop(console);
    accounts.assert_settled(secs(10));
}

#[test]
fn reconnect_replaces_servers_as_they_are_given_back() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut busy = pgweir.client(&app());
    busy.ask("BEGIN");
    let pid = busy.ask_value("SELECT pg_backend_pid()");
    let mut console = console(&pgweir);
    assert_eq!(tag_of(&mut console, "RECONNECT postgres"), "RECONNECT");
    let line = show(&mut console, "SERVERS");
    assert_eq!(line.value(&[("remote_pid", &pid)], "close_needed"), "1");
    let mut waiting = super::console(&pgweir);
    waiting.send(&message::query("WAIT_CLOSE postgres")).unwrap();
    waiting.set_deadline(Duration::from_millis(200));
    assert!(waiting.reply().is_err(), "WAIT_CLOSE did not wait");
    waiting.set_deadline(secs(20));
    busy.ask("COMMIT");
    assert_eq!(waiting.until_ready().iter().find_map(Frame::command_tag).unwrap(), "WAIT_CLOSE");
    assert_ne!(busy.ask_value("SELECT pg_backend_pid()"), pid);
}

/// The error that ends a session, and nothing after it.
fn farewell(client: &mut RawClient) -> Frame {
    let frames = client.until_closed();
    let last = frames.last().unwrap_or_else(|| panic!("closed without a word"));
    assert_eq!(last.sqlstate().as_deref(), Some("57P01"), "{last:?}");
    assert_eq!(last.field(b'S').as_deref(), Some("FATAL"), "{last:?}");
    let message = last.field(b'M').unwrap();
    assert_eq!(message, "terminating connection due to administrator command");
    last.clone()
}

#[test]
fn kill_sends_everybody_away_and_holds_who_comes() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut console = console(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let (mut busy, mut idle) = (pgweir.client(&app()), pgweir.client(&app()));
    busy.ask("BEGIN; CREATE TABLE never (a int)");
    let mut running = pgweir.client(&app());
    running.send(&message::query("SELECT pg_sleep(60)")).unwrap();
    wait_until("the statement", SOON, || {
        show(&mut console, "POOLS").number(&[("database", "postgres")], "sv_active") == 2
    });
    assert_eq!(refusal_of(&mut console, "KILL nosuch").0, "3D000");
    assert_eq!(tag_of(&mut console, "KILL postgres"), "KILL");
    for client in [&mut busy, &mut idle, &mut running] {
        farewell(client);
    }
    let databases = show(&mut console, "DATABASES");
    assert_eq!(databases.number(&[("name", "postgres")], "paused"), 1);
    assert!(show(&mut console, "SERVERS").rows.is_empty());
    let waiting = ask_meanwhile(&pgweir, "SELECT to_regclass('never') IS NULL");
    wait_until("the wait", SOON, || {
        show(&mut console, "POOLS").number(&[("database", "postgres")], "cl_waiting") == 1
    });
    assert_eq!(tag_of(&mut console, "RESUME postgres"), "RESUME");
    assert_eq!(waiting.join().unwrap(), "t");
    // The statement that nobody waits for any more would run on for its minute.
    let cancel =
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%sleep(60)'";
    cluster.primary().sql("postgres", cancel).unwrap();
    accounts.assert_settled(secs(10));
}

#[test]
fn kill_client_cancels_what_it_ran_and_harms_nobody_else() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut console = console(&pgweir);
    let mut other = pgweir.client(&app());
    other.ask("BEGIN");
    let login = app().parameter("application_name", "runaway");
    let mut runaway = pgweir.client(&login);
    runaway.send(&message::query("SELECT pg_sleep(60)")).unwrap();
    wait_until("the statement", SOON, || {
        let table = show(&mut console, "CLIENTS");
        table.value(&[("application_name", "runaway")], "state") == "active"
    });
    let id = show(&mut console, "CLIENTS").value(&[("application_name", "runaway")], "id");
    assert_eq!(tag_of(&mut console, &format!("KILL_CLIENT {id}")), "KILL_CLIENT");
    farewell(&mut runaway);
    assert_eq!(refusal_of(&mut console, &format!("KILL_CLIENT {id}")).1, "client not found");
    assert_eq!(other.ask_value("SELECT 1"), "1");
    other.ask("COMMIT");
    // Its server is cancelled and used again.
    Accounting::of(&pgweir, &[cluster.primary()]).assert_settled(secs(10));
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep(60)'";
    assert_eq!(cluster.primary().sql("postgres", sleeping).unwrap()[0][0].as_deref(), Some("0"));
    // A console session can be ended in the same way.
    let mut second = pgweir.client(&Login::new("viewer", "pgbouncer"));
    let id = show(&mut console, "CLIENTS").value(&[("user", "viewer")], "id");
    assert_eq!(tag_of(&mut console, &format!("KILL_CLIENT {id}")), "KILL_CLIENT");
    farewell(&mut second);
}
