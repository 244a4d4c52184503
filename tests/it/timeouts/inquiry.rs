//! What pgweir asks Postgres about server processes, and that it ends none but its own.

use std::sync::Arc;
use std::time::Duration;

use pgweir::cancel::{Asker, CancelTarget};
use pgweir::cluster::Cluster;
use pgweir::cluster::process::Signal;
use pgweir::config::Config;
use pgweir::dial::Dialler;
use pgweir::net::socket::Socket;
use pgweir::pool::PoolSpec;
use pgweir::worker::mail::{NewServer, StandbyWait};

use super::error_of;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::message::query;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::Login;

/// What a pool is told of its servers.
fn settings(cluster: &Cluster, role: &str) -> Arc<pgweir::config::Effective> {
    let url = format!("postgres://{}/postgres?sslmode=disable", cluster.primary().address());
    let config = format!("[databases.app]\nprimary = \"{url}\"\n");
    let config = Config::parse(&config, "test.toml").unwrap().config;
    Arc::new(config.resolve("app", role).unwrap())
}

fn pool(cluster: &Cluster, role: &str) -> Arc<PoolSpec> {
    let (database, settings) = ("app".to_owned(), settings(cluster, role));
    Arc::new(PoolSpec::new(1, database, role.to_owned(), settings))
}

fn with_role(role: &str) -> Cluster {
    let cluster = Cluster::start().unwrap();
    cluster.primary().sql("postgres", &format!("create role {role} login")).unwrap();
    cluster
}

/// A server of a pool, alive for as long as the connection is kept, and where it is.
async fn dial(pool: &PoolSpec) -> (NewServer<Socket>, Arc<CancelTarget>) {
    let server = Dialler::default().dial_for(pool).await.unwrap();
    let target = server.cancel.clone().unwrap();
    (server, target)
}

/// The same process, known for so much longer than it is.
fn known_for_longer(target: &CancelTarget, by: Duration) -> Arc<CancelTarget> {
    let since = target.since.checked_sub(by).unwrap();
    Arc::new(CancelTarget { since, ..target.clone() })
}

fn is_alive(cluster: &Cluster, pid: i32) -> bool {
    let text = format!("select count(*) from pg_stat_activity where pid = {pid}");
    cluster.primary().sql("postgres", &text).unwrap()[0][0].as_deref() == Some("1")
}

#[tokio::test]
async fn a_process_that_has_the_number_of_a_server_but_is_younger_is_left_alone() {
    let cluster = with_role("web");
    let (asker, pool) = (Arc::new(Asker::default()), pool(&cluster, "web"));
    let (_connection, server) = dial(&pool).await;
    let other = known_for_longer(&server, secs(20));
    assert_eq!(asker.is_there(pool.clone(), other.clone()).await, Some(false));
    assert_eq!(asker.terminate(pool.clone(), other).await, Some(false));
    assert!(is_alive(&cluster, server.pid));
    assert_eq!(asker.is_there(pool.clone(), server.clone()).await, Some(true));
    assert_eq!(asker.terminate(pool, server.clone()).await, Some(true));
    wait_until("it is gone", secs(10), || !is_alive(&cluster, server.pid));
}

#[tokio::test]
async fn a_server_is_asked_about_and_ended_where_it_is_after_its_pool_has_moved() {
    let (old, new) = (with_role("web"), with_role("web"));
    let (asker, pool) = (Arc::new(Asker::default()), pool(&old, "web"));
    let (_connection, server) = dial(&pool).await;
    pool.follow(settings(&new, "web"));
    assert_eq!(asker.is_there(pool.clone(), server.clone()).await, Some(true));
    assert_eq!(asker.terminate(pool.clone(), server.clone()).await, Some(true));
    wait_until("it is gone", secs(10), || !is_alive(&old, server.pid));
    assert_eq!(asker.is_there(pool, server).await, Some(false));
    assert!(!new.primary().log().contains("pgweir inquiry"));
}

#[tokio::test]
async fn what_only_other_roles_may_see_is_not_taken_for_a_server() {
    let cluster = with_role("web");
    cluster.primary().sql("postgres", "create role other login").unwrap();
    let asker = Arc::new(Asker::default());
    let (mine, others) = (pool(&cluster, "web"), pool(&cluster, "other"));
    let (_connection, server) = dial(&mine).await;
    let (_other_connection, other) = dial(&others).await;
    // As if the number had come to be another role's.
    let account = server.account.clone();
    let mixed = Arc::new(CancelTarget { account, ..CancelTarget::clone(&other) });
    assert_eq!(asker.is_there(mine.clone(), mixed.clone()).await, Some(false));
    assert_eq!(asker.terminate(mine, mixed).await, Some(false));
    assert!(is_alive(&cluster, other.pid));
}

#[tokio::test]
async fn postgres_says_whether_anything_can_wait_for_a_standby() {
    let cluster = with_role("web");
    let (asker, pool) = (Arc::new(Asker::default()), pool(&cluster, "web"));
    let (_connection, server) = dial(&pool).await;
    let wait = asker.standby_wait(pool.clone(), server.clone()).await;
    assert_eq!(wait, Some(StandbyWait::Never));
    cluster.primary().add_conf("synchronous_standby_names = 'nobody'").unwrap();
    cluster.primary().reload().unwrap();
    let names = || cluster.primary().sql("postgres", "show synchronous_standby_names").unwrap();
    wait_until("it is read", secs(10), || names()[0][0].as_deref() == Some("nobody"));
    let wait = asker.standby_wait(pool.clone(), server.clone()).await;
    assert_eq!(wait, Some(StandbyWait::NotNow));
    // Whose number it is now is not known, and it may wait.
    let other = known_for_longer(&server, secs(20));
    assert_eq!(asker.standby_wait(pool, other).await, None);
}

#[test]
fn what_does_not_react_to_a_cancel_request_is_ended_on_the_host_that_it_is_on() {
    let (first, second) = (with_role("web"), with_role("web"));
    let config = |cluster: &Cluster| {
        let address = cluster.primary().address();
        format!(
            "server.listen = [\"{{listen}}\"]\nhttp.listen = \"{{http}}\"\nauth.method = \"trust\"\n\
             databases.app.primary = \"postgres://{address}/postgres?sslmode=disable\"\n\
             [roles.web]\npassword = \"x\"\nstatement_timeout = \"2s\"\n"
        )
    };
    let mut pgweir = Pgweir::options().whole_config(&config(&second)).start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    let server = client.ask_value("select pg_backend_pid()").parse().unwrap();
    assert!(is_alive(&second, server));
    let looping = "do $$ begin loop begin perform pg_sleep(600); \
                   exception when query_canceled then end; end loop; end $$";
    client.set_deadline(secs(30));
    client.send(&query(looping)).unwrap();
    // From now on whoever dials the pool's primary comes to another host.
    pgweir.rewrite_config(|options| options.whole_config(&config(&first)));
    pgweir.signal(Signal::Hup);
    pgweir.wait_for_log("configuration reloaded", secs(10));
    let frames = client.until_ready();
    assert_eq!(error_of(&frames).sqlstate().as_deref(), Some("57014"));
    wait_until("it is gone", secs(10), || !is_alive(&second, server));
}
