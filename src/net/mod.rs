//! A byte stream: plain or TLS, and the sockets that it starts from.
//!
//! Deliberately absent: protocol messages, and any idea of who speaks.

pub mod link;
pub mod listen;
pub mod options;
pub mod socket;
pub mod tls;
