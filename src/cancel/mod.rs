//! Cancel requests: the registry of clients' keys, and the connections that carry them to Postgres.

pub mod registry;

pub use registry::{CancelRegistry, CancelTarget, Registration};
