//! What a text of SQL is: tokens, statements, and the facts about them that sessions, guard and routing decide on.
//!
//! Floor 0: bytes in, facts out. Owns the lexer and the recognisers. Everything here is total: no text, however
//! hostile, panics, recurses without bound, or takes more than linear time.
//!
//! Deliberately absent: a grammar (a verdict must not depend on a parser that may fail), wire types, configuration,
//! who the client is, and what is done about a fact.

mod calls;
mod code;
pub mod commands;
mod create;
mod cursor;
mod effects;
mod encoding;
mod facts;
mod fingerprint;
mod lexer;
mod literal;
mod names;
mod parameters;
mod plain;
mod portals;
pub mod reads;
pub mod script;
mod split;
mod statements;
mod token;
mod transaction;
mod upkeep;
mod vacated;

pub use commands::{Command, Commands, commands, is_ordinary};
pub use cursor::Cursor;
pub use effects::{EffectSet, PinReason, PinReasons};
pub use encoding::Encoding;
pub use facts::{
    CopyDirection, Create, Discard, Explain, StatementFacts, StatementKind, TextFacts, facts,
};
pub use fingerprint::{Fingerprint, LONGEST_READ};
pub use lexer::Lexer;
pub use literal::{Name, name, string};
pub use names::names_temp_schema;
pub use parameters::{Action, ParameterUse, Scope, Target};
pub use plain::{Plain, plain};
pub use split::Statements;
pub use token::{Flaw, Kind, LexOptions, Span, Token};
pub use transaction::{Isolation, TransactionControl, TransactionModes};
pub use upkeep::{Upkeep, upkeep};
pub use vacated::vacated;

#[cfg(test)]
mod tests;
