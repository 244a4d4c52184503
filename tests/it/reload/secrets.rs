//! Passwords, the userlist, certificates: read again, and used by those who come from then on.

use pgweir::cluster::{AuthMethod, Cluster};

use super::{Keys, login_outcome, refused, reload};
use crate::harness::await_event::secs;
use crate::harness::certificates::{Authority, Issued};
use crate::harness::files::Folder;
use crate::harness::pgweir_process::toml_string;
use crate::harness::psql::Psql;
use crate::harness::raw::Login;

fn ann(password: &str) -> Login {
    Login::new("ann", "postgres").password(password)
}

/// pgweir that asks for passwords, in front of a server that does not.
fn asking(cluster: &Cluster) -> Keys {
    Keys::of(cluster).set("auth.method", "\"scram-sha-256\"")
}

#[test]
fn a_changed_password_is_for_new_logins() {
    let cluster = Cluster::options().role("ann", "unused").start().unwrap();
    let keys = asking(&cluster).set("roles.ann.password", "\"before\"");
    let mut pgweir = keys.start();
    let mut session = pgweir.client(&ann("before"));
    let said = reload(&mut pgweir, &keys.set("roles.ann.password", "\"after\""));
    assert!(said.contains("changed: roles.ann.password (new logins)"), "{said}");
    assert!(!said.contains("before") && !said.contains("after"), "{said}");
    assert_eq!(session.ask_value("select current_user"), "ann");
    assert_eq!(login_outcome(&pgweir, &ann("before")), "28P01");
    assert_eq!(login_outcome(&pgweir, &ann("after")), "in");
    assert!(!pgweir.log().contains("before") && !pgweir.log().contains("\"after\""));
}

#[test]
fn a_new_server_password_opens_new_servers() {
    let options = Cluster::options().auth(AuthMethod::ScramSha256);
    let cluster = options.role("ann", "first").start().unwrap();
    let keys = asking(&cluster).set("roles.ann.password", "\"first\"");
    let mut pgweir = keys.start();
    let mut session = pgweir.client(&ann("first"));
    cluster.primary().sql("postgres", "alter role ann password 'second'").unwrap();
    reload(&mut pgweir, &keys.set("roles.ann.password", "\"second\""));
    // Its server is gone, and a session that logged in with the old password gets another one.
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ann'";
    cluster.primary().sql("postgres", end).unwrap();
    pgweir.wait_for_log("idle server closed its connection", secs(5));
    assert_eq!(session.ask_value("select current_user"), "ann");
}

#[test]
fn the_userlist_is_read_again_and_a_broken_one_changes_nothing() {
    let cluster = Cluster::options().role("ann", "unused").start().unwrap();
    let folder = Folder::new();
    let file = folder.write("userlist.txt", "\"ann\" \"one\"\n");
    let keys = asking(&cluster).set("auth.userlist", &toml_string(file.to_str().unwrap()));
    let mut pgweir = keys.start();
    assert_eq!(login_outcome(&pgweir, &ann("one")), "in");
    folder.write("userlist.txt", "\"ann\" \"two\"\n");
    assert_eq!(login_outcome(&pgweir, &ann("one")), "in", "nothing was asked for yet");
    let said = reload(&mut pgweir, &keys);
    assert!(said.contains("no value changed; the files it names were read again"), "{said}");
    assert_eq!(login_outcome(&pgweir, &ann("one")), "28P01");
    assert_eq!(login_outcome(&pgweir, &ann("two")), "in");
    folder.write("userlist.txt", "\"ann\" \"three\"\n\"bob\n");
    let complaint = refused(&pgweir);
    assert!(complaint.contains("line 2") && complaint.contains("auth.userlist"), "{complaint}");
    assert!(!complaint.contains("three"), "{complaint}");
    assert_eq!(login_outcome(&pgweir, &ann("two")), "in");
    std::fs::remove_file(&file).unwrap();
    assert!(refused(&pgweir).contains("userlist.txt"));
    assert_eq!(login_outcome(&pgweir, &ann("two")), "in");
}

fn files(keys: Keys, shown: &Issued) -> Keys {
    let file = |path: &std::path::Path| toml_string(path.to_str().unwrap());
    keys.set("server.tls.certificate", &file(&shown.certificate_file))
        .set("server.tls.private_key", &file(&shown.key_file))
}

#[test]
fn certificates_are_read_again_and_broken_ones_change_nothing() {
    let cluster = Cluster::start().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    let shown = first.issue("pgweir", &["localhost"]);
    let keys = files(Keys::of(&cluster), &shown);
    let mut pgweir = keys.start();
    let verified_by = |pgweir: &crate::harness::pgweir_process::Pgweir, authority: &Authority| {
        let psql = Psql::of(cluster.primary(), pgweir.listen(), "postgres", "postgres");
        let psql = psql.with("sslmode", "verify-full").with_file("sslrootcert", &authority.file());
        psql.ask("select 1").is_ok()
    };
    assert!(verified_by(&pgweir, &first) && !verified_by(&pgweir, &second));
    // The same names, other contents, as a renewed certificate comes.
    let renewed = second.issue("pgweir", &["localhost"]);
    std::fs::write(&shown.certificate_file, &renewed.certificate).unwrap();
    // Half of it: the key is still that of the old certificate.
    let complaint = refused(&pgweir);
    assert!(complaint.contains("server.tls"), "{complaint}");
    assert!(verified_by(&pgweir, &first), "the old pair is shown still");
    std::fs::write(&shown.key_file, &renewed.key).unwrap();
    reload(&mut pgweir, &keys);
    assert!(!verified_by(&pgweir, &first) && verified_by(&pgweir, &second));
}

#[test]
fn whom_servers_are_trusted_by_is_read_again() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let own = authority.issue("postgres", &["localhost"]);
    let cluster = Cluster::options().tls(&own.certificate, &own.key);
    let cluster = cluster.database("one").database("two").start().unwrap();
    let folder = Folder::new();
    let roots = folder.write("roots.pem", &authority.pem());
    let url = format!(
        "postgres://localhost:{}?sslmode=verify-full&sslrootcert={}",
        cluster.primary().port(),
        roots.display()
    );
    let keys = Keys::of(&cluster).set("databases.\"*\".primary", &toml_string(&url));
    let keys = keys.set("defaults.pool_wait_timeout", "\"300ms\"");
    let mut pgweir = keys.start();
    let login = |database: &str| Login::new("postgres", database);
    let mut session = pgweir.client(&login("postgres"));
    folder.write("roots.pem", "no certificate");
    let complaint = refused(&pgweir);
    assert!(complaint.contains("roots.pem"), "{complaint}");
    // Each database needs a server of its own, and that a handshake.
    assert_eq!(login_outcome(&pgweir, &login("one")), "in", "the old roots hold");
    folder.write("roots.pem", &stranger.pem());
    reload(&mut pgweir, &keys);
    assert_eq!(login_outcome(&pgweir, &login("two")), "57P03", "the new ones hold");
    assert_eq!(session.ask_value("select 1"), "1", "the connection that is open stays");
}
