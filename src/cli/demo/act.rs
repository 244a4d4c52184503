//! The acts of the demo: what each shows, measures and claims.

mod guard;
mod limits;
mod replicas;
mod sharing;

use std::time::Duration;

use super::error::DemoError;
use super::screen::Screen;
use super::stage::Stage;

/// An act. They are played in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Hundreds of clients on twenty server connections.
    Sharing,
    /// Statements and idle transactions that are stopped, and a role that is not.
    Limits,
    /// Index DDL that is refused, and what may run instead.
    Guard,
    /// Reads at a replica that show what was written, and what becomes of clients when servers go away.
    Replicas,
}

impl Act {
    /// Every act there is.
    pub const ALL: [Act; 4] = [Act::Sharing, Act::Limits, Act::Guard, Act::Replicas];

    /// Plays it, prints what it measures as it goes, and gives what it claims.
    ///
    /// Cancel safe: nothing of it goes on when this is dropped.
    pub async fn play(
        self,
        number: usize,
        stage: &mut Stage,
        screen: &Screen,
        length: Duration,
    ) -> Result<Vec<Claim>, DemoError> {
        match self {
            Act::Sharing => sharing::play(number, stage, screen, length).await,
            Act::Limits => limits::play(number, stage, screen).await,
            Act::Guard => guard::play(number, stage, screen).await,
            Act::Replicas => replicas::play(number, stage, screen, length).await,
        }
    }
}

/// Something that pgweir promises, and whether what was measured bears it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The promise, with the measured numbers.
    pub text: String,
    /// Whether it held.
    pub held: bool,
}

impl Claim {
    /// A claim about what was measured.
    pub fn new(held: bool, text: impl Into<String>) -> Self {
        Self { text: text.into(), held }
    }
}

/// Runs what blocks for a moment, without holding up the runtime's other tasks.
fn blocking<T, E: Into<DemoError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, DemoError> {
    tokio::task::block_in_place(work).map_err(Into::into)
}
