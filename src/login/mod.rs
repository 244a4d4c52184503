//! The login hall: an accepted socket becomes a session on a loop, a cancel request, or is told
//! why not.
//!
//! ```text
//!   accept ─▶ negotiate ─▶ claim ─▶ access ─▶ authenticate ─▶ pool ─▶ hand over
//! ```
//!
//! Everything before the hand-over stands under one deadline and keeps at most 16 KB. Deliberately
//! absent: queries, and anything about servers but the secrets that log in to them.

pub mod accept;
mod authenticate;
mod claim;
pub mod door;
mod edition;
mod hall;
mod lookup;
mod negotiate;
mod pools;
mod refusal;
mod secrets;
mod shown;
pub mod tally;
#[cfg(test)]
pub(crate) mod tests;
mod visit;

pub use accept::{Listening, accept_from};
pub use claim::Claim;
pub use door::{ConsoleDoor, Rank, Visitor};
pub use edition::{Edition, EditionError};
pub use hall::{Hall, Loop};
pub use negotiate::{Request, negotiate};
pub use pools::Pools;
pub use refusal::{Refusal, say_goodbye};
pub use secrets::Secrets;
pub use shown::Shown;
