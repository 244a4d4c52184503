//! Who may be given reads, and how far each is behind.

use super::{NodeState, SHARES, SLOW_START_MS, State};
use crate::deadline::Tick;
use crate::route::{Health, PrimaryIs};

/// A replica that was too far behind is near enough below this part of its limit, in percent.
const NEAR_PERCENT: u64 = 80;

impl State {
    /// How far a node is behind the primary, as far as it can be known.
    pub(super) fn measure(&mut self, node: usize, now: Tick) {
        let knows_primary = self.hears_primary();
        let (reign, head) = (self.reign, self.history.head());
        let state = &mut self.nodes[node];
        let Some(said) = state.said.filter(|said| said.in_recovery && state.answers) else {
            (state.lag_bytes, state.lag_ms) = (None, None);
            return;
        };
        let (Some(reign), Some(head)) = (reign, head) else { return };
        state.lag_bytes = Some(head.saturating_sub(said.lsn));
        state.lag_ms = if said.lsn < reign.first {
            // At least: where the primary was before is not known.
            Some(now.since(reign.since))
        } else {
            self.history.lag_ms(now, said.lsn)
        };
        let (Some(limit), Some(lag)) = (state.max_lag_ms, state.lag_ms) else {
            state.too_far = false;
            return;
        };
        // While the primary says nothing, nobody can fall behind it.
        state.too_far = match state.too_far {
            false => knows_primary && lag > limit,
            true => lag * 100 >= limit * NEAR_PERCENT,
        };
    }

    /// Whether the primary answers.
    fn hears_primary(&self) -> bool {
        matches!(&self.primary, PrimaryIs::Node(node) if self.nodes[*node].answers)
    }

    pub(super) fn find_readable(&mut self, now: Tick) {
        let verdicts: Vec<_> = (0..self.nodes.len()).map(|node| self.verdict(node, now)).collect();
        for (node, verdict) in self.nodes.iter_mut().zip(verdicts) {
            node.readable = verdict.is_ok();
            let why = verdict.unwrap_or_else(|why| why);
            if *node.why != *why && node.health != Health::Unknown {
                node.why = why.into();
            }
        }
        // What the standbys have is all that is known while the primary is silent.
        let all_asked = self.nodes.iter().all(|node| node.is_asked);
        if !all_asked || self.hears_primary() || self.nodes.iter().any(|node| node.readable) {
            return;
        }
        let standbys = || self.nodes.iter().filter(|node| node.is_standby());
        let rank = |node: &NodeState| {
            let lsn = node.said.map_or(0, |said| said.lsn);
            (!self.is_elsewhere(node) && !node.is_astray, lsn)
        };
        let Some(best) = standbys().map(rank).max() else { return };
        let chosen: Vec<bool> =
            self.nodes.iter().map(|node| node.is_standby() && rank(node) == best).collect();
        for (node, _) in self.nodes.iter_mut().zip(chosen).filter(|(_, chosen)| *chosen) {
            node.readable = true;
            node.why = format!("it has the most while the primary is silent: {}", node.why).into();
        }
    }

    /// Whether a standby is known to follow another timeline than the primary's.
    fn is_elsewhere(&self, node: &NodeState) -> bool {
        let here = self.reign.and_then(|reign| reign.timeline);
        let there = node.said.and_then(|said| said.timeline);
        matches!((here, there), (Some(here), Some(there)) if here != there)
    }

    /// Why a node gets no reads; when it does, why only a share of them.
    fn verdict(&self, number: usize, now: Tick) -> Result<String, String> {
        let node = &self.nodes[number];
        match &node.health {
            Health::Unknown => return Err("it has not been asked yet".to_owned()),
            Health::Down(_) if node.answers => {
                return Err("it answers again, once so far".to_owned());
            }
            Health::Down(why) => return Err(why.to_string()),
            Health::Up => {}
        }
        let Some(said) = node.said else { return Err(String::new()) };
        if !said.in_recovery {
            return Err(match &self.primary {
                PrimaryIs::Node(primary) if *primary == number => String::new(),
                PrimaryIs::Node(_) | PrimaryIs::Nobody(_) => "it is the primary, too".to_owned(),
                PrimaryIs::Several(_) => "it is not the only primary".to_owned(),
            });
        }
        if self.is_elsewhere(node) {
            let (here, there) = (self.reign.and_then(|reign| reign.timeline), said.timeline);
            let (here, there) = (here.unwrap_or(0), there.unwrap_or(0));
            return Err(format!("it follows timeline {there}, and the primary is on {here}"));
        }
        if node.is_astray {
            return Err("it has replayed what the primary does not have".to_owned());
        }
        if let Some(reign) = self.reign
            && said.lsn < reign.first
            && (reign.is_promoted || node.max_lag_ms.is_some())
        {
            return Err(
                "it has not replayed yet where the primary was when it was found".to_owned()
            );
        }
        if node.too_far {
            let lag = node.lag_ms.unwrap_or(0);
            return Err(format!("it is {} behind", seconds(lag)));
        }
        if self.reign.is_none() && node.max_lag_ms.is_some() {
            return Err("no primary is known that it could be held against".to_owned());
        }
        let share = node.share(now);
        if share < SHARES.1 {
            return Ok(format!("it has been back for less than {}", seconds(SLOW_START_MS)));
        }
        Ok(String::new())
    }
}

/// In words, to a tenth.
fn seconds(millis: u64) -> String {
    let tenths = millis / 100;
    if tenths.is_multiple_of(10) {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}
