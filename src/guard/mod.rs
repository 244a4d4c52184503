//! What a policy says to a text: the guard's rules over what the text does, what its session has done, and what the
//! catalog knows.
//!
//! Floor 1: facts in, a [`Judgement`] out, with the words that a client reads. One file a rule, in `rules`.
//!
//! ```text
//! text ─▶ sql::commands ─▶ judge(…, &History, &Context) ─▶ Judgement ─▶ refuse, warn, log
//!                              ▲                    └─▶ Question ─▶ catalog ─▶ Context ─▶ judge again
//! as it is sent: History::sent        as it is answered: History::settled, failed, transaction_ended
//! ```
//!
//! Deliberately absent: sockets, servers and who asks the catalog; rules that need time or other sessions (slow
//! statements, repeated ones, idle transactions).

mod case;
mod catalog;
mod context;
mod history;
mod judge;
mod judgement;
mod locks;
mod proposal;
pub mod rehearsal;
mod rules;
mod values;
mod words;

pub use catalog::{Answer, Catalog, Question};
pub use context::{Context, Limits};
pub use history::History;
pub use judge::{
    bound_offset, judge, judge_call, judge_departure, judge_silence, looks_closely,
    offset_parameters, stands_alone,
};
pub use judgement::{Finding, Judgement};
pub use proposal::proposal;
pub use rehearsal::{Rehearsal, Stage};

#[cfg(test)]
mod tests;
