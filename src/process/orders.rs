//! Serving what loops order: dials and cancel requests, each a task of its own.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::cancel::{Asker, Canceller};
use crate::dial::{DialError, Dialler};
use crate::guard::Answer;
use crate::listener::Listeners;
use crate::login::{Loop, Pools};
use crate::monitor::Vacancies;
use crate::net::socket::Socket;
use crate::pool::PoolSpec;
use crate::worker::mail::{Asked, DialFailure, Mail, NewServer, Order};

/// So many connections ask catalogs at a time, for verdicts of the guard.
const CATALOG_PLACES: usize = 16;

/// Where a loop puts its orders. Not bounded by itself: a loop has at most one order open for
/// each of its servers, and it must never block.
#[derive(Clone, Debug)]
pub struct OrderBook {
    home: usize,
    orders: mpsc::UnboundedSender<(usize, Order)>,
}

impl OrderBook {
    /// Gives an order. Once the hall is gone, orders are dropped.
    pub fn give(&self, order: Order) {
        let _ = self.orders.send((self.home, order));
    }
}

/// The orders of `loops` loops: a book for each, and what [`serve`] reads.
#[must_use]
pub fn order_books(loops: usize) -> (Vec<OrderBook>, mpsc::UnboundedReceiver<(usize, Order)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let book = |home| OrderBook { home, orders: sender.clone() };
    ((0..loops).map(book).collect(), receiver)
}

/// Serves orders until every loop has ended or given its book up.
pub async fn serve(
    mut orders: mpsc::UnboundedReceiver<(usize, Order)>,
    loops: Vec<Arc<dyn Loop>>,
    dialler: Arc<Dialler>,
    pools: Arc<Pools>,
    vacancies: Arc<Vacancies>,
) {
    let canceller = Arc::new(Canceller::default());
    let asker = Arc::new(Asker::default());
    let catalog_places = Arc::new(Semaphore::new(CATALOG_PLACES));
    let listeners = Listeners::new(dialler.clone(), loops.clone());
    let mut running = loops.len();
    while running > 0 {
        let Some((home, order)) = orders.recv().await else { return };
        let Some(mailbox) = loops.get(home).cloned() else { continue };
        match order {
            Order::Dial(pool) => {
                let dialler = dialler.clone();
                // Made here, so that a task that never runs answers as well.
                let answer = DialAnswer { pool, mailbox, outcome: None };
                tokio::spawn(async move {
                    let outcome = Box::pin(dialler.dial_for(&answer.pool)).await;
                    answer.give(outcome);
                });
            }
            Order::Cancel { cancel, target } => {
                let canceller = canceller.clone();
                tokio::spawn(async move {
                    let send = |mail| mailbox.send(mail);
                    Box::pin(canceller.carry_out(cancel, target, send)).await;
                });
            }
            Order::Look { cancel, pool, target } => {
                let asker = asker.clone();
                tokio::spawn(async move {
                    // No answer is one, too: the loop does not wait for ever.
                    let waits = asker.standby_wait(pool, target).await;
                    mailbox.send(Mail::Looked { cancel, waits });
                });
            }
            Order::IsThere { server, pool, target } => {
                let asker = asker.clone();
                tokio::spawn(async move {
                    // Without an answer the loop asks again.
                    if let Some(yes) = asker.is_there(pool, target).await {
                        mailbox.send(Mail::IsThere { server, yes });
                    }
                });
            }
            Order::Catalog { pool, asked } => {
                let (dialler, places) = (dialler.clone(), catalog_places.clone());
                // Made here, so that a task that never runs answers as well.
                let answer = CatalogAnswer { mailbox, asked: Some(asked), answers: Vec::new() };
                tokio::spawn(async move {
                    let mut answer = answer;
                    if let Some(asked) = &answer.asked {
                        let asking = dialler.ask_relations(&pool, asked, &places);
                        answer.answers = Box::pin(asking).await;
                    }
                });
            }
            Order::Terminate { pool, target } => {
                let asker = asker.clone();
                tokio::spawn(async move { asker.terminate(pool, target).await });
            }
            Order::Listen { pool, place, channel, ticket } => {
                listeners.listen(home, (pool, place), channel, ticket);
            }
            Order::Unlisten { pool, place, channel } => {
                listeners.unlisten(home, &pool, place, channel);
            }
            Order::Vacate(vacancy) => {
                // First of two, for the second says that all has been looked at.
                vacancies.vacate(&vacancy);
                listeners.vacate(vacancy);
            }
            Order::Unused(pool) => pools.forget(&pool),
            Order::Ended => running -= 1,
            Order::Broken => return,
        }
    }
}

/// Tells the loop how its dial ended, exactly once: when this is dropped, by a panic too.
struct DialAnswer {
    pool: Arc<PoolSpec>,
    mailbox: Arc<dyn Loop>,
    outcome: Option<Result<NewServer<Socket>, DialFailure>>,
}

impl DialAnswer {
    fn give(mut self, outcome: Result<NewServer<Socket>, DialFailure>) {
        self.outcome = Some(outcome);
    }
}

impl Drop for DialAnswer {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Err(DialError::Panicked.failure()));
        self.mailbox
            .send(Mail::Dialled { pool: self.pool.clone(), outcome: outcome.map(Box::new) });
    }
}

/// Tells the loop what the catalog has answered, exactly once: when this is dropped, by a panic too.
struct CatalogAnswer {
    mailbox: Arc<dyn Loop>,
    asked: Option<Asked>,
    answers: Vec<Answer>,
}

impl Drop for CatalogAnswer {
    fn drop(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.mailbox.send(Mail::Catalog(asked, std::mem::take(&mut self.answers)));
        }
    }
}

#[cfg(test)]
mod tests;
