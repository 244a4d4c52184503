//! What is prepared on a session's server before its next message, for that to find it, and what
//! came of it.
//!
//! Of some statements the message says that it needs them: the error of one that cannot be prepared
//! is its answer. Others it only might see, and runs without those that cannot be.
//!
//! Deliberately absent: which those are, and sending anything.

use crate::ids::ServerId;

/// An exchange of pgweir's own before a message.
#[derive(Debug)]
pub struct Standing {
    under_way: bool,
    /// The message that waits for it: its server, and the unit that it is the first of.
    message: (ServerId, u64),
    /// What the message can do without, each in a unit of its own, which fails alone.
    tries: Vec<(u64, Box<[u8]>)>,
    left_out: Vec<Box<[u8]>>,
    error: Option<Vec<u8>>,
}

impl Standing {
    /// One that is being sent.
    #[must_use]
    pub fn before(message: (ServerId, u64), tries: Vec<(u64, Box<[u8]>)>) -> Self {
        Standing { under_way: true, message, tries, left_out: Vec::new(), error: None }
    }

    /// Whether its answers are still to come.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Everything has been answered. Whether it was under way.
    pub fn end(&mut self) -> bool {
        std::mem::take(&mut self.under_way)
    }

    /// An ErrorResponse has come for this unit.
    pub fn failed(&mut self, unit: u64, error: Vec<u8>) {
        match self.tries.iter().position(|(of, _)| *of == unit) {
            Some(at) => self.left_out.push(self.tries.swap_remove(at).1),
            // What comes behind the first follows from it.
            None => drop(self.error.get_or_insert(error)),
        }
    }

    /// Whether it was for what is sent to this server in this unit.
    #[must_use]
    pub fn is_for(&self, server: ServerId, unit: u64) -> bool {
        self.message == (server, unit)
    }

    /// Whether the message goes without this name: it could not be prepared.
    #[must_use]
    pub fn leaves_out(&self, name: &[u8]) -> bool {
        self.left_out.iter().any(|left| **left == *name)
    }

    /// The ErrorResponse that the message is answered with.
    pub fn take_error(&mut self) -> Option<Vec<u8>> {
        self.error.take()
    }
}
