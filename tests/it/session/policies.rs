//! What operators decide about sessions that would keep their servers: `pin_timeout`.

use super::{ADVISORY, TEMPORARY};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::front;

#[test]
fn a_pin_without_use_ends_and_its_server_is_clean_and_shared() {
    let cluster = front::shop();
    let pool = front::pool_of(1, cluster.primary().address());
    let pgweir = pool.set("defaults", "pin_timeout = \"300ms\"").start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    let pid = other.ask_value("select pg_backend_pid()");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    client.ask("select pg_advisory_lock(7)");
    client.ask("create temp table mine (n int)");
    // It waits until then.
    assert_eq!(other.ask_value(ADVISORY), "0");
    assert_eq!(other.ask_value(TEMPORARY), "0");
    assert_eq!(other.ask_value("select pg_backend_pid()"), pid);
    let last = client.until_closed();
    let error = last.iter().find(|frame| frame.tag == b'E').expect("its last words");
    assert_eq!(error.sqlstate().as_deref(), Some("57P05"));
    assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
    let detail = error.field(b'D').unwrap_or_default();
    assert!(detail.contains("temporary object, advisory lock"), "{detail}");
    assert!(detail.contains("300 ms (pin_timeout)"), "{detail}");
    // Whoever keeps nothing may be idle.
    assert_eq!(other.ask_value("select 1"), "1");
    drop(other);
    accounts.assert_settled(secs(10));
}
