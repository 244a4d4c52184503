//! Watching the servers of one topology: when they are asked, and who is told of what they say.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Means;
use super::changes::changes;
use super::node::{Heard, NodeTask};
use super::state::{Outcome, State};
use crate::deadline::Tick;
use crate::route::Topology;
use crate::worker::mail::Mail;

/// Servers are asked no more often than this, whoever wants to know.
const AT_MOST_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Watch {
    topology: Arc<Topology>,
    means: Means,
    state: State,
    started: Instant,
}

impl Watch {
    pub(super) fn new(topology: Arc<Topology>, means: Means) -> Self {
        let totals = topology.figures().totals;
        let state = State::new(
            &topology.nodes,
            topology.primaries,
            topology.picture().primary.clone(),
            totals,
        );
        Watch { topology, means, state, started: Instant::now() }
    }

    /// Never ends by itself. Dropping it closes the connections.
    pub(super) async fn run(mut self) {
        let (heard, mut hearing) = unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut asks: Vec<Arc<Notify>> = Vec::new();
        for number in 0..self.topology.nodes.len() {
            let ask = Arc::new(Notify::new());
            asks.push(ask.clone());
            let (topology, means) = (self.topology.clone(), self.means.clone());
            tasks.spawn(NodeTask::new(number, topology, means, ask, heard.clone()).run());
        }
        let mut often = interval(Duration::from_millis(self.topology.lag_interval_ms.max(1)));
        often.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = self.started;
        let topology = self.topology.clone();
        loop {
            let wanted = async {
                sleep_until(last + AT_MOST_EVERY).await;
                topology.wanted().await;
            };
            tokio::select! {
                Some(heard) = hearing.recv() => self.heard(heard),
                () = wanted => {
                    last = Instant::now();
                    asks.iter().for_each(|ask| ask.notify_one());
                }
                _ = often.tick() => {
                    last = Instant::now();
                    asks.iter().for_each(|ask| ask.notify_one());
                }
            }
        }
    }

    fn heard(&mut self, heard: Heard) {
        let Heard { node, probe, outcome, took } = heard;
        let now = Tick(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX));
        {
            let mut figures = self.topology.figures();
            let of_node = &mut figures.nodes[node];
            match &outcome {
                Outcome::Answered(answer) => {
                    of_node.probes += 1;
                    of_node.answered = Some((std::time::Instant::now(), took));
                    (of_node.timeline, of_node.is_paused) = (answer.timeline, answer.paused);
                }
                Outcome::Failed(_) | Outcome::NobodyToAsk(_) => of_node.failed += 1,
            }
        }
        let after = self.state.on(node, probe, outcome, now);
        self.topology.figures().totals = self.state.totals();
        let before = self.topology.picture();
        let changes = changes(&self.topology, &before, &after);
        drop(before);
        self.topology.show(after);
        if changes.is_empty() {
            return;
        }
        for change in changes {
            let (database, text) = (&self.topology.name, change.text);
            if change.is_bad {
                tracing::warn!(%database, "{text}");
            } else {
                tracing::info!(%database, "{text}");
            }
        }
        self.tell();
    }

    /// Has pools and loops go by the picture.
    fn tell(&self) {
        let pools = self.means.pools_of(&self.topology);
        let fleets: Vec<_> = pools.iter().filter_map(|pool| pool.fleet()).collect();
        for (pool, fleet) in pools.iter().zip(&fleets) {
            fleet.look_again(pool);
        }
        for mailbox in &self.means.loops {
            mailbox.send(Mail::Fleet(self.topology.clone()));
            // How many servers are kept open depends on who is a standby.
            mailbox.send(Mail::LimitsChanged);
        }
        for reader in fleets.iter().flat_map(|fleet| &fleet.readers) {
            let is_kept_warm = reader.limits().min > 0 && reader.credential().is_some();
            if let Some(home) = self.means.loops.get(reader.home()).filter(|_| is_kept_warm) {
                home.send(Mail::Open(reader.clone()));
            }
        }
    }
}
