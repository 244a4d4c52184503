//! What is counted, and how it is told to Prometheus.
//!
//! A loop counts in plain integers of its own; whoever looks gets copies and adds them up.
//! Deliberately absent: locks, atomics, clocks, and decisions: nobody reads a count to decide.

mod counters;
pub mod text;

pub use counters::{Counters, ErrorClasses, Histogram, LADDER_US, SqlClass};
