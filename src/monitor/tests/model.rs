//! Servers to which anything may happen, in simulated time.

use proptest::prelude::*;

use super::*;

/// What may happen between two rounds of probes.
#[derive(Clone, Debug)]
enum Happening {
    /// A server cannot be reached, or can again.
    Cut(usize),
    Joined(usize),
    /// A standby becomes a primary. `fenced`: all others are cut off first.
    Promoted {
        node: usize,
        fenced: bool,
    },
    /// A primary comes back as a standby of the one with the latest timeline.
    Demoted(usize),
    /// Replay stands still, or goes on.
    Paused(usize),
    Resumed(usize),
    Restarted(usize),
    /// So much is written.
    Written(u64),
    /// Time passes without anything.
    Passed(u64),
}

const NODES: usize = 3;

fn happening() -> impl Strategy<Value = Happening> {
    let node = 0..NODES;
    prop_oneof![
        2 => node.clone().prop_map(Happening::Cut),
        4 => node.clone().prop_map(Happening::Joined),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, fenced)| Happening::Promoted { node, fenced }),
        2 => node.clone().prop_map(Happening::Demoted),
        1 => node.clone().prop_map(Happening::Paused),
        2 => node.clone().prop_map(Happening::Resumed),
        1 => node.prop_map(Happening::Restarted),
        6 => (1..1_000_u64).prop_map(Happening::Written),
        4 => (1..3_000_u64).prop_map(Happening::Passed),
    ]
}

#[derive(Clone, Debug)]
struct Server {
    reachable: bool,
    in_recovery: bool,
    timeline: u32,
    lsn: u64,
    started: u64,
    paused: bool,
    tells_timeline: bool,
}

#[derive(Debug)]
struct World {
    servers: Vec<Server>,
    timelines: u32,
    starts: u64,
}

impl World {
    fn new(tells_timeline: bool) -> Self {
        let server = |node: usize| Server {
            reachable: true,
            in_recovery: node != 0,
            timeline: 1,
            lsn: 1_000,
            started: node as u64,
            paused: false,
            tells_timeline,
        };
        World { servers: (0..NODES).map(server).collect(), timelines: 1, starts: NODES as u64 }
    }

    /// The primary with the latest timeline: the one that standbys follow.
    fn head(&self) -> Option<(u32, u64)> {
        let primaries = self.servers.iter().filter(|server| !server.in_recovery);
        primaries.map(|server| (server.timeline, server.lsn)).max()
    }

    fn happens(&mut self, what: &Happening) {
        match *what {
            Happening::Cut(node) => self.servers[node].reachable = false,
            Happening::Joined(node) => self.servers[node].reachable = true,
            Happening::Promoted { node, fenced } => {
                if !self.servers[node].in_recovery {
                    return;
                }
                if fenced {
                    self.servers
                        .iter_mut()
                        .for_each(|server| server.reachable &= server.in_recovery);
                }
                self.timelines += 1;
                let server = &mut self.servers[node];
                (server.in_recovery, server.timeline) = (false, self.timelines);
                server.lsn += 100;
            }
            Happening::Demoted(node) => {
                let head = self.head();
                let server = &mut self.servers[node];
                if let Some((timeline, lsn)) =
                    head.filter(|(timeline, _)| *timeline > server.timeline)
                {
                    self.starts += 1;
                    (server.in_recovery, server.timeline) = (true, timeline);
                    (server.lsn, server.started) = (lsn, self.starts);
                }
            }
            Happening::Paused(node) => self.servers[node].paused = true,
            Happening::Resumed(node) => self.servers[node].paused = false,
            Happening::Restarted(node) => {
                self.starts += 1;
                self.servers[node].started = self.starts;
            }
            Happening::Written(bytes) => {
                self.servers.iter_mut().filter(|s| !s.in_recovery).for_each(|s| s.lsn += bytes);
            }
            Happening::Passed(_) => {}
        }
        let Some((timeline, lsn)) = self.head() else { return };
        for server in self.servers.iter_mut().filter(|server| server.in_recovery && !server.paused)
        {
            // One that has more than the others' head cannot follow it.
            if server.lsn <= lsn {
                (server.timeline, server.lsn) = (timeline, lsn);
            }
        }
    }

    fn outcome(&self, node: usize) -> Outcome {
        let server = &self.servers[node];
        if !server.reachable {
            return Outcome::Failed("cut off".into());
        }
        let tells = server.tells_timeline || !server.in_recovery;
        Outcome::Answered(Answer {
            in_recovery: server.in_recovery,
            lsn: server.lsn,
            end: server.lsn,
            timeline: tells.then_some(server.timeline),
            started: server.started,
            paused: server.paused,
        })
    }

    /// Primaries that answer.
    fn claimants(&self) -> Vec<usize> {
        let claims =
            |node: &usize| self.servers[*node].reachable && !self.servers[*node].in_recovery;
        (0..NODES).filter(claims).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_at_most_one_primary_gets_writes_and_reads_have_somewhere_to_go(
        story in prop::collection::vec(happening(), 1..60),
        tells_timeline in any::<bool>(),
        primaries in 1..=NODES,
    ) {
        let mut world = World::new(tells_timeline);
        let mut told = Story::of(&nodes(NODES, Some(2_000)), primaries);
        for (step, what) in story.iter().enumerate() {
            world.happens(what);
            told.now += if let Happening::Passed(millis) = what { *millis } else { 100 };
            // Each is asked, beginning anywhere; twice, so that who was down is up.
            for round in 0..2 {
                for node in 0..NODES {
                    let node = (node + step + round) % NODES;
                    told.hears(node, world.outcome(node));
                }
            }
            let picture = &told.picture;
            let claimants = world.claimants();
            match &picture.primary {
                PrimaryIs::Node(node) if claimants.is_empty() => {
                    // Nobody takes writes: then only one that cannot be asked may be taken for it.
                    prop_assert!(!world.servers[*node].reachable);
                }
                PrimaryIs::Node(node) => prop_assert_eq!(&claimants, &[*node]),
                PrimaryIs::Several(nodes) => {
                    // One that answers, and another, or one on a later timeline that was one when it fell silent.
                    prop_assert!(nodes.len() > 1);
                    prop_assert!(claimants.iter().all(|node| nodes.contains(node)));
                }
                PrimaryIs::Nobody(_) => prop_assert!(claimants.is_empty()),
            }
            for (server, node) in world.servers.iter().zip(&picture.nodes) {
                prop_assert_eq!(node.health == Health::Up, server.reachable);
                prop_assert!(!node.readable || (server.reachable && server.in_recovery));
                prop_assert!(node.positions.windows(2).all(|pair| pair[0].probe < pair[1].probe));
            }
            let positions = &picture.primary_positions;
            prop_assert!(positions.windows(2).all(|pair| pair[0].probe < pair[1].probe));
            let standbys = || world.servers.iter().filter(|s| s.reachable && s.in_recovery);
            let reads = picture.nodes.iter().any(|node| node.readable);
            match &picture.primary {
                PrimaryIs::Node(node) if world.servers[*node].reachable => {
                    let head = &world.servers[*node];
                    // Two rounds after it has caught up a standby is read, unless it had more than the primary has.
                    for (server, seen) in world.servers.iter().zip(&picture.nodes) {
                        let follows = server.reachable && server.in_recovery
                            && (server.timeline, server.lsn) == (head.timeline, head.lsn);
                        prop_assert!(!follows || seen.readable || &*seen.why == "it has replayed what the primary does not have", "{:?}", seen);
                        prop_assert!(!seen.readable || server.timeline == head.timeline || !tells_timeline);
                    }
                }
                _ => prop_assert_eq!(reads, standbys().next().is_some()),
            }
        }
    }
}
