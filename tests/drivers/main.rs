//! The drivers and tools that applications use, each straight to Postgres and through pgweir in transaction mode:
//! what they see must be the same. `docs/drivers.md` lists them; `.ci/setup test` installs them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

mod comparison;
mod difference;
mod django_suite;
#[path = "../it/harness/mod.rs"]
mod harness;
mod migrations;
mod pgbench;
mod psql;
mod rust;
mod scripts;
mod stage;
