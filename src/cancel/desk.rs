//! One connection that asks about server processes, for all who want to know at the moment.
//!
//! ```text
//!   closed ──wish──▶ logging in ──▶ asking ──nobody waits for a standby──▶ closed
//!                        │           ▲  │
//!                        ▼           │  └──somebody does──▶ kept for 3 s ──wish──▶ asking
//!              those wishes are      └─────what was wished meanwhile
//!              not answered
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::CancelTarget;
use super::ask::{Asker, Place};
use super::processes::{self, Process};
use crate::dial::{AnswerError, Chain, Connected, DialError, Step, leave, log_in_beside};
use crate::pool::PoolSpec;
use crate::worker::mail::StandbyWait;

/// How long a login may take.
const LOGIN_LIMIT: Duration = Duration::from_secs(1);
/// How long an answer may take, from when it was asked for.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How long a connection is kept while something waits for a standby: that is looked at every second.
const KEPT: Duration = Duration::from_secs(3);

/// What somebody wants of a process.
#[derive(Debug)]
pub(super) struct Wish {
    /// Whose server it is.
    pub(super) pool: Arc<PoolSpec>,
    /// The process, and where it is.
    pub(super) target: Arc<CancelTarget>,
    /// What.
    pub(super) want: Want,
}

/// Dropped without an answer: nobody could say.
#[derive(Debug)]
pub(super) enum Want {
    /// To know what it does.
    Look(oneshot::Sender<Process>),
    /// That it ends. The answer: it was there.
    End(oneshot::Sender<bool>),
}

/// Serves the wishes for one place until there are no more.
pub(super) struct Desk {
    asker: Arc<Asker>,
    place: Place,
    wishes: UnboundedReceiver<Wish>,
    /// Kept from the last question.
    kept: Option<Connected>,
}

impl Desk {
    pub(super) fn new(asker: Arc<Asker>, place: Place, wishes: UnboundedReceiver<Wish>) -> Self {
        Desk { asker, place, wishes, kept: None }
    }

    pub(super) async fn serve(mut self) {
        let mut wishes = Vec::new();
        loop {
            let patience = if self.kept.is_some() { KEPT } else { Duration::ZERO };
            let coming = self.wishes.recv_many(&mut wishes, processes::MOST);
            let _ = timeout(patience, coming).await;
            if !wishes.is_empty() {
                Box::pin(self.grant(&mut wishes)).await;
                // What has no answer by now gets none.
                wishes.clear();
            } else if self.asker.close(&self.place, &self.wishes) {
                if let Some(kept) = self.kept {
                    say_goodbye(kept).await;
                }
                return;
            }
        }
    }

    /// Answers as far as Postgres does.
    async fn grant(&mut self, wishes: &mut Vec<Wish>) {
        if let Some(kept) = self.kept.take()
            && self.ask(kept, wishes).await.is_ok()
        {
            return;
        }
        // There was none, or it has been lost meanwhile.
        let Some(first) = wishes.first() else { return };
        let Ok(connected) = self.log_in(first).await else { return };
        // Whoever has come meanwhile need not wait for another round.
        while wishes.len() < processes::MOST
            && let Ok(wish) = self.wishes.try_recv()
        {
            wishes.push(wish);
        }
        // It has been logged.
        let _ = self.ask(connected, wishes).await;
    }

    async fn log_in(&self, wish: &Wish) -> Result<Connected, Lost> {
        let _place = self.asker.logins.acquire().await.map_err(|_| Lost)?;
        let connecting = log_in_beside(&wish.target, &wish.pool, LOGIN_LIMIT);
        connecting.await.map_err(|error| self.lost(&wish.pool, &error))
    }

    /// Asks over a connection, and keeps it if there will be more to ask.
    async fn ask(&mut self, mut connected: Connected, wishes: &mut Vec<Wish>) -> Result<(), Lost> {
        let Some(pool) = wishes.first().map(|wish| wish.pool.clone()) else { return Ok(()) };
        match timeout(ANSWER_LIMIT, ask_all(&mut connected, wishes)).await {
            Ok(Ok(Further::IsWanted)) => self.kept = Some(connected),
            Ok(Ok(Further::IsNot)) => say_goodbye(connected).await,
            Ok(Err(AnswerError::Refused(report))) => {
                tracing::warn!(
                    database = pool.database,
                    server_role = self.place.role,
                    "Postgres does not say what becomes of a process: {} ({})",
                    report.message,
                    report.sqlstate()
                );
                say_goodbye(connected).await;
            }
            Ok(Err(AnswerError::Dial(error))) => return Err(self.lost(&pool, &error)),
            Err(_) => {
                return Err(self.lost(&pool, &DialError::TimedOut { doing: Step::Asking }));
            }
        }
        Ok(())
    }

    fn lost(&self, pool: &PoolSpec, error: &DialError) -> Lost {
        tracing::warn!(
            database = pool.database,
            server_role = self.place.role,
            "cannot ask Postgres about a process: {}",
            Chain(error)
        );
        Lost
    }
}

/// There is no connection to ask over. It has been logged.
struct Lost;

/// Whether more will be asked soon.
enum Further {
    IsWanted,
    IsNot,
}

/// Grants all wishes. Those that are left had no answer.
async fn ask_all(
    connected: &mut Connected,
    wishes: &mut Vec<Wish>,
) -> Result<Further, AnswerError> {
    let targets: Vec<_> = wishes.iter().map(|wish| wish.target.clone()).collect();
    let found = processes::look_at(connected, &targets).await?;
    let somebody_waits = found.iter().any(|process| process.wait == Some(StandbyWait::Waits));
    let mut to_end = Vec::new();
    for (wish, process) in wishes.drain(..).zip(found) {
        match wish.want {
            Want::Look(answer) => {
                let _ = answer.send(process);
            }
            Want::End(answer) => to_end.push((wish.target, answer)),
        }
    }
    if !to_end.is_empty() {
        let targets: Vec<_> = to_end.iter().map(|(target, _)| target.clone()).collect();
        let ended = processes::end(connected, &targets).await?;
        for ((_, answer), ended) in to_end.into_iter().zip(ended) {
            let _ = answer.send(ended);
        }
    }
    Ok(if somebody_waits { Further::IsWanted } else { Further::IsNot })
}

/// So that the server's log shows no lost connection; one that does not take it is none any more.
async fn say_goodbye(connected: Connected) {
    let _ = timeout(ANSWER_LIMIT, leave(connected)).await;
}
