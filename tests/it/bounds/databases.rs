//! Databases that are dropped, copied and renamed while pgweir has servers there, and access rules.

use crate::harness::accounting::{Accounting, activity};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::front::{pool_of, shop};
use crate::harness::message;
use crate::harness::raw::{Login, RawClient};

use super::{in_front_of, login, server};

fn admin(database: &str) -> Login {
    Login::new("postgres", database)
}

fn no_error(frames: &[Frame]) {
    assert!(frames.iter().all(|frame| frame.sqlstate().is_none()), "{frames:?}");
}

#[test]
fn pooled_servers_are_out_of_the_way_of_drop_copy_and_rename() {
    let cluster = shop();
    let pgweir = pool_of(5, cluster.primary().address()).start();
    let mut dba = pgweir.client(&admin("postgres"));
    let mut customer = pgweir.client(&admin("shop"));
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for statement in [
        "create database copy template shop",
        "alter database shop rename to store",
        "alter database store rename to shop",
        "drop database copy",
    ] {
        customer.ask("select 1");
        pgweir.client(&admin("template1")).ask("select 1");
        no_error(&dba.ask(statement));
    }
    assert_eq!(customer.ask_value("select current_database()"), "shop");
    // One batch of the extended protocol.
    let batch = [
        message::parse("", "drop database shop", &[]),
        message::bind("", "", &[]),
        message::execute("", 0),
        message::sync(),
    ];
    dba.send(&batch.concat()).unwrap();
    no_error(&dba.until_ready());
    let refused = customer.ask("select 1");
    assert_eq!(refused.iter().find_map(Frame::sqlstate).as_deref(), Some("3D000"));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_server_in_use_is_left_alone_and_postgres_says_so() {
    let cluster = shop();
    let pgweir = pool_of(5, cluster.primary().address()).start();
    let mut dba = pgweir.client(&admin("postgres"));
    let mut customer = pgweir.client(&admin("shop"));
    customer.ask("begin");
    let refused = dba.ask("drop database shop");
    assert_eq!(refused.iter().find_map(Frame::sqlstate).as_deref(), Some("55006"));
    no_error(&customer.ask("commit"));
}

#[test]
fn an_unused_database_of_the_star_is_forgotten() {
    let cluster = shop();
    let pgweir = pool_of(5, cluster.primary().address())
        .set("defaults", "server_idle_timeout = \"300ms\"")
        .start();
    pgweir.client(&admin("shop")).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    wait_until("it is forgotten", secs(10), || accounts.state().pools.is_empty());
    assert_eq!(activity(cluster.primary(), "shop", "postgres"), 0);
    assert_eq!(pgweir.client(&admin("shop")).ask_value("select 1"), "1");
}

#[test]
fn access_rules_decide_by_database_role_and_address() {
    let cluster = server().start().unwrap();
    let rules = "\n[[access]]\nrole = \"ann\"\nfrom = [\"127.0.0.0/8\", \"::1\"]\n\
                 [[access]]\nrole = [\"bob\"]\nfrom = \"10.0.0.0/8\"\n\
                 [[access]]\ndatabase = \"elsewhere\"\n\
                 [[access]]\nrole = \"cid\"\ntls = true\n";
    let pgweir = in_front_of(&cluster).set("http", rules).start();
    assert_eq!(pgweir.client(&login("ann")).ask_value("select 1"), "1");
    for role in ["bob", "cid"] {
        let (_, frames) = RawClient::try_login(&pgweir.address(), &login(role)).unwrap();
        let error = frames.last().unwrap();
        assert_eq!(error.sqlstate().as_deref(), Some("28000"), "{role}: {error:?}");
    }
}
