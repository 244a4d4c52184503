//! pgweir: a Postgres connection pooler and query guard.
//!
//! The rooms stand in the order in which data travels through them.

pub mod cli;
pub mod config;
pub mod rules;
