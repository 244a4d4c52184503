//! pgweir: a Postgres connection pooler and query guard.
//!
//! The rooms stand in the order in which data travels through them.

/// A throw-away Postgres for the demo and the tests; beside all rooms.
pub mod cluster;
