//! Proving who somebody is, towards clients and towards Postgres.
//!
//! Exchanges are message in, message out: they take and give message *bodies* (the bytes after
//! tag and length). Deliberately absent: sockets, clocks, framing, SQLSTATEs, and any logging.

pub mod certificate;
mod stub;
pub use stub::ServerCredential;
