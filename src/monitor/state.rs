//! What probes have shown, and what follows from it: who is the primary, and who may be given reads.
//!
//! ```text
//!   one answers that it is not in recovery ─▶ it is the primary
//!   several do, or one whose rival on a later timeline is silent ─▶ nobody gets writes
//!   the primary falls silent ─▶ it stays the primary: that nobody answers is no evidence
//!   it says that it is in recovery ─▶ nobody is, until one says that it is not
//! ```
//!
//! Pure: the moment is handed in, and what changes is the [`Picture`].

mod reads;

use std::collections::VecDeque;
use std::sync::Arc;

use super::history::History;
use crate::deadline::Tick;
use crate::route::figures::Totals;
use crate::route::picture::{next_life, next_version};
use crate::route::{Health, Node, NodePicture, Picture, Position, PrimaryIs};

/// Positions kept of each node, and of the primary.
const POSITIONS: usize = 64;
/// After it was down, so many probes must be answered before a node is up again.
const GOOD_PROBES: u32 = 2;
/// From when it is up again until it has its whole share of the reads.
const SLOW_START_MS: u64 = 10_000;
/// The share that it begins with, and the whole one.
const SHARES: (u32, u32) = (100, 1_000);
/// As long as this the primary may be silent before it is looked for under another of its own addresses: moving there cuts
/// what is under way.
const SILENCE_MS: u64 = 3_000;
/// As long as this no role may be known that lets us in, before a node counts as one that cannot be asked.
const PATIENCE_MS: u64 = 1_000;

/// What a server said of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// It is in recovery.
    pub in_recovery: bool,
    /// What it has flushed, or replayed.
    pub lsn: u64,
    /// Where its log ends, or the same.
    pub end: u64,
    /// Its timeline, where it can be known.
    pub timeline: Option<u32>,
    /// When its postmaster was started, in microseconds.
    pub started: u64,
    /// Replay is paused.
    pub paused: bool,
}

impl Answer {
    /// Whether one server has given both answers, under two addresses.
    fn is_of_same_server(&self, other: &Self) -> bool {
        let server = |answer: &Self| (answer.started, answer.timeline, answer.in_recovery);
        server(self) == server(other)
    }
}

/// What became of a probe.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was answered in time.
    Answered(Answer),
    /// It was not: why.
    Failed(Arc<str>),
    /// No role is known yet that could ask: why.
    NobodyToAsk(Arc<str>),
}

/// A primary from when it is seen as one, until another is or it comes to another timeline.
#[derive(Clone, Copy, Debug)]
struct Reign {
    node: usize,
    timeline: Option<u32>,
    /// Where it was when it was seen first.
    first: u64,
    since: Tick,
    /// There was another one before.
    is_promoted: bool,
}

#[derive(Debug)]
struct NodeState {
    max_lag_ms: Option<u64>,
    health: Health,
    /// Its last probe was answered.
    answers: bool,
    /// Probes that were answered since the last one that was not.
    good: u32,
    /// Since when it has not answered, if it has before.
    silent_since: Option<Tick>,
    /// It was down until then.
    recovered: Option<Tick>,
    /// It has been asked, or there was time to.
    is_asked: bool,
    /// What it said last.
    said: Option<Answer>,
    positions: VecDeque<Position>,
    life: u32,
    lag_bytes: Option<u64>,
    lag_ms: Option<u64>,
    too_far: bool,
    /// It has what the primary does not have.
    is_astray: bool,
    readable: bool,
    why: Arc<str>,
}

impl NodeState {
    fn says_primary(&self) -> bool {
        self.said.is_some_and(|said| !said.in_recovery)
    }

    fn says_standby(&self) -> bool {
        self.said.is_some_and(|said| said.in_recovery)
    }

    fn is_standby(&self) -> bool {
        self.health == Health::Up && self.answers && self.says_standby()
    }

    fn share(&self, now: Tick) -> u32 {
        let (first, whole) = SHARES;
        let Some(since) = self.recovered else { return whole };
        let done = now.since(since).min(SLOW_START_MS) * u64::from(whole - first) / SLOW_START_MS;
        first + u32::try_from(done).unwrap_or(0)
    }

    fn begin_life(&mut self) {
        self.life = next_life();
        self.positions.clear();
        self.is_astray = false;
    }
}

/// What is known of the servers of a database.
#[derive(Debug)]
pub(super) struct State {
    nodes: Vec<NodeState>,
    /// So many of them, the first ones, stand as the primary in the configuration.
    primaries: usize,
    primary: PrimaryIs,
    reign: Option<Reign>,
    history: History,
    primary_positions: VecDeque<Position>,
    /// When the first outcome came, and the last.
    began: Option<Tick>,
    last: Tick,
    totals: Totals,
}

impl State {
    /// Nothing is known of these nodes, of which the first so many stand as the primary in the configuration. `primary`:
    /// who was it before a reload. `totals`: what had been counted.
    pub(super) fn new(
        nodes: &[Node],
        primaries: usize,
        primary: PrimaryIs,
        totals: Totals,
    ) -> Self {
        let node = |node: &Node| NodeState {
            max_lag_ms: node.max_lag_ms,
            health: Health::Unknown,
            answers: false,
            good: 0,
            silent_since: None,
            recovered: None,
            is_asked: false,
            said: None,
            positions: VecDeque::new(),
            life: next_life(),
            lag_bytes: None,
            lag_ms: None,
            too_far: false,
            is_astray: false,
            readable: false,
            why: "it has not been asked yet".into(),
        };
        State {
            nodes: nodes.iter().map(node).collect(),
            primaries,
            primary,
            reign: None,
            history: History::default(),
            primary_positions: VecDeque::new(),
            began: None,
            last: Tick(0),
            totals,
        }
    }

    /// What has been counted.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// A probe of a node has come to its end.
    pub(super) fn on(&mut self, node: usize, probe: u64, outcome: Outcome, now: Tick) -> Picture {
        let began = *self.began.get_or_insert(now);
        if matches!(self.primary, PrimaryIs::Several(_)) {
            self.totals.several_ms += now.since(self.last);
        }
        self.last = now;
        match outcome {
            Outcome::Answered(answer) => self.answered(node, probe, answer, now),
            Outcome::Failed(why) => self.failed(node, why, now),
            Outcome::NobodyToAsk(why) => {
                let waited = now.since(began) >= PATIENCE_MS;
                if waited || self.nodes[node].is_asked {
                    self.failed(node, why, now);
                } else {
                    self.nodes[node].why = why;
                }
            }
        }
        let before = self.primary.clone();
        self.find_primary(now);
        let is_news = self.primary != before;
        if let PrimaryIs::Node(primary) = self.primary
            && self.nodes[primary].answers
            && (primary == node || is_news)
        {
            self.primary_was_at(primary, now);
        }
        for other in 0..self.nodes.len() {
            if other == node || is_news {
                self.measure(other, now);
            }
        }
        self.find_readable(now);
        self.picture(now)
    }

    fn answered(&mut self, node: usize, probe: u64, answer: Answer, now: Tick) {
        let node = &mut self.nodes[node];
        if node.said.is_some_and(|before| before.started != answer.started) {
            node.begin_life();
        }
        node.is_asked = true;
        node.answers = true;
        node.silent_since = None;
        node.said = Some(answer);
        node.good += 1;
        match node.health {
            Health::Up => {}
            Health::Unknown => node.health = Health::Up,
            Health::Down(_) if node.good >= GOOD_PROBES => {
                node.health = Health::Up;
                node.recovered = Some(now);
            }
            Health::Down(_) => {}
        }
        if node.recovered.is_some_and(|since| now.since(since) >= SLOW_START_MS) {
            node.recovered = None;
        }
        push(&mut node.positions, Position { probe, lsn: answer.lsn, end: answer.end });
    }

    fn failed(&mut self, node: usize, why: Arc<str>, now: Tick) {
        let node = &mut self.nodes[node];
        if node.answers {
            node.begin_life();
            node.silent_since = Some(now);
        }
        node.is_asked = true;
        node.answers = false;
        node.good = 0;
        node.health = Health::Down(why);
    }

    /// Nodes that answer that they are the primary, each server once.
    fn claimants(&self) -> Vec<usize> {
        let held = match &self.primary {
            PrimaryIs::Node(node) => Some(*node),
            PrimaryIs::Nobody(_) | PrimaryIs::Several(_) => None,
        };
        let claims = |node: &usize| self.nodes[*node].answers && self.nodes[*node].says_primary();
        let others = (0..self.nodes.len()).filter(|node| Some(*node) != held);
        let mut claimants: Vec<usize> = Vec::new();
        for node in held.into_iter().chain(others).filter(claims) {
            let said = |node: usize| self.nodes[node].said.unwrap_or_default();
            let is_known = |other: &usize| said(*other).is_of_same_server(&said(node));
            if !claimants.iter().any(is_known) {
                claimants.push(node);
            }
        }
        claimants.sort_unstable();
        claimants
    }

    /// Under which address the primary that answers at this one is best known: where it has been silent only just now,
    /// that one stays.
    fn address_of(&self, node: usize, now: Tick) -> usize {
        let PrimaryIs::Node(held) = self.primary else { return node };
        let (there, here) = (&self.nodes[held], &self.nodes[node]);
        let is_same = there.said.zip(here.said).is_some_and(|(a, b)| a.is_of_same_server(&b));
        let is_short = there.silent_since.is_some_and(|since| now.since(since) < SILENCE_MS);
        if is_same && is_short { held } else { node }
    }

    /// Silent nodes that were the primary on a later timeline than this one's: they may still be.
    fn silent_rivals(&self, node: usize) -> Vec<usize> {
        let timeline = |node: usize| self.nodes[node].said.and_then(|said| said.timeline);
        let Some(own) = timeline(node) else { return Vec::new() };
        let is_rival = |other: &usize| {
            let state = &self.nodes[*other];
            let later = timeline(*other).is_some_and(|theirs| theirs > own);
            *other != node && !state.answers && state.says_primary() && later
        };
        (0..self.nodes.len()).filter(is_rival).collect()
    }

    fn find_primary(&mut self, now: Tick) {
        let all_asked = self.nodes.iter().all(|node| node.is_asked);
        let claimants = self.claimants();
        let found = match claimants.as_slice() {
            // One that has not been asked yet may be another.
            _ if !all_asked => return,
            [] => self.without_claimant(),
            [one] => {
                let mut all = self.silent_rivals(*one);
                if all.is_empty() {
                    PrimaryIs::Node(self.address_of(*one, now))
                } else {
                    all.push(*one);
                    all.sort_unstable();
                    PrimaryIs::Several(all)
                }
            }
            several => PrimaryIs::Several(several.to_vec()),
        };
        if let PrimaryIs::Node(node) = found
            && self.nodes[node].answers
        {
            self.reigns(node, now);
        }
        self.primary = found;
    }

    /// Who is the primary when nobody answers that it is.
    fn without_claimant(&self) -> PrimaryIs {
        match &self.primary {
            PrimaryIs::Several(_) => match self.known_primaries().collect::<Vec<_>>().as_slice() {
                [] => nobody(),
                // That the others have become standbys leaves no doubt about the last, silent as it is.
                [one] => PrimaryIs::Node(*one),
                several => PrimaryIs::Several(several.to_vec()),
            },
            // Nor is it one where it could not be asked at all.
            PrimaryIs::Node(node) if !self.nodes[*node].says_standby() => PrimaryIs::Node(*node),
            PrimaryIs::Node(_) | PrimaryIs::Nobody(_) => self.assumed(),
        }
    }

    /// Who may be the primary though nobody ever said so, or not for long.
    fn assumed(&self) -> PrimaryIs {
        let known: Vec<usize> = self.known_primaries().collect();
        let never = |node: &NodeState| node.said.is_none();
        match known.as_slice() {
            [one] => PrimaryIs::Node(*one),
            // That it cannot be asked must not be an outage: whether it takes writes, writes will show.
            [] if self.primaries == 1 && never(&self.nodes[0]) => PrimaryIs::Node(0),
            [] if self.nodes.iter().all(never) => PrimaryIs::Node(0),
            [] => nobody(),
            several => PrimaryIs::Several(several.to_vec()),
        }
    }

    /// Nodes whose last word was that they are the primary.
    fn known_primaries(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].says_primary())
    }

    /// This node answers that it is the primary, and it is.
    fn reigns(&mut self, node: usize, now: Tick) {
        let Some(said) = self.nodes[node].said else { return };
        let before = self.reign;
        let is_same = |reign: &Reign| match (reign.timeline, said.timeline) {
            (Some(a), Some(b)) if reign.node != node => {
                a == b
                    && self.nodes[reign.node].said.is_some_and(|then| then.is_of_same_server(&said))
            }
            (Some(a), Some(b)) => a == b,
            (_, _) => reign.node == node,
        };
        let goes_on = before.as_ref().is_some_and(is_same);
        if !goes_on || self.primary != PrimaryIs::Node(node) {
            self.totals.found += 1;
        }
        if goes_on {
            self.reign = before.map(|reign| Reign { node, ..reign });
            return;
        }
        self.totals.promotions += u64::from(before.is_some());
        self.reign = Some(Reign {
            node,
            timeline: said.timeline,
            first: said.lsn,
            since: now,
            is_promoted: before.is_some(),
        });
        self.history = History::default();
        for node in &mut self.nodes {
            node.is_astray = false;
            node.too_far = false;
            (node.lag_bytes, node.lag_ms) = (None, None);
        }
    }

    /// The primary has answered.
    fn primary_was_at(&mut self, node: usize, now: Tick) {
        let Some(position) = self.nodes[node].positions.back().copied() else { return };
        push(&mut self.primary_positions, position);
        self.history.saw(now, position.lsn);
        let timeline = self.nodes[node].said.and_then(|said| said.timeline);
        for standby in &mut self.nodes {
            let Some(said) = standby.said.filter(|said| said.in_recovery) else { continue };
            let Some(there) = standby.positions.back() else { continue };
            // It was asked earlier and was further on nevertheless.
            let is_ahead = there.probe < position.probe && there.lsn > position.end;
            let follows = timeline.is_some() && said.timeline == timeline;
            standby.is_astray = is_ahead || (standby.is_astray && !follows);
        }
    }

    fn picture(&self, now: Tick) -> Picture {
        let node = |node: &NodeState| NodePicture {
            health: node.health.clone(),
            in_recovery: node.said.map(|said| said.in_recovery),
            readable: node.readable,
            why: node.why.clone(),
            positions: node.positions.iter().copied().collect(),
            life: node.life,
            lag_bytes: node.lag_bytes,
            lag_ms: node.lag_ms,
            share: node.share(now),
        };
        Picture {
            version: next_version(),
            primary: self.primary.clone(),
            primary_positions: self.primary_positions.iter().copied().collect(),
            nodes: self.nodes.iter().map(node).collect(),
        }
    }
}

fn nobody() -> PrimaryIs {
    PrimaryIs::Nobody("no server that answers says that it is the primary".into())
}

/// Numbers of probes only rise: an answer that was overtaken tells nothing new.
fn push(positions: &mut VecDeque<Position>, position: Position) {
    if positions.back().is_some_and(|last| last.probe >= position.probe) {
        return;
    }
    if positions.len() == POSITIONS {
        positions.pop_front();
    }
    positions.push_back(position);
}
