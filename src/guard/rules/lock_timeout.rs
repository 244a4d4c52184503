//! `ddl-without-lock-timeout`: DDL that may queue for its lock for ever.
//!
//! While it waits behind one long query, everybody else waits behind it. With a lock_timeout it gives up and can be tried
//! again.

use super::super::case::{Case, Fault, Rule};
use super::super::locks;
use super::super::words::shown;

pub(super) const RULE: Rule = Rule { name: "ddl-without-lock-timeout", judge };

fn judge(case: &Case) -> Option<Fault> {
    if !case.command().is_ddl() || case.state.lock_timeout_ms(case.context) != Some(0) {
        return None;
    }
    let locks = locks::of(case.command());
    let is_contended =
        |lock: &&locks::Lock| lock.object.is_none_or(|object| case.is_existing(object));
    let lock = locks.iter().filter(is_contended).max_by_key(|lock| lock.mode)?;
    let object = shown(lock.object, "what it changes");
    let mode = locks::word(lock.mode);
    let message = format!(
        "{} {mode} lock on {object} without a lock_timeout would wait for the longest query there, and all others behind it",
        if mode.starts_with(['A', 'E']) { "an" } else { "a" }
    );
    let hint = "SET LOCAL lock_timeout = '2s' before it, and try again when that strikes; or ddl_lock_timeout in \
                pgweir's configuration.";
    Some(Fault::new(message, "the lock may be waited for without end", hint))
}
