//! Who uses a server, readable from every loop: notifications carry the process id of the backend
//! that sent them, and clients know each other by those that pgweir gave them.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::deadline::Tick;

/// How late a notification may come at the latest: for so long after a server has changed hands it
/// is not known whose it is.
const LATEST_MS: u64 = 1_000;

/// The user of one server. Written by the loop that has the server, at each change of hands.
#[derive(Debug, Default)]
pub struct Tenant {
    /// The process id that the user was told; 0: nobody yet.
    pid: AtomicI32,
    /// From this moment on, in milliseconds, what the server notifies is this user's.
    certain_at: AtomicU64,
}

impl Tenant {
    /// Another client gets the server.
    #[inline]
    pub fn changes(&self, pid: i32, now: Tick) {
        let is_first = self.pid.load(Ordering::Relaxed) == 0;
        let certain_at = if is_first { 0 } else { now.0 + LATEST_MS };
        // First the moment: whoever reads the new user then reads its moment or a later one.
        self.certain_at.store(certain_at, Ordering::Release);
        self.pid.store(pid, Ordering::Release);
    }

    /// Its user's text notifies: what comes now is its own.
    pub fn notifies(&self) {
        self.certain_at.store(0, Ordering::Release);
    }

    /// The user whose notification comes now; `None`: it may be one that had the server before.
    #[must_use]
    pub fn certain(&self, now: Tick) -> Option<i32> {
        let pid = self.pid.load(Ordering::Acquire);
        (pid != 0 && now.0 >= self.certain_at.load(Ordering::Acquire)).then_some(pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_change_of_hands_it_takes_a_while_to_be_certain() {
        let tenant = Tenant::default();
        assert_eq!(tenant.certain(Tick(5_000)), None);
        tenant.changes(1, Tick(5_000));
        assert_eq!(tenant.certain(Tick(5_000)), Some(1), "nobody had it before");
        tenant.changes(2, Tick(5_000));
        assert_eq!(tenant.certain(Tick(5_999)), None);
        assert_eq!(tenant.certain(Tick(6_000)), Some(2));
        tenant.changes(3, Tick(6_000));
        tenant.notifies();
        assert_eq!(tenant.certain(Tick(6_000)), Some(3), "its text says so");
    }
}
