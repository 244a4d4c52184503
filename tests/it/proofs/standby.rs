//! What a standby says: to the fixed list, and to everything of Postgres' own regression suite that is said to read.

use pgweir::route::functions::{Elsewhere, fixed};

use super::{client, cluster, said, snapshot};
use crate::corpus;
use crate::harness::frame::Frame;

fn sqlstate(frames: &[Frame]) -> Option<String> {
    frames.iter().find(|frame| frame.tag == b'E').and_then(Frame::sqlstate)
}

/// Read-only transaction, recovery in progress, and what some versions say of large objects ("cannot assign OIDs during
/// recovery").
const REFUSALS: [&str; 3] = ["25006", "55000", "XX000"];

#[test]
fn the_fixed_list_is_refused_or_means_something_else() {
    let cluster = cluster();
    let primary = cluster.primary();
    let prepare = "create sequence s; grant all on s to plain; grant execute on all functions in schema pg_catalog to plain";
    primary.sql("shop", prepare).unwrap();
    cluster.wait_until_replayed().unwrap();
    let mut standby = client(cluster.replica(0));
    let calls = [
        ("nextval", "select nextval('s')"),
        ("setval", "select setval('s', 1)"),
        ("txid_current", "select txid_current()"),
        ("pg_current_xact_id", "select pg_current_xact_id()"),
        ("lo_create", "select lo_create(0)"),
        ("lo_from_bytea", "select lo_from_bytea(0, 'x')"),
        ("lo_unlink", "select lo_unlink(1)"),
        ("pg_notify", "select pg_notify('a', 'b')"),
        ("pg_current_wal_lsn", "select pg_current_wal_lsn()"),
        ("pg_current_wal_flush_lsn", "select pg_current_wal_flush_lsn()"),
        ("pg_switch_wal", "select pg_switch_wal()"),
        ("pg_create_restore_point", "select pg_create_restore_point('x')"),
        ("pg_walfile_name", "select pg_walfile_name('0/1000000')"),
        ("pg_advisory_lock", "select pg_advisory_lock(1)"),
        ("pg_try_advisory_xact_lock", "select pg_try_advisory_xact_lock(1)"),
        ("pg_advisory_unlock_all", "select pg_advisory_unlock_all()"),
        ("set_config", "select set_config('app.x', 'y', false)"),
        ("setseed", "select setseed(0.5)"),
        (
            "pg_export_snapshot",
            "begin isolation level repeatable read; select pg_export_snapshot(); rollback",
        ),
        ("pg_backend_pid", "select pg_backend_pid()"),
        ("pg_cancel_backend", "select pg_cancel_backend(0)"),
        ("pg_terminate_backend", "select pg_terminate_backend(0)"),
        ("pg_is_in_recovery", "select pg_is_in_recovery()"),
        ("pg_last_wal_replay_lsn", "select pg_last_wal_replay_lsn()"),
        ("pg_stat_reset", "select pg_stat_reset()"),
        ("inet_server_port", "select inet_server_port()"),
        ("pg_conf_load_time", "select pg_conf_load_time()"),
        ("pg_reload_conf", "select pg_reload_conf()"),
        ("pg_postmaster_start_time", "select pg_postmaster_start_time()"),
        ("pg_current_snapshot", "select pg_current_snapshot()"),
        ("txid_current_if_assigned", "select txid_current_if_assigned()"),
        ("pg_my_temp_schema", "select pg_my_temp_schema()"),
        ("pg_lock_status", "select count(*) from pg_lock_status()"),
        ("pg_create_physical_replication_slot", "select pg_create_physical_replication_slot('x')"),
        ("pg_drop_replication_slot", "select pg_drop_replication_slot('x')"),
        ("pg_read_file", "select length(pg_read_file('PG_VERSION'))"),
        ("pg_ls_dir", "select count(*) from pg_ls_dir('.')"),
        ("pg_control_checkpoint", "select count(*) from pg_control_checkpoint()"),
    ];
    // Some are for superusers alone.
    primary.sql("shop", "alter role plain superuser replication").unwrap();
    cluster.wait_until_replayed().unwrap();
    for (name, text) in calls {
        let refused = sqlstate(&standby.ask(text));
        match fixed(name.as_bytes()) {
            Some(Elsewhere::Refused) => {
                let found = refused.unwrap_or_default();
                assert!(REFUSALS.contains(&found.as_str()), "{text}: {found:?}");
            }
            Some(Elsewhere::Differs) => assert_eq!(refused, None, "{text}"),
            None => panic!("{name} is not on the list"),
        }
    }
}

#[test]
fn the_standby_refuses_nothing_of_the_corpus_that_is_said_to_read_but_what_the_primary_does() {
    let cluster = cluster();
    let catalog = snapshot(cluster.primary(), &[]);
    let mut standby = client(cluster.replica(0));
    let mut primary = client(cluster.primary());
    let mut ran = 0;
    for text in corpus::scripts().iter().flatten() {
        // Of those that need nothing but what comes with Postgres.
        let waits = text.contains("pg_sleep") || text.len() > 10_000;
        if waits || said(text, &catalog) != "replica" {
            continue;
        }
        ran += 1;
        let Some(refused) = sqlstate(&standby.ask(text)) else { continue };
        if refused == "57014" {
            // It ran, for longer than it may.
            continue;
        }
        assert_eq!(sqlstate(&primary.ask(text)), Some(refused), "{text}");
    }
    // Nothing is left behind.
    let locks = standby.ask_value("select count(*) from pg_locks where locktype = 'advisory'");
    assert_eq!(locks, "0");
    assert!(ran == 0 || ran > 5_000, "{ran}");
}
