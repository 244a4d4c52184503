//! Passwords that Postgres is asked for: `auth_query`.

use std::time::Instant;

use pgweir::cluster::{AuthMethod, Cluster, quote_literal};

use super::{SECRET, ann, asking, assert_refused, current_user, in_front_of, login_frames};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::Login;

/// A Postgres whose role `pgweir_auth` may read secrets, and nothing else.
fn cluster() -> Cluster {
    let cluster =
        asking(AuthMethod::ScramSha256).role("pgweir_auth", "the asker's own").start().unwrap();
    cluster.primary().sql("postgres", "grant select on pg_authid to pgweir_auth").unwrap();
    cluster
}

fn asks(cluster: &Cluster) -> PgweirOptions {
    in_front_of(cluster)
        .role("pgweir_auth", "the asker's own")
        .set("auth", "auth_query_role = \"pgweir_auth\"")
}

fn alter(cluster: &Cluster, what: &str) {
    cluster.primary().sql("postgres", &format!("alter role ann {what}")).unwrap();
}

fn is_let_in(pgweir: &Pgweir, login: &Login) -> bool {
    login_frames(pgweir, login).last().and_then(Frame::status).is_some()
}

#[test]
fn a_role_is_looked_up_and_its_own_proof_passed_on() {
    let cluster = cluster();
    let pgweir = asks(&cluster).start();
    assert_eq!(current_user(&mut pgweir.client(&ann())), "ann");
    assert_refused(&pgweir, &ann().password("wrong"), "28P01");
    for stranger in ["eve", "'; drop role ann; --", "pg_monitor", "ann ", &"x".repeat(5_000)] {
        let login = Login::new(stranger, "postgres").password(SECRET);
        assert_refused(&pgweir, &login, "28P01");
    }
    // The asker is nobody's way in but its own.
    let asker = Login::new("pgweir_auth", "postgres").password("the asker's own");
    assert_eq!(current_user(&mut pgweir.client(&asker)), "pgweir_auth");
}

#[test]
fn what_the_client_sets_does_not_reach_the_look_up() {
    let cluster = cluster();
    let evil = "create schema evil; grant usage on schema evil to public; \
        create function evil.eq(name, name) returns bool language sql as 'select true'; \
        create operator evil.= (leftarg = name, rightarg = name, function = evil.eq); \
        create table evil.pg_authid as select 'ann'::name as rolname, null::text as rolpassword, \
            true as rolcanlogin, null::timestamptz as rolvaliduntil; \
        grant select on evil.pg_authid to public";
    cluster.primary().sql("postgres", evil).unwrap();
    let pgweir = asks(&cluster).set("auth", "cache_ttl = \"off\"").start();
    let path = ann().parameter("search_path", "evil, pg_catalog");
    assert_eq!(current_user(&mut pgweir.client(&path)), "ann");
    let role = ann().parameter("options", "-c role=pg_monitor -c statement_timeout=1");
    assert!(is_let_in(&pgweir, &ann()));
    let _ = login_frames(&pgweir, &role);
    assert_refused(&pgweir, &path.password("wrong"), "28P01");
}

#[test]
fn roles_that_postgres_would_not_let_in_are_refused() {
    let cluster = cluster();
    let pgweir = asks(&cluster).set("auth", "cache_ttl = \"off\"").start();
    for (off, on) in [
        ("valid until '2001-01-01'", "valid until 'infinity'"),
        ("nologin", "login"),
        ("password null", &format!("password {}", quote_literal(SECRET))),
    ] {
        assert!(is_let_in(&pgweir, &ann()), "before {off}");
        alter(&cluster, off);
        assert_refused(&pgweir, &ann(), "28P01");
        alter(&cluster, on);
    }
    assert!(is_let_in(&pgweir, &ann()));
}

#[test]
fn a_changed_password_counts_for_new_logins_at_once() {
    let cluster = cluster();
    // The longest that an answer may be kept: the new password must not wait for it.
    let pgweir = asks(&cluster).set("auth", "cache_ttl = \"60s\"").start();
    let mut before = pgweir.client(&ann());
    assert_eq!(current_user(&mut before), "ann");
    alter(&cluster, "password 'new'");
    let changed = ann().password("new");
    // An answer younger than a second is not doubted.
    wait_until("the new password works", secs(5), || is_let_in(&pgweir, &changed));
    assert_refused(&pgweir, &ann(), "28P01");
    // Who is in stays in, also on a new server connection.
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ann'";
    cluster.primary().sql("postgres", kill).unwrap();
    assert_eq!(current_user(&mut pgweir.client(&changed)), "ann");
    assert_eq!(current_user(&mut before), "ann");
}

#[test]
fn an_old_password_is_refused_within_cache_ttl() {
    let cluster = cluster();
    let pgweir = asks(&cluster).set("auth", "cache_ttl = \"2s\"").start();
    assert_eq!(current_user(&mut pgweir.client(&ann())), "ann");
    alter(&cluster, "password 'new'");
    let changed = Instant::now();
    wait_until("the old password is refused", secs(10), || !is_let_in(&pgweir, &ann()));
    assert!(changed.elapsed() < secs(4), "refused after {:?}", changed.elapsed());
    assert!(is_let_in(&pgweir, &ann().password("new")));
}

#[test]
fn a_look_up_that_fails_refuses_and_says_try_again() {
    let cluster = cluster();
    let revoke = "revoke select on pg_authid from pgweir_auth";
    cluster.primary().sql("postgres", revoke).unwrap();
    let pgweir = asks(&cluster).start();
    assert_refused(&pgweir, &ann(), "57P03");
    pgweir.wait_for_log("permission denied", secs(5));
}
