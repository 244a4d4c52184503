//! Terminate: what was sent before it runs, as Postgres would run it.

use super::{kept, unnamed, with_table};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::{Address, RawClient};

/// Requests with a Terminate behind them in the same packet; whether they take effect in Postgres.
fn requests() -> Vec<(&'static str, Vec<u8>, bool)> {
    let insert = "insert into kept values (1)";
    let simple = message::query(insert);
    let copy = [message::query("copy kept from stdin"), message::copy_data("1\n")].concat();
    let padded = message::query(format!("{insert} -- {}", "x".repeat(200_000)));
    vec![
        ("Query", simple.clone(), true),
        ("a large Query", padded, true),
        ("a batch", [unnamed(insert), message::sync()].concat(), true),
        ("a batch without Sync", unnamed(insert), false),
        ("a batch with Flush", [unnamed(insert), message::flush()].concat(), false),
        (
            "two of which the first fails",
            [message::query("select 1/0"), simple.clone()].concat(),
            true,
        ),
        ("BEGIN without COMMIT", [message::query("begin"), simple.clone()].concat(), false),
        (
            "a transaction",
            [message::query("begin"), simple, message::query("commit")].concat(),
            true,
        ),
        ("COPY with its end", [copy.clone(), message::copy_done()].concat(), true),
        ("COPY without its end", copy, false),
        ("a slow one", message::query(format!("select pg_sleep(1.5); {insert}")), true),
    ]
}

#[test]
fn what_stands_before_terminate_in_one_packet_runs_as_in_postgres() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let direct: Address = cluster.primary().address().into();
    for (what, request, takes_effect) in requests() {
        for (name, address) in [("Postgres", &direct), ("pgweir", &pgweir.address())] {
            // Whoever is gone when Postgres answers may lose what stands behind that; not with pgweir.
            let stays = if name == "pgweir" { &[true, false][..] } else { &[true] };
            for &stays in stays {
                let mut client = RawClient::login(address, &front::login());
                client.send(&[&request[..], &message::terminate()].concat()).unwrap();
                if stays {
                    client.until_closed();
                } else {
                    drop(client);
                }
                let found = || kept(&cluster) == ["1"];
                if takes_effect {
                    wait_until(&format!("{what} in {name}"), secs(5), found);
                } else {
                    // Whoever comes next waits for the end of it.
                    front::client(&pgweir).ask("select 1");
                    assert!(!found(), "{what} in {name}");
                }
                cluster.primary().sql("shop", "truncate kept").unwrap();
            }
        }
        accounts.assert_settled(secs(10));
    }
}

#[test]
fn what_stands_before_terminate_runs_though_it_must_queue() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut holder = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let waiting = || accounts.state().pools.iter().map(|pool| pool.waiting).sum::<u64>();
    for (what, request, takes_effect) in requests() {
        // A COPY that stands in the queue with its data is asked for again below.
        holder.ask("begin");
        let mut client = front::client(&pgweir);
        client.send(&[&request[..], &message::terminate()].concat()).unwrap();
        drop(client);
        wait_until("it waits", secs(5), || waiting() == 1);
        holder.ask("commit");
        if takes_effect {
            wait_until(what, secs(5), || kept(&cluster) == ["1"]);
        } else {
            wait_until("it has been served", secs(5), || waiting() == 0);
            holder.ask("select 1");
            assert!(kept(&cluster).is_empty(), "{what}");
        }
        holder.ask("truncate kept");
    }
    drop(holder);
    accounts.assert_settled(secs(10));
}
