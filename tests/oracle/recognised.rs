//! Whether the recognisers see in a statement what the parser sees.

use crate::referee::Judgement;

pub fn judge(_text: &str) -> Judgement {
    Judgement::NoAnswer
}
