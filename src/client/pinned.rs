//! What is known of a session's pin: since when, who has been told, and when its server is asked
//! whether it still has to be.
//!
//! A text says that something may have come to lie on the server, never that it is gone: locks are
//! counted, tables dropped by name or with their transaction, functions do both unseen. So the
//! server is asked. That costs the session a round trip, and is done where there is reason to: when
//! a reason to pin has arisen and its transaction is over, for the statement may have failed or
//! undone it itself; when a text may have given something up; and otherwise, if anything has run
//! since, less and less often.
//!
//! Deliberately absent: what the server is asked, and sending it.

use crate::deadline::{Deadline, Tick};
use crate::session::Pins;

/// How long after an answer the server may be asked again without a reason of its own. Doubled each
/// time that nothing had gone, up to [`LONGEST_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 1_000;
const LONGEST_PAUSE_MS: u64 = 60_000;

/// The same while clients wait for a server of the pool.
const PRESSED_PAUSE_MS: u64 = 100;

/// A pin.
#[derive(Debug)]
pub struct Pinned {
    /// When it arose.
    pub since: Tick,
    /// What the session's texts are read under while names in them may mean temporary objects.
    pub dialect: Option<Box<[u8]>>,
    /// The reasons that have been counted.
    told: Pins,
    /// There is a reason to ask as soon as the session is at rest.
    ask_now: bool,
    /// Something has run since the server was asked last.
    has_run: bool,
    asked_at: Tick,
    pause_ms: u64,
}

impl Pinned {
    /// One that arises now.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Pinned {
            since: now,
            dialect: None,
            told: Pins::NONE,
            ask_now: false,
            has_run: false,
            asked_at: now,
            pause_ms: FIRST_PAUSE_MS,
        }
    }

    /// Something is sent while these reasons hold. Those among them that are new.
    pub fn runs(&mut self, pins: Pins) -> Pins {
        self.has_run = true;
        let new = pins.without(self.told);
        self.told = pins;
        if new.has(Pins::ASKABLE) {
            self.ask_now = true;
            self.pause_ms = FIRST_PAUSE_MS;
        }
        new
    }

    /// A text was sent that may have given up what pins.
    pub fn may_be_over(&mut self) {
        self.ask_now = true;
    }

    /// When to ask, if the session is at rest then; `pressed` while clients wait for a server.
    #[must_use]
    pub fn ask_at(&self, pins: Pins, pressed: bool) -> Deadline {
        let may_come_free = !pins.is_none() && pins.without(Pins::ASKABLE).is_none();
        if !may_come_free || !(self.has_run || self.ask_now) {
            return Deadline::NEVER;
        }
        if self.ask_now {
            return Deadline::after(self.asked_at, Some(0));
        }
        let pause_ms = if pressed { PRESSED_PAUSE_MS } else { self.pause_ms };
        Deadline::after(self.asked_at, Some(pause_ms))
    }

    /// The server is asked.
    pub fn asked(&mut self, now: Tick) {
        self.ask_now = false;
        self.has_run = false;
        self.asked_at = now;
    }

    /// DISCARD ALL has run, and these reasons are left.
    pub fn discarded(&mut self, left: Pins) {
        self.told = left;
    }

    /// It could not answer: it is asked again.
    pub fn failed(&mut self, now: Tick) {
        self.answered(self.told, now);
        self.has_run = true;
    }

    /// It has answered, and these reasons are left.
    pub fn answered(&mut self, left: Pins, now: Tick) {
        if left == self.told {
            self.pause_ms = (self.pause_ms * 2).min(LONGEST_PAUSE_MS);
        }
        // Those that are gone count anew when they come again.
        self.told = left;
        self.asked_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: Pins = Pins::ADVISORY_LOCK;

    fn due(pinned: &Pinned, pins: Pins, at_ms: u64) -> bool {
        pinned.ask_at(pins, false).reached(Tick(at_ms))
    }

    #[test]
    fn a_new_reason_is_a_reason_to_ask_once() {
        let mut pinned = Pinned::new(Tick(0));
        assert_eq!(pinned.runs(LOCK), LOCK);
        assert!(due(&pinned, LOCK, 0));
        pinned.asked(Tick(5));
        pinned.answered(LOCK, Tick(5));
        assert_eq!(pinned.ask_at(LOCK, true), Deadline::NEVER, "nothing has run since");
        assert_eq!(pinned.runs(LOCK), Pins::NONE);
        assert!(!due(&pinned, LOCK, 6));
        let both = LOCK.and(Pins::TEMPORARY);
        assert_eq!(pinned.runs(both), Pins::TEMPORARY);
        assert!(due(&pinned, both, 6));
    }

    #[test]
    fn without_a_reason_it_is_asked_less_and_less_often() {
        let mut pinned = Pinned::new(Tick(0));
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pinned.runs(LOCK);
            let before = now;
            while !due(&pinned, LOCK, now) {
                now += 500;
            }
            pauses.push(now - before);
            pinned.asked(Tick(now));
            pinned.answered(LOCK, Tick(now));
        }
        let expected = [0, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000];
        assert_eq!(pauses, expected);
        pinned.runs(LOCK);
        assert!(pinned.ask_at(LOCK, true).reached(Tick(now + 100)), "sooner where others wait");
        assert!(!pinned.ask_at(LOCK, true).reached(Tick(now + 99)));
        pinned.may_be_over();
        assert!(due(&pinned, LOCK, now));
    }

    #[test]
    fn where_the_answer_could_free_nobody_it_is_not_asked() {
        let mut pinned = Pinned::new(Tick(0));
        for pins in [Pins::PARAMETER.and(LOCK), Pins::SESSION_MODE.and(Pins::TEMPORARY)] {
            pinned.runs(pins);
            pinned.may_be_over();
            assert_eq!(pinned.ask_at(pins, true), Deadline::NEVER);
        }
        assert_eq!(pinned.ask_at(Pins::NONE, true), Deadline::NEVER);
    }
}
