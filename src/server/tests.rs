use super::ledger::{Deliver, Desync, Ledger, Meaning, Receipt, Sent, Which};
use super::*;
use crate::prepared::Statements;
use crate::session::{Ending, TextEffects};
use crate::wire::backend::tag;
use TransactionStatus::{Failed, Idle, InTransaction};

const QUERY: Sent = Sent::Query(Ending::No);
const SYNC: Sent = Sent::Sync(Ending::No);

fn ledger(sent: &[Sent]) -> Ledger {
    let mut ledger = Ledger::default();
    for &sent in sent {
        ledger.sent(sent, Deliver::Client);
    }
    ledger
}

fn receive(ledger: &mut Ledger, reply: u8) -> Result<Receipt, Desync> {
    ledger.received(reply, None, |_, _| {})
}

fn ready(ledger: &mut Ledger, status: TransactionStatus) {
    let receipt = ledger.received(tag::READY_FOR_QUERY, Some(status), |_, _| {}).unwrap();
    let allowed = [Meaning::Ready(status), Meaning::QueryReady(status)];
    assert!(allowed.contains(&receipt.meaning));
}

/// Feeds replies, `Z` as idle; every one must be allowed.
fn play(ledger: &mut Ledger, replies: &[u8]) {
    for &reply in replies {
        if reply == b'Z' {
            ready(ledger, Idle);
        } else {
            receive(ledger, reply).unwrap_or_else(|desync| panic!("{desync:?} in {ledger:?}"));
        }
    }
}

#[test]
fn a_server_is_settled_only_after_every_ready_for_query_of_a_pipeline() {
    let batch = [Sent::Parse(Which::Own), Sent::Bind(None), Sent::Execute, SYNC];
    let mut ledger = ledger(&[batch, batch, batch].concat());
    for left in [2, 1, 0] {
        assert!(!ledger.is_settled());
        play(&mut ledger, b"12DCZ");
        assert_eq!(ledger.client_units().count(), left);
    }
    assert!(ledger.is_settled());
}

#[test]
fn after_an_error_everything_up_to_sync_is_skipped_a_query_included() {
    let mut ledger = ledger(&[Sent::Bind(None), Sent::Execute, QUERY, SYNC, QUERY]);
    play(&mut ledger, b"2EZ");
    assert!(!ledger.is_settled());
    play(&mut ledger, b"CZ");
    assert!(ledger.is_settled());
}

#[test]
fn after_an_error_the_sync_may_come_later() {
    let mut ledger = ledger(&[Sent::Bind(None), QUERY]);
    play(&mut ledger, b"E");
    assert!(ledger.is_skipping() && !ledger.is_settled() && !ledger.owes_replies());
    ledger.sent(Sent::Parse(Which::Own), Deliver::Client);
    ledger.sent(QUERY, Deliver::Client);
    assert!(!ledger.owes_replies());
    ledger.sent(SYNC, Deliver::Client);
    play(&mut ledger, b"Z");
    assert!(ledger.is_settled());
}

#[test]
fn a_query_ends_a_batch_without_sync() {
    let mut ledger = ledger(&[Sent::Parse(Which::Own), Sent::Bind(None), Sent::Execute, QUERY]);
    play(&mut ledger, b"12CCZ");
    assert!(ledger.is_settled());
}

#[test]
fn a_batch_without_sync_keeps_the_server() {
    let mut ledger = ledger(&[Sent::Parse(Which::Own), Sent::DescribeStatement(None), Sent::Flush]);
    play(&mut ledger, b"1tT");
    assert!(!ledger.owes_replies() && ledger.batch_is_open() && !ledger.is_settled());
    ledger.sent(SYNC, Deliver::Client);
    play(&mut ledger, b"Z");
    assert!(ledger.is_settled());
}

#[test]
fn a_sync_sent_before_copy_in_began_is_ignored_by_the_server() {
    let mut ledger = ledger(&[Sent::Parse(Which::Own), Sent::Bind(None), Sent::Execute, SYNC]);
    play(&mut ledger, b"12G");
    assert!(ledger.copy_in() && !ledger.is_settled());
    ledger.sent(Sent::CopyEnd, Deliver::Client);
    ledger.sent(SYNC, Deliver::Client);
    play(&mut ledger, b"CZ");
    assert!(ledger.is_settled());
}

#[test]
fn copy_data_sent_ahead_belongs_to_its_copy() {
    let mut ledger = ledger(&[QUERY, Sent::CopyEnd, QUERY]);
    play(&mut ledger, b"GCZ");
    assert!(!ledger.copy_in());
    play(&mut ledger, b"CZ");
    assert!(ledger.is_settled());
}

#[test]
fn copy_messages_after_a_failed_copy_owe_nothing() {
    let mut simple = ledger(&[QUERY]);
    play(&mut simple, b"GE");
    simple.sent(Sent::CopyEnd, Deliver::Client);
    play(&mut simple, b"Z");
    simple.sent(Sent::CopyEnd, Deliver::Client);
    assert!(simple.is_settled());

    let mut extended = ledger(&[Sent::Bind(None), Sent::Execute]);
    play(&mut extended, b"2GE");
    extended.sent(Sent::CopyEnd, Deliver::Client);
    extended.sent(SYNC, Deliver::Client);
    play(&mut extended, b"Z");
    assert!(extended.is_settled() && !extended.is_doubtful());
}

#[test]
fn a_sync_inside_a_copy_that_fails_makes_the_server_doubtful() {
    let mut ledger = ledger(&[Sent::Bind(None), Sent::Execute]);
    play(&mut ledger, b"2G");
    ledger.sent(SYNC, Deliver::Client);
    play(&mut ledger, b"E");
    assert!(ledger.is_doubtful());
}

#[test]
fn a_sync_before_a_copy_that_fails_is_answered_or_not() {
    // The COPY fails when it has read the Sync, or before: Postgres answers it then.
    for early in [false, true] {
        let mut ledger = ledger(&[Sent::Bind(None), Sent::Execute, SYNC, Sent::CopyEnd]);
        play(&mut ledger, b"2GE");
        assert!(ledger.is_doubtful());
        if early {
            play(&mut ledger, b"Z");
        } else {
            ledger.sent(SYNC, Deliver::Client);
            play(&mut ledger, b"Z");
        }
        assert!(ledger.is_settled());
    }
    // One that succeeds has read it.
    let mut ledger = ledger(&[Sent::Execute, SYNC, Sent::CopyEnd, Sent::Execute, SYNC]);
    play(&mut ledger, b"GCEZ");
    assert!(ledger.is_settled() && !ledger.is_doubtful());
}

#[test]
fn a_sync_that_only_seems_to_end_a_batch_leaves_the_server_to_nobody() {
    // Postgres 18: Execute, Query, Sync.
    let mut server = server();
    for sent in [Sent::Bind(None), Sent::Execute, QUERY] {
        server.ledger.sent(sent, Deliver::Client);
    }
    play(&mut server.ledger, b"2CC");
    ready(&mut server.ledger, InTransaction);
    server.ledger.sent(SYNC, Deliver::Client);
    play(&mut server.ledger, b"Z");
    assert_eq!(server.clean_step(), CleanStep::Close);
}

#[test]
fn a_query_in_the_middle_of_a_batch_is_no_harm_where_the_batch_is_over_or_a_transaction_open() {
    // Postgres 17 and older: the Query ends the batch.
    let mut older = ledger(&[Sent::Bind(None), Sent::Execute, QUERY, SYNC]);
    play(&mut older, b"2CCZZ");
    assert!(older.is_settled() && !older.is_half_ended());
    // A transaction block, committed after the Sync; by a Query instead of the Sync; by an error.
    for end in [&[SYNC, QUERY][..], &[QUERY], &[QUERY, SYNC]] {
        let mut ledger = ledger(&[Sent::Bind(None), Sent::Execute, QUERY]);
        play(&mut ledger, b"2CC");
        ready(&mut ledger, InTransaction);
        for (at, &sent) in end.iter().enumerate() {
            ledger.sent(sent, Deliver::Client);
            ready(
                &mut ledger,
                if end.len() == 2 && at == 0 && sent == SYNC { InTransaction } else { Idle },
            );
        }
        assert!(!ledger.is_half_ended(), "{end:?}");
    }
}

#[test]
fn an_error_of_sync_itself_skips_nothing() {
    let mut ledger = ledger(&[Sent::Execute, SYNC, Sent::Execute, SYNC]);
    play(&mut ledger, b"CEZ");
    assert!(!ledger.is_settled());
    play(&mut ledger, b"CZ");
    assert!(ledger.is_settled());
}

#[test]
fn replies_that_nothing_asked_for_are_a_desync() {
    for (sent, reply) in [
        (vec![], b'Z'),
        (vec![], b'C'),
        (vec![QUERY], b'1'),
        (vec![QUERY], b'V'),
        (vec![Sent::Bind(None)], b'Z'),
        (vec![Sent::Parse(Which::Own)], b'2'),
        (vec![SYNC], b'C'),
        (vec![QUERY], b'?'),
    ] {
        let mut ledger = ledger(&sent);
        let result = ledger.received(reply, Some(Idle), |_, _| {});
        assert!(result.is_err(), "{sent:?} {}", char::from(reply));
    }
    assert!(ledger(&[QUERY]).received(b'Z', None, |_, _| {}).is_err());
}

#[test]
fn messages_of_the_server_itself_may_come_at_any_time() {
    for sent in [vec![], vec![QUERY], vec![SYNC]] {
        for reply in *b"NSA" {
            let receipt = receive(&mut ledger(&sent), reply).unwrap();
            assert_eq!(receipt.meaning, Meaning::Asynchronous);
        }
    }
    let farewell = receive(&mut ledger(&[]), b'E').unwrap();
    assert_eq!(farewell, Receipt { deliver: Deliver::Swallow, meaning: Meaning::Error(None) });
}

#[test]
fn what_passes_without_a_look_is_what_a_look_finds_plain() {
    let statement = Statements::default().intern(b"SELECT 1", b"", || TextEffects::NOTHING);
    let all_sent = [
        QUERY,
        SYNC,
        Sent::FunctionCall,
        Sent::Parse(Which::Own),
        Sent::Parse(Which::Shared(statement)),
        Sent::Bind(None),
        Sent::Bind(Some(statement)),
        Sent::DescribeStatement(None),
        Sent::DescribeStatement(Some(statement)),
        Sent::DescribePortal(None),
        Sent::DescribePortal(Some(statement)),
        Sent::Execute,
        Sent::Close(Which::Own),
    ];
    let mut passed = 0;
    for sent in all_sent {
        for deliver in [Deliver::Client, Deliver::OnError, Deliver::Swallow] {
            for number in [0, 7] {
                for reply in 0..=u8::MAX {
                    let begin = || {
                        let mut ledger = Ledger::default();
                        ledger.sent(sent, deliver);
                        ledger.number_last(number);
                        ledger.sent(SYNC, Deliver::Client);
                        ledger
                    };
                    let (mut passing, mut unknown, mut looked_at) = (begin(), begin(), begin());
                    if passing.passes(reply, |_| true) {
                        let receipt = receive(&mut looked_at, reply).unwrap();
                        assert_eq!((receipt.deliver, number), (Deliver::Client, 0), "{sent:?}");
                        let is_plain = match receipt.meaning {
                            Meaning::Plain => true,
                            Meaning::Rows(_) => false,
                            other => panic!("{sent:?} {reply} {other:?}"),
                        };
                        assert_eq!(unknown.passes(reply, |_| false), is_plain, "{sent:?} {reply}");
                        passed += 1;
                    }
                    assert_eq!(format!("{passing:?}"), format!("{looked_at:?}"), "{sent:?}");
                }
            }
        }
    }
    // Query: T D C d; Execute: D C d; two Binds; four Describes, each of two replies.
    assert_eq!(passed, 4 + 3 + 2 + 8);
}

#[test]
fn inserted_messages_are_silent_unless_they_fail() {
    let mut ledger = Ledger::default();
    ledger.sent(Sent::Parse(Which::Own), Deliver::OnError);
    ledger.sent(Sent::Bind(None), Deliver::Client);
    assert_eq!(receive(&mut ledger, b'1').unwrap().deliver, Deliver::OnError);
    let mut ledger = Ledger::default();
    ledger.sent(Sent::Parse(Which::Own), Deliver::OnError);
    assert_eq!(receive(&mut ledger, b'E').unwrap().deliver, Deliver::Client);
}

#[test]
fn units_are_numbered_for_cancel_requests() {
    let mut ledger = ledger(&[QUERY, Sent::Bind(None), SYNC]);
    assert_eq!(ledger.current_unit(), 1);
    play(&mut ledger, b"CZ");
    assert_eq!(ledger.current_unit(), 2);
    play(&mut ledger, b"2Z");
    assert_eq!(ledger.current_unit(), 3);
}

fn cancel_id() -> CancelId {
    let server = crate::ids::ServerId(crate::ids::Key { index: 0, generation: 1 });
    CancelId { server, lease: 1, unit: 1 }
}

fn server() -> Server {
    Server::new(Vec::new(), None, Arc::default(), Tick(0), Deadline::NEVER)
}

#[test]
fn a_server_is_made_clean_step_by_step() {
    let mut server = server();
    assert_eq!(server.clean_step(), CleanStep::Done);
    server.needs_reset = true;
    server.needs_barrier = true;
    server.status = InTransaction;
    server.ledger.sent(Sent::Execute, Deliver::Client);
    assert_eq!(server.clean_step(), CleanStep::AbortBatch);
    receive(&mut server.ledger, b'G').unwrap();
    assert_eq!(server.clean_step(), CleanStep::FailCopy);
    server.ledger.sent(Sent::CopyEnd, Deliver::Swallow);
    receive(&mut server.ledger, b'E').unwrap();
    assert_eq!(server.clean_step(), CleanStep::Sync);
    server.ledger.sent(SYNC, Deliver::Swallow);
    assert_eq!(server.clean_step(), CleanStep::Wait);
    ready(&mut server.ledger, Failed);
    server.status = Failed;
    server.cancel = Cancel::Permitted(cancel_id());
    assert_eq!(server.clean_step(), CleanStep::Wait);
    server.cancel = Cancel::None;
    assert_eq!(server.clean_step(), CleanStep::Rollback);
    server.status = Idle;
    assert_eq!(server.clean_step(), CleanStep::Barrier);
    server.needs_barrier = false;
    assert_eq!(server.clean_step(), CleanStep::DiscardAll);
    server.needs_reset = false;
    assert_eq!(server.clean_step(), CleanStep::Done);
    server.doomed = true;
    assert_eq!(server.clean_step(), CleanStep::Close);
}

#[test]
fn a_parameter_that_was_set_and_put_back_has_not_changed() {
    let mut server = server();
    server.status_reported(b"TimeZone", b"UTC");
    assert!(!server.statuses_differ());
    server.status_reported(b"TimeZone", b"Asia/Tokyo");
    assert!(server.statuses_differ());
    server.status_reported(b"TimeZone", b"UTC");
    assert!(!server.statuses_differ());
}
