//! What is counted about the servers of a database. For those who operate pgweir: nothing is decided by it.

use std::time::{Duration, Instant};

/// Since the process started, or since the database has got its servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Times that a primary was found where none was known, or another one was.
    pub found: u64,
    /// Of these, those where another one had been.
    pub promotions: u64,
    /// For how long several said that they were.
    pub several_ms: u64,
}

/// One server.
#[derive(Clone, Debug, Default)]
pub struct NodeFigures {
    /// When its last probe was answered, and how long that took.
    pub answered: Option<(Instant, Duration)>,
    /// Probes that were answered.
    pub probes: u64,
    /// Probes that were not.
    pub failed: u64,
    /// Its timeline, where it can be known.
    pub timeline: Option<u32>,
    /// Its replay is paused.
    pub is_paused: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Of the database.
    pub totals: Totals,
    /// Of each server, as in [`Topology::nodes`](super::Topology::nodes).
    pub nodes: Box<[NodeFigures]>,
}

impl Figures {
    /// Nothing has been counted of so many servers.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        Figures { totals: Totals::default(), nodes: vec![NodeFigures::default(); nodes].into() }
    }
}
