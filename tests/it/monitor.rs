//! The servers of a database that has several, as `SHOW REPLICAS` tells how they stand: a real primary and two
//! streaming standbys.

use std::time::{Duration, Instant};

use pgweir::cluster::process::Signal;
use pgweir::cluster::{AuthMethod, Cluster, Node, Shutdown};

use crate::console::Table;
use crate::harness::await_event::{secs, wait_for, wait_until};
use crate::harness::frame::Frame;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::proxy::FaultProxy;
use crate::harness::raw::{Login, RawClient};
use crate::harness::{front, http};

/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(10);
/// How long it may take until writes go to a server that was promoted.
const FOLLOWED: Duration = Duration::from_secs(5);
/// A probe's deadline, and what a machine with much to do may need beyond.
const DETECTED: Duration = Duration::from_millis(1_000 + 1_000);

fn cluster() -> Cluster {
    front::shop_options()
        .replicas(2)
        .role("app", "secret")
        .start()
        .expect("a primary and two standbys")
}

/// pgweir before a cluster, whose nodes stand in the configuration in this order: the first as the primary.
fn before(nodes: &[&Node]) -> PgweirOptions {
    in_front_of(nodes).role("postgres", "postgres").set("auth", "method = \"trust\"")
}

fn in_front_of(nodes: &[&Node]) -> PgweirOptions {
    let url = |node: &Node| format!("postgres://{}/shop?sslmode=disable", node.address());
    let options = Pgweir::options()
        .database("shop", &url(nodes[0]))
        .set("defaults", "pool_size = 3\nreserve_pool_size = 0")
        .set("admin", "admins = [\"dba\"]");
    nodes[1..].iter().fold(options, |options, node| options.replica("shop", &url(node)))
}

/// One server as `SHOW REPLICAS` has it.
#[derive(Clone, Debug)]
struct Line(Table, usize);

impl Line {
    fn at(&self, column: &str) -> String {
        self.0.at(&self.0.rows[self.1], column)
    }

    fn number(&self, column: &str) -> u64 {
        self.at(column).parse().unwrap_or_else(|_| panic!("{column} in {self:?}"))
    }
}

struct Watched {
    pgweir: Pgweir,
    console: RawClient,
}

impl Watched {
    /// The first client has logged in: its servers are watched.
    fn start(options: PgweirOptions) -> (Self, RawClient) {
        let pgweir = options.start();
        let mut client = front::client(&pgweir);
        client.ask_value("select 1");
        let console = pgweir.client(&Login::new("dba", "pgbouncer"));
        (Watched { pgweir, console }, client)
    }

    fn lines(&mut self) -> Vec<Line> {
        let table = Table::of(&self.console.ask("SHOW REPLICAS"));
        (0..table.rows.len()).map(|row| Line(table.clone(), row)).collect()
    }

    fn line(&mut self, node: &Node) -> Line {
        let port = format!(":{}", node.port());
        let lines = self.lines();
        lines
            .into_iter()
            .find(|line| line.at("node").ends_with(&port))
            .expect("a line for each node")
    }

    /// Waits until a server stands as it is asked for; gives how long that took.
    fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        node: &Node,
        is: impl Fn(&Line) -> bool,
    ) -> Duration {
        let began = Instant::now();
        wait_until(what, limit, || is(&self.line(node)));
        began.elapsed()
    }

    fn stands(&mut self, node: &Node) -> (String, String, u64, u64) {
        let line = self.line(node);
        (line.at("role"), line.at("state"), line.number("writes"), line.number("reads"))
    }
}

fn up(role: &str, writes: u64, reads: u64) -> (String, String, u64, u64) {
    (role.to_owned(), "up".to_owned(), writes, reads)
}

/// Writes a row where writes go now; the port of that server.
fn write(client: &mut RawClient) -> Option<String> {
    let frames = client.ask("insert into t values (1) returning inet_server_port()");
    frames.iter().find_map(Frame::first_text)
}

#[test]
fn the_primary_is_found_wherever_the_configuration_has_it() {
    let cluster = cluster();
    let [standby, other] = [cluster.replica(0), cluster.replica(1)];
    // A role without any privilege asks as well.
    let options = before(&[standby, cluster.primary(), other])
        .role("app", "secret")
        .set("databases.shop", "server_role = \"app\"");
    let (mut watched, mut client) = Watched::start(options);
    assert_eq!(client.ask_value("select inet_server_port()"), cluster.primary().port().to_string());
    let caught_up = |line: &Line| line.at("reads") == "1";
    watched.wait("reads at a standby", SOON, standby, caught_up);
    watched.wait("reads at the other", SOON, other, caught_up);
    assert_eq!(watched.stands(cluster.primary()), up("primary", 1, 0));
    assert_eq!(watched.stands(standby), up("standby", 0, 1));
    let line = watched.line(cluster.primary());
    assert_eq!((line.at("timeline").as_str(), line.at("why").as_str()), ("1", "NULL"));
    wait_until("positions that are the same", SOON, || {
        let lines = watched.lines();
        lines.iter().all(|line| line.at("position") == lines[0].at("position"))
    });
    assert_eq!(watched.line(standby).number("lag_ms"), 0);
    // It leaves nothing behind at the servers but one connection to each.
    for node in [cluster.primary(), standby, other] {
        let probes = "select count(*), min(datname), min(usename) from pg_stat_activity \
                      where application_name = 'pgweir probe'";
        let rows = node.sql("shop", probes).unwrap();
        let words: Vec<_> = rows[0].iter().map(|word| word.as_deref().unwrap_or("")).collect();
        assert_eq!(words, ["1", "postgres", "app"]);
    }
}

#[test]
fn a_promotion_is_followed_and_the_old_primary_gets_nothing() {
    let cluster = cluster();
    let (old, new, other) = (cluster.primary(), cluster.replica(0), cluster.replica(1));
    old.sql("shop", "create table t (n int)").unwrap();
    let (mut watched, mut client) = Watched::start(before(&[old, new, other]));
    assert_eq!(write(&mut client), Some(old.port().to_string()));
    cluster.wait_until_replayed().unwrap();

    old.stop(Shutdown::Fast).unwrap();
    watched.wait("the old primary's end", DETECTED, old, |line| line.at("state") == "down");
    assert_eq!(
        watched.line(old).at("writes"),
        "1",
        "that it is silent makes nobody else the primary"
    );
    new.sql("postgres", "select pg_promote(false)").unwrap();
    let promoted = Instant::now();
    let port = wait_for("a write at the new primary", FOLLOWED, || {
        let mut client = front::client(&watched.pgweir);
        write(&mut client)
    });
    println!("writes are back {:?} after pg_promote", promoted.elapsed());
    assert_eq!(port, new.port().to_string());
    assert_eq!(
        write(&mut client),
        Some(new.port().to_string()),
        "the session has lived through it"
    );
    assert_eq!(watched.stands(new), up("primary", 1, 0));
    assert_eq!(watched.line(new).at("timeline"), "2");

    // The other standby still looks for the old one, and what it has is not the new one's.
    let line = watched.line(other);
    assert_eq!((line.at("reads").as_str(), line.at("state").as_str()), ("0", "up"), "{line:?}");
    let follow = format!(
        "primary_conninfo = 'host={} port={} user=postgres'",
        new.socket_folder().display(),
        new.port()
    );
    other.add_conf(&follow).unwrap();
    other.reload().unwrap();
    watched.wait("reads at who follows the new one", SOON, other, |line| line.at("reads") == "1");

    // The old one comes back and does not know: two take writes, and none gets any.
    old.start().unwrap();
    watched.wait("two primaries", FOLLOWED, new, |line| line.at("writes") == "0");
    assert_eq!(watched.stands(old), ("primary".into(), "down".into(), 0, 0));
    wait_until("the log", SOON, || watched.pgweir.log().contains("nobody gets the writes"));
    old.stop(Shutdown::Fast).unwrap();
    watched.wait("one primary", FOLLOWED, new, |line| line.at("writes") == "1");
    assert_eq!(write(&mut client), Some(new.port().to_string()));
    let metrics = http::get(watched.pgweir.http(), "/metrics");
    assert!(metrics.contains("pgweir_promotions_total{database=\"shop\"} 1"), "{metrics}");
}

#[test]
fn a_replica_whose_replay_is_paused_falls_behind_and_catches_up() {
    let cluster = cluster();
    let (primary, behind, other) = (cluster.primary(), cluster.replica(0), cluster.replica(1));
    primary.sql("shop", "create table t (n int)").unwrap();
    let options =
        before(&[primary, behind, other]).set("databases.shop.routing", "max_lag = \"500ms\"");
    let (mut watched, _client) = Watched::start(options);
    watched.wait("reads", SOON, behind, |line| line.at("reads") == "1");
    behind.sql("postgres", "select pg_wal_replay_pause()").unwrap();
    let write = "insert into t select generate_series(1, 1000); \
                 set synchronous_commit = on; select pg_logical_emit_message(true, '', '')";
    primary.sql("shop", write).unwrap();
    watched.wait("no reads at who is behind", SOON, behind, |line| line.at("reads") == "0");
    let line = watched.line(behind);
    assert!(line.number("lag_ms") >= 500 && line.number("lag_bytes") > 10_000, "{line:?}");
    assert_eq!(line.at("replay_paused"), "1");
    assert!(line.at("why").contains("behind"), "{line:?}");
    let line = watched.line(other);
    assert_eq!((line.at("reads").as_str(), line.number("lag_bytes")), ("1", 0));
    behind.sql("postgres", "select pg_wal_replay_resume()").unwrap();
    watched.wait("reads again", SOON, behind, |line| line.at("reads") == "1");
    assert_eq!(watched.line(behind).number("lag_ms"), 0);
    // Nobody falls behind while nothing is written.
    let probes = watched.line(behind).number("probes");
    watched.wait("more probes", SOON, behind, |line| line.number("probes") > probes + 8);
    assert_eq!(watched.line(behind).number("lag_ms"), 0);
}

#[test]
fn a_server_that_stands_still_is_seen_within_the_deadline_and_comes_back_slowly() {
    let cluster = cluster();
    let (primary, still, other) = (cluster.primary(), cluster.replica(0), cluster.replica(1));
    let (mut watched, _client) = Watched::start(before(&[primary, still, other]));
    watched.wait("reads", SOON, still, |line| line.at("reads") == "1");
    watched.wait("reads at the other", SOON, other, |line| line.at("reads") == "1");
    still.pause().unwrap();
    let took = watched.wait("no reads", DETECTED, still, |line| line.at("reads") == "0");
    println!("a server that stands still is seen after {took:?}");
    assert_eq!(watched.line(still).at("why"), "no answer within 1s");
    assert_eq!(watched.stands(other), up("standby", 0, 1));
    still.resume().unwrap();
    let took = watched.wait("reads again", SOON, still, |line| line.at("reads") == "1");
    println!("it is read again after {took:?}");
    assert!(watched.line(still).number("share") < 1_000);

    // The primary as well: that is no reason to take another for it, nor to refuse reads.
    primary.pause().unwrap();
    watched.wait("a silent primary", DETECTED, primary, |line| line.at("state") == "down");
    assert_eq!(watched.line(primary).at("writes"), "1");
    assert_eq!(watched.stands(other), up("standby", 0, 1));
    primary.resume().unwrap();
    watched.wait("its voice", SOON, primary, |line| line.at("state") == "up");

    // Whoever restarts is not asked for what it had.
    still.stop(Shutdown::Fast).unwrap();
    watched.wait("no reads", DETECTED, still, |line| line.at("reads") == "0");
    still.start().unwrap();
    watched.wait("reads after a restart", secs(15), still, |line| line.at("reads") == "1");
}

#[test]
fn a_statement_has_the_database_of_a_probe_to_itself() {
    let cluster = cluster();
    let refused = "host postgres postgres 127.0.0.1/32 reject";
    for node in [cluster.primary(), cluster.replica(0)] {
        node.replace_hba(&[
            refused,
            "local all all trust",
            "host all,replication all 127.0.0.1/32 trust",
        ])
        .unwrap();
        node.reload().unwrap();
    }
    let options = before(&[cluster.primary(), cluster.replica(0)]).database(
        "other",
        &format!("postgres://{}/other?sslmode=disable", cluster.primary().address()),
    );
    cluster.primary().sql("postgres", "create database other").unwrap();
    let (mut watched, _client) = Watched::start(options);
    let probed_in = "select datname from pg_stat_activity where application_name = 'pgweir probe'";
    let rows = cluster.primary().sql("postgres", probed_in).unwrap();
    assert_eq!(rows, [[Some("shop".to_owned())]]);
    let mut client = watched.pgweir.client(&Login::new("postgres", "other"));
    let frames = client.ask("create database copy template shop");
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
    watched.wait("a probe", SOON, cluster.primary(), |line| line.at("state") == "up");
    assert_eq!(watched.line(cluster.primary()).at("probes_failed"), "0");
    wait_until("its connection", SOON, || {
        cluster.primary().sql("postgres", probed_in).unwrap() == [[Some("shop".to_owned())]]
    });
}

/// Servers of pgweir's pools at a node: not what asks how it stands.
fn servers(node: &Node) -> u64 {
    let count = "select count(*) from pg_stat_activity where backend_type = 'client backend' \
                 and datname = 'shop' and application_name not in ('pgweir probe', 'cluster')";
    let rows = node.sql("postgres", count).unwrap();
    rows[0][0].as_deref().and_then(|text| text.parse().ok()).expect("a count")
}

#[test]
fn a_reload_brings_a_server_and_takes_one_away_and_cuts_nothing() {
    let cluster = cluster();
    let [primary, goes, comes] = [cluster.primary(), cluster.replica(0), cluster.replica(1)];
    primary.sql("shop", "create table t (n int)").unwrap();
    cluster.wait_until_replayed().unwrap();
    let with = |nodes: &[&Node]| before(nodes).set("defaults", "min_pool_size = 2");
    let (mut watched, mut client) = Watched::start(with(&[primary, goes]));
    for node in [primary, goes] {
        wait_until("servers that are kept open", SOON, || servers(node) == 2);
    }
    client.ask("begin");
    let pid = client.ask_value("select pg_backend_pid()");
    assert_eq!(write(&mut client), Some(primary.port().to_string()));

    let both = with(&[primary, goes, comes]);
    watched.pgweir.rewrite_config(|_| both);
    watched.pgweir.signal(Signal::Hup);
    wait_until("a third server", SOON, || watched.lines().len() == 3);
    watched.wait("reads at who came", SOON, comes, |line| line.at("reads") == "1");
    watched.wait("reads at who was there", SOON, goes, |line| line.at("reads") == "1");
    assert_eq!(client.ask_value("select pg_backend_pid()"), pid, "its transaction goes on");
    assert_eq!(watched.line(primary).at("writes"), "1");
    wait_until("servers that are kept open", SOON, || servers(comes) == 2);

    let without = with(&[primary, comes]);
    watched.pgweir.rewrite_config(|_| without);
    watched.pgweir.signal(Signal::Hup);
    wait_until("one server less", SOON, || watched.lines().len() == 2);
    let anybody = "select count(*) from pg_stat_activity where backend_type = 'client backend' \
                   and application_name <> 'cluster'";
    wait_until("nobody there any more", SOON, || {
        goes.sql("postgres", anybody).unwrap() == [[Some("0".to_owned())]]
    });
    assert_eq!(client.ask_value("select pg_backend_pid()"), pid);
    client.ask("commit");
    assert_eq!(primary.sql("shop", "select count(*) from t").unwrap(), [[Some("1".to_owned())]]);
}

#[test]
fn who_is_known_only_by_its_own_login_lets_the_servers_be_asked_at_once() {
    let options =
        front::shop_options().replicas(1).role("app", "secret").auth(AuthMethod::ScramSha256);
    let cluster = options.hba("local replication all trust").start().unwrap();
    let stored = "select rolpassword from pg_authid where rolname = 'app'";
    let verifier = cluster.primary().sql("postgres", stored).unwrap()[0][0].clone().unwrap();
    let options = in_front_of(&[cluster.replica(0), cluster.primary()])
        .set("auth", "method = \"scram-sha-256\"")
        .set("roles.app", &format!("password = \"{verifier}\""))
        .role("dba", "dba");
    let pgweir = options.start();
    let began = Instant::now();
    let mut client = pgweir.client(&Login::new("app", "shop").password("secret"));
    assert_eq!(client.ask_value("select inet_server_port()"), cluster.primary().port().to_string());
    println!("the first answer came after {:?}", began.elapsed());
    let console = pgweir.client(&Login::new("dba", "pgbouncer").password("dba"));
    let mut watched = Watched { pgweir, console };
    assert_eq!(watched.stands(cluster.primary()), up("primary", 1, 0));
    watched.wait("reads", SOON, cluster.replica(0), |line| line.at("reads") == "1");
    assert_eq!(watched.line(cluster.replica(0)).at("share"), "1000", "it has never been down");
}

#[test]
fn a_standby_that_is_far_away_or_cut_off_is_asked_as_well() {
    let cluster = front::shop_options().replicas(1).start().unwrap();
    let primary = cluster.primary();
    let proxy = FaultProxy::to(cluster.replica(0).address());
    // A login takes longer than a probe may, an answer does not.
    proxy.to_server(|flow| flow.delay(Duration::from_millis(400)));
    let url = format!("postgres://{}/shop?sslmode=disable", proxy.address());
    let (mut watched, _client) = Watched::start(before(&[primary]).replica("shop", &url));
    let port = format!(":{}", proxy.address().port());
    let mut wait = |what: &str, reads: &str| {
        let began = Instant::now();
        wait_until(what, SOON, || {
            let lines = watched.lines();
            let line = lines.iter().find(|line| line.at("node").ends_with(&port));
            line.expect("its line").at("reads") == reads
        });
        began.elapsed()
    };
    wait("reads far away", "1");
    // Nothing comes through any more, and nothing says so.
    proxy.to_client(|flow| flow.stall_after(0));
    let took = wait("no reads", "0");
    println!("a server that is cut off is seen after {took:?}");
    proxy.heal();
    println!("it is read again after {:?}", wait("reads again", "1"));
}
