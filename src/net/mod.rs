//! A byte stream: plain or TLS.
//!
//! Deliberately absent: protocol messages, and any idea of who speaks.

pub mod link;
pub mod tls;
pub mod socket;
