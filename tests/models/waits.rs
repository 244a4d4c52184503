//! Nobody waits beside a server that could be had, and no server is in two places.

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::board::Board;
use super::deadline::Tick;

/// What loops say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mail {
    Server { asked: bool },
    Give { to: usize },
    NothingToGive,
    LookAt,
}

type Mailboxes = Arc<[Mutex<VecDeque<Mail>>; 2]>;

/// One loop's part of a pool of `size` servers whose home is loop 0.
struct Loop {
    seat: usize,
    board: Arc<Board>,
    mailboxes: Mailboxes,
    size: u32,
    waiting: usize,
    idle: usize,
    asked: usize,
    served: usize,
    dialled: u32,
    /// The next server that comes is closed at once.
    turns_away: bool,
}

impl Loop {
    fn new(seat: usize, board: &Arc<Board>, mailboxes: &Mailboxes, size: u32) -> Self {
        let (board, mailboxes) = (board.clone(), mailboxes.clone());
        Loop {
            seat,
            board,
            mailboxes,
            size,
            waiting: 0,
            idle: 0,
            asked: 0,
            served: 0,
            dialled: 0,
            turns_away: false,
        }
    }

    fn other(&self) -> usize {
        1 - self.seat
    }

    fn post(&self, mail: Mail) {
        self.mailboxes[self.other()].lock().unwrap().push_back(mail);
    }

    fn show(&self) {
        self.board.show_queue(self.seat, self.waiting, Tick(1));
    }

    fn stock(&self) {
        self.board.show_stock(self.seat, self.idle, Tick(1));
    }

    /// A client asks for a server.
    fn client_comes(&mut self) {
        if self.waiting == 0 && self.idle > 0 {
            self.idle -= 1;
            self.stock();
            return self.serve();
        }
        self.waiting += 1;
        self.show();
        self.seek();
    }

    fn seek(&mut self) {
        let lacking = self.waiting.saturating_sub(self.asked);
        let beside: Vec<_> = self.board.stocks_beside(self.seat).collect();
        for (_, idle) in beside {
            for _ in 0..lacking.min(idle as usize) {
                self.asked += 1;
                self.post(Mail::Give { to: self.seat });
            }
        }
        self.dial_if_wanted();
    }

    fn dial_if_wanted(&mut self) {
        if self.seat != 0 {
            if self.waiting > 0 && self.board.slots().total() < self.size {
                self.call_home();
            }
            return;
        }
        let slots = self.board.slots();
        let missing = self.board.waiting().saturating_sub(self.board.to_be_had());
        for _ in 0..missing.min(self.size - slots.total()) {
            // Postgres answers at once.
            self.board.dial_started();
            self.board.dial_succeeded(self.seat);
            self.dialled += 1;
            self.comes_free();
        }
    }

    /// A client is served, and its transaction ends at once.
    fn serve(&mut self) {
        self.served += 1;
        self.comes_free();
    }

    fn comes_free(&mut self) {
        let front = (self.waiting > 0).then_some(Tick(1));
        if self.board.heir(self.seat, front).is_some() {
            return self.send_away(false);
        }
        if self.waiting > 0 {
            self.waiting -= 1;
            self.show();
            return self.serve();
        }
        self.idle += 1;
        self.stock();
        if self.board.heir(self.seat, None).is_some() {
            self.idle -= 1;
            self.stock();
            self.send_away(false);
        }
    }

    fn send_away(&mut self, asked: bool) {
        self.board.departed(self.seat, self.other());
        self.post(Mail::Server { asked });
    }

    /// A server of this loop dies while it is idle. Whether there was one.
    fn idle_server_dies(&mut self) -> bool {
        if self.idle == 0 {
            return false;
        }
        self.idle -= 1;
        self.stock();
        self.is_closed();
        true
    }

    fn is_closed(&mut self) {
        self.board.became_zombie(self.seat);
        self.board.zombie_gone();
        if self.seat == 0 {
            self.dial_if_wanted();
        } else {
            self.call_home();
        }
    }

    fn call_home(&self) {
        if self.board.call() {
            self.post(Mail::LookAt);
        }
    }

    /// Deals with what has come. Whether anything had.
    fn read_mail(&mut self) -> bool {
        let Some(mail) = self.mailboxes[self.seat].lock().unwrap().pop_front() else {
            return false;
        };
        match mail {
            Mail::Server { asked } => {
                self.board.arrived(self.seat);
                self.asked -= usize::from(asked);
                if std::mem::take(&mut self.turns_away) {
                    self.is_closed();
                } else {
                    self.comes_free();
                }
                if self.waiting > 0 {
                    self.seek();
                }
            }
            Mail::Give { .. } if self.idle > 0 => {
                self.idle -= 1;
                self.stock();
                self.send_away(true);
            }
            Mail::Give { .. } => self.post(Mail::NothingToGive),
            Mail::NothingToGive => {
                self.asked -= 1;
                if self.waiting > 0 {
                    self.seek();
                }
            }
            Mail::LookAt => {
                self.board.heard();
                self.dial_if_wanted();
            }
        }
        true
    }
}

/// Runs two loops with idle servers side by side for their own steps, then lets them read their
/// mail until nothing is left of it: whatever has not come to rest by then has been forgotten.
fn side_by_side(
    size: u32,
    servers: [usize; 2],
    home: impl Fn(&mut Loop) + Send + Sync + 'static,
    abroad: impl Fn(&mut Loop) + Send + Sync + 'static,
    check: impl Fn(&Board, &[Loop; 2]) + Send + Sync + 'static,
) {
    side_by_side_from(|_| {}, size, servers, home, abroad, check);
}

/// The same, where loop 0 has done something before.
fn side_by_side_from(
    before: impl Fn(&mut Loop) + Send + Sync + 'static,
    size: u32,
    servers: [usize; 2],
    home: impl Fn(&mut Loop) + Send + Sync + 'static,
    abroad: impl Fn(&mut Loop) + Send + Sync + 'static,
    check: impl Fn(&Board, &[Loop; 2]) + Send + Sync + 'static,
) {
    let (home, abroad, check) = (Arc::new(home), Arc::new(abroad), Arc::new(check));
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let board = Arc::new(Board::new(2));
        let mailboxes: Mailboxes = Arc::new([Mutex::default(), Mutex::default()]);
        let mut loops = [0, 1].map(|seat| Loop::new(seat, &board, &mailboxes, size));
        for (one, count) in loops.iter_mut().zip(servers) {
            for _ in 0..count {
                board.dial_started();
                board.dial_succeeded(one.seat);
                one.idle += 1;
            }
            one.stock();
        }
        let [mut zero, mut one] = loops;
        before(&mut zero);
        let abroad = abroad.clone();
        let other = thread::spawn(move || {
            abroad(&mut one);
            one.read_mail();
            one
        });
        home(&mut zero);
        zero.read_mail();
        let mut loops = [zero, other.join().unwrap()];
        for _ in 0..100 {
            let mut quiet = true;
            for one in &mut loops {
                quiet &= !one.read_mail();
            }
            if quiet {
                check(&board, &loops);
                let slots = board.slots();
                assert!(slots.total() <= size, "{slots:?} of {size}");
                let placed: usize = loops.iter().map(|one| one.idle).sum();
                assert_eq!(placed, slots.open as usize, "every server is in one place");
                return;
            }
        }
        panic!("the loops do not come to rest");
    });
}

fn all_served(clients: usize) -> impl Fn(&Board, &[Loop; 2]) + Send + Sync {
    move |_: &Board, loops: &[Loop; 2]| {
        let served: usize = loops.iter().map(|one| one.served).sum();
        assert_eq!(served, clients, "nobody is forgotten");
        assert!(loops.iter().all(|one| one.waiting == 0 && one.asked == 0));
    }
}

#[test]
fn a_client_finds_the_server_that_comes_free_on_another_loop() {
    side_by_side(1, [1, 0], Loop::client_comes, Loop::client_comes, all_served(2));
}

#[test]
fn a_server_that_was_given_away_is_found_again() {
    let twice = |one: &mut Loop| {
        one.client_comes();
        one.client_comes();
    };
    side_by_side(1, [0, 1], twice, Loop::client_comes, all_served(3));
}

#[test]
fn a_server_is_dialled_for_clients_of_whatever_loop() {
    side_by_side(2, [0, 0], Loop::client_comes, Loop::client_comes, all_served(2));
}

#[test]
fn a_slot_that_comes_free_is_used_for_a_client_that_comes_at_the_same_moment() {
    let dies = |one: &mut Loop| {
        one.idle_server_dies();
    };
    side_by_side(1, [1, 0], dies, Loop::client_comes, all_served(1));
    side_by_side(1, [0, 1], Loop::client_comes, dies, all_served(1));
}

#[test]
fn a_server_that_is_closed_when_it_comes_leaves_nobody_waiting_beside_another() {
    let in_use = |one: &mut Loop| {
        one.idle = 0;
        one.stock();
    };
    let both_come_free = |one: &mut Loop| {
        one.comes_free();
        one.comes_free();
    };
    let turns_one_away = |one: &mut Loop| {
        one.turns_away = true;
        one.client_comes();
    };
    side_by_side_from(in_use, 2, [2, 0], both_come_free, turns_one_away, all_served(1));
}
