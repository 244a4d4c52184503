//! The acts of the demo: what each shows, measures and claims.

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
}

impl Act {
    /// Every act there is.
    pub const ALL: [Act; 1] = [Act::Sharing];

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
