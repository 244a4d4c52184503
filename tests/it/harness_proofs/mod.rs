//! Proofs that the harness itself tells the truth.

mod cluster;
mod process;
mod raw_client;
