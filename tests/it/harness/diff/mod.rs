//! DIFF: the same script straight to Postgres and to a second address must give the same replies.
//!
//! Scripts are text files under `tests/it/scripts`; `script` describes their language. Each is
//! played once to Postgres, then to the second address: in one write per step, and cut at random
//! byte positions. The replies are compared line by line after `mask` has hidden what differs by right.
//! What is known to differ stands in `explained.txt`, which must be exact.

mod explained;
mod lexer;
mod mask;
mod play;
mod runner;
mod script;

pub use explained::Explained;
pub use play::{Random, Target, Writing, play};
pub use runner::{Differential, Outcome};
pub use script::{Await, Piece, Script, ScriptLogin, Step, parse_scripts, stored_scripts};
