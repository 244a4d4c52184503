//! Where a statement may run: what the names in a text mean, and what follows for the server that it is sent to.
//!
//! Floor 1. Owns the lists of Postgres' own functions and relations, the snapshot of a database's catalog, and the
//! verdict. Deliberately absent: which replicas there are, how far they are, and what the session has done before.

pub mod catalog;
pub mod functions;
mod proof;
pub mod relations;
#[cfg(test)]
mod tests;

pub use catalog::Catalog;
pub use proof::{
    Detail, Reason, Verdict, detail, detail_without_catalog, differs_on_standby, verdict,
    verdict_of_names,
};
