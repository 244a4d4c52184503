//! Proofs that the harness itself tells the truth.

mod cluster;
mod differential;
mod process;
mod raw_client;
