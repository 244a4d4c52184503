//! The ends of connections: clients that leave in the middle of anything, servers that go away, limits that
//! run out. A real Postgres behind pgweir; afterwards the accounts hold.

mod clients;
mod copies;
mod goodbyes;
mod limits;
mod restarts;
mod servers;
mod transactions;

use pgweir::cluster::Cluster;

use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::raw::RawClient;

/// How a client goes without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    Close,
    Reset,
    /// Its end only: it could still read.
    HalfClose,
}

const WAYS_TO_GO: [Going; 3] = [Going::Close, Going::Reset, Going::HalfClose];

impl Going {
    /// Lets a client go. What is given back must be kept as long as it is to be gone in this way.
    fn go(self, client: RawClient) -> Option<RawClient> {
        match self {
            Going::Close => drop(client),
            Going::Reset => client.reset().unwrap(),
            Going::HalfClose => {
                client.half_close().unwrap();
                return Some(client);
            }
        }
        None
    }
}

/// How many statements with these words run at the server.
fn running(cluster: &Cluster, words: &str) -> usize {
    let question = format!(
        "select 1 from pg_stat_activity where state = 'active' and query like '%{words}%' \
         and pid <> pg_backend_pid()"
    );
    cluster.primary().sql("postgres", &question).unwrap().len()
}

fn wait_for_running(cluster: &Cluster, words: &str) {
    wait_until("it runs", secs(10), || running(cluster, words) > 0);
}

/// Waits until nothing with these words runs any more: a few seconds, not until it ends by itself.
#[track_caller]
fn wait_for_none_running(cluster: &Cluster, words: &str) {
    wait_until("its end", secs(5), || running(cluster, words) == 0);
}

/// An unnamed batch up to Execute, without Sync.
fn unnamed(sql: &str) -> Vec<u8> {
    [message::parse("", sql, &[]), message::bind("", "", &[]), message::execute("", 0)].concat()
}

fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

/// The SQLSTATE of the one error in an answer.
#[track_caller]
fn only_error(frames: &[Frame]) -> String {
    let errors: Vec<_> = frames.iter().filter(|frame| frame.tag == b'E').collect();
    assert_eq!(errors.len(), 1, "{frames:?}");
    errors[0].sqlstate().expect("an SQLSTATE")
}

fn status(frames: &[Frame]) -> Option<char> {
    frames.last().and_then(Frame::status)
}

/// A table that every database user may write.
fn with_table(cluster: &Cluster) {
    cluster.primary().sql("shop", "create table kept (n int primary key)").unwrap();
}

/// What is in it, past pgweir.
fn kept(cluster: &Cluster) -> Vec<String> {
    let rows = cluster.primary().sql("shop", "select n from kept order by n").unwrap();
    rows.into_iter().flatten().flatten().collect()
}

/// Ends backends of the pool, as an administrator does; gives how many.
fn terminate_backends(cluster: &Cluster) -> usize {
    let question = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
                    where datname = 'shop' and backend_type = 'client backend'";
    cluster.primary().sql("postgres", question).unwrap().len()
}
