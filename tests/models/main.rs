//! What threads share, under every order in which their steps can come (loom).
//!
//! The pool's board is the library's own source, with the model checker's atomics in place of the
//! processor's. Around it stands what a loop does with it, reduced to the steps that others can see.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]
// Not all of the library's source is used here.
#![allow(dead_code, missing_docs, reason = "the board is compiled a second time")]

mod deadline {
    pub use pgweir::deadline::Tick;
}
mod sync {
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}
#[path = "../../src/pool/board.rs"]
mod board;
mod cancel;
mod waits;
