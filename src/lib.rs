//! pgweir: a Postgres connection pooler and query guard.
//!
//! The rooms stand in the order in which data travels through them.

pub mod cancel;
pub mod client;
pub mod deadline;
pub mod errors;
pub mod ids;
pub mod pool;
pub mod prepared;
pub mod server;
pub mod session;
pub mod wire;
pub mod worker;
