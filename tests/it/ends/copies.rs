//! Clients and servers that go in the middle of a COPY or of a message, and COPYs that fail while their data
//! still comes.

use super::{
    WAYS_TO_GO, kept, only_error, running, status, tags, terminate_backends, unnamed,
    wait_for_none_running, wait_for_running, with_table,
};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::diff::Random;
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::RawClient;

fn begin_copy(sql: &str, extended: bool) -> Vec<u8> {
    if extended { [unnamed(sql), message::sync()].concat() } else { message::query(sql) }
}

#[test]
fn a_copy_whose_client_went_copies_nothing() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let server = front::client(&pgweir).ask_value("select pg_backend_pid()");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    // Between two messages, behind half of one, and with everything said but the end.
    let half = &message::copy_data("2\n3\n")[..7];
    let rests: [&[u8]; 3] = [b"", half, &message::copy_data("2\n").repeat(1)];
    for extended in [false, true] {
        for rest in rests {
            for going in WAYS_TO_GO {
                let mut client = front::client(&pgweir);
                client.send(&begin_copy("copy kept from stdin", extended)).unwrap();
                client.until(b'G');
                client.send(&message::copy_data("1\n")).unwrap();
                client.send(rest).unwrap();
                let half = going.go(client);
                let mut next = front::client(&pgweir);
                assert_eq!(next.ask_value("select count(*) from kept"), "0", "{going:?} {rest:?}");
                if rest.len() != 7 && !extended {
                    let same = next.ask_value("select pg_backend_pid()") == server;
                    assert!(
                        same || rest.len() == 7,
                        "{going:?} {rest:?}: a server was thrown away"
                    );
                }
                drop((half, next));
                accounts.assert_settled(secs(10));
            }
        }
    }
    assert!(kept(&cluster).is_empty());
}

#[test]
fn a_copy_out_whose_client_went_is_ended() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for going in WAYS_TO_GO {
        let mut client = front::client(&pgweir);
        let rows = "select repeat('x', 10000) from generate_series(1, 1000000)";
        client.send(&message::query(format!("copy ({rows}) to stdout"))).unwrap();
        client.until(b'd');
        let half = going.go(client);
        wait_for_none_running(&cluster, "generate_series");
        assert_eq!(front::client(&pgweir).ask_value("select 'next'"), "next", "{going:?}");
        drop(half);
        accounts.assert_settled(secs(10));
    }
}

#[test]
fn half_a_message_of_a_client_that_went_harms_nobody() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let value = "v".repeat(1_000_000);
    let bind = message::bind("", "", &[Some(value.as_bytes())]);
    let parse = message::parse("", "insert into kept select 1 where length($1) > 0", &[]);
    // Its names are cut off, its value is, or all but so few bytes have come that a Terminate would fill it up.
    let mut cuts = vec![1, 4, 5, 6, 20, 300, 500_000, bind.len() - 5, bind.len() - 1];
    let mut random = Random::new(1);
    cuts.extend((0..10).map(|_| random.below(bind.len())));
    for cut in cuts {
        for going in WAYS_TO_GO {
            let mut client = front::client(&pgweir);
            client.send(&[&parse, &bind[..cut]].concat()).unwrap();
            let half = going.go(client);
            let mut next = front::client(&pgweir);
            let answer = next.ask("select count(*) from kept");
            assert_eq!(tags(&answer), "TDCZ", "{going:?} after {cut} bytes: {answer:?}");
            assert_eq!(answer[1].first_text().as_deref(), Some("0"));
            drop((half, next));
        }
    }
    accounts.assert_settled(secs(10));
}

#[test]
fn what_runs_before_half_a_message_is_cancelled() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let value = "v".repeat(100_000);
    let half = &message::bind("", "", &[Some(value.as_bytes())])[..50_000];
    let sleep = "select pg_sleep(60)";
    for before in [message::query(sleep), unnamed(sleep)] {
        for going in WAYS_TO_GO {
            let mut client = front::client(&pgweir);
            client.send(&[&before, half].concat()).unwrap();
            wait_for_running(&cluster, "pg_sleep(60)");
            let half = going.go(client);
            assert_eq!(front::client(&pgweir).ask_value("select 'next'"), "next", "{going:?}");
            wait_for_none_running(&cluster, "pg_sleep(60)");
            drop(half);
            accounts.assert_settled(secs(10));
        }
    }
}

#[test]
fn a_copy_that_fails_while_its_data_comes_leaves_a_clean_server() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut next = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for extended in [false, true] {
        let mut client = front::client(&pgweir);
        let batch = unnamed("copy kept from stdin");
        let begin = if extended { batch } else { message::query("copy kept from stdin") };
        client.send(&begin).unwrap();
        if extended {
            client.send(&message::flush()).unwrap();
        }
        client.until(b'G');
        // A duplicate early on; the client does not look, and keeps on sending.
        let mut writer = client.writer().unwrap();
        for number in 0..20_000 {
            let row = if number == 10 { 3 } else { number };
            writer.send(&message::copy_data(format!("{row}\n{}\n", 1_000_000 + number))).unwrap();
        }
        writer.send(&message::copy_done()).unwrap();
        if extended {
            writer.send(&message::sync()).unwrap();
        }
        let frames = client.until_ready();
        assert_eq!(only_error(&frames), "23505");
        assert_eq!(status(&frames), Some('I'));
        assert_eq!(next.ask_value("select count(*) from kept"), "0");
        assert_eq!(client.ask_value("select 'on'"), "on");
    }
    drop(next);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_copy_that_fails_before_its_early_sync_is_read_is_answered_as_by_postgres() {
    let cluster = front::shop();
    with_table(&cluster);
    let refuse = "create function refuse() returns trigger language plpgsql \
                  as 'begin raise exception ''no''; end'; \
                  create trigger refuse before insert on kept execute function refuse()";
    cluster.primary().sql("shop", refuse).unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut next = front::client(&pgweir);
    next.ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let direct = cluster.primary().address().into();
    for address in [&direct, &pgweir.address()] {
        for _ in 0..8 {
            let mut client = RawClient::login(address, &front::login());
            let data = [message::copy_data("1\n"), message::copy_done()].concat();
            client.send(&[begin_copy("copy kept from stdin", true), data].concat()).unwrap();
            // The trigger refuses before anything is read: the Sync counts.
            let frames = client.until_ready();
            assert_eq!(tags(&frames), "12GEZ", "{address}");
            assert_eq!(client.ask_value("select 'on'"), "on", "{address}");
            assert_eq!(next.ask_value("select 'mine'"), "mine");
        }
        // And with a client that does not wait for it.
        for _ in 0..8 {
            let mut client = RawClient::login(address, &front::login());
            client.send(&begin_copy("copy kept from stdin", true)).unwrap();
            drop(client);
            assert_eq!(next.ask_value("select 'mine'"), "mine");
        }
    }
    drop(next);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_pinned_session_says_goodbye_after_a_copy_that_failed() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for ending in [message::copy_done(), message::copy_fail("no")] {
        let mut client = front::client(&pgweir);
        client.ask("set application_name = 'pinned'");
        client.send(&begin_copy("copy kept from stdin", true)).unwrap();
        // As tokio-postgres: the data goes when the server has asked for it.
        client.until(b'G');
        client.send(&[message::copy_data("x\n"), ending, message::sync()].concat()).unwrap();
        assert_eq!(tags(&client.until_ready()), "EZ");
        client.send(&message::terminate()).unwrap();
        client.until_closed();
        accounts.assert_settled(secs(10));
    }
}

#[test]
fn a_copy_whose_server_is_terminated_fails_and_the_session_goes_on() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for extended in [false, true] {
        let mut client = front::client(&pgweir);
        let begin = unnamed("copy kept from stdin");
        let begin = if extended { begin } else { message::query("copy kept from stdin") };
        client.send(&[begin, message::flush()].concat()[..]).unwrap();
        client.until(b'G');
        client.send(&message::copy_data("1\n")).unwrap();
        let copies = || running(&cluster, "copy kept") == 1;
        wait_until("it copies", secs(5), copies);
        assert_eq!(terminate_backends(&cluster), 1);
        // Late data belongs to nothing any more.
        let late = [message::copy_data("2\n").repeat(1_000), message::copy_done()].concat();
        client.send(&late).unwrap();
        if extended {
            client.send(&message::sync()).unwrap();
        }
        let frames = client.until_ready();
        assert!(["57P01", "08006"].contains(&only_error(&frames).as_str()), "{frames:?}");
        assert_eq!(client.ask_value("select count(*) from kept"), "0");
    }
    accounts.assert_settled(secs(10));
}
