//! Tests of pgweir as a whole: a module per behaviour, told with the words of `harness`.
//!
//! They need a Postgres of any supported major version; without one they fail and say what to
//! install.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

mod access;
mod bounds;
mod cancels;
mod console;
#[path = "../oracle/corpus.rs"]
mod corpus;
#[path = "../oracle/corpus_folder.rs"]
mod corpus_folder;
mod differential;
mod ends;
mod explain;
mod guard;
mod harness;
mod harness_proofs;
mod limits;
mod listen;
mod majors;
mod monitor;
mod prepared;
mod proofs;
mod reload;
mod route;
mod session;
mod streaming;
mod timeouts;
mod torture;
