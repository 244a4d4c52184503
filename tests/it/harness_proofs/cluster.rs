//! A throw-away Postgres starts, streams, stands still, comes back and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use pgweir::cluster::process::Signal;
use pgweir::cluster::{AuthMethod, Binaries, Cluster, Shutdown};

use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::raw::{Address, Login, RawClient};

fn value(rows: &[Vec<Option<String>>]) -> &str {
    rows[0][0].as_deref().expect("a value")
}

#[test]
fn what_the_primary_writes_arrives_on_its_replicas() {
    let cluster = Cluster::options().replicas(2).database("shop").start().unwrap();
    cluster.primary().sql("shop", "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    cluster.wait_until_replayed().unwrap();
    for replica in cluster.replicas() {
        assert_eq!(value(&replica.sql("shop", "SELECT n FROM t").unwrap()), "7");
        assert_eq!(value(&replica.sql("shop", "SELECT pg_is_in_recovery()").unwrap()), "t");
    }
}

#[test]
fn a_promoted_replica_takes_writes() {
    let cluster = Cluster::options().replicas(1).start().unwrap();
    cluster.primary().kill();
    let replica = cluster.replica(0);
    replica.promote().unwrap();
    replica.sql("postgres", "CREATE TABLE written_here (n int)").unwrap();
}

#[test]
fn data_survives_a_restart_and_a_crash_on_the_same_port() {
    let cluster = Cluster::start().unwrap();
    let node = cluster.primary();
    let port = node.port();
    node.sql("postgres", "CREATE TABLE t AS SELECT 1 AS n; CHECKPOINT").unwrap();
    node.restart().unwrap();
    assert_eq!(value(&node.sql("postgres", "SELECT n FROM t").unwrap()), "1");
    node.kill();
    assert!(node.sql("postgres", "SELECT 1").is_err());
    node.start().unwrap();
    assert_eq!(value(&node.sql("postgres", "SELECT n FROM t").unwrap()), "1");
    node.stop(Shutdown::Immediate).unwrap();
    node.start().unwrap();
    assert_eq!(value(&node.sql("postgres", "SELECT n FROM t").unwrap()), "1");
    assert_eq!(node.port(), port);
}

#[test]
fn a_copy_of_a_stopped_server_is_its_double() {
    let first = Cluster::options().database("shop").start().unwrap();
    first.primary().sql("shop", "CREATE TABLE t AS SELECT 1 AS n").unwrap();
    first.primary().stop(Shutdown::Fast).unwrap();
    let copy = || Cluster::options().copy_of(first.primary().data_folder()).start().unwrap();
    let next = |cluster: &Cluster| {
        let sql = "INSERT INTO t VALUES (2); CREATE TABLE u (); SELECT 'u'::regclass::oid, txid_current(), count(*) FROM t";
        cluster.primary().sql("shop", sql).unwrap().pop().unwrap()
    };
    let (one, other) = (copy(), copy());
    assert_ne!(one.primary().port(), other.primary().port());
    let numbers = next(&one);
    assert_eq!(numbers[2].as_deref(), Some("2"));
    assert_eq!(numbers, next(&other));
}

#[test]
fn a_paused_server_accepts_but_does_not_answer_until_it_is_resumed() {
    let cluster = Cluster::start().unwrap();
    let node = cluster.primary();
    let address = Address::Tcp(node.address());
    let mut open = RawClient::login(&address, &Login::new("postgres", "postgres"));
    node.pause().unwrap();
    open.send(&crate::harness::message::query("SELECT 1")).unwrap();
    open.set_deadline(std::time::Duration::from_millis(200));
    assert_eq!(open.reply().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let mut fresh = RawClient::connect(&address).expect("the system accepts for the server");
    node.resume().unwrap();
    open.set_deadline(secs(10));
    assert_eq!(open.until_ready().iter().find_map(Frame::first_text).as_deref(), Some("1"));
    fresh.send(&Login::new("postgres", "postgres").packet()).unwrap();
    assert!(fresh.authenticate(&Login::new("postgres", "postgres")).unwrap().len() > 2);
}

#[test]
fn one_backend_can_be_killed_by_its_pid() {
    let cluster = Cluster::start().unwrap();
    let node = cluster.primary();
    let mut client = RawClient::login(&node.address().into(), &Login::new("postgres", "postgres"));
    let pid = client.ask_value("SELECT pg_backend_pid()").parse().unwrap();
    node.signal_backend(pid, Signal::Term).unwrap();
    let last = client.until_closed();
    assert_eq!(last.last().and_then(Frame::sqlstate).as_deref(), Some("57P01"));
}

#[test]
fn a_dropped_cluster_leaves_no_process_and_no_file() {
    let cluster = Cluster::options().replicas(1).start().unwrap();
    let pids = [cluster.primary().pid().unwrap(), cluster.replica(0).pid().unwrap()];
    let folder = cluster.primary().data_folder().parent().unwrap().parent().unwrap().to_owned();
    assert!(folder.is_dir());
    // Standing still does not save it.
    cluster.primary().pause().unwrap();
    drop(cluster);
    assert!(!folder.exists());
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn the_server_outlives_the_thread_that_started_it() {
    let cluster = std::thread::spawn(|| Cluster::start().unwrap()).join().unwrap();
    assert_eq!(value(&cluster.primary().sql("postgres", "SELECT 1").unwrap()), "1");
}

/// The test starts itself as a second process, which holds a cluster until it is killed.
#[test]
fn the_server_ends_with_the_process_that_started_it() {
    const ROLE: &str = "PGWEIR_IT_HOLDS_A_CLUSTER";
    if std::env::var_os(ROLE).is_some() {
        let cluster = Cluster::start().unwrap();
        println!("\npostmaster {}", cluster.primary().pid().unwrap());
        std::thread::park();
    }
    let name = "harness_proofs::cluster::the_server_ends_with_the_process_that_started_it";
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let pid = lines.find_map(|line| Some(line.unwrap().strip_prefix("postmaster ")?.to_owned()));
    let command = format!("/proc/{}/cmdline", pid.expect("the holder tells the pid"));
    assert!(fs::read(&command).unwrap().windows(8).any(|part| part == b"postgres"));
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("the server ends with its parent", secs(10), || {
        fs::read(&command).unwrap_or_default().is_empty()
    });
}

#[test]
fn passwords_are_checked_by_each_method() {
    for method in [AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256] {
        let cluster =
            Cluster::options().auth(method).role("app", "it's \\ secret").start().unwrap();
        let address = Address::Tcp(cluster.primary().address());
        let login = Login::new("app", "postgres").password("it's \\ secret");
        let mut client = RawClient::login(&address, &login);
        assert_eq!(client.ask_value("SELECT current_user"), "app", "{method:?}");
        let (_, refused) = RawClient::try_login(&address, &login.password("wrong")).unwrap();
        let code = refused.last().and_then(Frame::sqlstate);
        assert_eq!(code.as_deref(), Some("28P01"), "{method:?}");
    }
}

#[test]
fn tls_is_offered_with_the_given_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let cluster = Cluster::options().tls(&certificate, &key).start().unwrap();
    let mut client = RawClient::connect(&cluster.primary().address().into()).unwrap();
    client.send(&crate::harness::message::ssl_request()).unwrap();
    assert_eq!(client.byte().unwrap(), Some(b'S'));
}

#[test]
fn extra_lines_reach_the_configuration_files() {
    let cluster = Cluster::options()
        .conf("work_mem = '7MB'")
        .max_connections(33)
        .hba("host all banned 127.0.0.1/32 reject")
        .role("banned", "x")
        .log_statements()
        .start()
        .unwrap();
    let node = cluster.primary();
    assert_eq!(value(&node.sql("postgres", "SHOW work_mem").unwrap()), "7MB");
    assert_eq!(value(&node.sql("postgres", "SHOW max_connections").unwrap()), "33");
    let login = Login::new("banned", "postgres");
    let (_, refused) = RawClient::try_login(&node.address().into(), &login).unwrap();
    assert_eq!(refused.last().and_then(Frame::sqlstate).as_deref(), Some("28000"));
    node.sql("postgres", "SELECT 'a needle'").unwrap();
    assert!(node.log().contains("statement: SELECT 'a needle'"));
}

#[test]
fn a_major_version_that_is_not_there_is_refused_with_the_package_to_install() {
    let error = Binaries::find_major(7).unwrap_err().to_string();
    assert!(error.contains("apt-get install postgresql-7"), "{error}");
}

#[test]
fn every_installed_major_version_starts() {
    for binaries in Binaries::all() {
        let cluster = Cluster::options().binaries(binaries.clone()).replicas(1).start().unwrap();
        let number = cluster.primary().sql("postgres", "SHOW server_version_num").unwrap();
        let number: u32 = value(&number).parse().unwrap();
        assert_eq!(number / 10_000, binaries.major());
    }
}
