//! What is counted, and how it is told to Prometheus.
//!
//! A loop counts in plain integers of its own; whoever looks gets copies and adds them up. Only
//! reloads, which are rare, are counted in atomics. Deliberately absent: locks, and decisions:
//! nobody reads a count to decide.

mod counters;
mod reloads;
pub mod text;

pub use counters::{Counters, ErrorClasses, Histogram, LADDER_US, ReasonCounts, SqlClass};
pub use reloads::Reloads;
