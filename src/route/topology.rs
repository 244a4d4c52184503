//! The servers of one `[databases.X]`, and what is shared about them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::figures::Figures;
use super::marks::LastWrite;
use super::picture::{Picture, PrimaryIs};
use super::shelf::Shelf;
use crate::config::{DatabaseConfig, Host, Target};

/// One server, primary or not: that is found out.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is, with one host.
    pub target: Target,
    /// Its share of the reads, relative to the others'. At least 1.
    pub weight: u32,
    /// Further behind than this it gets no reads; `None`: it always does.
    pub max_lag_ms: Option<u64>,
}

impl Node {
    /// Where it is.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.target.hosts[0]
    }

    fn is_as(&self, other: &Self) -> bool {
        self.target.reaches_as(&other.target)
            && (self.weight, self.max_lag_ms) == (other.weight, other.max_lag_ms)
    }
}

/// The servers of one `[databases.X]`. Its monitor writes, loops read.
#[derive(Debug)]
pub struct Topology {
    /// The table.
    pub table: String,
    /// What it is called: as the table, or as the alias that has other limits for its replicas.
    pub name: String,
    /// Every host of `primary`, in order, then those of the replicas.
    pub nodes: Box<[Node]>,
    /// So many of the nodes, the first ones, stand as the primary in the configuration.
    pub primaries: usize,
    /// How often positions are read.
    pub lag_interval_ms: u64,
    /// The number of the last probe that has been begun, of whichever node.
    begun: AtomicU64,
    /// A session's reads stay at the primary for want of a newer picture.
    wanted: AtomicBool,
    asked: Notify,
    /// What is known of its databases, by their names there.
    shelves: Mutex<HashMap<String, Arc<Shelf>>>,
    /// The last write of any session.
    written: LastWrite,
    asynchronous: AtomicBool,
    picture: ArcSwap<Picture>,
    figures: Mutex<Figures>,
}

/// How many numbers of probes are left out where other servers follow: the loops may mark with the old counter for a
/// while.
const NUMBERS_LEFT_OUT: u64 = 1 << 20;

impl Topology {
    /// The servers of a database; `None` when there is but one, which then is the primary.
    #[must_use]
    pub fn of(database: &DatabaseConfig) -> Option<Self> {
        let each = |target: &Target| -> Vec<Target> {
            let one = |host: &Host| Target { hosts: vec![host.clone()], ..target.clone() };
            target.hosts.iter().map(one).collect()
        };
        let routing = &database.routing;
        let mut nodes: Vec<Node> = Vec::new();
        let mut add = |target: Target, weight, max_lag_ms| match nodes
            .iter_mut()
            .find(|node| node.target.hosts == target.hosts)
        {
            // A replica that is among the primary's hosts, too, has the weight of the replica.
            Some(known) => (known.weight, known.max_lag_ms) = (weight, max_lag_ms),
            None => nodes.push(Node { target, weight, max_lag_ms }),
        };
        for target in each(&database.primary) {
            add(target, 1, routing.max_lag.as_millis());
        }
        for replica in &database.replicas {
            for target in each(&replica.target) {
                add(target, replica.weight, replica.max_lag.as_millis());
            }
        }
        (nodes.len() > 1).then(|| Topology {
            table: database.table.clone(),
            name: database.table.clone(),
            primaries: database.primary.hosts.len(),
            figures: Mutex::new(Figures::of(nodes.len())),
            lag_interval_ms: routing.lag_interval.as_millis().unwrap_or(100),
            begun: AtomicU64::default(),
            wanted: AtomicBool::default(),
            asked: Notify::default(),
            shelves: Mutex::default(),
            written: LastWrite::default(),
            asynchronous: AtomicBool::default(),
            picture: ArcSwap::from_pointee(Picture::unknown(nodes.len())),
            nodes: nodes.into(),
        })
    }

    /// The same under the name of an alias.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Topology { name: name.to_owned(), ..self }
    }

    /// The same in the place of other servers: marks that sessions have set by those numbers stay older than all that
    /// is asked now.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        self.figures().totals = before.figures().totals;
        let was = match before.picture().primary {
            PrimaryIs::Node(node) => before.nodes.get(node),
            PrimaryIs::Nobody(_) | PrimaryIs::Several(_) => None,
        };
        // What is under way at the primary goes on, whatever becomes of the others.
        let is = was
            .and_then(|was| self.nodes.iter().position(|node| node.target.reaches_as(&was.target)));
        if let Some(node) = is {
            let picture = Picture::clone(&self.picture());
            self.show(Picture { primary: PrimaryIs::Node(node), ..picture });
        }
        Topology { begun: AtomicU64::new(before.begun() + NUMBERS_LEFT_OUT), ..self }
    }

    /// Whether a reload has left everything about them as it was.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.table == other.table
            && self.primaries == other.primaries
            && self.lag_interval_ms == other.lag_interval_ms
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(|(a, b)| a.is_as(b))
    }

    /// The number of the last probe that has been begun: every probe with a greater one is sent after this moment.
    #[must_use]
    #[inline]
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// The number of a probe that is now to be sent.
    pub fn begin_probe(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Where the catalog of one of its databases stands.
    #[must_use]
    pub fn shelf(&self, server_database: &str) -> Arc<Shelf> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        match shelves.get(server_database) {
            Some(known) => known.clone(),
            None => shelves.entry(server_database.to_owned()).or_default().clone(),
        }
    }

    /// A write of some session was acknowledged when this was the last probe that had been begun. `to_the_end`: it may
    /// not have been flushed.
    #[inline]
    pub fn wrote(&self, begun: u64, to_the_end: bool) {
        self.written.note(begun, to_the_end);
    }

    /// The last such write, as [`Marks::with_write`](super::Marks::with_write) takes it.
    #[must_use]
    pub fn written(&self) -> (u64, bool) {
        self.written.get()
    }

    /// Somebody's commits are acknowledged before they are flushed.
    pub fn is_asynchronous_now(&self) {
        self.asynchronous.store(true, Ordering::Release);
    }

    /// Whether there may be commits that are seen before they are flushed.
    #[must_use]
    #[inline]
    pub fn is_asynchronous(&self) -> bool {
        self.asynchronous.load(Ordering::Acquire)
    }

    /// How they stand.
    #[must_use]
    #[inline]
    pub fn picture(&self) -> Guard<Arc<Picture>> {
        self.picture.load()
    }

    /// Asks for positions ahead of time: a read stays at the primary for want of them.
    #[inline]
    pub fn want(&self) {
        if !self.wanted.load(Ordering::Relaxed) && !self.wanted.swap(true, Ordering::AcqRel) {
            self.asked.notify_one();
        }
    }

    /// Waits until somebody asks for positions. Cancel safe.
    pub async fn wanted(&self) {
        self.asked.notified().await;
        self.wanted.store(false, Ordering::Release);
    }

    /// What is counted about them. Never locked across an await.
    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They stand like this now.
    pub fn show(&self, picture: Picture) {
        self.picture.store(Arc::new(picture));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ReplicaConfig;
    use crate::config::Timeout;

    #[test]
    fn one_server_needs_no_topology_and_several_are_each_there_once() {
        let target = |text: &str| Target::parse(text).unwrap();
        let mut database = DatabaseConfig::new("shop", target("postgres://a:1/shop"));
        assert!(Topology::of(&database).is_none());
        let replica =
            |text: &str| ReplicaConfig { target: target(text), weight: 2, max_lag: Timeout::Off };
        database.replicas = vec![replica("host=b,a port=1,1")];
        let topology = Topology::of(&database).unwrap();
        let hosts: Vec<String> =
            topology.nodes.iter().map(|node| node.host().to_string()).collect();
        assert_eq!(hosts, ["a:1", "b:1"]);
        assert!(topology.nodes.iter().all(|node| node.weight == 2 && node.max_lag_ms.is_none()));
        assert!(topology.is_as(&Topology::of(&database).unwrap()));
        database.replicas = vec![replica("host=b port=1")];
        assert!(!topology.is_as(&Topology::of(&database).unwrap()));
    }

    #[test]
    fn a_probe_that_is_begun_later_has_a_greater_number() {
        let mut database =
            DatabaseConfig::new("shop", Target::parse("host=a,b dbname=shop").unwrap());
        database.name = "shop".into();
        let topology = Topology::of(&database).unwrap();
        let mark = topology.begun();
        assert!(topology.begin_probe() > mark);
        assert_eq!(topology.begun(), mark + 1);
    }
}
