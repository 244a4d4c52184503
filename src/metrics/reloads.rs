//! How reloads of the configuration went.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Counts of one process. Written a few times a day, by one task.
#[derive(Debug)]
pub struct Reloads {
    succeeded: AtomicU64,
    refused: AtomicU64,
    /// 1: the last one was refused.
    last_refused: AtomicU64,
    /// When it ended, in seconds since 1970; the start counts as one.
    last_at: AtomicU64,
}

impl Default for Reloads {
    fn default() -> Self {
        Reloads {
            succeeded: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last_refused: AtomicU64::new(0),
            last_at: AtomicU64::new(seconds_since_1970()),
        }
    }
}

impl Reloads {
    /// Reloads that took effect.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Reloads that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether the configuration in force is that of the files as they were read last.
    #[must_use]
    pub fn last_succeeded(&self) -> bool {
        self.last_refused.load(Ordering::Relaxed) == 0
    }

    /// When the last one ended, or the process started, in seconds since 1970.
    #[must_use]
    pub fn last_at(&self) -> u64 {
        self.last_at.load(Ordering::Relaxed)
    }

    /// One has ended.
    pub fn count(&self, succeeded: bool) {
        let counter = if succeeded { &self.succeeded } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last_refused.store(u64::from(!succeeded), Ordering::Relaxed);
        self.last_at.store(seconds_since_1970(), Ordering::Relaxed);
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
