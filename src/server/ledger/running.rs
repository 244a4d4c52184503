//! What a server is at: how many statements the unit at the front has, of which kind, and whether all of
//! them have been run.
//!
//! Deliberately absent: limits and clocks.

use super::{Ledger, Owed, Sent};
use crate::session::{Ending, Timing};

/// What the server does with the unit at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Nothing is owed.
    Nothing,
    /// All its statements have been run; what follows may be the commit.
    Ending,
    /// Statements.
    Statements(Statements),
}

/// The statements of a unit, those included that have been run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statements {
    /// How many there are.
    pub count: u32,
    /// How they may end the transaction; `None`: of a batch that is still open.
    pub ending: Option<Ending>,
    /// All of them are maintenance.
    pub maintenance: bool,
    /// One of them sets a limit of time: all together have pgweir's once.
    pub once: bool,
}

impl Ledger {
    /// What the server does with the unit at the front.
    #[must_use]
    pub fn running(&self) -> Running {
        let Some(front) = self.owed.front() else { return Running::Nothing };
        let is_end = front.timing == Timing::EndsTransaction;
        match front.sent {
            Sent::Query(_) | Sent::Execute if is_end => Running::Ending,
            Sent::Query(ending) => {
                let once = front.timing == Timing::SetsLimit;
                let count = u32::from(front.statements);
                // Of a batch that it joins, how many have been run is not told apart.
                let count = count + if front.joins_batch { self.run } else { 0 };
                if self.run >= count {
                    return Running::Ending;
                }
                let maintenance = front.timing == Timing::Maintenance;
                Running::Statements(Statements { count, ending: Some(ending), maintenance, once })
            }
            Sent::FunctionCall => Running::Statements(Statements {
                count: 1,
                ending: Some(Ending::No),
                maintenance: false,
                once: false,
            }),
            Sent::Sync(_) => Running::Ending,
            Sent::Parse(_)
            | Sent::Bind(_)
            | Sent::DescribeStatement(_)
            | Sent::DescribePortal(_)
            | Sent::Execute
            | Sent::Close(_)
            | Sent::Flush
            | Sent::CopyEnd
            | Sent::Local(_) => {
                let batch = self.owed.iter().take_while(|owed| !owed.sent.ends_unit());
                let (mut count, mut maintained) = (self.run, self.maintained);
                let mut once = self.limit_set;
                for owed in batch.filter(|owed| matches!(owed.sent, Sent::Execute)) {
                    count = count.saturating_add(1);
                    maintained += u32::from(owed.timing == Timing::Maintenance);
                    once |= owed.timing == Timing::SetsLimit;
                }
                let end = self.owed.iter().find(|owed| owed.sent.ends_unit());
                let ending = end.map(|owed| match owed.sent {
                    Sent::Sync(ending) | Sent::Query(ending) => ending,
                    _ => Ending::Commit,
                });
                Running::Statements(Statements {
                    count: count.max(1),
                    ending,
                    maintenance: maintained == count.max(1),
                    once,
                })
            }
        }
    }

    /// Whether the unit at the front is maintenance and nothing else.
    #[must_use]
    pub fn runs_maintenance(&self) -> bool {
        matches!(self.running(), Running::Statements(Statements { maintenance: true, .. }))
    }

    /// Whether nothing but the message that was noted last can be running: what stands before it
    /// has been answered, or only prepares what is to be run.
    #[must_use]
    pub fn only_last_may_run(&self) -> bool {
        let before = self.owed.len().saturating_sub(1);
        let runs = |owed: &Owed| owed.sent.ends_unit() || matches!(owed.sent, Sent::Execute);
        !self.owed.range(..before).any(runs)
    }

    /// Statements of the unit at the front that have been run to their end.
    #[must_use]
    pub fn statements_run(&self) -> u32 {
        self.run
    }
}
