//! The task that asks one server: connects, asks when told to, and tells what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Means;
use super::probe::Prober;
use super::state::{Answer, Outcome};
use super::vacate::Presence;
use crate::dial::{AnswerError, Chain, DialError};
use crate::pool::PoolSpec;
use crate::route::{Node, Topology};

/// How long a probe may take, connecting and logging in included: then the server is down.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long a connection that is late by that is still waited for: a server far away may need many trips for TLS and a
/// login, and one for each answer from then on.
const CONNECTING: Duration = Duration::from_secs(3);
/// How long nothing is tried after a probe that failed: doubled with each, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Roles that are tried for one probe.
const ROLES: usize = 4;
/// The database that is asked in, where the server lets us in there.
const DATABASE: &str = "postgres";
/// What a server says that is being promoted while it looks at itself.
const NOT_IN_RECOVERY: &[u8; 5] = b"55000";

/// A probe has come to its end.
#[derive(Debug)]
pub(super) struct Heard {
    pub node: usize,
    pub probe: u64,
    pub outcome: Outcome,
    pub took: Duration,
}

/// The connection while it is up.
struct Line {
    prober: Prober,
    pool: Arc<PoolSpec>,
    presence: Presence,
}

pub(super) struct NodeTask {
    number: usize,
    topology: Arc<Topology>,
    means: Means,
    /// Told when it is to ask.
    ask: Arc<Notify>,
    heard: UnboundedSender<Heard>,
    line: Option<Line>,
    /// The role that is tried first.
    first_role: AtomicUsize,
    pause: Duration,
}

/// Why there is no answer.
enum Silence {
    Failed(String),
    NobodyToAsk(String),
    /// Somebody wants the database to itself: nothing can be said of the server.
    Vacated,
}

impl From<AnswerError> for Silence {
    fn from(error: AnswerError) -> Self {
        Silence::Failed(error.to_string())
    }
}

/// What a probe that took longer than [`DEADLINE`] is told of with.
const LATE: &str = "no answer within 1s";

fn late() -> Silence {
    Silence::Failed(LATE.to_owned())
}

impl NodeTask {
    pub(super) fn new(
        number: usize,
        topology: Arc<Topology>,
        means: Means,
        ask: Arc<Notify>,
        heard: UnboundedSender<Heard>,
    ) -> Self {
        let (line, first_role, pause) = (None, AtomicUsize::new(0), PAUSES.0);
        NodeTask { number, topology, means, ask, heard, line, first_role, pause }
    }

    fn node(&self) -> &Node {
        &self.topology.nodes[self.number]
    }

    /// Asks whenever it is told to, until nobody hears it any more.
    pub(super) async fn run(mut self) {
        loop {
            self.until_asked().await;
            let began = Instant::now();
            let asked = match self.ask_over_line(began + DEADLINE).await {
                Some(asked) => asked,
                None => self.ask_anew(began).await,
            };
            let failed = match asked {
                Ok((probe, answer)) => {
                    self.pause = PAUSES.0;
                    self.tell(probe, Outcome::Answered(answer), began);
                    continue;
                }
                Err(Silence::Vacated) => continue,
                Err(Silence::Failed(why)) => Outcome::Failed(why.into()),
                Err(Silence::NobodyToAsk(why)) => Outcome::NobodyToAsk(why.into()),
            };
            let may_be_cut_short = matches!(failed, Outcome::NobodyToAsk(_));
            self.tell(self.topology.begun(), failed, began);
            tokio::select! {
                () = sleep(self.pause) => self.pause = (self.pause * 2).min(PAUSES.1),
                // Somebody may have logged in.
                () = self.ask.notified(), if may_be_cut_short => self.ask.notify_one(),
            }
        }
    }

    fn tell(&self, probe: u64, outcome: Outcome, began: Instant) {
        let heard = Heard { node: self.number, probe, outcome, took: began.elapsed() };
        // Whoever hears it ends this task when it ends itself.
        let _ = self.heard.send(heard);
    }

    /// Waits until it is to ask: when it is told to, or when the connection has ended, for that may be news.
    async fn until_asked(&mut self) {
        let Some(line) = &mut self.line else { return self.ask.notified().await };
        let node = &self.topology.nodes[self.number];
        let is_gone = tokio::select! {
            () = self.ask.notified() => {
                let names = &self.means.names;
                line.pool.servers_are_gone()
                    || line.pool.leads_elsewhere()
                    || line.prober.place().is_some_and(|(address, since)| {
                        names.is_gone(&node.target.hosts, address, since)
                    })
            }
            error = line.prober.ended() => {
                tracing::debug!("a connection that probes has ended: {}", Chain(&error));
                true
            }
            () = line.presence.is_to_leave() => true,
        };
        if is_gone && let Some(Line { prober, presence, .. }) = self.line.take() {
            // Whether its end has been seen or not: nobody waits for longer than for a probe.
            let _ = timeout(DEADLINE, prober.close()).await;
            drop(presence);
        }
    }

    /// Asks over the connection that is up; `None`: there is none, or none any more.
    async fn ask_over_line(&mut self, deadline: Instant) -> Option<Result<(u64, Answer), Silence>> {
        let mut line = self.line.take()?;
        match timeout_at(deadline, self.ask_over(&mut line)).await {
            Err(_) => Some(Err(late())),
            Ok(Err(AnswerError::Dial(error))) => {
                tracing::debug!("a connection that probes has failed: {}", Chain(&error));
                None
            }
            Ok(Err(refused @ AnswerError::Refused(_))) => Some(Err(refused.into())),
            Ok(Ok(answer)) => {
                self.line = Some(line);
                Some(Ok(answer))
            }
        }
    }

    /// Asks over a new connection. When all of that takes longer than a probe may, it is told of as a failure, and
    /// goes on nevertheless.
    async fn ask_anew(&mut self, began: Instant) -> Result<(u64, Answer), Silence> {
        let (line, answer) = {
            let connect_and_ask = async {
                let mut line = self.connect().await?;
                let answer = timeout(DEADLINE, self.ask_over(&mut line)).await;
                Ok::<_, Silence>((line, answer.map_err(|_| late())??))
            };
            let mut asking = Box::pin(connect_and_ask);
            match timeout_at(began + DEADLINE, &mut asking).await {
                Ok(asked) => asked,
                Err(_) => {
                    self.tell(self.topology.begun(), Outcome::Failed(LATE.into()), began);
                    asking.await
                }
            }
        }?;
        self.line = Some(line);
        Ok(answer)
    }

    async fn ask_over(&self, line: &mut Line) -> Result<(u64, Answer), AnswerError> {
        let begin = || self.topology.begin_probe();
        match line.prober.ask(begin).await {
            Err(AnswerError::Refused(report)) if report.sqlstate == *NOT_IN_RECOVERY => {
                line.prober.ask(begin).await
            }
            answer => answer,
        }
    }

    /// Logs in as the first role that the server takes.
    async fn connect(&self) -> Result<Line, Silence> {
        let deadline = Instant::now() + CONNECTING;
        let mut pools = self.means.pools_of(&self.topology);
        // Those first for whom it is known what logs in.
        pools.sort_by_key(|pool| pool.credential().is_none());
        if pools.is_empty() {
            return Err(Silence::NobodyToAsk("no pool is left".to_owned()));
        }
        let count = pools.len();
        let first = self.first_role.load(Ordering::Relaxed);
        pools.rotate_left(first % count);
        let mut refused = Silence::NobodyToAsk(String::new());
        for (tried, pool) in pools.into_iter().take(ROLES).enumerate() {
            let error = match self.connect_as(&pool, deadline).await {
                Ok(Some(line)) => {
                    self.first_role.store((first + tried) % count, Ordering::Relaxed);
                    return Ok(line);
                }
                Ok(None) => return Err(Silence::Vacated),
                Err(error) => error,
            };
            match error {
                AnswerError::Dial(error) if error.lacks_credential() => {
                    refused = Silence::NobodyToAsk(Chain(&error).to_string());
                }
                AnswerError::Dial(error) if error.is_refusal() => {
                    refused = Silence::Failed(Chain(&error).to_string());
                }
                error => return Err(error.into()),
            }
        }
        self.first_role.store((first + ROLES.min(count)) % count, Ordering::Relaxed);
        Err(refused)
    }

    /// `None`: somebody wants the database to itself.
    async fn connect_as(
        &self,
        pool: &Arc<PoolSpec>,
        deadline: Instant,
    ) -> Result<Option<Line>, AnswerError> {
        match self.connect_to(pool, Some(DATABASE), deadline).await {
            Err(AnswerError::Dial(error)) if error.is_refusal() => {
                self.connect_to(pool, None, deadline).await
            }
            connected => connected,
        }
    }

    async fn connect_to(
        &self,
        pool: &Arc<PoolSpec>,
        database: Option<&'static str>,
        deadline: Instant,
    ) -> Result<Option<Line>, AnswerError> {
        let node = self.node();
        let name = pool.settings.load().database.server_database.clone();
        let there = database.map_or(name.as_str(), |database| database);
        let Some(presence) = self.means.vacancies.enter(there, node.host()) else {
            return Ok(None);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let opening = Prober::open(&self.means.dialler, pool, &node.target, database, left);
        let prober = match timeout_at(deadline, Box::pin(opening)).await {
            Ok(opened) => opened?,
            Err(_) => {
                let doing = crate::dial::Step::LoggingIn;
                return Err(DialError::TimedOut { doing }.into());
            }
        };
        Ok(Some(Line { prober, pool: pool.clone(), presence }))
    }
}
