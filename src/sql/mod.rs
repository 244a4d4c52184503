//! What a text of SQL is: tokens, statements, and the facts about them that sessions, guard and routing decide on.
//!
//! Floor 0: bytes in, facts out. Owns the lexer and the recognisers. Everything here is total: no text, however
//! hostile, panics, recurses without bound, or takes more than linear time.
//!
//! Deliberately absent: a grammar (a verdict must not depend on a parser that may fail), wire types, configuration,
//! who the client is, and what is done about a fact.

mod encoding;
mod lexer;
mod split;
mod token;

pub use encoding::Encoding;
pub use lexer::Lexer;
pub use split::Statements;
pub use token::{Flaw, Kind, LexOptions, Span, Token};
