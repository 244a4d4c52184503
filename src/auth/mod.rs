//! Proving who somebody is, towards clients and towards Postgres.
//!
//! Exchanges are message in, message out: they take and give message *bodies* (the bytes after
//! tag and length). `exchange::PasswordExchange` is a client's login by password in whatever
//! method applies; `scram::ScramClient` and the answers in `password` are our own login to
//! Postgres. Deliberately absent: sockets, clocks, framing, and any logging.

pub mod certificate;
pub mod credential;
pub mod exchange;
pub mod password;
pub mod request;
pub mod scram;
pub mod secret;
pub mod userlist;

use aws_lc_rs::rand;

pub use credential::ServerCredential;

/// Fills `N` bytes from the operating system's source of randomness, by way of the library.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Going on with predictable nonces or salts would be worse than the panic, which closes one
    // connection.
    rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
