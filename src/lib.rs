//! pgweir: a Postgres connection pooler and query guard.
//!
//! The rooms stand in the order in which data travels through them.

/// Proving who somebody is: SCRAM, MD5, cleartext, certificates; secrets.
pub mod auth;
/// A byte stream, plain or TLS.
pub mod net;
