use super::super::world::{ClientEnd, World};

/// Seconds of patience with idle clients.
fn world(limit_s: u64) -> World {
    let mut world = World::new(2, "");
    world.set_client_idle(Some(limit_s * 1_000));
    world
}

fn sqlstates(world: &mut World, client: ClientEnd) -> Vec<String> {
    world.errors(client).iter().map(|report| report.sqlstate().to_owned()).collect()
}

#[test]
fn an_idle_client_is_told_and_closed_and_an_active_one_stays() {
    let mut world = world(10);
    let (idle, active) = (world.client(), world.client());
    world.advance(9_000);
    assert_eq!(world.ask(active, "select 1"), "DCZ");
    assert!(!world.is_closed(idle));
    // Up to a sixteenth of the limit late.
    world.advance(1_700);
    assert_eq!(sqlstates(&mut world, idle), ["57P05"]);
    assert!(world.is_closed(idle));
    world.advance(7_000);
    assert_eq!(world.ask(active, "select 2"), "DCZ");
    world.advance(9_000);
    assert!(!world.is_closed(active));
    world.advance(1_700);
    assert_eq!(sqlstates(&mut world, active), ["57P05"]);
    world.check_quiet();
}

#[test]
fn neither_a_transaction_nor_a_running_statement_nor_a_wait_is_idle() {
    let mut world = world(10);
    let (open, other, waiting) = (world.client(), world.client(), world.client());
    assert_eq!(world.ask(open, "BEGIN"), "DCZ");
    assert_eq!(world.ask(other, "BEGIN"), "DCZ");
    world.reload("pool_size = 2\npool_wait_timeout = \"off\"");
    world.set_client_idle(Some(10_000));
    assert_eq!(world.ask(waiting, "select 1"), "");
    // Scans are ten seconds apart; the answer comes between two of them.
    world.advance(60_000);
    world.advance(5_000);
    for client in [open, other, waiting] {
        assert!(!world.is_closed(client));
    }
    assert_eq!(world.ask(open, "COMMIT"), "DCZ");
    // The time counts from the answer, not from the question.
    assert_eq!(world.tags(waiting), "DCZ");
    world.advance(6_000);
    world.advance(3_000);
    assert!(!world.is_closed(waiting) && !world.is_closed(open));
    world.advance(2_000);
    assert!(world.is_closed(waiting) && world.is_closed(open) && !world.is_closed(other));
}

#[test]
fn an_answer_of_pgweirs_own_counts_as_well() {
    let mut world = world(10);
    let settings = "pool_size = 1\npool_wait_timeout = \"25s\"";
    let (holder, waiting, lost) = (world.client(), world.client(), world.client());
    assert_eq!(world.ask(lost, "BEGIN"), "DCZ");
    assert_eq!(world.ask(holder, "BEGIN"), "DCZ");
    world.reload(settings);
    world.set_client_idle(Some(10_000));
    assert_eq!(world.ask(waiting, "select 1"), "");
    world.advance(20_000);
    world.advance(5_000);
    assert_eq!(sqlstates(&mut world, waiting), ["53300"]);
    // A transaction whose server is gone.
    world.kill_server(0, None);
    world.run();
    assert_eq!(world.ask(lost, "ROLLBACK"), "CZ");
    world.advance(6_000);
    world.advance(3_000);
    assert!(!world.is_closed(waiting) && !world.is_closed(lost));
    world.advance(2_000);
    assert!(world.is_closed(waiting) && world.is_closed(lost) && !world.is_closed(holder));
}

#[test]
fn who_says_nothing_after_its_transaction_was_lost_is_idle_from_then_on() {
    let mut world = world(10);
    let (lost, other) = (world.client(), world.client());
    assert_eq!(world.ask(lost, "BEGIN"), "DCZ");
    // Scans are ten seconds apart: one comes between the loss and the end of the client's patience.
    world.advance(60_000);
    assert!(world.is_closed(other));
    world.advance(5_000);
    world.kill_server(0, None);
    world.run();
    world.advance(5_500);
    world.advance(4_000);
    assert!(!world.is_closed(lost));
    world.advance(1_500);
    assert_eq!(sqlstates(&mut world, lost), ["57P05"]);
    world.check_quiet();
}

#[test]
fn a_pinned_session_may_be_idle_too() {
    let mut world = world(10);
    let client = world.client();
    assert_eq!(world.ask(client, "CREATE TEMP TABLE c (n int)"), "DCZ");
    world.advance(11_000);
    assert_eq!(sqlstates(&mut world, client), ["57P05"]);
    world.check_quiet();
}

#[test]
fn the_limit_follows_a_reload_in_both_directions() {
    let mut world = world(3_600);
    let client = world.client();
    world.advance(20_000);
    world.set_client_idle(Some(60_000));
    assert!(!world.is_closed(client));
    world.set_client_idle(None);
    world.advance(600_000);
    assert!(!world.is_closed(client));
    let late = world.client();
    world.set_client_idle(Some(5_000));
    assert!(world.is_closed(client), "it has been idle for longer already");
    assert!(!world.is_closed(late));
    world.advance(5_500);
    assert!(world.is_closed(late));
}
