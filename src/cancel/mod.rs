//! x
pub mod registry;
pub use registry::{CancelRegistry, CancelTarget, Registration};
