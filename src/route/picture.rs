//! How the servers of a database stand, as their monitor saw them last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::marks::Marks;

/// Which server takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrimaryIs {
    /// This node.
    Node(usize),
    /// Nobody knows yet, or none of them is: why.
    Nobody(Arc<str>),
    /// Several say that they are: none gets a write until that is settled.
    Several(Vec<usize>),
}

/// Whether a node can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not been asked yet.
    Unknown,
    /// Its last probe was answered in time.
    Up,
    /// It was not: why.
    Down(Arc<str>),
}

impl Health {
    /// Whether its last probe was not answered.
    #[must_use]
    pub fn is_down(&self) -> bool {
        match self {
            Health::Down(_) => true,
            Health::Unknown | Health::Up => false,
        }
    }
}

/// Where a node was when a probe asked it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The probe's number; see [`Topology::begun`](super::Topology::begun).
    pub probe: u64,
    /// Of a primary, what it has flushed; of a replica, what it has replayed.
    pub lsn: u64,
    /// Of a primary, the end of what it has written so far, flushed or not; of a replica, the same as `lsn`.
    pub end: u64,
}

/// How one node stands.
#[derive(Clone, Debug)]
pub struct NodePicture {
    /// Whether it can be used at all.
    pub health: Health,
    /// It said that it is in recovery. `None`: nobody knows.
    pub in_recovery: Option<bool>,
    /// It may be given reads: healthy, following the primary, near enough to it.
    pub readable: bool,
    /// Why not, or why only a share of them; empty: nothing is to be said.
    pub why: Arc<str>,
    /// Its last positions, the oldest first, with rising probe numbers. Those of earlier lives are not among them.
    pub positions: Arc<[Position]>,
    /// Counts its lives: after a restart, or when nothing was known of it for a while, what it shows may be older than
    /// what it had shown.
    pub life: u32,
    /// How far it is behind the primary.
    pub lag_bytes: Option<u64>,
    /// The same in time.
    pub lag_ms: Option<u64>,
    /// How much of its weight it is given, of 1,000: less for a while after it has come back.
    pub share: u32,
}

impl Default for NodePicture {
    fn default() -> Self {
        NodePicture {
            health: Health::Unknown,
            in_recovery: None,
            readable: false,
            why: "".into(),
            positions: [].into(),
            life: 0,
            lag_bytes: None,
            lag_ms: None,
            share: 1_000,
        }
    }
}

/// Most nodes that one read is chosen for.
const MOST_CHOSEN_FROM: usize = 16;

/// How all of them stand.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Another one for each picture of the process.
    pub version: u64,
    /// Which of them takes writes.
    pub primary: PrimaryIs,
    /// The primary's last positions, the oldest first, with rising probe numbers; after a promotion those of both, for
    /// a mark is as old as its probe.
    pub primary_positions: Arc<[Position]>,
    /// Each node, as in [`Topology::nodes`](super::Topology::nodes).
    pub nodes: Box<[NodePicture]>,
}

/// What becomes of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It goes to this node.
    Node(usize),
    /// No node may be given reads.
    NoneReadable,
    /// None of those that may has all that the session has written or seen. Or nobody knows yet.
    NoneFresh,
}

impl Picture {
    /// Nothing is known of so many nodes.
    #[must_use]
    pub fn unknown(nodes: usize) -> Self {
        Picture {
            version: next_version(),
            primary: PrimaryIs::Nobody("no server has been asked yet".into()),
            primary_positions: [].into(),
            nodes: vec![NodePicture::default(); nodes].into(),
        }
    }

    /// Whether a node that may be given reads has all that these marks ask for.
    #[must_use]
    pub fn is_fresh(&self, node: usize, marks: &Marks) -> bool {
        let Some(here) = self.nodes.get(node) else { return false };
        let seen_here = |seen: (usize, u32)| seen == (node, here.life);
        if marks.written().is_none() && marks.seen().is_none_or(|(seen, ..)| seen_here(seen)) {
            return true;
        }
        let Some(now) = here.positions.last() else { return false };
        let written = match marks.written() {
            None => true,
            Some((probe, to_the_end)) => first_after(&self.primary_positions, probe)
                .is_some_and(|then| now.lsn >= if to_the_end { then.end } else { then.lsn }),
        };
        written
            && match marks.seen() {
                None => true,
                Some((seen, _, _)) if seen == (node, here.life) => true,
                Some(((seen, life), probe, to_the_end)) => {
                    self.nodes.get(seen).is_some_and(|there| {
                        there.life == life
                            && first_after(&there.positions, probe).is_some_and(|then| {
                                now.lsn >= if to_the_end { then.end } else { then.lsn }
                            })
                    })
                }
            }
    }

    /// The node for a read of a session with these marks: the less busy one of two taken at random. `busy` tells how
    /// many statements a node has for each of its shares; `random` is any number.
    #[must_use]
    pub fn choose(
        &self,
        marks: &Marks,
        weights: impl Fn(usize) -> u32,
        busy: impl Fn(usize) -> u32,
        random: u64,
    ) -> Choice {
        // Those that may be chosen, each with the shares up to its end; of more, the first.
        let mut fresh = [(0, 0); MOST_CHOSEN_FROM];
        let (mut count, mut total, mut any) = (0, 0_u64, false);
        for (node, here) in self.nodes.iter().enumerate() {
            if !here.readable {
                continue;
            }
            any = true;
            if count < MOST_CHOSEN_FROM && self.is_fresh(node, marks) {
                total += u64::from(weights(node)) * u64::from(here.share);
                fresh[count] = (node, total);
                count += 1;
            }
        }
        let fresh = &fresh[..count];
        let pick = |at: u64| {
            let at = at % total.max(1);
            fresh.iter().find(|(_, end)| at < *end).map_or(fresh[0].0, |(node, _)| *node)
        };
        match fresh {
            [] if any => Choice::NoneFresh,
            [] => Choice::NoneReadable,
            [(only, _)] => Choice::Node(*only),
            _ => {
                let (one, other) = (pick(random & 0xffff_ffff), pick(random >> 32));
                let other_is_idler = one != other && busy(other) < busy(one);
                Choice::Node(if other_is_idler { other } else { one })
            }
        }
    }
}

/// The first position that a probe with a greater number found; where those have been forgotten, a later one, which is
/// further on.
fn first_after(positions: &[Position], probe: u64) -> Option<&Position> {
    positions.get(positions.partition_point(|position| position.probe <= probe))
}

/// A life that no node has had: marks of one never fit another's, whatever servers a reload has put in its place.
#[must_use]
pub fn next_life() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// A version that no other picture has.
#[must_use]
pub fn next_version() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(probe: u64, lsn: u64, end: u64) -> Position {
        Position { probe, lsn, end }
    }

    /// A primary, and two replicas that have replayed so far.
    fn picture(primary: &[Position], replayed: [u64; 2]) -> Picture {
        let mut picture = Picture::unknown(3);
        picture.primary = PrimaryIs::Node(0);
        picture.primary_positions = primary.into();
        picture.nodes[0].positions = primary.into();
        for (node, lsn) in replayed.into_iter().enumerate() {
            let node = &mut picture.nodes[node + 1];
            node.readable = true;
            node.positions = [at(90, lsn, lsn)].into();
        }
        picture
    }

    #[test]
    fn a_write_is_seen_where_the_first_probe_after_it_has_been_replayed() {
        let picture = picture(&[at(10, 100, 110), at(20, 200, 210), at(30, 300, 310)], [200, 205]);
        let mut marks = Marks::default();
        assert!(picture.is_fresh(1, &marks));
        marks.wrote(15, false);
        assert!(picture.is_fresh(1, &marks));
        // What may not be flushed yet counts to the end.
        marks.wrote(16, true);
        assert!(!picture.is_fresh(2, &marks));
        marks.wrote(25, false);
        assert!(!picture.is_fresh(2, &marks));
        // No probe has been sent since.
        marks.wrote(30, false);
        assert!(!picture.is_fresh(2, &marks));
    }

    #[test]
    fn a_read_is_not_followed_by_an_older_one() {
        let picture = picture(&[at(10, 100, 110)], [200, 150]);
        let mut marks = Marks::default();
        marks.saw((1, 0), 80, false);
        assert!(picture.is_fresh(1, &marks));
        assert!(!picture.is_fresh(2, &marks));
        // Not yet known how far that one was.
        marks.saw((2, 0), 95, false);
        assert!(picture.is_fresh(2, &marks));
        assert!(!picture.is_fresh(1, &marks));
        marks.saw((2, 0), 85, false);
        assert!(picture.is_fresh(1, &marks));
        // In another life it may have been further.
        marks.saw((2, 7), 85, false);
        assert!(!picture.is_fresh(2, &marks));
    }

    #[test]
    fn the_less_busy_of_two_is_taken_by_weight() {
        let picture = picture(&[at(10, 100, 110)], [200, 200]);
        let marks = Marks::default();
        let mut taken = [0; 3];
        let mut random = 1_u64;
        for _ in 0..4_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match picture.choose(&marks, |node| node as u32, |_| 0, random.rotate_left(17)) {
                Choice::Node(node) => taken[node] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(taken[0], 0);
        assert!((1_100..1_600).contains(&taken[1]), "{taken:?}");
        // Node 1 is busy: it is taken only when both draws are it.
        let busy = |node| if node == 1 { 9 } else { 0 };
        let draws = (0..4_u64).map(|n| (n % 2) * 1_000 + (((n / 2) * 1_000) << 32));
        let choices: Vec<_> =
            draws.map(|random| picture.choose(&marks, |_| 1, busy, random)).collect();
        let expected = [1, 2, 2, 2].map(Choice::Node);
        assert_eq!(choices, expected);
    }

    #[test]
    fn what_stands_in_the_way_is_told_apart() {
        let mut picture = picture(&[at(10, 100, 110)], [50, 50]);
        let mut marks = Marks::default();
        marks.wrote(5, false);
        assert_eq!(picture.choose(&marks, |_| 1, |_| 0, 3), Choice::NoneFresh);
        for node in &mut picture.nodes {
            node.readable = false;
        }
        assert_eq!(picture.choose(&marks, |_| 1, |_| 0, 3), Choice::NoneReadable);
    }
}
