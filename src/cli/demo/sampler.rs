//! Asks Postgres itself, again and again, how many connections it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::DemoError;
use super::stage::DATABASE;
use crate::cluster::{ClusterError, Node, SqlConnection};

/// Every client connection but the one that asks.
const QUESTION: &str = "SELECT count(*) FROM pg_stat_activity \
                        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(20);

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// The most connections at a time.
    pub most: u64,
    /// How often it was asked.
    pub count: u64,
}

/// A thread that asks until this is dropped or [`Sampler::finish`]ed.
#[derive(Debug)]
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Samples, ClusterError>>>,
}

impl Sampler {
    /// Waits until nobody else is connected, then begins to ask. Blocks meanwhile.
    pub fn start(node: &Node) -> Result<Self, DemoError> {
        let mut sql = node.open_sql(DATABASE)?;
        let end = Instant::now() + Duration::from_secs(10);
        while ask(&mut sql)? > 0 {
            if Instant::now() >= end {
                let what = "connections of the last load are still open at Postgres";
                return Err(DemoError::Broken(what.into()));
            }
            std::thread::sleep(INTERVAL);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut samples = Samples::default();
            while !stopped.load(Ordering::Relaxed) {
                samples.most = samples.most.max(ask(&mut sql)?);
                samples.count += 1;
                std::thread::sleep(INTERVAL);
            }
            Ok(samples)
        });
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends asking and gives what was seen.
    pub fn finish(mut self) -> Result<Samples, DemoError> {
        self.stop.store(true, Ordering::Relaxed);
        let broken = || DemoError::Broken("the thread that counts connections broke".into());
        let thread = self.thread.take().ok_or_else(broken)?;
        Ok(thread.join().map_err(|_| broken())??)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(sql: &mut SqlConnection) -> Result<u64, ClusterError> {
    let rows = sql.run(QUESTION)?;
    let count = rows.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok());
    count.ok_or_else(|| ClusterError::Protocol("count(*) gave no number".into()))
}
