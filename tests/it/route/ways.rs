//! Single sessions: each request at the server that it is for.

use super::{figure, fleet, in_front, login, wait_for_reads, ways};
use crate::harness::message::{bind, execute, parse, query, sync};

#[test]
fn a_session_reads_at_replicas_and_sees_what_it_has_written() {
    let cluster = fleet();
    cluster.primary().sql("shop", "CREATE TABLE t (id int PRIMARY KEY, v int)").unwrap();
    let pgweir = in_front(&cluster, &[]).start();
    let mut client = pgweir.client(&login());
    wait_for_reads(&pgweir, &mut client, "SELECT count(*) FROM t");
    client.ask("INSERT INTO t VALUES (1, 1)");
    for round in 2..50 {
        client.ask(&format!("UPDATE t SET v = {round} WHERE id = 1"));
        assert_eq!(client.ask_value("SELECT v FROM t WHERE id = 1"), round.to_string());
    }
    cluster.wait_until_replayed().unwrap();
    wait_for_reads(&pgweir, &mut client, "SELECT v FROM t WHERE id = 1");
    // A function that is only found out to write when a replica runs it.
    cluster
        .primary()
        .sql(
            "shop",
            "CREATE SEQUENCE s; CREATE FUNCTION liar() RETURNS bigint STABLE LANGUAGE plpgsql \
             AS $$BEGIN RETURN nextval('s'); END$$",
        )
        .unwrap();
    cluster.wait_until_replayed().unwrap();
    // Defined behind pgweir's back: unknown, so at the primary, until the catalog is read again.
    assert_eq!(client.ask_value("SELECT liar()"), "1");
    client.ask("CREATE TABLE seen_by_pgweir (a int)");
    cluster.wait_until_replayed().unwrap();
    crate::harness::await_event::wait_until(
        "a rerun",
        crate::harness::await_event::secs(20),
        || {
            client.ask("SELECT liar() AS again");
            figure(&pgweir, "pgweir_reads_rerun_total") > 0
        },
    );
    let refused: usize =
        cluster.replicas().iter().map(|node| node.log().matches("ERROR:").count()).sum();
    assert!(refused >= 1, "the replica refused it");
    // Remembered: it is not tried again.
    let before = figure(&pgweir, "pgweir_reads_rerun_total");
    client.ask("SELECT liar() AS again");
    assert_eq!(figure(&pgweir, "pgweir_reads_rerun_total"), before);
}

#[test]
fn a_batch_runs_at_one_server_and_reads_of_batches_are_offloaded() {
    let cluster = fleet();
    cluster.primary().sql("shop", "CREATE TABLE t AS SELECT 1 AS a").unwrap();
    cluster.wait_until_replayed().unwrap();
    let pgweir = in_front(&cluster, &["consistency = \"eventual\""]).start();
    let mut client = pgweir.client(&login());
    wait_for_reads(&pgweir, &mut client, "SELECT a FROM t");
    let before = ways(&pgweir, "read");
    for (name, text) in [("", "SELECT a FROM t /*one*/"), ("named", "SELECT a FROM t /*two*/")] {
        for round in 0..3 {
            let mut batch = Vec::new();
            if round == 0 || name.is_empty() {
                batch.extend(parse(name, text, &[]));
            }
            batch.extend(bind("", name, &[]));
            batch.extend(execute("", 0));
            batch.extend(sync());
            client.send(&batch).unwrap();
            client.until_ready();
        }
    }
    assert_eq!(ways(&pgweir, "read") - before, 6);
    for text in ["/*one*/", "/*two*/"] {
        assert!(!cluster.primary().log().contains(text), "{text}");
    }
    // What is in one batch with a write goes along with it.
    let mixed = [
        parse("", "SELECT a FROM t /*three*/", &[]),
        bind("", "", &[]),
        execute("", 0),
        parse("", "INSERT INTO t VALUES (2)", &[]),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    client.send(&mixed.concat()).unwrap();
    client.until_ready();
    assert!(cluster.primary().log().contains("/*three*/"));
    let refused: usize =
        cluster.replicas().iter().map(|node| node.log().matches("cannot execute").count()).sum();
    assert_eq!(refused, 0);
}

#[test]
fn transactions_that_only_read_are_offloaded_and_the_others_are_not() {
    let cluster = fleet();
    cluster.primary().sql("shop", "CREATE TABLE t AS SELECT 1 AS a").unwrap();
    cluster.wait_until_replayed().unwrap();
    let pgweir = in_front(&cluster, &[]).start();
    let mut client = pgweir.client(&login());
    wait_for_reads(&pgweir, &mut client, "SELECT a FROM t");
    let at_primary = |mark: &str| cluster.primary().log().contains(mark);
    for (n, (begin, offloaded)) in [
        ("BEGIN READ ONLY", true),
        ("START TRANSACTION READ ONLY", true),
        ("BEGIN", false),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", false),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = pgweir.client(&login());
        client.ask(begin);
        let mark = format!("/*n{n}*/");
        client.ask(&format!("SELECT {mark} a FROM t"));
        assert_eq!(client.ask("COMMIT").last().unwrap().status(), Some('I'));
        assert_eq!(at_primary(&mark), !offloaded, "{begin}");
    }
    // In a pipeline, without waiting for any answer.
    let pipeline = [
        query("BEGIN READ ONLY"),
        query("SELECT /*p*/ a FROM t"),
        query("COMMIT"),
        query("INSERT INTO t VALUES (7)"),
        query("SELECT /*q*/ count(*) FROM t"),
    ];
    client.send(&pipeline.concat()).unwrap();
    let answers: Vec<_> = (0..5).map(|_| client.until_ready()).collect();
    assert_eq!(answers[4][1].first_text().as_deref(), Some("2"));
    assert!(!at_primary("/*p*/"));
    // Another session has written nothing.
    let mut client = pgweir.client(&login());
    // A write is refused by the replica, as a READ ONLY transaction refuses it anywhere.
    client.ask("BEGIN READ ONLY");
    client.ask("SELECT a FROM t");
    let refused = client.ask("INSERT INTO t VALUES (8)");
    assert_eq!(refused[0].sqlstate().as_deref(), Some("25006"));
    client.ask("ROLLBACK");
    client.ask("BEGIN READ ONLY");
    client.ask("SELECT a FROM t");
    let refused = client.ask("SELECT pg_advisory_lock(1)");
    assert_eq!(refused[0].sqlstate().as_deref(), Some("25006"));
    assert_eq!(refused[1].status(), Some('E'));
    client.ask("ROLLBACK");
}
