//! Waiting for an event with a deadline. A test never sleeps for a fixed time.

use std::time::{Duration, Instant};

/// Asks `event` again and again until it gives something; panics with `what` after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut event: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(happened) = event() {
            return happened;
        }
        assert!(Instant::now() < end, "{what} did not happen in {limit:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// As [`wait_for`], for a condition.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || condition().then_some(()));
}

/// Seconds, in few letters.
pub fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}
