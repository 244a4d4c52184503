//! A cancel request hits the statement that it is for, or nothing.
//!
//! The loop's side is the library's own server and ledger; around it stand a hall that carries the
//! request and a Postgres that cancels whatever runs when the signal comes.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread;

use pgweir::deadline::{Deadline, Tick};
use pgweir::ids::{CancelId, Key, ServerId};
use pgweir::server::ledger::{Deliver, Sent};
use pgweir::server::{Cancel, CleanStep, Server};
use pgweir::session::{Ending, ParamSet};
use pgweir::wire::TransactionStatus;
use pgweir::wire::backend::tag;

/// From the hall to the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mail {
    Ready,
    Finished,
}

#[derive(Default)]
struct World {
    mail: Mutex<Vec<Mail>>,
    /// The loop's answer: 0 none yet, 1 no, 2 yes.
    answer: AtomicU32,
    /// The statement that Postgres runs; 0: none.
    running: AtomicU32,
    /// The statement that the signal hit.
    hit: AtomicU32,
    /// What Postgres has finished, the loop has not read.
    replies: AtomicU32,
}

const QUERY: Sent = Sent::Query(Ending::No);

fn id(server: &Server) -> CancelId {
    let key = Key { index: 0, generation: 1 };
    CancelId { server: ServerId(key), lease: server.lease, unit: server.ledger.current_unit() }
}

/// As the loop's `permit_cancel`.
fn permit(server: &mut Server, cancel: CancelId) -> bool {
    if server.cancel != Cancel::Ordered(cancel) {
        return false;
    }
    let current = server.ledger.owes_replies()
        && server.lease == cancel.lease
        && server.ledger.current_unit() == cancel.unit;
    server.cancel = if current { Cancel::Permitted(cancel) } else { Cancel::None };
    current
}

/// The loop: the first client's statement runs, a cancel for it is ordered; when it is answered, the
/// server goes to the next client as soon as it is clean.
fn run_loop(world: &World) {
    let params = Arc::new(ParamSet::default());
    let mut server = Server::new(Vec::new(), None, params, Tick(0), Deadline::NEVER);
    server.lease = 1;
    server.ledger.sent(QUERY, Deliver::Client);
    let cancel = id(&server);
    server.cancel = Cancel::Ordered(cancel);
    let mut lent_on = false;
    for _ in 0..6 {
        let mail = std::mem::take(&mut *world.mail.lock().unwrap());
        for item in mail {
            match item {
                Mail::Ready => {
                    let yes = permit(&mut server, cancel);
                    world.answer.store(if yes { 2 } else { 1 }, SeqCst);
                }
                Mail::Finished => {
                    if server.cancel == Cancel::Permitted(cancel) {
                        server.cancel = Cancel::None;
                    }
                }
            }
        }
        if server.ledger.owes_replies() && !lent_on && world.replies.load(SeqCst) == 1 {
            let status = TransactionStatus::Idle;
            server.ledger.received(tag::READY_FOR_QUERY, Some(status), |_, _| {}).unwrap();
            let _transaction_ended = server.is_ready(status);
        }
        if !lent_on && server.clean_step() == CleanStep::Done {
            lent_on = true;
            server.lease += 1;
            server.ledger.sent(QUERY, Deliver::Client);
            world.running.store(2, SeqCst);
        }
        thread::yield_now();
    }
}

/// The hall: asks, writes if it may, and reports the end of the cancel connection.
fn run_hall(world: &World) {
    world.mail.lock().unwrap().push(Mail::Ready);
    for _ in 0..3 {
        match world.answer.load(SeqCst) {
            0 => thread::yield_now(),
            1 => return,
            _ => {
                // Postgres signals whatever runs now.
                world.hit.store(world.running.load(SeqCst), SeqCst);
                world.mail.lock().unwrap().push(Mail::Finished);
                return;
            }
        }
    }
}

#[test]
fn a_cancel_never_hits_the_next_clients_statement() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = Arc::new(World::default());
        world.running.store(1, SeqCst);
        let hall = thread::spawn({
            let world = world.clone();
            move || run_hall(&world)
        });
        let postgres = thread::spawn({
            let world = world.clone();
            move || {
                // The first statement ends by itself.
                let mine = world.running.compare_exchange(1, 0, SeqCst, SeqCst);
                assert_eq!(mine, Ok(1), "nothing else runs before it is answered");
                world.replies.store(1, SeqCst);
            }
        });
        run_loop(&world);
        hall.join().unwrap();
        postgres.join().unwrap();
        assert_ne!(world.hit.load(SeqCst), 2, "the cancel hit another client's statement");
    });
}
