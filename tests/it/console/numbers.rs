//! The numbers are true: they agree with the server, with each other and with what was done.

use pgweir::cluster::Cluster;

use super::{SOON, app, console, in_front_of, show};
use crate::harness::accounting::{Accounting, activity};
use crate::harness::await_event::wait_until;
use crate::harness::message;

#[test]
fn pools_count_what_the_server_and_the_state_count() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("defaults", "pool_size = 3").start();
    let mut clients: Vec<_> = (0..6).map(|_| pgweir.client(&app())).collect();
    for client in &mut clients[..3] {
        client.ask("BEGIN");
    }
    clients[2].ask("COMMIT");
    let mut console = console(&pgweir);
    let of = |console: &mut _, column: &str| {
        show(console, "POOLS").number(&[("database", "postgres"), ("user", "postgres")], column)
    };
    assert_eq!(of(&mut console, "sv_active"), 2);
    assert_eq!(of(&mut console, "sv_idle"), 1);
    // The cluster's own questions come as the same role; their backends need a moment to go.
    wait_until("three backends", SOON, || activity(cluster.primary(), "postgres", "postgres") == 3);
    clients[2].ask("BEGIN");
    clients[3].send(&message::query("SELECT 'first'")).unwrap();
    clients[4].send(&message::query("SELECT 'second'")).unwrap();
    wait_until("two that wait", SOON, || of(&mut console, "cl_waiting") == 2);
    wait_until("a wait that shows", SOON, || of(&mut console, "maxwait_us") > 0);
    assert_eq!(of(&mut console, "cl_active"), 4);
    assert_eq!(of(&mut console, "sv_active"), 3);
    assert_eq!(of(&mut console, "sv_idle"), 0);
    let state = Accounting::of(&pgweir, &[cluster.primary()]).state();
    let pool = &state.pools[0];
    assert_eq!((pool.leased, pool.waiting, pool.clients, pool.open), (3, 2, 6, 3));
    // One line each, linked to each other, with the backends' own pids.
    let (lines, servers) = (show(&mut console, "CLIENTS"), show(&mut console, "SERVERS"));
    assert_eq!(servers.rows.len(), 3);
    let pids = "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity \
                WHERE usename = 'postgres' AND datname = 'postgres' AND pid <> pg_backend_pid() \
                AND backend_type = 'client backend'";
    let mut shown: Vec<u32> =
        servers.rows.iter().map(|row| servers.at(row, "remote_pid").parse().unwrap()).collect();
    shown.sort_unstable();
    let shown: Vec<String> = shown.iter().map(u32::to_string).collect();
    wait_until("the same backends", SOON, || {
        let there = cluster.primary().sql("postgres", pids).unwrap();
        there[0][0].as_deref() == Some(&*shown.join(","))
    });
    for row in &servers.rows {
        let linked = lines.value(&[("ptr", &servers.at(row, "link"))], "link");
        assert_eq!(linked, servers.at(row, "ptr"));
        assert_eq!(servers.at(row, "state"), "active");
    }
    let states: Vec<String> = lines.rows.iter().map(|row| lines.at(row, "state")).collect();
    let count = |state: &str| states.iter().filter(|known| *known == state).count();
    // The console's own session is idle, too.
    assert_eq!((count("active"), count("waiting"), count("idle")), (3, 2, 2));
    clients[0].ask("COMMIT");
    clients[1].ask("COMMIT");
    clients[2].ask("COMMIT");
    clients[3].until_ready();
    clients[4].until_ready();
    wait_until("rest", SOON, || of(&mut console, "sv_idle") == 3);
}

#[test]
fn statistics_count_what_was_done() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut client = pgweir.client(&app());
    let mut console = console(&pgweir);
    let stats = |console: &mut _| {
        let table = show(console, "STATS_TOTALS");
        move |column: &str| table.number(&[("database", "postgres")], column)
    };
    let before = stats(&mut console);
    client.ask("SELECT 1");
    for query in ["BEGIN", "SELECT pg_sleep(0.05)", "COMMIT"] {
        client.ask(query);
    }
    client.ask("SELECT nosuch");
    let mut batch = message::parse("", "SELECT repeat('x', 100000)", &[]);
    batch.extend(message::bind("", "", &[]));
    batch.extend([message::execute("", 0), message::sync()].concat());
    client.send(&batch).unwrap();
    client.until_ready();
    let after = stats(&mut console);
    let grown = |column: &str| after(column) - before(column);
    assert_eq!(grown("query_count"), 6);
    assert_eq!(grown("xact_count"), 4);
    assert_eq!(grown("server_assignment_count"), 4);
    assert_eq!((grown("client_parse_count"), grown("bind_count")), (1, 1));
    assert_eq!(grown("server_parse_count"), 1);
    assert!(grown("bytes_sent") > 100_000, "{}", grown("bytes_sent"));
    let sent = batch.len() as u64;
    assert!((sent..sent + 200).contains(&grown("bytes_received")), "{}", grown("bytes_received"));
    assert!((50_000..5_000_000).contains(&grown("query_time")), "{}", grown("query_time"));
    assert!(grown("xact_time") >= grown("query_time"));
    let averages = show(&mut console, "STATS");
    let average = averages.number(&[("database", "postgres")], "avg_query_time");
    assert!((8_000..1_000_000).contains(&average), "{average}");
    let totals = show(&mut console, "TOTALS");
    assert_eq!(totals.number(&[("name", "total_query_count")], "value"), after("query_count"));
}
