//! Proofs that the harness itself tells the truth.

mod accounting;
mod cluster;
mod differential;
mod fake;
mod nonce;
mod process;
mod proxy;
mod raw_client;
