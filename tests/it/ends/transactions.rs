//! Clients that go inside a transaction: nothing of it stays, nobody else sees any of it.

use super::{
    Going, WAYS_TO_GO, kept, unnamed, wait_for_none_running, wait_for_running, with_table,
};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::front;
use crate::harness::message;

#[test]
fn a_transaction_whose_client_went_is_rolled_back_and_its_server_used_again() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let server = front::client(&pgweir).ask_value("select pg_backend_pid()");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let insert = "insert into kept values (1)";
    let states: [&[&[u8]]; 6] = [
        // Idle in it; in a failed one; in a savepoint.
        &[&message::query("begin"), &message::query(insert)],
        &[&message::query("begin"), &message::query(insert), &message::query("select 1/0")],
        &[&message::query("begin; savepoint a"), &message::query(insert)],
        // In an implicit one: a batch without Sync.
        &[&[unnamed(insert), message::flush()].concat()],
        &[&message::query("begin"), &[unnamed(insert), message::flush()].concat()],
        // A portal that has more to give.
        &[
            &message::query("begin"),
            &[
                message::parse("", "insert into kept values (1), (2) returning n", &[]),
                message::bind("", "", &[]),
                message::execute("", 1),
                message::flush(),
            ]
            .concat(),
        ],
    ];
    for state in states {
        for going in WAYS_TO_GO {
            let mut client = front::client(&pgweir);
            for request in state {
                client.send(request).unwrap();
                // Answered to the end: by Z, or by what a batch without Sync gives.
                let frames = loop {
                    let frame = client.frame();
                    if matches!(frame.tag, b'Z' | b's')
                        || (request.ends_with(&message::flush()) && frame.tag == b'C')
                    {
                        break frame;
                    }
                };
                drop(frames);
            }
            let half = going.go(client);
            let mut next = front::client(&pgweir);
            assert_eq!(next.ask_value("select count(*) from kept"), "0", "{going:?}");
            assert_eq!(next.ask_value("select pg_backend_pid()"), server, "{going:?}");
            // Its locks are gone too.
            assert_eq!(next.ask("begin; insert into kept values (1); rollback").len(), 4);
            drop((half, next));
            accounts.assert_settled(secs(10));
        }
    }
    assert!(kept(&cluster).is_empty());
}

#[test]
fn a_transaction_whose_client_went_while_it_ran_something_is_rolled_back() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for going in WAYS_TO_GO {
        let mut client = front::client(&pgweir);
        client.ask("begin");
        client.ask("insert into kept values (1)");
        client.send(&message::query("select pg_sleep(60)")).unwrap();
        wait_for_running(&cluster, "pg_sleep(60)");
        let half = going.go(client);
        wait_for_none_running(&cluster, "pg_sleep(60)");
        let mut next = front::client(&pgweir);
        assert_eq!(next.ask_value("select count(*) from kept"), "0", "{going:?}");
        drop((half, next));
        accounts.assert_settled(secs(10));
    }
}

#[test]
fn a_client_that_waits_for_a_lock_and_goes_waits_no_longer() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let mut holder = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for going in WAYS_TO_GO {
        holder.ask("begin; insert into kept values (1)");
        let mut client = front::client(&pgweir);
        client.send(&message::query("begin; insert into kept values (1), (2)")).unwrap();
        wait_for_running(&cluster, "(1), (2)");
        let half = going.go(client);
        wait_for_none_running(&cluster, "(1), (2)");
        // Would fail if the other had got the row, and block if it still wanted it.
        assert_eq!(holder.ask("insert into kept values (2); rollback").len(), 3);
        drop(half);
    }
    drop(holder);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_commit_that_was_sent_before_the_client_went_counts() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for (number, going) in [Going::Close, Going::HalfClose].into_iter().enumerate() {
        let mut client = front::client(&pgweir);
        client.ask("begin");
        client.ask(&format!("insert into kept values ({number})"));
        client.send(&message::query("commit")).unwrap();
        let half = going.go(client);
        let count = front::client(&pgweir).ask_value("select count(*) from kept");
        assert_eq!(count, (number + 1).to_string(), "{going:?}");
        drop(half);
    }
    accounts.assert_settled(secs(10));
}
