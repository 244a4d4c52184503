//! TLS: whom it is spoken with, what it proves, on both sides.

use pgweir::cluster::{AuthMethod, Cluster};

use super::{SECRET, ann, asking, current_user, in_front_of};
use crate::harness::certificates::{Authority, Issued};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions, toml_string};
use crate::harness::psql::Psql;
use crate::harness::raw::{Login, RawClient, Reply};
use crate::harness::tls;

/// TLS towards clients with this certificate.
fn showing(options: PgweirOptions, shown: &Issued, mode: &str) -> PgweirOptions {
    let certificate = toml_string(shown.certificate_file.to_str().unwrap());
    let key = toml_string(shown.key_file.to_str().unwrap());
    options
        .set("server.tls", &format!("mode = \"{mode}\""))
        .set("server.tls", &format!("certificate = {certificate}\nprivate_key = {key}"))
}

fn accepting(options: PgweirOptions, authority: &Authority) -> PgweirOptions {
    let file = toml_string(authority.file().to_str().unwrap());
    options.set("server.tls", &format!("client_ca = {file}"))
}

fn psql(cluster: &Cluster, pgweir: &Pgweir, role: &str) -> Psql {
    Psql::of(cluster.primary(), pgweir.listen(), role, "postgres")
}

#[test]
fn psql_binds_its_password_to_the_channel() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let authority = Authority::new();
    let shown = authority.issue("pgweir", &["localhost"]);
    let stored = "select rolpassword from pg_authid where rolname = 'ann'";
    let stored = cluster.primary().sql("postgres", stored).unwrap()[0][0].clone().unwrap();
    // With the password, and with the verifier only, which leaves the proof to the client.
    for secret in [SECRET, &stored] {
        let options = in_front_of(&cluster).role("ann", secret);
        let pgweir = showing(options, &shown, "prefer").start();
        let ask = |sslmode: &str, binding: &str, password: &str| {
            let psql = psql(&cluster, &pgweir, "ann").password(password).with("sslmode", sslmode);
            let psql = psql.with("channel_binding", binding);
            psql.with_file("sslrootcert", &authority.file()).ask("select current_user")
        };
        assert_eq!(ask("verify-full", "require", SECRET).as_deref(), Ok("ann"));
        assert_eq!(ask("require", "prefer", SECRET).as_deref(), Ok("ann"));
        assert_eq!(ask("require", "disable", SECRET).as_deref(), Ok("ann"));
        assert_eq!(ask("disable", "prefer", SECRET).as_deref(), Ok("ann"));
        let error = ask("disable", "require", SECRET).unwrap_err();
        assert!(error.contains("channel binding"), "{error}");
        let error = ask("verify-full", "require", "wrong").unwrap_err();
        assert!(error.contains("password authentication failed"), "{error}");
    }
}

#[test]
fn a_certificate_lets_in_the_role_of_its_common_name() {
    let cluster = asking(AuthMethod::Trust).role("bob", "unused").start().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let shown = authority.issue("pgweir", &["localhost"]);
    let options = in_front_of(&cluster).set("auth", "method = \"cert\"");
    let pgweir = accepting(showing(options, &shown, "prefer"), &authority).start();
    let ask = |role: &str, certificate: Option<&Issued>| {
        let mut psql = psql(&cluster, &pgweir, role).with("sslmode", "verify-full");
        psql = psql.with_file("sslrootcert", &authority.file());
        if let Some(own) = certificate {
            psql = psql.with_file("sslcert", &own.certificate_file);
            psql = psql.with_file("sslkey", &own.key_file);
        }
        psql.ask("select current_user")
    };
    let ann = authority.issue("ann", &[]);
    assert_eq!(ask("ann", Some(&ann)).as_deref(), Ok("ann"));
    let error = ask("bob", Some(&ann)).unwrap_err();
    assert!(error.contains("certificate authentication failed for user \"bob\""), "{error}");
    assert!(ask("ann", None).unwrap_err().contains("FATAL"));
    let forged = stranger.issue("ann", &[]);
    assert!(ask("ann", Some(&forged)).is_err());
    // And without TLS at all.
    let frames = RawClient::try_login(&pgweir.address(), &Login::new("ann", "postgres"));
    assert_eq!(frames.unwrap().1.last().and_then(Frame::sqlstate).as_deref(), Some("28000"));
}

#[test]
fn each_tls_mode_takes_whom_it_says() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let authority = Authority::new();
    let shown = authority.issue("pgweir", &["localhost"]);
    let own = authority.issue("somebody", &[]);
    let ask = |pgweir: &Pgweir, sslmode: &str, certificate: bool| {
        let mut psql = psql(&cluster, pgweir, "ann").password(SECRET).with("sslmode", sslmode);
        if certificate {
            psql = psql.with_file("sslcert", &own.certificate_file);
            psql = psql.with_file("sslkey", &own.key_file);
        }
        psql.ask("select current_user")
    };
    for (mode, plain, anonymous) in [
        ("off", true, false),
        ("prefer", true, true),
        ("require", false, true),
        ("verify-full", false, false),
    ] {
        let options = in_front_of(&cluster).role("ann", SECRET);
        let pgweir = accepting(showing(options, &shown, mode), &authority).start();
        assert_eq!(ask(&pgweir, "disable", false).is_ok(), plain, "{mode} without TLS");
        assert_eq!(ask(&pgweir, "require", false).is_ok(), anonymous, "{mode} with TLS");
        let proved = ask(&pgweir, "require", true);
        assert_eq!(proved.is_ok(), mode != "off", "{mode} with a certificate: {proved:?}");
        if !plain {
            let refused = RawClient::try_login(&pgweir.address(), &ann()).unwrap().1;
            assert_eq!(refused.last().and_then(Frame::sqlstate).as_deref(), Some("28000"));
        }
    }
}

#[test]
fn the_servers_certificate_is_checked_as_sslmode_says() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let own = authority.issue("postgres", &["localhost"]);
    let cluster = asking(AuthMethod::ScramSha256)
        .tls(&own.certificate, &own.key)
        .hba("hostnossl all ann 127.0.0.1/32 reject")
        .start()
        .unwrap();
    let port = cluster.primary().port();
    let start = |host: &str, sslmode: &str, root: &Authority| {
        let root = root.file();
        let url =
            format!("host={host} port={port} sslmode={sslmode} sslrootcert={}", root.display());
        let options = Pgweir::options().database("*", &url).role("ann", SECRET);
        options.set("defaults", "pool_wait_timeout = \"1s\"").start()
    };
    for (host, sslmode, root) in [
        ("127.0.0.1", "require", &authority),
        ("127.0.0.1", "verify-ca", &authority),
        ("localhost", "verify-full", &authority),
        ("127.0.0.1", "prefer", &authority),
    ] {
        let pgweir = start(host, sslmode, root);
        let mut client = pgweir.client(&ann());
        let question = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(client.ask_value(question), "t", "{sslmode} to {host}");
    }
    for (host, sslmode, root) in [
        ("127.0.0.1", "verify-full", &authority),
        ("127.0.0.1", "verify-ca", &stranger),
        ("localhost", "verify-full", &stranger),
        ("127.0.0.1", "disable", &authority),
    ] {
        let pgweir = start(host, sslmode, root);
        let frames = RawClient::try_login(&pgweir.address(), &ann()).unwrap().1;
        let error = frames.last().unwrap();
        assert_eq!(error.tag, b'E', "{sslmode} to {host}: {error:?}");
        assert_eq!(error.field(b'S').as_deref(), Some("FATAL"), "{sslmode} to {host}");
    }
}

#[test]
fn a_direct_handshake_needs_the_protocols_name() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let authority = Authority::new();
    let shown = authority.issue("pgweir", &["localhost"]);
    let options = in_front_of(&cluster).role("ann", SECRET);
    let pgweir = showing(options, &shown, "require").start();
    let log_in = |mut client: RawClient| {
        client.send(&ann().packet()).unwrap();
        let frames = client.authenticate(&ann()).unwrap();
        assert!(frames.last().and_then(Frame::status).is_some(), "{frames:?}");
        assert_eq!(current_user(&mut client), "ann");
    };
    log_in(tls::direct(pgweir.listen(), &authority, &[tls::ALPN]).unwrap());
    log_in(tls::after_request(pgweir.listen(), &authority).unwrap());
    for others in [&[][..], &[&b"h2"[..]]] {
        let refused = tls::direct(pgweir.listen(), &authority, others);
        // With TLS 1.3 our side of the handshake may end before the refusal arrives.
        let refused = refused.and_then(|mut client| {
            client.send(&ann().packet())?;
            client.reply()
        });
        assert!(!matches!(refused, Ok(Reply::Frame(_))), "{others:?}: {refused:?}");
    }
}

#[test]
fn bytes_that_were_sent_before_tls_are_not_taken_for_encrypted_ones() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let authority = Authority::new();
    let shown = authority.issue("pgweir", &["localhost"]);
    let options = in_front_of(&cluster).set("auth", "method = \"trust\"");
    let pgweir = showing(options, &shown, "prefer").start();
    let mut client = RawClient::connect(&pgweir.address()).unwrap();
    let mut stuffed = message::ssl_request();
    stuffed.extend(Login::new("ann", "postgres").packet());
    client.send(&stuffed).unwrap();
    // At most the answer to SSLRequest, an error, and the end.
    let mut first = client.byte().unwrap();
    if first == Some(b'S') {
        first = client.byte().unwrap();
    }
    assert!(matches!(first, None | Some(b'E')), "{first:?}");
    assert!(!pgweir.log().contains("client logged in"));
}
