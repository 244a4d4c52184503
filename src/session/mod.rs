//! What a session has set on its server.

pub mod belt;
pub mod changes;
mod code;
mod date_style;
pub mod facts;
mod kept;
pub mod params;

pub use belt::{Belt, Limit, MaySet, OwnLimits, PerLimit, Startup};
pub use changes::{Changes, Steps};
pub use code::CODE_THAT_SETS;
pub use facts::{Control, Ending, NamedUse, Pins, TextEffects, Timing};
pub use kept::{Kept, KeptSoFar};
pub use params::{ParamSet, ParamSets, Setting};
