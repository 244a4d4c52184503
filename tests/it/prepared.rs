//! Prepared statements that clients share: names are each client's own, rows look as it was told,
//! and replies are those of Postgres.

mod behaviours;
mod crowd;
mod drivers;
mod generated;
mod repeats;
