//! The query guard on a real Postgres: what it refuses would have blocked (`blocking`), a refusal is a syntax error to its
//! session (`sessions`), what it lets through runs as ever (`allowed`), ways around it lead nowhere (`bypasses`), and what
//! only the server can see has a backstop there (`event_trigger`).

mod allowed;
mod blocking;
mod bypasses;
mod event_trigger;
mod live;
mod locks;
mod outcome;
mod sessions;
