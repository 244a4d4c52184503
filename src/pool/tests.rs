use super::*;
use crate::ids::Key;

fn client(n: u32) -> ClientId {
    ClientId(Key { index: n, generation: 1 })
}

fn server(n: u32) -> ServerId {
    ServerId(Key { index: n, generation: 1 })
}

fn pool(size: u32) -> Pool {
    Pool::new(Limits {
        size,
        wait_ms: Some(1_000),
        lifetime_ms: None,
        idle_ms: None,
        prepared: 500,
    })
}

fn refused() -> Report {
    Report::error(b"08001", "connection refused")
}

#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let mut pool = pool(1);
    for n in 0..3 {
        pool.enqueue(client(n), Tick(u64::from(n)));
    }
    assert_eq!(pool.oldest_wait(), Some(Tick(0)));
    assert_eq!(pool.next_waiter(|_| true), Some((client(0), Tick(0))));
    pool.waiter_left(|_| true);
    assert_eq!(pool.waiting(), 1);
    assert_eq!(pool.next_waiter(|id| id != client(1)), Some((client(2), Tick(2))));
    assert_eq!(pool.next_waiter(|_| true), None);
    assert_eq!(pool.waiting(), 0);
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let mut pool = pool(1);
    pool.enqueue(client(1), Tick(0));
    pool.check_in(server(1), Tick(0));
    assert_eq!(pool.check_out(), None);
    assert_eq!(pool.next_waiter(|_| true), Some((client(1), Tick(0))));
    assert_eq!(pool.check_out(), Some((server(1), Tick(0))));
}

#[test]
fn it_never_dials_more_than_its_size_or_than_clients_wait() {
    let mut pool = pool(3);
    assert_eq!(pool.dials_wanted(Tick(0)), 0);
    pool.enqueue(client(1), Tick(0));
    assert_eq!(pool.dials_wanted(Tick(0)), 1);
    assert_eq!(pool.dials_wanted(Tick(0)), 0);
    for n in 2..10 {
        pool.enqueue(client(n), Tick(0));
    }
    assert_eq!(pool.dials_wanted(Tick(0)), 2);
    assert_eq!(pool.dials_wanted(Tick(0)), 0);
    pool.dial_succeeded();
    assert_eq!(pool.slots(), Slots { connecting: 2, open: 1, zombie: 0 });
    pool.became_zombie();
    assert_eq!(pool.dials_wanted(Tick(0)), 0);
    pool.zombie_gone();
    assert_eq!(pool.dials_wanted(Tick(0)), 1);
}

#[test]
fn after_a_failure_one_login_at_a_time_probes_with_growing_pauses() {
    let mut pool = pool(5);
    for n in 0..5 {
        pool.enqueue(client(n), Tick(0));
    }
    assert_eq!(pool.dials_wanted(Tick(0)), 5);
    for _ in 0..5 {
        pool.dial_failed(refused(), Tick(10), 0);
    }
    assert_eq!(pool.next_dial(), Some(Tick(10 + FIRST_PAUSE_MS)));
    assert_eq!(pool.dials_wanted(Tick(59)), 0);
    assert_eq!(pool.dials_wanted(Tick(60)), 1);
    assert_eq!(pool.dials_wanted(Tick(60)), 0);
    pool.dial_failed(refused(), Tick(70), 0);
    assert_eq!(pool.next_dial(), Some(Tick(70 + 2 * FIRST_PAUSE_MS)));
    let mut now = Tick(0);
    for _ in 0..20 {
        now = pool.next_dial().unwrap();
        assert_eq!(pool.dials_wanted(now), 1);
        pool.dial_failed(refused(), now, 255);
    }
    let pause = pool.next_dial().unwrap().since(now);
    assert!((LONGEST_PAUSE_MS..LONGEST_PAUSE_MS * 5 / 4).contains(&pause), "{pause}");
    assert_eq!(pool.dials_wanted(pool.next_dial().unwrap()), 1);
    pool.dial_succeeded();
    assert!(pool.failure().is_none());
    assert_eq!(pool.dials_wanted(Tick(0)), 4);
}

#[test]
fn those_who_waited_too_long_are_taken_and_nobody_else() {
    let mut pool = pool(1);
    pool.enqueue(client(1), Tick(0));
    pool.enqueue(client(2), Tick(1));
    assert!(pool.expired_waiters(Tick(999), |_| true).is_empty());
    assert_eq!(pool.expired_waiters(Tick(1_000), |_| true), vec![client(1)]);
    assert_eq!(pool.waiting(), 1);
}

#[test]
fn a_crowd_of_leavers_does_not_keep_its_entries() {
    let mut pool = pool(1);
    for n in 0..10_000 {
        pool.enqueue(client(n), Tick(0));
    }
    for n in 0..9_999 {
        pool.waiter_left(|id| id > client(n));
    }
    assert_eq!(pool.waiting(), 1);
    assert!(pool.waiters.len() < 200, "{}", pool.waiters.len());
    assert_eq!(pool.next_waiter(|id| id == client(9_999)), Some((client(9_999), Tick(0))));
}
