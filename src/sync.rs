//! The atomics that event loops share. A module of their own, so that the model checker can put its
//! own in their place (`tests/models`).

pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
