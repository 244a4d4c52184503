//! All of a reload or nothing of it; who may ask for one, and how.

use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Command;

use pgweir::cluster::Cluster;
use pgweir::cluster::process::Signal;

use super::{Keys, postgres, primary, refused, reload, run_reload};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::files::Folder;
use crate::harness::http;
use crate::harness::pgweir_process::{Pgweir, binary, toml_string};
use crate::harness::raw::Login;

/// Something observable of four kinds, so that half a reload shows: a pool's role, a login's
/// database, a socket, the log.
fn other(keys: &Keys, cluster: &Cluster) -> Keys {
    keys.clone()
        .set("databases.\"*\".primary", &primary(cluster, "&application_name=reloaded"))
        .set("databases.gone.primary", &primary(cluster, ""))
        .set("defaults.server_role", "\"ann\"")
        .set("log.level", "\"debug\"")
}

fn picture(pgweir: &Pgweir) -> String {
    pgweir
        .client(&postgres())
        .ask_value("select current_user || current_setting('application_name')")
}

#[test]
fn whatever_is_wrong_nothing_changes() {
    let cluster = Cluster::options().role("ann", "unused").start().unwrap();
    let folder = Folder::new();
    let keys = Keys::of(&cluster);
    let mut pgweir = keys.start();
    let before = picture(&pgweir);
    assert_eq!(before, "postgres");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("\"{}\"", taken.local_addr().unwrap());
    let listening = format!("[\"{{listen}}\", {taken}]");
    let odd = folder.write("userlist.txt", "no role here\n");
    let odd = toml_string(odd.to_str().unwrap());
    let broken = folder.write("broken.toml", "[defaults]\npool_size = [\n");
    let included = toml_string(broken.to_str().unwrap());
    for (key, value, expected) in [
        ("defaults.pool_sze", "5", "did you mean `pool_size`?"),
        ("defaults.pool_size", "0", "pool_size"),
        ("defaults.guard", "\"nobody\"", "nobody"),
        ("roles.x.password", "\"${file:/none/secret}\"", "/none/secret"),
        ("roles.x.password", "\"${PGWEIR_NOT_SET}\"", "PGWEIR_NOT_SET"),
        ("include", "\"none.toml\"", "none.toml"),
        ("include", &included, "broken.toml"),
        ("auth.userlist", &odd, "line 1"),
        ("auth.userlist", "\"/none/userlist\"", "/none/userlist"),
        ("server.tls.certificate", "\"/none/crt\"", "/none/crt"),
        ("server.listen", &listening, "cannot listen on"),
        ("http.listen", &taken, "cannot listen on"),
        ("http.listen", "\"no.such.host.invalid:1\"", "no.such.host.invalid"),
    ] {
        let keys = other(&keys, &cluster).set(key, value);
        pgweir.rewrite_config(|options| options.whole_config(&keys.text()));
        let complaint = refused(&pgweir);
        assert!(complaint.contains(expected), "{key} = {value}: {complaint}");
        assert!(complaint.contains("keeps the configuration that it had"), "{complaint}");
        assert_eq!(picture(&pgweir), before, "{key} = {value}");
        http::get(pgweir.http(), "/readyz");
    }
    assert!(!pgweir.log().contains("configuration changed"), "{}", pgweir.log());
    let said = reload(&mut pgweir, &other(&keys, &cluster));
    assert_eq!(picture(&pgweir), "annreloaded", "{said}");
}

#[test]
fn every_problem_is_told_at_once_in_the_answer_and_in_the_log() {
    let cluster = Cluster::start().unwrap();
    let keys = Keys::of(&cluster);
    let mut pgweir = keys.start();
    let keys = keys.set("defaults.pool_sze", "5").set("defaults.pool_mode", "\"statement\"");
    let keys = keys.set("auth.userlist", "\"/none/userlist\"");
    pgweir.rewrite_config(|options| options.whole_config(&keys.text()));
    let complaint = refused(&pgweir);
    pgweir.wait_for_log("reload refused", secs(5));
    for expected in ["pool_sze", "statement", "/none/userlist"] {
        assert!(complaint.contains(expected), "{expected}: {complaint}");
        assert!(pgweir.log().contains(expected), "{expected}: {}", pgweir.log());
    }
}

#[test]
fn sighup_reloads() {
    let cluster = Cluster::options().role("ann", "unused").start().unwrap();
    let keys = Keys::of(&cluster);
    let mut pgweir = keys.start();
    let text = keys.set("defaults.server_role", "\"ann\"").text();
    pgweir.rewrite_config(|options| options.whole_config(&text));
    pgweir.signal(Signal::Hup);
    let line = pgweir.wait_for_log("configuration changed", secs(10));
    assert!(line.contains("defaults.server_role"), "{line}");
    pgweir.wait_for_log("configuration reloaded", secs(10));
    assert_eq!(picture(&pgweir), "ann");
    pgweir.rewrite_config(|options| options.whole_config("nonsense = 1\n"));
    pgweir.signal(Signal::Hup);
    pgweir.wait_for_log("reload refused", secs(10));
    assert_eq!(picture(&pgweir), "ann");
}

#[test]
fn new_addresses_are_open_before_old_ones_close_and_sessions_stay() {
    let cluster = Cluster::start().unwrap();
    let keys = Keys::of(&cluster);
    let mut pgweir = keys.start();
    let mut session = pgweir.client(&postgres());
    // Free a moment ago, and asked for by nobody else.
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listen, http) = (free(), free());
    let both = format!("[\"{{listen}}\", \"{listen}\"]");
    reload(&mut pgweir, &keys.clone().set("server.listen", &both));
    TcpStream::connect(pgweir.listen()).expect("the old address");
    TcpStream::connect(listen).expect("the new address");
    let moved = keys.set("server.listen", &format!("[\"{listen}\"]"));
    let moved = moved.set("http.listen", &format!("\"{http}\""));
    reload(&mut pgweir, &moved);
    let is_closed = |address| TcpStream::connect(address).is_err();
    wait_until("the old address being closed", secs(5), || is_closed(pgweir.listen()));
    wait_until("the old HTTP port being closed", secs(5), || is_closed(pgweir.http()));
    http::get(http, "/livez");
    let mut late = crate::harness::raw::RawClient::login(&listen.into(), &postgres());
    assert_eq!(late.ask_value("select 1"), "1");
    assert_eq!(session.ask_value("select 1"), "1");
}

#[test]
fn what_needs_a_restart_is_named_each_time() {
    let cluster = Cluster::start().unwrap();
    let folder = Folder::new();
    let keys = Keys::of(&cluster);
    let mut pgweir = keys.start();
    let path = toml_string(folder.path().to_str().unwrap());
    let changed = keys.clone().set("server.workers", "3").set("server.unix_socket", &path);
    let changed = changed.set("log.format", "\"text\"");
    for _ in 0..2 {
        let said = reload(&mut pgweir, &changed);
        for key in ["server.workers", "server.unix_socket", "log.format"] {
            assert!(said.contains(&format!("`{key}` needs a restart")), "{key}: {said}");
            pgweir.wait_for_log(&format!("`{key}` needs a restart"), secs(5));
        }
    }
    let said = reload(&mut pgweir, &keys);
    assert!(!said.contains("restart;"), "it is as at the start again: {said}");
}

#[test]
fn reload_asks_the_process_of_its_own_file_only() {
    let cluster = Cluster::start().unwrap();
    let (one, two) = (Keys::of(&cluster).start(), Keys::of(&cluster).start());
    assert_eq!(run_reload(one.config_path()).status.code(), Some(0));
    one.wait_for_log("configuration reloaded", secs(5));
    assert!(!two.log().contains("configuration reloaded"), "{}", two.log());
    // From its folder, by its name.
    let folder = two.config_path().parent().unwrap();
    let mut command = Command::new(binary());
    let output = command.arg("reload").current_dir(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    two.wait_for_log("configuration reloaded", secs(5));
    let path = two.config_path().to_owned();
    drop(two);
    let output = run_reload(&path);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("no pgweir runs with"), "{complaint}");
}

#[test]
fn check_and_start_refuse_what_a_reload_refuses() {
    let cluster = Cluster::start().unwrap();
    let folder = Folder::new();
    let odd = folder.write("userlist.txt", "no role here\n");
    let odd = toml_string(odd.to_str().unwrap());
    let pem = folder.write("odd.pem", "no certificate\n");
    let roots = primary(&cluster, &format!("&sslrootcert={}", pem.display()));
    let roots = roots.replace("sslmode=disable", "sslmode=verify-full");
    let pem = toml_string(pem.to_str().unwrap());
    let good = Keys::of(&cluster);
    let tls = good.clone().set("server.tls.certificate", &pem).set("server.tls.private_key", &pem);
    for (keys, expected) in [
        (good.clone(), None),
        (good.clone().set("auth.userlist", &odd), Some("line 1")),
        (tls.clone(), Some("odd.pem")),
        (tls.set("server.tls.mode", "\"off\""), None),
        (good.clone().set("databases.\"*\".primary", &roots), Some("odd.pem")),
        (good.clone().set("defaults.pool_size", "0"), Some("pool_size")),
    ] {
        let mut pgweir = good.start();
        pgweir.rewrite_config(|options| options.whole_config(&keys.text()));
        let path = pgweir.config_path();
        let check = Command::new(binary()).arg("check").arg(path).output().unwrap();
        let check = (check.status.code(), String::from_utf8_lossy(&check.stdout).into_owned());
        let reloaded = run_reload(path);
        let again = Pgweir::options().whole_config(&keys.text()).try_start();
        match expected {
            None => {
                assert_eq!((check.0, reloaded.status.code()), (Some(0), Some(0)), "{check:?}");
                again.unwrap();
            }
            Some(expected) => {
                let failed = again.unwrap_err();
                let complaint = String::from_utf8_lossy(&reloaded.stderr).into_owned();
                let codes = (check.0, reloaded.status.code(), failed.status.unwrap().code());
                assert_eq!(codes, (Some(1), Some(1), Some(1)), "{check:?} {failed}");
                for said in [&check.1, &complaint, &failed.log] {
                    assert!(said.contains(expected), "{expected}: {said}");
                }
            }
        }
    }
}

#[test]
fn the_limit_of_clients_and_the_time_to_drain_follow() {
    let cluster = Cluster::start().unwrap();
    let keys = Keys::of(&cluster).set("server.max_client_connections", "1");
    let mut pgweir = keys.start();
    let mut first = pgweir.client(&postgres());
    assert_eq!(super::login_outcome(&pgweir, &postgres()), "53300");
    let keys = keys.set("server.max_client_connections", "2");
    reload(&mut pgweir, &keys.set("server.drain_timeout", "\"100ms\""));
    let _second = pgweir.client(&Login::new("postgres", "postgres"));
    first.ask("begin");
    // Not the 60 s of the start: the transaction stays open.
    assert!(pgweir.stop(secs(10)).success());
}
