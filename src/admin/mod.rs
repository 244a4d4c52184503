//! The console: the database `pgbouncer`, as PgBouncer 1.25 answers it.
//!
//! ```text
//!   session ─▶ command ─▶ show ─▶ table ─▶ session
//!                  └────▶ orders, gates ─▶ loops
//! ```
//!
//! A session runs in the login hall, over the simple and the extended protocol. What it shows comes
//! from pictures that the loops give of themselves (`snapshot`), the same ones that HTTP serves.
//! Deliberately absent: live state while rows are written, and servers: the console answers when
//! Postgres does not.

mod averages;
mod bind;
pub mod chatter;
pub mod command;
mod console;
mod door;
mod gates;
pub mod orders;
mod session;
mod show;
pub mod snapshot;
pub mod table;

pub use console::Console;
pub use orders::{Orders, ShutdownMode};
pub use show::{Show, VERSION};
pub use snapshot::Snapshot;
