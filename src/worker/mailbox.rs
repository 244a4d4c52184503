//! How others reach a loop: a queue and a wake.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::Waker;

use super::mail::{LoopSettings, Mail, Order};
use super::mio_driver::MioDriver;
use super::{Company, Engine};
use crate::net::socket::Socket;

/// The sending end of a loop's mailbox.
#[derive(Clone)]
pub struct LoopHandle {
    queue: Arc<Mutex<Vec<Mail<Socket>>>>,
    waker: Arc<Waker>,
}

impl LoopHandle {
    /// Puts a message into the mailbox and wakes the loop. One that has ended never looks.
    ///
    /// The queue is bounded by what the senders have under way: clients by
    /// `max_client_connections`, dials, servers and what loops ask each other for by the pools'
    /// sizes, one answer for each cancel request.
    pub fn send(&self, mail: Mail<Socket>) {
        // First the message, then the wake: the loop empties the mailbox after each wake.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a loop");
        }
    }
}

/// The mailboxes of all loops of a process.
#[derive(Default)]
pub struct Loops {
    handles: Box<[OnceLock<LoopHandle>]>,
}

impl Loops {
    /// Room for `loops` mailboxes.
    #[must_use]
    pub fn of(loops: usize) -> Arc<Self> {
        Arc::new(Loops { handles: (0..loops).map(|_| OnceLock::new()).collect() })
    }

    /// Puts a message into a loop's mailbox. Loops have business with each other only when clients
    /// have come, and by then all have started.
    pub(super) fn send(&self, to: usize, mail: Mail<Socket>) {
        match self.handles.get(to).and_then(OnceLock::get) {
            Some(handle) => handle.send(mail),
            None => tracing::error!(to, "a message for an event loop that has not started"),
        }
    }
}

/// What a loop is started with.
pub struct Start {
    /// Its number, from 0.
    pub seat: usize,
    /// What all loops share.
    pub company: Arc<Company>,
    /// The mailboxes of all loops.
    pub loops: Arc<Loops>,
    /// Since when all loops count.
    pub started: Instant,
    /// What holds for all its clients, until a reload.
    pub settings: LoopSettings,
}

/// Where a loop's orders go. When it is dropped before the loop has ended as it was told to, by a
/// panic for one, the hall learns that.
struct Orders<F: FnMut(Order)> {
    give: F,
    ended: bool,
}

impl<F: FnMut(Order)> Drop for Orders<F> {
    fn drop(&mut self) {
        if !self.ended {
            (self.give)(Order::Broken);
        }
    }
}

/// Starts a loop on a thread of its own. `order` carries the loop's orders to the hall; it must not
/// block.
///
/// # Errors
/// The poller or the thread cannot be made.
pub fn spawn(
    start: Start,
    order: impl FnMut(Order) + Send + 'static,
) -> io::Result<(LoopHandle, JoinHandle<io::Result<()>>)> {
    let Start { seat, company, loops, started, settings } = start;
    let driver = MioDriver::new(loops.clone(), started)?;
    let queue = Arc::new(Mutex::new(Vec::new()));
    let handle = LoopHandle { queue: queue.clone(), waker: driver.waker() };
    if let Some(place) = loops.handles.get(seat) {
        place.get_or_init(|| handle.clone());
    }
    let name = format!("pgweir-loop-{seat}");
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let mut engine = Engine::new(driver, (seat, company), settings);
        let mut orders = Orders { give: order, ended: false };
        while !engine.is_stopped() {
            let turned = engine.turn(|| {
                std::mem::take(&mut *queue.lock().unwrap_or_else(PoisonError::into_inner))
            });
            for item in engine.take_orders() {
                orders.ended |= matches!(item, Order::Ended);
                (orders.give)(item);
            }
            if let Err(error) = turned {
                tracing::error!(%error, "an event loop cannot go on");
                return Err(error);
            }
        }
        Ok(())
    })?;
    Ok((handle, thread))
}
