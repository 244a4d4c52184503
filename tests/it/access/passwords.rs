//! Passwords that pgweir knows: from the configuration and from the userlist.

use pgweir::cluster::{AuthMethod, Cluster, quote_literal};

use super::{SECRET, ann, asking, assert_refused, current_user, in_front_of, login_frames};
use crate::harness::accounting::{Accounting, activity};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::files::Folder;
use crate::harness::frame::Frame;
use crate::harness::pgweir_process::{PgweirOptions, toml_string};
use crate::harness::raw::Login;

/// What `pg_authid` holds of a role.
fn stored(cluster: &Cluster, role: &str) -> String {
    let question = format!("select rolpassword from pg_authid where rolname = '{role}'");
    cluster.primary().sql("postgres", &question).unwrap()[0][0].clone().unwrap()
}

/// With this secret of `ann` in a userlist.
fn with_userlist(options: PgweirOptions, folder: &Folder, secret: &str) -> PgweirOptions {
    let text = format!("\"ann\" \"{secret}\"\n\"bob\" \"{secret}\"\n");
    let file = folder.write("userlist.txt", &text);
    options.set("auth", &format!("userlist = {}", toml_string(file.to_str().unwrap())))
}

fn method(options: PgweirOptions, method: &str) -> PgweirOptions {
    options.set("auth", &format!("method = \"{method}\""))
}

#[test]
fn trust_lets_a_role_in_without_a_password() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let pgweir = method(in_front_of(&cluster), "trust").start();
    assert_eq!(current_user(&mut pgweir.client(&Login::new("ann", "postgres"))), "ann");
}

#[test]
fn a_plain_secret_opens_md5_logins_on_both_sides() {
    let cluster = asking(AuthMethod::Md5).start().unwrap();
    let folder = Folder::new();
    let options = with_userlist(in_front_of(&cluster), &folder, SECRET);
    let pgweir = method(options, "md5").start();
    assert_eq!(current_user(&mut pgweir.client(&ann())), "ann");
    assert_refused(&pgweir, &ann().password("wrong"), "28P01");
}

#[test]
fn an_md5_hash_opens_md5_logins_on_both_sides_whatever_the_method() {
    let cluster = asking(AuthMethod::Md5).start().unwrap();
    let stored = stored(&cluster, "ann");
    assert!(stored.starts_with("md5"), "{stored}");
    let folder = Folder::new();
    for name in ["md5", "scram-sha-256"] {
        let options = with_userlist(in_front_of(&cluster), &folder, &stored);
        let pgweir = method(options, name).start();
        assert_eq!(current_user(&mut pgweir.client(&ann())), "ann");
        assert_refused(&pgweir, &ann().password("wrong"), "28P01");
        // The hash is no password.
        assert_refused(&pgweir, &ann().password(&stored), "28P01");
    }
}

#[test]
fn a_plain_secret_opens_scram_logins_on_both_sides() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let folder = Folder::new();
    let from_userlist = with_userlist(in_front_of(&cluster), &folder, SECRET).start();
    let from_config = in_front_of(&cluster).role("ann", SECRET).start();
    for pgweir in [&from_userlist, &from_config] {
        assert_eq!(current_user(&mut pgweir.client(&ann())), "ann");
        assert_refused(pgweir, &ann().password("wrong"), "28P01");
        assert_refused(pgweir, &ann().password(""), "28P01");
    }
}

#[test]
fn a_verifier_passes_the_clients_own_proof_on_also_after_servers_went() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let folder = Folder::new();
    let options = with_userlist(in_front_of(&cluster), &folder, &stored(&cluster, "ann"));
    let pgweir = options.start();
    let mut client = pgweir.client(&ann());
    assert_eq!(current_user(&mut client), "ann");
    // A new server connection, long after the login.
    let primary = cluster.primary();
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ann'";
    primary.sql("postgres", kill).unwrap();
    wait_until("the server goes", secs(10), || activity(primary, "postgres", "ann") == 0);
    // It is gone from there a moment before its connection is.
    let accounts = Accounting::of(&pgweir, &[primary]);
    let open = || accounts.state().pools.iter().map(|pool| pool.open).sum::<u64>();
    wait_until("pgweir has seen it", secs(10), || open() == 0);
    assert_eq!(current_user(&mut client), "ann");
}

#[test]
fn a_wrong_password_is_refused_though_a_server_is_warm() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let folder = Folder::new();
    for (name, secret) in [
        ("md5", SECRET.to_owned()),
        ("scram-sha-256", SECRET.to_owned()),
        ("scram-sha-256", stored(&cluster, "ann")),
    ] {
        let pgweir = method(with_userlist(in_front_of(&cluster), &folder, &secret), name).start();
        let mut client = pgweir.client(&ann());
        assert_eq!(current_user(&mut client), "ann");
        for wrong in ["wrong", "", secret.as_str(), &"x".repeat(2_000)] {
            if wrong != SECRET {
                assert_refused(&pgweir, &ann().password(wrong), "28P01");
            }
        }
        assert_eq!(current_user(&mut client), "ann");
    }
}

#[test]
fn an_unknown_role_looks_like_a_wrong_password() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let folder = Folder::new();
    for (name, secret) in [
        ("md5", SECRET.to_owned()),
        ("scram-sha-256", SECRET.to_owned()),
        ("scram-sha-256", stored(&cluster, "ann")),
    ] {
        let pgweir = method(with_userlist(in_front_of(&cluster), &folder, &secret), name).start();
        let seen = |role: &str, database: &str| -> Vec<Frame> {
            let login = Login::new(role, database).password("wrong");
            login_frames(&pgweir, &login).into_iter().map(|frame| masked(&frame, role)).collect()
        };
        let known = seen("ann", "postgres");
        assert_eq!(known.last().unwrap().sqlstate().as_deref(), Some("28P01"));
        for (role, database) in [("eve", "postgres"), ("ann", "nowhere"), ("eve", "nowhere")] {
            assert_eq!(seen(role, database), known, "{name}: {role} in {database}");
        }
    }
}

/// A frame without what is random or repeats the role's name, but with its length.
fn masked(frame: &Frame, role: &str) -> Frame {
    let mut frame = frame.clone();
    let text = String::from_utf8_lossy(&frame.body).into_owned();
    if frame.tag == b'E' {
        frame.body = text.replace(role, "ROLE").into_bytes();
    } else if frame.tag == b'R' && frame.body.starts_with(&[0, 0, 0, 11]) {
        let shape = |part: &str| match part.split_once('=') {
            Some((key @ ("r" | "s"), value)) => format!("{key}={}", value.len()),
            _ => part.to_owned(),
        };
        let parts: Vec<String> = text[4..].split(',').map(shape).collect();
        frame.body = parts.join(",").into_bytes();
    } else if frame.tag == b'R' && frame.body.starts_with(&[0, 0, 0, 5]) {
        frame.body.truncate(4);
    }
    frame
}

#[test]
fn a_role_whose_server_password_is_not_known_is_told_so_after_it_proved_itself() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let folder = Folder::new();
    // An md5 hash proves the client, but opens no SCRAM login.
    let primary = cluster.primary();
    let hash = format!("select 'md5' || md5({} || 'ann')", quote_literal(SECRET));
    let hash = primary.sql("postgres", &hash).unwrap()[0][0].clone().unwrap();
    let options = with_userlist(in_front_of(&cluster), &folder, &hash);
    let pgweir = options.set("defaults", "pool_wait_timeout = \"1s\"").start();
    assert_refused(&pgweir, &ann().password("wrong"), "28P01");
    assert_refused(&pgweir, &ann(), "28000");
}
