//! The simple and the extended protocol say the same.

use pgweir::cluster::Cluster;

use super::{Table, console, in_front_of, show, tag_of};
use crate::harness::frame::{Frame, render_all};
use crate::harness::message;
use crate::harness::psql::Psql;
use crate::harness::raw::{Login, RawClient};

/// Parse, Describe, Bind, Execute, Sync of one statement.
fn extended(console: &mut RawClient, sql: &str, formats: &[i16]) -> Vec<Frame> {
    let mut bytes = message::parse("s", sql, &[]);
    bytes.extend(message::describe(b'S', "s"));
    bytes.extend(message::bind_with("", "s", &[], &[], formats));
    bytes.extend(message::describe(b'P', ""));
    bytes.extend(message::execute("", 0));
    bytes.extend(message::close(b'S', "s"));
    bytes.extend(message::sync());
    console.send(&bytes).unwrap();
    console.until_ready()
}

fn tags(frames: &[Frame]) -> String {
    let mut tags: Vec<char> = frames.iter().map(|frame| char::from(frame.tag)).collect();
    // How many rows there are is not what this is about.
    tags.dedup();
    tags.into_iter().collect()
}

#[test]
fn both_protocols_show_the_same() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut client = pgweir.client(&super::app());
    client.ask("SELECT 1");
    let mut console = console(&pgweir);
    for what in ["POOLS", "DATABASES", "CONFIG", "VERSION", "STATE", "USERS", "STATS_TOTALS"] {
        let simple = show(&mut console, what);
        let frames = extended(&mut console, &format!("SHOW {what}"), &[]);
        assert_eq!(tags(&frames), "1tT2TDC3Z", "{what}:\n{}", render_all(&frames));
        let table = Table::of(&frames);
        assert_eq!(table.columns, simple.columns, "{what}");
        if what != "STATS_TOTALS" {
            assert_eq!(table.rows, simple.rows, "{what}");
        }
    }
}

#[test]
fn numbers_come_in_binary_where_that_is_asked_for() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    pgweir.client(&super::app()).ask("SELECT 1");
    let mut console = console(&pgweir);
    let frames = extended(&mut console, "SHOW LISTS", &[1]);
    let rows: Vec<_> = frames.iter().filter_map(Frame::columns).collect();
    assert_eq!(rows[0][0].as_deref(), Some(&b"databases"[..]));
    // postgres and the console.
    assert_eq!(rows[0][1].as_deref(), Some(&[0, 0, 0, 2][..]));
    // database as text, the other columns as numeric_send writes them.
    let mut formats = vec![1; 12];
    formats[0] = 0;
    let frames = extended(&mut console, "SHOW STATS_TOTALS", &formats);
    let row = frames.iter().find_map(Frame::columns).unwrap();
    assert_eq!(row[0].as_deref(), Some(&b"postgres"[..]));
    let count = row[3].clone().unwrap();
    assert_eq!(count, [0, 1, 0, 0, 0, 0, 0, 0, 0, 1], "one query");
    for (formats, sqlstate) in [(vec![0, 1], "08P01"), (vec![2], "22023")] {
        let frames = extended(&mut console, "SHOW VERSION", &formats);
        let error = frames.iter().find_map(Frame::sqlstate);
        assert_eq!(error.as_deref(), Some(sqlstate), "{}", render_all(&frames));
    }
}

#[test]
fn an_error_in_a_batch_drops_the_rest_of_it_and_no_more() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut console = console(&pgweir);
    let frames = extended(&mut console, "SHOW nonsense", &[]);
    assert_eq!(tags(&frames), "EZ", "{}", render_all(&frames));
    assert_eq!(frames[0].sqlstate().as_deref(), Some("42601"));
    assert!(frames[0].field(b'H').unwrap().contains("SHOW HELP"));
    // A statement with a parameter that there is no place for.
    let mut bytes = message::parse("", "SHOW STATE", &[]);
    bytes.extend(message::bind("", "", &[Some(b"1")]));
    bytes.extend(message::execute("", 0));
    bytes.extend(message::sync());
    console.send(&bytes).unwrap();
    assert_eq!(tags(&console.until_ready()), "1EZ");
    // Rows a few at a time.
    let mut bytes = message::parse("", "SHOW LISTS", &[]);
    bytes.extend(message::bind("", "", &[]));
    bytes.extend([message::execute("", 5), message::execute("", 0), message::sync()].concat());
    console.send(&bytes).unwrap();
    let frames = console.until_ready();
    assert_eq!(tags(&frames), "12DsDCZ", "{}", render_all(&frames));
    assert_eq!(frames.iter().filter(|frame| frame.tag == b'D').count(), 14);
    assert_eq!(tags(&extended(&mut console, "", &[])), "1tn2nI3Z");
    assert_eq!(tags(&extended(&mut console, "SHOW HELP", &[])), "1tn2nNC3Z");
}

#[test]
fn what_drivers_say_is_answered_and_several_statements_too() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let login = Login::new("dba", "pgweir")
        .parameter("extra_float_digits", "2")
        .parameter("application_name", "exporter");
    let mut console = pgweir.client(&login);
    for (command, tag) in [
        ("SET extra_float_digits = 3", "SET"),
        ("SET application_name = 'x';", "SET"),
        ("SHOW transaction isolation level", "SHOW"),
        ("SELECT 1", "SELECT 1"),
        ("SELECT current_user", "SELECT 1"),
        ("DISCARD ALL", "DISCARD ALL"),
    ] {
        assert_eq!(tag_of(&mut console, command), tag, "{command}");
    }
    assert_eq!(console.ask_value("SELECT current_user"), "dba");
    assert_eq!(console.ask_value("SELECT current_database()"), "pgweir");
    assert_eq!(console.ask("BEGIN").last().unwrap().status(), Some('T'));
    assert_eq!(console.ask("COMMIT").last().unwrap().status(), Some('I'));
    let frames = console.ask("show version; SHOW STATE; nonsense; SHOW POOLS");
    assert_eq!(tags(&frames), "TDCTDCEZ", "{}", render_all(&frames));
    assert_eq!(tags(&console.ask(" ; ")), "IZ");
    let clients = show(&mut console, "CLIENTS");
    assert_eq!(clients.value(&[("user", "dba")], "application_name"), "exporter");
}

#[test]
fn psql_reads_the_console_as_it_reads_pgbouncers() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let psql =
        |sql: &str| Psql::of(cluster.primary(), pgweir.listen(), "dba", "pgbouncer").ask(sql);
    let pools = psql("SHOW POOLS").unwrap();
    assert_eq!(pools, "pgbouncer|pgbouncer|1|0|0|0|0|0|0|0|0|0|0|0|0|statement|");
    let error = psql("nonsense").unwrap_err();
    assert!(error.contains("42601") && error.contains("SHOW HELP"), "{error}");
}
