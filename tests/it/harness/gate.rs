//! A gate that threads wait at until the test opens it.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Closed at first; clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.set(true);
    }

    /// Holds whoever comes from now on.
    pub fn close(&self) {
        self.set(false);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state.0.lock().expect("a gate").open
    }

    /// Waits until it is open, at most a minute: no thread outlives its test by more.
    pub fn pass(&self) {
        let (state, changed) = &*self.state;
        let mut state = state.lock().expect("a gate");
        state.waiting += 1;
        changed.notify_all();
        let end = Instant::now() + Duration::from_secs(60);
        while !state.open {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = changed.wait_timeout(state, left).expect("a gate").0;
        }
        state.waiting -= 1;
    }

    /// Waits until so many threads stand before it; panics after `limit`.
    pub fn wait_for_waiting(&self, count: usize, limit: Duration) {
        let (state, changed) = &*self.state;
        let mut state = state.lock().expect("a gate");
        let end = Instant::now() + limit;
        while state.waiting < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} came to the gate", state.waiting);
            state = changed.wait_timeout(state, left).expect("a gate").0;
        }
    }

    fn set(&self, open: bool) {
        self.state.0.lock().expect("a gate").open = open;
        self.state.1.notify_all();
    }
}
