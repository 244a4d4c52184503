//! Where servers are, who logs in there, and which databases there are: changed under clients that
//! stay.

use pgweir::cluster::Cluster;

use super::{Keys, login_outcome, postgres, primary, reload};
use crate::harness::accounting::{Accounting, activity};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::raw::{Login, RawClient};

fn port(client: &mut RawClient) -> String {
    client.ask_value("select current_setting('port')")
}

#[test]
fn a_session_goes_on_at_the_new_server_and_an_open_transaction_at_the_old_one() {
    let (old, new) = (Cluster::start().unwrap(), Cluster::start().unwrap());
    let [old_port, new_port] = [&old, &new].map(|cluster| cluster.primary().port().to_string());
    let keys = Keys::of(&old);
    let mut pgweir = keys.start();
    let accounts = Accounting::of(&pgweir, &[new.primary()]);
    let mut idle = pgweir.client(&postgres());
    let mut busy = pgweir.client(&postgres());
    assert_eq!(port(&mut idle), old_port);
    busy.ask("begin");
    assert_eq!(port(&mut busy), old_port);
    let said = reload(&mut pgweir, &keys.set("databases.\"*\".primary", &primary(&new, "")));
    assert!(said.contains("changed: databases.\"*\".primary (new servers)"), "{said}");
    assert_eq!(port(&mut idle), new_port);
    assert_eq!(port(&mut busy), old_port, "its transaction is there");
    assert_eq!(busy.ask("commit")[0].command_tag().as_deref(), Some("COMMIT"));
    assert_eq!(port(&mut busy), new_port);
    let at_the_old_one = || activity(old.primary(), "postgres", "postgres");
    wait_until("the old servers being closed", secs(5), || at_the_old_one() == 0);
    accounts.assert_balanced();
}

#[test]
fn a_server_that_could_not_be_reached_is_left_at_once_for_one_that_can() {
    let cluster = Cluster::start().unwrap();
    // Nobody listens at the discard port.
    let nowhere = "\"postgres://127.0.0.1:9?sslmode=disable\"";
    let keys = Keys::of(&cluster).set("databases.\"*\".primary", nowhere);
    let mut pgweir = keys.start();
    let mut waiting = RawClient::connect(&pgweir.address()).unwrap();
    waiting.send(&postgres().packet()).unwrap();
    pgweir.wait_for_log("cannot log in to the server", secs(10));
    reload(&mut pgweir, &keys.set("databases.\"*\".primary", &primary(&cluster, "")));
    let frames = waiting.until_ready();
    assert_eq!(frames.last().and_then(Frame::status), Some('I'));
    assert_eq!(waiting.ask_value("select 1"), "1");
}

#[test]
fn a_removed_database_ends_its_sessions_after_their_transactions() {
    let cluster = Cluster::options().database("shop").database("crm").start().unwrap();
    let shop = Login::new("postgres", "shop");
    let keys = Keys::of(&cluster)
        .without("databases.\"*\".primary")
        .set("databases.shop.primary", &primary(&cluster, ""))
        .set("databases.crm.primary", &primary(&cluster, ""));
    let mut pgweir = keys.start();
    let (mut idle, mut busy) = (pgweir.client(&shop), pgweir.client(&shop));
    let mut other = pgweir.client(&Login::new("postgres", "crm"));
    busy.ask("begin");
    busy.ask("create table bought (n int)");
    reload(&mut pgweir, &keys.clone().without("databases.shop.primary"));
    let last_words = idle.until_closed();
    assert_eq!(last_words.len(), 1);
    assert_eq!(last_words[0].sqlstate().as_deref(), Some("57P01"));
    let text = last_words[0].field(b'M').unwrap();
    assert!(text.contains("no longer configured for this database"), "{text}");
    busy.ask("insert into bought values (1)");
    assert_eq!(busy.ask("commit")[0].command_tag().as_deref(), Some("COMMIT"));
    assert_eq!(busy.until_closed()[0].sqlstate().as_deref(), Some("57P01"));
    assert_eq!(login_outcome(&pgweir, &shop), "3D000");
    assert_eq!(other.ask_value("select current_database()"), "crm");
    wait_until("its servers being closed", secs(5), || {
        activity(cluster.primary(), "shop", "postgres") == 0
    });
    let rows = cluster.primary().sql("shop", "select n from bought").unwrap();
    assert_eq!(rows.len(), 1, "what was committed is there");
    // And back.
    reload(&mut pgweir, &keys);
    assert_eq!(pgweir.client(&shop).ask_value("select n from bought"), "1");
}

#[test]
fn a_role_that_nothing_lets_in_any_more_leaves_too() {
    let cluster = Cluster::options().role("ann", "hers").role("bob", "his").start().unwrap();
    let keys = Keys::of(&cluster)
        .set("auth.method", "\"scram-sha-256\"")
        .set("roles.ann.password", "\"hers\"")
        .set("roles.bob.password", "\"his\"");
    let mut pgweir = keys.start();
    let (ann, bob) = (Login::new("ann", "postgres"), Login::new("bob", "postgres"));
    let (ann, bob) = (ann.password("hers"), bob.password("his"));
    let (mut leaving, mut staying) = (pgweir.client(&ann), pgweir.client(&bob));
    reload(&mut pgweir, &keys.without("roles.ann.password"));
    assert_eq!(leaving.until_closed()[0].sqlstate().as_deref(), Some("57P01"));
    assert_eq!(login_outcome(&pgweir, &ann), "28P01");
    assert_eq!(staying.ask_value("select current_user"), "bob");
}
