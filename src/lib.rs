//! pgweir: a Postgres connection pooler and query guard.
//!
//! The rooms stand in the order in which data travels through them.

pub mod admin;
pub mod auth;
pub mod cancel;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod deadline;
pub mod dial;
pub mod errors;
pub mod guard;
pub mod http;
pub mod ids;
pub mod listener;
pub mod login;
pub mod metrics;
pub mod monitor;
pub mod net;
pub mod pool;
pub mod prepared;
pub mod process;
pub mod route;
pub mod rules;
pub mod server;
pub mod session;
pub mod sql;
pub mod sync;
pub mod wire;
pub mod worker;
