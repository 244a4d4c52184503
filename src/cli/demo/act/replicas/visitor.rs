//! Clients that read, write now and then, and check that they see what they have written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cli::demo::client::{Client, ClientError, Login};
use crate::cli::demo::error::DemoError;
use crate::wire::report::Severity;

/// The pause after each step. A session that reads without any stays with the primary for as long, where others write.
const PAUSE: Duration = Duration::from_millis(100);

/// An acknowledged row.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) nonce: i64,
    /// The port of the server that wrote it.
    pub(super) port: u16,
    pub(super) acknowledged: Instant,
}

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Visits {
    pub(super) reads: u64,
    pub(super) writes: Vec<Write>,
    /// Reads that did not show what their session had written.
    pub(super) stale: u64,
    pub(super) slowest_read: Duration,
    /// Errors that statements were answered with. Their sessions went on.
    pub(super) failures: BTreeMap<String, u32>,
    /// Sessions that ended.
    pub(super) cut: u32,
}

impl Visits {
    /// When the first write at this server was acknowledged.
    pub(super) fn first_write_at(&self, port: u16) -> Option<Instant> {
        let there = self.writes.iter().filter(|write| write.port == port);
        there.map(|write| write.acknowledged).min()
    }

    fn add(&mut self, other: Visits) {
        self.reads += other.reads;
        self.writes.extend(other.writes);
        self.stale += other.stale;
        self.slowest_read = self.slowest_read.max(other.slowest_read);
        for (text, count) in other.failures {
            *self.failures.entry(text).or_default() += count;
        }
        self.cut += other.cut;
    }
}

/// What all of a crowd share.
#[derive(Debug, Default)]
struct Signs {
    /// They are to leave.
    is_over: AtomicBool,
    /// The port of the server that wrote last.
    last_port: AtomicU16,
}

/// Clients at work, until they are told to leave. Gone when dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    tasks: JoinSet<Visits>,
    signs: Arc<Signs>,
}

impl Crowd {
    /// Logs so many in. `number` tells their rows from those of others; one step of `each` is a write, and so is the first.
    pub(super) async fn enter(
        login: Login,
        clients: u32,
        number: u32,
        each: u32,
    ) -> Result<Self, DemoError> {
        let signs = Arc::new(Signs::default());
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let connected = Client::log_in(&login).await;
            let connected = connected.map_err(|error| DemoError::Broken(error.to_string()))?;
            // Beside those of act 1, whose loads have the numbers 1 and 2.
            let nonce = i64::from(number + 100) << 48 | i64::from(client) << 32;
            let visitor = Visitor {
                client: connected,
                nonce,
                last: None,
                step: client % each,
                each,
                seen: Visits::default(),
            };
            tasks.spawn(visitor.visit(signs.clone()));
        }
        Ok(Self { tasks, signs })
    }

    /// Waits until one of them has written at this server, or for so long.
    pub(super) async fn wait_for_a_write_at(&self, port: u16, at_most: Duration) {
        let written = async {
            while self.signs.last_port.load(Ordering::Relaxed) != port {
                sleep(Duration::from_millis(5)).await;
            }
        };
        // What came of it is in the visits.
        let _ = timeout(at_most, written).await;
    }

    /// Ends the visits and gives what was seen.
    pub(super) async fn leave(mut self) -> Result<Visits, DemoError> {
        self.signs.is_over.store(true, Ordering::Relaxed);
        let mut all = Visits::default();
        while let Some(seen) = self.tasks.join_next().await {
            all.add(seen.map_err(|error| DemoError::Broken(error.to_string()))?);
        }
        Ok(all)
    }
}

#[derive(Debug)]
struct Visitor {
    client: Client,
    /// The last one used. Invariant: no other visitor ever has it.
    nonce: i64,
    /// The last that was acknowledged.
    last: Option<i64>,
    step: u32,
    each: u32,
    seen: Visits,
}

impl Visitor {
    async fn visit(mut self, signs: Arc<Signs>) -> Visits {
        while !signs.is_over.load(Ordering::Relaxed) {
            if let Err(error) = self.take_step(&signs).await {
                match error {
                    ClientError::Refused(report) if report.severity != Severity::Fatal => {
                        let text = ClientError::Refused(report).to_string();
                        *self.seen.failures.entry(text).or_default() += 1;
                    }
                    _ => {
                        self.seen.cut += 1;
                        return self.seen;
                    }
                }
            }
            sleep(PAUSE).await;
        }
        self.client.leave().await;
        self.seen
    }

    async fn take_step(&mut self, signs: &Signs) -> Result<(), ClientError> {
        self.step = (self.step + 1) % self.each;
        if self.step == 0 || self.last.is_none() {
            self.write(signs).await?;
        }
        self.read().await
    }

    async fn write(&mut self, signs: &Signs) -> Result<(), ClientError> {
        self.nonce += 1;
        let text = format!(
            "INSERT INTO visits (nonce, service) VALUES ({}, 'replicas') RETURNING inet_server_port()",
            self.nonce
        );
        let answer = self.client.query(&text).await?;
        let acknowledged = Instant::now();
        let port = answer.row().and_then(|row| row.first()?.as_deref()?.parse().ok());
        let port = port.ok_or(ClientError::Protocol("INSERT gave no port"))?;
        self.seen.writes.push(Write { nonce: self.nonce, port, acknowledged });
        signs.last_port.store(port, Ordering::Relaxed);
        self.last = Some(self.nonce);
        Ok(())
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        let Some(nonce) = self.last else { return Ok(()) };
        let began = Instant::now();
        let text = format!("SELECT service FROM visits WHERE nonce = {nonce}");
        let answer = self.client.query(&text).await?;
        self.seen.reads += 1;
        self.seen.stale += u64::from(answer.rows.is_empty());
        self.seen.slowest_read = self.seen.slowest_read.max(began.elapsed());
        Ok(())
    }
}
