//! The commands: each reads its arguments' values, does its work, and answers with an exit code.
//!
//! 0: fine. 1: it found problems. 2: it could not run.

pub mod check;
pub mod demo;
pub mod explain;
mod github;
mod json;
pub mod lint;
pub mod reload;
mod terms;
