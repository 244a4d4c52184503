//! What a session has set on its server.

pub mod params;

pub use params::{ParamSet, ParamSets};
