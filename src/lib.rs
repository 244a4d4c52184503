//! pgweir: a Postgres connection pooler and query guard.
//!
//! The rooms stand in the order in which data travels through them.

/// What a text of SQL is: tokens, statements, facts.
pub mod sql;
