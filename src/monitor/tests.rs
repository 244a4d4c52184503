//! The state, told by stories and by a model of servers to which anything may happen.

use super::state::{Answer, Outcome, State};
use crate::config::Target;
use crate::deadline::Tick;
use crate::route::figures::Totals;
use crate::route::{Health, Node, Picture, PrimaryIs};

mod model;

/// Servers that are asked one after the other, at times that a test says.
struct Story {
    state: State,
    probe: u64,
    now: u64,
    picture: Picture,
}

fn nodes(count: usize, max_lag_ms: Option<u64>) -> Vec<Node> {
    let node =
        |n| Node { target: Target::parse(&format!("host=n{n}")).unwrap(), weight: 1, max_lag_ms };
    (0..count).map(node).collect()
}

/// A primary, started at a moment that only it has.
fn primary(node: usize, timeline: u32, lsn: u64) -> Answer {
    let started = node as u64 + 1;
    Answer { in_recovery: false, lsn, end: lsn, timeline: Some(timeline), started, paused: false }
}

fn standby(node: usize, timeline: Option<u32>, lsn: u64) -> Answer {
    Answer { in_recovery: true, timeline, ..primary(node, 0, lsn) }
}

impl Story {
    /// Three servers, of which so many stand as the primary in the configuration, with a `max_lag` of two seconds.
    fn new(primaries: usize) -> Self {
        Story::of(&nodes(3, Some(2_000)), primaries)
    }

    fn of(nodes: &[Node], primaries: usize) -> Self {
        Story::after_reload(nodes, primaries, PrimaryIs::Nobody("".into()))
    }

    fn after_reload(nodes: &[Node], primaries: usize, primary: PrimaryIs) -> Self {
        let state = State::new(nodes, primaries, primary, Totals::default());
        Story { state, probe: 0, now: 0, picture: Picture::unknown(nodes.len()) }
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        self
    }

    fn hears(&mut self, node: usize, outcome: Outcome) -> &mut Self {
        self.probe += 1;
        self.picture = self.state.on(node, self.probe, outcome, Tick(self.now));
        self
    }

    fn says(&mut self, node: usize, answer: Answer) -> &mut Self {
        self.hears(node, Outcome::Answered(answer))
    }

    fn silent(&mut self, node: usize) -> &mut Self {
        self.hears(node, Outcome::Failed("timed out".into()))
    }

    /// Node 0 on timeline 1, and two standbys, all at the same position.
    fn usual(&mut self, lsn: u64) -> &mut Self {
        self.says(0, primary(0, 1, lsn));
        self.says(1, standby(1, Some(1), lsn)).says(2, standby(2, None, lsn))
    }

    #[track_caller]
    fn readable(&self, expected: &[usize]) {
        let nodes = self.picture.nodes.iter().enumerate();
        let readable: Vec<usize> =
            nodes.filter(|(_, node)| node.readable).map(|(number, _)| number).collect();
        assert_eq!(readable, expected, "{:?}", self.picture.nodes);
    }

    #[track_caller]
    fn primary_is(&self, node: usize) {
        assert_eq!(self.picture.primary, PrimaryIs::Node(node));
    }

    #[track_caller]
    fn nobody_is(&self) {
        assert!(matches!(self.picture.primary, PrimaryIs::Nobody(_)), "{:?}", self.picture.primary);
    }
}

#[test]
fn the_primary_is_found_wherever_the_configuration_has_it() {
    let mut story = Story::new(1);
    story.says(1, standby(1, Some(4), 90)).says(2, primary(2, 4, 100));
    story.nobody_is();
    story.says(0, standby(0, None, 100));
    story.primary_is(2);
    story.readable(&[0]);
    story.after(100).says(1, standby(1, Some(4), 100));
    story.readable(&[0, 1]);
    assert_eq!(story.picture.nodes[0].lag_ms, Some(0));
    assert_eq!(story.state.totals(), Totals { found: 1, promotions: 0, several_ms: 0 });
}

#[test]
fn a_silent_primary_stays_the_primary_and_its_standbys_are_read() {
    let mut story = Story::new(3);
    story.usual(100).silent(0);
    story.primary_is(0);
    story.readable(&[1, 2]);
    for _ in 0..100 {
        story
            .after(1_000)
            .silent(0)
            .says(1, standby(1, Some(1), 100))
            .says(2, standby(2, None, 100));
    }
    story.primary_is(0);
    story.readable(&[1, 2]);
    assert_eq!(story.picture.nodes[1].lag_ms, Some(0));
}

#[test]
fn a_promotion_is_followed_by_the_first_probe_that_sees_it() {
    let mut story = Story::new(1);
    story.usual(100).after(100).silent(0).after(100).says(1, primary(1, 2, 150));
    story.primary_is(1);
    // It was the other's, and nobody knows yet whether it will be this one's.
    story.readable(&[]);
    story.after(100).says(2, standby(2, None, 120));
    story.readable(&[]);
    story.after(100).says(2, standby(2, None, 150));
    story.readable(&[2]);
    let probes: Vec<_> =
        story.picture.primary_positions.iter().map(|position| position.lsn).collect();
    assert_eq!(probes, [100, 150]);
    assert_eq!(story.state.totals().promotions, 1);
    // The old one is back as a standby, after it was rewound and restarted.
    let back = Answer { started: 77, ..standby(0, Some(2), 150) };
    story.after(100).says(0, back);
    story.readable(&[2]);
    story.after(100).says(0, back);
    story.readable(&[0, 2]);
    assert_eq!(story.picture.nodes[0].share, 100);
    story.after(5_000).says(0, back);
    assert_eq!(story.picture.nodes[0].share, 550);
    story.after(5_000).says(0, back);
    assert_eq!((story.picture.nodes[0].share, &*story.picture.nodes[0].why), (1_000, ""));
}

#[test]
fn two_primaries_get_no_writes_until_one_is_left() {
    let mut story = Story::new(1);
    story.usual(100).after(100).says(1, primary(1, 2, 150));
    assert_eq!(story.picture.primary, PrimaryIs::Several(vec![0, 1]));
    story.after(500).says(0, primary(0, 1, 170)).says(1, primary(1, 2, 160));
    assert_eq!(story.picture.primary, PrimaryIs::Several(vec![0, 1]));
    story.readable(&[2]);
    story.after(100).silent(0);
    story.primary_is(1);
    let totals = story.state.totals();
    assert_eq!((totals.promotions, totals.several_ms), (1, 600));
    // Of those that both had meanwhile only the last one's counts.
    let lsns: Vec<_> = story.picture.primary_positions.iter().map(|p| p.lsn).collect();
    assert_eq!(lsns, [100, 160]);
    // It is back, and still thinks that it is the primary.
    story.after(100).says(0, primary(0, 1, 180));
    assert_eq!(story.picture.primary, PrimaryIs::Several(vec![0, 1]));
}

#[test]
fn an_old_primary_gets_nothing_while_the_one_in_charge_is_silent() {
    let mut story = Story::new(1);
    story.usual(100).silent(0).says(1, primary(1, 2, 150)).silent(1).after(10_000);
    story.primary_is(1);
    story.says(0, primary(0, 1, 180));
    assert_eq!(story.picture.primary, PrimaryIs::Several(vec![0, 1]));
    story.after(1_000).says(1, standby(1, Some(1), 150));
    story.primary_is(0);
    // One that was promoted from there is on a later timeline than both.
    story.after(1_000).silent(0).says(2, primary(2, 3, 200));
    story.primary_is(2);
}

#[test]
fn a_primary_that_is_a_standby_now_gets_no_writes() {
    let mut story = Story::new(1);
    story.usual(100).after(100).says(0, standby(0, Some(1), 100));
    story.nobody_is();
    story.readable(&[0, 1, 2]);
    story.after(100).silent(0);
    story.nobody_is();
    story.says(2, primary(2, 2, 140));
    story.primary_is(2);
}

#[test]
fn what_cannot_be_asked_is_taken_for_what_the_configuration_says() {
    let mut story = Story::new(1);
    story.silent(0).says(1, standby(1, None, 100));
    story.nobody_is();
    story.silent(2);
    story.primary_is(0);
    story.readable(&[1]);
    story.after(100).says(2, primary(2, 2, 120));
    story.primary_is(2);
    assert_eq!(story.state.totals(), Totals { found: 1, promotions: 0, several_ms: 0 });
    // With several it could be any of them, unless none of all can be asked.
    let mut story = Story::new(2);
    story.silent(0).says(1, standby(1, None, 100)).silent(2);
    story.nobody_is();
    let mut story = Story::new(2);
    story.silent(0).silent(1).silent(2);
    story.primary_is(0);
    story.says(0, standby(0, None, 100));
    story.nobody_is();
}

#[test]
fn without_a_role_that_may_ask_nothing_is_assumed_for_a_while() {
    let nobody = || Outcome::NobodyToAsk("no password".into());
    let mut story = Story::new(1);
    story.hears(0, nobody()).hears(1, nobody()).hears(2, nobody());
    story.nobody_is();
    assert_eq!(story.picture.nodes[0].health, Health::Unknown);
    story.after(1_000).hears(0, nobody()).hears(1, nobody()).hears(2, nobody());
    story.primary_is(0);
    // At the first login all is as it should be, without a slow start.
    let mut story = Story::new(1);
    story.hears(0, nobody()).hears(1, nobody()).hears(2, nobody()).after(50).usual(100);
    story.primary_is(0);
    story.readable(&[1, 2]);
    assert_eq!(story.picture.nodes[1].share, 1_000);
}

#[test]
fn who_is_too_far_behind_is_not_read_until_it_is_well_near() {
    let mut story = Story::new(1);
    story.usual(100);
    let mut at = |now: u64, head: u64, replayed: u64| {
        story.now = now;
        story.says(0, primary(0, 1, head)).says(1, standby(1, Some(1), replayed));
        (story.picture.nodes[1].readable, story.picture.nodes[1].lag_ms.unwrap())
    };
    assert_eq!(at(100, 100, 100), (true, 0));
    assert_eq!(at(1_000, 200, 100), (true, 0));
    assert_eq!(at(3_000, 300, 100), (true, 2_000));
    assert_eq!(at(3_100, 310, 100), (false, 2_100));
    assert_eq!(at(4_600, 400, 200), (false, 1_600));
    assert_eq!(at(4_600, 400, 300), (true, 1_500));
    assert_eq!(at(4_700, 400, 400), (true, 0));
    // An idle primary is nobody's fault.
    assert_eq!(at(999_000, 400, 400), (true, 0));
    assert_eq!(story.picture.nodes[1].lag_bytes, Some(0));
}

#[test]
fn nobody_falls_behind_a_silent_primary_and_who_was_behind_stays_so() {
    let mut story = Story::new(1);
    story.usual(100).after(1_000).says(0, primary(0, 1, 200));
    story.says(1, standby(1, Some(1), 200)).says(2, standby(2, None, 100));
    story.after(2_500).says(0, primary(0, 1, 300)).says(1, standby(1, Some(1), 290));
    story.says(2, standby(2, None, 100));
    story.readable(&[1]);
    story.silent(0).after(60_000).says(1, standby(1, Some(1), 290)).says(2, standby(2, None, 100));
    story.readable(&[1]);
    // The only one left is read, however far it is.
    story.silent(1);
    story.readable(&[2]);
    assert!(story.picture.nodes[2].why.contains("while the primary is silent"));
}

#[test]
fn before_a_standby_is_where_the_primary_was_its_lag_is_not_known() {
    let mut story = Story::new(1);
    story.says(0, primary(0, 1, 500)).says(1, standby(1, None, 100)).says(2, standby(2, None, 500));
    story.readable(&[2]);
    assert_eq!(story.picture.nodes[1].lag_bytes, Some(400));
    // It does not matter to one that may be as far behind as it likes.
    let mut story = Story::of(&nodes(2, None), 1);
    story.says(0, primary(0, 1, 500)).says(1, standby(1, None, 100));
    story.readable(&[1]);
    // After a promotion it does: it may have replayed something else.
    story.silent(1).silent(0).says(1, primary(1, 2, 600)).says(0, standby(0, None, 590));
    story.after(10).says(0, standby(0, None, 590));
    story.readable(&[]);
    story.after(10).says(0, standby(0, None, 600));
    story.readable(&[0]);
}

#[test]
fn a_standby_on_another_way_is_not_read() {
    let mut story = Story::new(1);
    story.usual(100).silent(0).says(1, primary(1, 2, 150));
    story.says(2, standby(2, Some(1), 170));
    story.readable(&[]);
    assert!(story.picture.nodes[2].why.contains("timeline 1"));
    story
        .says(2, standby(2, Some(2), 170))
        .says(1, primary(1, 2, 175))
        .says(2, standby(2, Some(2), 175));
    story.readable(&[2]);
    // Without a timeline what it has too much tells.
    let mut story = Story::new(1);
    story.usual(100).silent(0).says(1, primary(1, 2, 150)).says(2, standby(2, None, 170));
    story.says(1, primary(1, 2, 160));
    story.readable(&[]);
    story.says(1, primary(1, 2, 300)).says(2, standby(2, None, 170)).says(2, standby(2, None, 300));
    story.readable(&[]);
    // Until it has been restarted.
    story.says(2, Answer { started: 99, ..standby(2, None, 300) });
    story.readable(&[2]);
}

#[test]
fn one_server_under_two_addresses_is_one_primary() {
    let mut story = Story::new(2);
    let same = primary(0, 1, 100);
    story.says(0, same).says(1, same).says(2, standby(2, None, 100));
    story.primary_is(0);
    // A moment's silence is no reason to cut what is under way there.
    story.silent(0);
    story.primary_is(0);
    story.after(3_000).says(1, same);
    story.primary_is(1);
    story.says(0, same);
    story.primary_is(1);
    assert_eq!(story.state.totals().promotions, 0);
    // The address moves to another server.
    story.silent(0).silent(1).says(2, primary(2, 2, 150)).says(0, primary(2, 2, 150));
    story.primary_is(2);
    assert_eq!(story.state.totals().promotions, 1);
}

#[test]
fn after_a_reload_the_primary_is_the_one_that_it_was_until_somebody_says_otherwise() {
    let was = || Story::after_reload(&nodes(3, Some(2_000)), 2, PrimaryIs::Node(1));
    let mut story = was();
    story.says(0, standby(0, None, 100));
    story.primary_is(1);
    story.silent(1).says(2, standby(2, None, 100));
    story.primary_is(1);
    story.says(1, primary(1, 3, 100));
    story.primary_is(1);
    let mut story = was();
    story.says(0, primary(0, 4, 200)).says(1, standby(1, None, 100));
    story.primary_is(1);
    story.says(2, standby(2, None, 100));
    story.primary_is(0);
}

#[test]
fn a_life_ends_with_a_failed_probe_or_a_restart_and_positions_with_it() {
    let mut story = Story::new(1);
    story.usual(100);
    let life =
        |story: &Story| (story.picture.nodes[1].life, story.picture.nodes[1].positions.len());
    let first = life(&story);
    story.says(1, standby(1, Some(1), 110));
    assert_eq!(life(&story), (first.0, 2));
    story.says(1, Answer { started: 50, ..standby(1, Some(1), 90) });
    let second = life(&story);
    assert!(second.0 != first.0 && second.1 == 1);
    story.silent(1).silent(1);
    let third = life(&story);
    assert!(third.0 != second.0 && third.1 == 0);
    for n in 0..200 {
        story.says(0, primary(0, 1, 200 + n));
    }
    let positions = &story.picture.primary_positions;
    assert_eq!((positions.len(), positions[63].lsn), (64, 399));
    assert!(positions.windows(2).all(|pair| pair[0].probe < pair[1].probe));
}
