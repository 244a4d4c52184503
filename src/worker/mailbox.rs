//! How others reach a loop: a queue and a wake.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mio::Waker;

use super::Engine;
use super::mail::{LoopSettings, Mail, Order};
use super::mio_driver::MioDriver;
use crate::net::socket::Socket;
use crate::session::ParamSet;

/// The sending end of a loop's mailbox.
#[derive(Clone)]
pub struct LoopHandle {
    queue: Arc<Mutex<Vec<Mail<Socket>>>>,
    waker: Arc<Waker>,
}

impl LoopHandle {
    /// Puts a message into the mailbox and wakes the loop. A loop that has ended drops it.
    ///
    /// The queue is bounded by what the senders have under way: clients by
    /// `max_client_connections`, dials by the pools' sizes, one answer for each cancel request.
    pub fn send(&self, mail: Mail<Socket>) {
        // First the message, then the wake: the loop empties the mailbox after each wake.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a loop");
        }
    }
}

/// Starts a loop on a thread of its own. `order` carries the loop's orders to the hall; it must not
/// block.
///
/// # Errors
/// The poller or the thread cannot be made.
pub fn spawn(
    name: &str,
    no_params: Arc<ParamSet>,
    settings: LoopSettings,
    mut order: impl FnMut(Order) + Send + 'static,
) -> io::Result<(LoopHandle, JoinHandle<io::Result<()>>)> {
    let driver = MioDriver::new()?;
    let queue = Arc::new(Mutex::new(Vec::new()));
    let handle = LoopHandle { queue: queue.clone(), waker: driver.waker() };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut engine = Engine::new(driver, no_params, settings);
        while !engine.is_stopped() {
            let turned = engine.turn(|| {
                std::mem::take(&mut *queue.lock().unwrap_or_else(PoisonError::into_inner))
            });
            for item in engine.take_orders() {
                order(item);
            }
            if let Err(error) = turned {
                tracing::error!(%error, "an event loop cannot go on");
                order(Order::Ended);
                return Err(error);
            }
        }
        Ok(())
    })?;
    Ok((handle, thread))
}
