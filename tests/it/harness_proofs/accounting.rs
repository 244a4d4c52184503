//! The accounting check passes when all is settled, and names each thing that is not.
//!
//! A few lines of HTTP and a shell stand in for pgweir: the one tells the state, the other's files and
//! memory are counted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use pgweir::cluster::Cluster;

use crate::harness::accounting::{Accounting, ProcessState, activity};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::raw::{Login, RawClient};

/// Answers every request with the text that the test sets.
struct Told {
    address: SocketAddr,
    text: Arc<Mutex<String>>,
}

impl Told {
    fn new(text: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let told = Self { address: listener.local_addr().unwrap(), text: Arc::new(text.into()) };
        let text = told.text.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let body = text.lock().unwrap().clone();
                let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}");
            }
        });
        told
    }

    fn set(&self, text: String) {
        *self.text.lock().unwrap() = text;
    }
}

fn state(idle: u64, leased: u64, open: u64, waiting: u64) -> String {
    format!(
        r#"{{"pools":[{{"database":"shop","role":"app","server":"127.0.0.1:1","idle":{idle},
        "leased":{leased},"login":0,"cancel":0,"zombie":0,"moving":0,"open":{open},"waiting":{waiting},
        "clients":7,"pinned":0,"listeners":0,"more":"is ignored"}}],"clients":7,"version":"1"}}"#
    )
}

/// A shell that runs one line at a time.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start() -> Self {
        let mut child =
            Command::new("/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shell = Self { child, input, output: BufReader::new(output) };
        shell.run("true");
        shell
    }

    fn run(&mut self, line: &str) {
        writeln!(self.input, "{line}\necho done").unwrap();
        self.output.read_line(&mut String::new()).unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shop() -> Cluster {
    Cluster::options().role("app", "x").database("shop").start().unwrap()
}

fn servers(cluster: &Cluster, count: usize) -> Vec<RawClient> {
    let login = Login::new("app", "shop");
    let address = cluster.primary().address().into();
    (0..count).map(|_| RawClient::login(&address, &login)).collect()
}

#[test]
fn a_settled_process_passes() {
    let (cluster, shell) = (shop(), Shell::start());
    let open = servers(&cluster, 2);
    let told = Told::new(state(2, 0, 2, 0));
    let accounts = Accounting::new(told.address, shell.child.id(), &[cluster.primary()]);
    accounts.assert_balanced();
    accounts.assert_settled(secs(5));
    drop(open);
}

#[test]
fn parts_that_do_not_add_up_are_named_at_once() {
    let (cluster, shell) = (shop(), Shell::start());
    let told = Told::new(state(0, 0, 0, 0));
    let accounts = Accounting::new(told.address, shell.child.id(), &[cluster.primary()]);
    told.set(state(1, 1, 3, 0));
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        accounts.assert_settled(secs(60));
    }));
    let text = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("the parts are 2, open is 3"), "{text}");
}

#[test]
fn whoever_is_leased_or_waits_is_named() {
    let (cluster, shell) = (shop(), Shell::start());
    let _open = servers(&cluster, 1);
    let told = Told::new(state(1, 0, 1, 0));
    let accounts = Accounting::new(told.address, shell.child.id(), &[cluster.primary()]);
    told.set(state(0, 1, 1, 0));
    assert!(accounts.complaints().contains("not quiet"));
    told.set(state(1, 0, 1, 4));
    assert!(accounts.complaints().contains("waiting: 4"));
}

#[test]
fn a_server_that_postgres_still_has_is_named() {
    let (cluster, shell) = (shop(), Shell::start());
    let open = servers(&cluster, 3);
    let told = Told::new(state(2, 0, 2, 0));
    let accounts = Accounting::new(told.address, shell.child.id(), &[cluster.primary()]);
    let text = accounts.complaints();
    assert!(text.contains("open is 2, pg_stat_activity shows 3"), "{text}");
    drop(open);
    let node = cluster.primary();
    wait_until("the sessions end", secs(5), || activity(node, "shop", "app") == 0);
    assert!(accounts.complaints().contains("pg_stat_activity shows 0"));
}

#[test]
fn roles_that_share_a_server_role_are_counted_together() {
    let (cluster, shell) = (shop(), Shell::start());
    let _open = servers(&cluster, 2);
    let pool = |role: &str| {
        let text = state(1, 0, 1, 0);
        let (from, to) = (text.find('[').unwrap() + 1, text.find(']').unwrap());
        text[from..to].replace("\"app\"", &format!("{role:?}"))
    };
    let told = Told::new(format!(r#"{{"pools":[{},{}],"clients":2}}"#, pool("web"), pool("batch")));
    let accounts = Accounting::new(told.address, shell.child.id(), &[cluster.primary()]);
    let accounts = accounts.server_role("web", "app").server_role("batch", "app");
    accounts.assert_settled(secs(5));
}

#[test]
fn a_file_left_open_is_named_and_closing_it_settles() {
    let (cluster, mut shell) = (shop(), Shell::start());
    let told = Told::new(state(0, 0, 0, 0));
    let accounts = Accounting::new(told.address, shell.child.id(), &[cluster.primary()]);
    shell.run("exec 5</dev/null");
    assert!(accounts.complaints().contains("open files but servers"));
    shell.run("exec 5<&-");
    accounts.assert_settled(secs(5));
}

#[test]
fn memory_that_stays_is_named() {
    let (cluster, mut shell) = (shop(), Shell::start());
    let told = Told::new(state(0, 0, 0, 0));
    let accounts = Accounting::new(told.address, shell.child.id(), &[cluster.primary()]);
    shell.run("kept=$(head -c 20000000 /dev/zero | tr '\\0' x)");
    assert!(accounts.complaints().contains("RssAnon"), "{}", accounts.complaints());
    assert_eq!(accounts.memory_slack_kb(1_000_000).complaints(), "");
}

#[test]
fn what_is_missing_in_the_state_is_named() {
    let check = |text: &str, expected: &str| {
        let error = ProcessState::parse(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check("{}", "pools");
    check(r#"{"pools":[]}"#, "clients");
    check(r#"{"pools":[{"database":"a"}],"clients":0}"#, "role");
    check("no json", "expected");
    assert_eq!(ProcessState::parse(&state(1, 2, 3, 4)).unwrap().pools[0].waiting, 4);
}
