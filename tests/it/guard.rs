//! The query guard on a real Postgres.

mod event_trigger;
mod live;
