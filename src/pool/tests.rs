use super::dials::{FIRST_PAUSE_MS, LONGEST_PAUSE_MS};
use super::*;
use crate::ids::Key;
use crate::wire::Report;

fn client(n: u32) -> ClientId {
    ClientId(Key { index: n, generation: 1 })
}

fn server(n: u32) -> ServerId {
    ServerId(Key { index: n, generation: 1 })
}

/// How long everybody waits who is not said to do otherwise.
const PATIENCE: Option<u64> = Some(1_000);

fn pool(size: u32) -> Pool {
    Pool::new(limits(size))
}

fn limits(size: u32) -> Limits {
    Limits {
        size,
        min: 0,
        reserve: 0,
        reserve_wait_ms: None,
        lifetime_ms: None,
        idle_ms: None,
        prepared: 500,
        repeated: true,
        resets: false,
        resets_for_code: false,
    }
}

/// How many dials it starts now.
fn dials(pool: &mut Pool, now: u64) -> u32 {
    let wanted = pool.wants(Tick(now)).total();
    for _ in 0..wanted {
        pool.dial_started();
    }
    wanted
}

/// A pool of `size` with all its servers in use.
fn busy_pool(limits: Limits) -> Pool {
    let mut pool = Pool::new(limits);
    for _ in 0..pool.limits().size {
        pool.dial_started();
        pool.dial_succeeded();
    }
    pool
}

fn refused() -> Report {
    Report::error(b"08001", "connection refused")
}

fn check_out(pool: &mut Pool) -> Option<(ServerId, Tick)> {
    if pool.must_queue() {
        return None;
    }
    pool.take_idle(|_| 0).map(|(server, since, _)| (server, since))
}

#[test]
fn of_idle_servers_the_one_that_suits_best_is_taken_then_the_one_used_last() {
    let mut pool = pool(4);
    for n in 0..4 {
        pool.check_in(server(n), Tick(u64::from(n)));
    }
    let rank = |server_id: ServerId| u8::from(server_id != server(1) && server_id != server(2));
    assert_eq!(pool.take_idle(rank), Some((server(2), Tick(2), 0)));
    assert_eq!(pool.take_idle(rank), Some((server(1), Tick(1), 0)));
    assert_eq!(pool.take_idle(rank), Some((server(3), Tick(3), 1)));
    assert_eq!(pool.take_idle(rank), Some((server(0), Tick(0), 1)));
    assert_eq!(pool.take_idle(rank), None);
}

#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let mut pool = pool(1);
    for n in 0..3 {
        pool.enqueue(client(n), Tick(u64::from(n)), PATIENCE);
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
    pool.enqueue(client(1), Tick(0), PATIENCE);
    pool.check_in(server(1), Tick(0));
    assert_eq!(check_out(&mut pool), None);
    assert_eq!(pool.next_waiter(|_| true), Some((client(1), Tick(0))));
    assert_eq!(check_out(&mut pool), Some((server(1), Tick(0))));
}

#[test]
fn it_never_dials_more_than_its_size_or_than_clients_wait() {
    let mut pool = pool(3);
    assert_eq!(dials(&mut pool, 0), 0);
    pool.enqueue(client(1), Tick(0), PATIENCE);
    assert_eq!(dials(&mut pool, 0), 1);
    assert_eq!(dials(&mut pool, 0), 0);
    for n in 2..10 {
        pool.enqueue(client(n), Tick(0), PATIENCE);
    }
    assert_eq!(dials(&mut pool, 0), 2);
    assert_eq!(dials(&mut pool, 0), 0);
    pool.dial_succeeded();
    assert_eq!(pool.slots(), Slots { connecting: 2, open: 1, zombie: 0 });
    pool.became_zombie();
    assert_eq!(dials(&mut pool, 0), 0);
    pool.zombie_gone();
    assert_eq!(dials(&mut pool, 0), 1);
}

#[test]
fn after_a_failure_one_login_at_a_time_probes_with_growing_pauses() {
    let mut pool = pool(5);
    for n in 0..5 {
        pool.enqueue(client(n), Tick(0), PATIENCE);
    }
    assert_eq!(dials(&mut pool, 0), 5);
    for _ in 0..5 {
        pool.dial_failed(refused(), Tick(10), 0);
    }
    assert_eq!(pool.next_dial(Tick(0)), Some(Tick(10 + FIRST_PAUSE_MS)));
    assert_eq!(dials(&mut pool, 59), 0);
    assert_eq!(dials(&mut pool, 60), 1);
    assert_eq!(dials(&mut pool, 60), 0);
    pool.dial_failed(refused(), Tick(70), 0);
    assert_eq!(pool.next_dial(Tick(0)), Some(Tick(70 + 2 * FIRST_PAUSE_MS)));
    let mut now = Tick(0);
    for _ in 0..20 {
        now = pool.next_dial(now).unwrap();
        assert_eq!(dials(&mut pool, now.0), 1);
        pool.dial_failed(refused(), now, 255);
    }
    let pause = pool.next_dial(now).unwrap().since(now);
    assert!((LONGEST_PAUSE_MS..LONGEST_PAUSE_MS * 5 / 4).contains(&pause), "{pause}");
    let next = pool.next_dial(now).unwrap();
    assert_eq!(dials(&mut pool, next.0), 1);
    pool.dial_succeeded();
    assert!(pool.failure().is_none());
    assert_eq!(dials(&mut pool, 0), 4);
}

#[test]
fn those_who_waited_too_long_are_taken_and_nobody_else() {
    let mut pool = pool(1);
    pool.enqueue(client(1), Tick(0), PATIENCE);
    pool.enqueue(client(2), Tick(1), PATIENCE);
    assert!(pool.expired_waiters(Tick(999), |_| true).is_empty());
    assert_eq!(pool.expired_waiters(Tick(1_000), |_| true), vec![(client(1), 1_000)]);
    assert_eq!(pool.waiting(), 1);
}

#[test]
fn each_waits_as_long_as_holds_for_its_own_role() {
    let mut pool = pool(1);
    let until = |ms| Deadline::after(Tick(0), Some(ms));
    assert_eq!(pool.enqueue(client(1), Tick(0), None), Deadline::NEVER);
    assert_eq!(pool.enqueue(client(2), Tick(0), Some(500)), until(500));
    assert_eq!(pool.enqueue(client(3), Tick(0), Some(200)), until(200));
    assert_eq!(pool.enqueue(client(4), Tick(0), Some(900)), until(900));
    assert_eq!(pool.next_expiry(), until(200));
    let expired = pool.expired_waiters(Tick(500), |_| true);
    assert_eq!(expired, vec![(client(2), 500), (client(3), 200)]);
    assert_eq!(pool.next_expiry(), until(900));
    pool.refresh_patience(|_| Some(600));
    assert_eq!(pool.next_expiry(), until(600));
    assert_eq!(pool.expired_waiters(Tick(600), |_| true).len(), 2);
    assert_eq!(pool.next_expiry(), Deadline::NEVER);
}

#[test]
fn a_crowd_of_leavers_does_not_keep_its_entries() {
    let mut pool = pool(1);
    for n in 0..10_000 {
        pool.enqueue(client(n), Tick(0), PATIENCE);
    }
    for n in 0..9_999 {
        pool.waiter_left(|id| id > client(n));
    }
    assert_eq!(pool.waiting(), 1);
    assert!(pool.waiters.len() < 200, "{}", pool.waiters.len());
    assert_eq!(pool.next_waiter(|id| id == client(9_999)), Some((client(9_999), Tick(0))));
}

#[test]
fn the_reserve_is_for_those_who_have_waited_long_enough_one_each() {
    let reserve = Limits { reserve: 2, reserve_wait_ms: Some(100), ..limits(2) };
    let mut pool = busy_pool(reserve);
    for n in 0..5 {
        pool.enqueue(client(n), Tick(u64::from(n) * 10), PATIENCE);
    }
    assert_eq!(dials(&mut pool, 99), 0);
    assert_eq!(pool.next_dial(Tick(99)), Some(Tick(100)));
    assert_eq!(dials(&mut pool, 100), 1);
    assert_eq!(dials(&mut pool, 109), 0, "the one overdue client is being dialled for");
    assert_eq!(pool.next_dial(Tick(109)), Some(Tick(110)));
    assert_eq!(dials(&mut pool, 110), 1);
    assert_eq!(dials(&mut pool, 1_000), 0, "the reserve is used up");
    pool.dial_succeeded();
    pool.dial_succeeded();
    assert_eq!(pool.surplus(), 0, "others wait");
    let _ = pool.take_waiters(|_| true);
    assert_eq!(pool.surplus(), 2, "nobody waits any more");
}

#[test]
fn without_a_wait_the_reserve_is_there_at_once_and_without_a_reserve_never() {
    let mut pool = busy_pool(Limits { reserve: 1, ..limits(1) });
    pool.enqueue(client(1), Tick(0), PATIENCE);
    assert_eq!(dials(&mut pool, 0), 1);
    let mut pool = busy_pool(Limits { reserve_wait_ms: Some(1), ..limits(1) });
    pool.enqueue(client(1), Tick(0), PATIENCE);
    assert_eq!(dials(&mut pool, 1_000_000), 0);
    assert_eq!(pool.next_dial(Tick(0)), None);
}

#[test]
fn clients_that_left_have_no_part_in_the_reserve() {
    let mut pool = busy_pool(Limits { reserve: 3, reserve_wait_ms: Some(10), ..limits(1) });
    for n in 0..3 {
        pool.enqueue(client(n), Tick(0), PATIENCE);
    }
    pool.waiter_left(|_| true);
    pool.waiter_left(|_| true);
    assert_eq!(dials(&mut pool, 10), 1);
}

#[test]
fn servers_are_kept_warm_once_what_logs_in_is_known() {
    let mut pool = Pool::new(Limits { min: 5, ..limits(4) });
    assert_eq!(dials(&mut pool, 0), 0, "nothing is known");
    pool.allow_warming();
    assert_eq!(dials(&mut pool, 0), 2, "two at a time");
    assert_eq!(dials(&mut pool, 0), 0);
    pool.dial_succeeded();
    assert_eq!(dials(&mut pool, 0), 1);
    for _ in 0..2 {
        pool.dial_succeeded();
    }
    assert_eq!(dials(&mut pool, 0), 1, "no more than the size");
    pool.dial_succeeded();
    pool.became_zombie();
    pool.zombie_gone();
    assert_eq!(dials(&mut pool, 0), 1, "a lost one is replaced");
}

#[test]
fn warming_backs_off_for_longer_than_dials_that_clients_wait_for() {
    let mut pool = Pool::new(Limits { min: 1, ..limits(2) });
    pool.allow_warming();
    let mut now = Tick(0);
    for _ in 0..20 {
        assert_eq!(dials(&mut pool, now.0), 1);
        pool.dial_failed(refused(), now, 0);
        let next = pool.next_dial(now).unwrap();
        assert_eq!(dials(&mut pool, next.0 - 1), 0);
        assert!(next.since(now) <= 30_000);
        now = next;
    }
    let last_failure = Tick(now.0 - 30_000);
    pool.enqueue(client(1), now, PATIENCE);
    assert_eq!(pool.next_dial(now), Some(last_failure.plus(LONGEST_PAUSE_MS)));
}

#[test]
fn a_paused_pool_gives_nothing_out_and_sends_nobody_away() {
    let mut pool = pool(2);
    pool.enqueue(client(1), Tick(0), PATIENCE);
    pool.pause();
    assert_eq!(dials(&mut pool, 0), 0);
    assert_eq!(pool.next_dial(Tick(0)), None);
    let long = Tick(1_000_000);
    assert!(pool.expired_waiters(long, |_| true).is_empty());
    assert_eq!(pool.next_expiry(), Deadline::NEVER);
    pool.resume(long);
    // All of the wait is counted from here.
    assert_eq!(pool.next_expiry(), Deadline::after(long, PATIENCE));
    assert!(pool.expired_waiters(long, |_| true).is_empty());
    assert_eq!(dials(&mut pool, long.0), 1);
    assert_eq!(pool.waiters().count(), 1);
    assert_eq!(pool.next_waiter(|_| true), Some((client(1), Tick(0))));
}

#[test]
fn idle_servers_of_a_paused_pool_stay_where_they_are() {
    let mut pool = pool(1);
    pool.check_in(server(1), Tick(0));
    pool.pause();
    assert_eq!(check_out(&mut pool), None);
    pool.resume(Tick(5));
    assert_eq!(check_out(&mut pool), Some((server(1), Tick(0))));
}
