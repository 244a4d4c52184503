use std::sync::Arc;

use super::board::{Board, PATIENCE_MS, Slots};
use crate::deadline::Tick;

#[test]
fn a_server_stands_in_one_slot_at_a_time() {
    let board = Board::new(2);
    board.dial_started();
    board.dial_started();
    assert_eq!(board.slots(), Slots { connecting: 2, open: 0, zombie: 0 });
    board.dial_succeeded(0);
    board.dial_failed();
    assert_eq!(board.slots(), Slots { connecting: 0, open: 1, zombie: 0 });
    board.departed(0, 1);
    assert_eq!((board.slots().open, board.to_be_had()), (1, 1));
    board.arrived(1);
    assert_eq!((board.slots().open, board.to_be_had()), (1, 0));
    board.became_zombie(1);
    assert_eq!(board.slots(), Slots { connecting: 0, open: 0, zombie: 1 });
    assert!(!board.is_still());
    board.zombie_gone();
    assert_eq!(board.slots(), Slots::default());
    assert!(board.is_still());
}

fn with_servers(servers: [usize; 2]) -> Board {
    let board = Board::new(2);
    for (seat, count) in servers.into_iter().enumerate() {
        for _ in 0..count {
            board.dial_started();
            board.dial_succeeded(seat);
        }
    }
    board
}

#[test]
fn a_free_server_goes_where_somebody_waits() {
    let board = with_servers([2, 2]);
    assert_eq!(board.heir(0, None), None);
    board.show_queue(1, 1, Tick(0));
    assert_eq!(board.heir(0, None), Some(1));
    assert_eq!(board.heir(1, None), None);
    // One that is on its way serves that client.
    board.departed(0, 1);
    assert_eq!(board.heir(0, None), None);
    board.show_queue(1, 2, Tick(0));
    assert_eq!(board.heir(0, None), Some(1));
}

#[test]
fn a_client_that_has_waited_longer_elsewhere_comes_first() {
    let board = with_servers([3, 2]);
    board.show_queue(1, 10, Tick(1_000));
    assert_eq!(board.heir(0, Some(Tick(1_000))), None);
    assert_eq!(board.heir(0, Some(Tick(1_000 + PATIENCE_MS))), None);
    assert_eq!(board.heir(0, Some(Tick(1_001 + PATIENCE_MS))), Some(1));
}

#[test]
fn a_loop_that_is_short_of_servers_gets_one_without_patience() {
    let board = with_servers([3, 1]);
    board.show_queue(1, 10, Tick(1_000));
    assert_eq!(board.heir(0, Some(Tick(999))), None);
    assert_eq!(board.heir(0, Some(Tick(1_000))), Some(1));
}

#[test]
fn idle_servers_are_found() {
    let board = with_servers([2, 2]);
    assert_eq!(board.stocks_beside(0).count(), 0);
    board.show_stock(1, 2, Tick(5));
    assert_eq!(board.stocks_beside(0).collect::<Vec<_>>(), [(1, 2)]);
    assert_eq!(board.stocks_beside(1).count(), 0);
    board.show_stock(0, 1, Tick(4));
    assert_eq!(board.longest_idle(), Some((0, Tick(4))));
    assert_eq!(board.to_be_had(), 3);
}

#[test]
fn clients_are_spread() {
    let board = Arc::new(Board::new(3));
    let mut clients: Vec<_> = (0..7).map(|_| board.occupy(board.emptiest(1, 9))).collect();
    assert_eq!(board.clients(), 7);
    let gone = clients.remove(2);
    let seat = (0..3).find(|&seat| gone.is_on(seat)).unwrap();
    drop(gone);
    assert_eq!((board.clients(), board.emptiest(1, 3)), (6, seat));
    // A small pool is on the loops from its home on.
    assert_eq!(board.emptiest(2, 0), 2);
    let two: Vec<_> = (0..20).map(|_| board.occupy(board.emptiest(2, 2))).collect();
    assert!(!two.iter().any(|client| client.is_on(1)));
}
