//! One logged-in connection to Postgres.
pub mod ledger;
