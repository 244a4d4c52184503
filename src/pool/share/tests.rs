use super::*;

fn pool(held: u32, needed: u32) -> Standing {
    Standing {
        held,
        zombie: 0,
        needed,
        warm: 0,
        min: 0,
        idle_since: None,
        waiting_since: (needed > 0).then_some(Tick(0)),
    }
}

fn idle(held: u32, since: u64) -> Standing {
    Standing { idle_since: Some(Tick(since)), ..pool(held, 0) }
}

const AT_REST: Move = Move::Rest { starved: false, again: Deadline::NEVER };
const STARVED: Move = Move::Rest { starved: true, again: Deadline::NEVER };

fn starved_until(tick: u64) -> Move {
    Move::Rest { starved: true, again: Deadline::after(Tick(tick), Some(0)) }
}

#[test]
fn room_goes_to_the_poorest_then_to_the_oldest() {
    let check = |limit, pools: &[Standing], expected| {
        assert_eq!(next_move(limit, pools, Tick(0)), expected, "{pools:?}");
    };
    check(5, &[], AT_REST);
    check(5, &[pool(2, 0)], AT_REST);
    check(5, &[pool(2, 1)], Move::Dial(0));
    check(5, &[pool(2, 9), pool(1, 1)], Move::Dial(1));
    let newer = Standing { waiting_since: Some(Tick(7)), ..pool(1, 1) };
    check(5, &[newer, pool(1, 1)], Move::Dial(1));
    // Zombies take room too.
    check(5, &[Standing { zombie: 2, ..pool(2, 1) }], Move::Dial(0));
    check(5, &[Standing { zombie: 3, ..pool(2, 1) }], AT_REST);
    check(5, &[Standing { zombie: 1, ..pool(4, 2) }], STARVED);
}

#[test]
fn warmth_takes_what_nobody_waits_for_and_makes_no_room() {
    let warm = Standing { warm: 2, ..pool(0, 0) };
    assert_eq!(next_move(5, &[warm, pool(3, 1)], Tick(0)), Move::Dial(1));
    assert_eq!(next_move(5, &[warm, pool(3, 0)], Tick(0)), Move::Dial(0));
    assert_eq!(next_move(5, &[warm, idle(5, 0)], Tick(9_999)), AT_REST);
}

#[test]
fn an_idle_server_makes_room() {
    let check = |pools: &[Standing], now, expected| {
        assert_eq!(next_move(4, pools, Tick(now)), expected, "{pools:?} at {now}");
    };
    // From one that has two more: at once, the richest first, whatever it keeps warm.
    check(&[pool(1, 1), idle(3, 100)], 100, Move::CloseIdle(1));
    check(&[pool(1, 1), Standing { min: 3, ..idle(3, 100) }], 100, Move::CloseIdle(1));
    check(&[pool(0, 1), idle(1, 100), idle(3, 100)], 100, Move::CloseIdle(2));
    // From one that has no more: after a while, and not what it keeps warm.
    check(&[pool(2, 1), idle(2, 100)], 100, starved_until(100 + IDLE_GRACE_MS));
    check(&[pool(2, 1), idle(2, 100)], 100 + IDLE_GRACE_MS, Move::CloseIdle(1));
    check(&[pool(3, 1), idle(1, 100)], 100 + IDLE_GRACE_MS, Move::CloseIdle(1));
    check(&[pool(2, 1), Standing { min: 2, ..idle(2, 100) }], 9_999, STARVED);
    // For one that has nothing, the last server too.
    let (last, nothing) = (Standing { min: 4, ..idle(1, 500) }, pool(0, 1));
    let all = [nothing, last, pool(3, 0)];
    check(&all, 500, Move::CloseIdle(1));
    let recent = Standing { waiting_since: Some(Tick(490)), ..nothing };
    check(&[recent, last, pool(3, 0)], 500, starved_until(490 + TURN_MS));
    // Room that is coming is not made twice.
    check(&[pool(1, 1), Standing { zombie: 1, ..idle(2, 0) }], 9_999, AT_REST);
    check(&[pool(0, 2), Standing { zombie: 1, ..idle(3, 0) }], 9_999, Move::CloseIdle(1));
}

#[test]
fn a_server_is_given_up_for_a_pool_that_has_two_fewer() {
    let check = |pools: &[Standing], now, expected| {
        assert_eq!(must_yield(4, pools, 0, Tick(now)), expected, "{pools:?} at {now}");
    };
    check(&[pool(3, 9), pool(1, 1)], 0, true);
    check(&[pool(2, 9), pool(2, 1)], 0, false);
    check(&[pool(3, 9), pool(1, 0)], 0, false);
    check(&[pool(2, 9), pool(1, 1)], 0, false);
    // The room that a zombie leaves is enough.
    check(&[Standing { zombie: 1, ..pool(2, 0) }, pool(1, 1)], 0, false);
    check(&[Standing { zombie: 1, ..pool(3, 0) }, pool(0, 2)], 0, true);
    check(&[Standing { zombie: 2, ..pool(2, 0) }, pool(0, 2)], 0, false);
    // One for one, in turn.
    let one = |since| Standing { waiting_since: Some(Tick(since)), ..pool(1, 3) };
    let none = pool(0, 3);
    check(&[one(1), none, pool(3, 0)], TURN_MS - 1, false);
    check(&[one(1), none, pool(3, 0)], TURN_MS, true);
    check(&[one(0), none, pool(3, 0)], TURN_MS, false);
    check(&[pool(1, 0), none, pool(3, 0)], TURN_MS, true);
}

#[test]
fn a_limit_that_became_smaller_is_reached_from_the_top() {
    assert_eq!(next_move(2, &[idle(1, 0), idle(3, 0)], Tick(0)), Move::CloseIdle(1));
    assert_eq!(next_move(2, &[idle(1, 0), pool(3, 0)], Tick(0)), Move::CloseIdle(0));
    assert!(must_yield(2, &[pool(3, 5), pool(1, 0)], 0, Tick(0)));
    assert!(!must_yield(2, &[pool(1, 5), pool(3, 0)], 0, Tick(0)));
    assert!(!must_yield(4, &[pool(3, 5), pool(1, 0)], 0, Tick(0)));
}
