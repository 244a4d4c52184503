//! Who gets in, and when.

use std::fs;

use pgweir::cluster::{Cluster, Shutdown};

use super::{app, console, in_front_of, refusal_of, show, tag_of};
use crate::harness::files::Folder;
use crate::harness::frame::Frame;
use crate::harness::pgweir_process::{Pgweir, toml_string};
use crate::harness::raw::{Address, Login, RawClient};

fn refused(pgweir: &Pgweir, login: &Login) -> (String, String) {
    let frames = RawClient::try_login(&pgweir.address(), login).unwrap().1;
    let error = frames.last().filter(|frame| frame.tag == b'E');
    let error = error.unwrap_or_else(|| panic!("{} was let in", login.user));
    (error.sqlstate().unwrap(), error.field(b'M').unwrap())
}

#[test]
fn admins_may_everything_viewers_may_look_and_nobody_else_comes_in() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut viewer = pgweir.client(&Login::new("viewer", "pgbouncer"));
    assert!(!show(&mut viewer, "POOLS").rows.is_empty());
    for command in ["PAUSE", "RESUME", "RELOAD", "KILL postgres", "KILL_CLIENT 1", "SHUTDOWN"] {
        let expected = ("42501".to_owned(), "admin access needed".to_owned());
        assert_eq!(refusal_of(&mut viewer, command), expected, "{command}");
    }
    assert_eq!(refusal_of(&mut viewer, "SHOW FDS").0, "42501");
    assert_eq!(tag_of(&mut console(&pgweir), "RECONNECT"), "RECONNECT");
    let (sqlstate, message) = refused(&pgweir, &Login::new("postgres", "pgbouncer"));
    assert_eq!(
        (sqlstate.as_str(), message.as_str()),
        ("28000", "role \"postgres\" may not use the console")
    );
}

#[test]
fn operators_prove_who_they_are_like_anybody() {
    let cluster = Cluster::start().expect("a Postgres");
    let address = cluster.primary().address();
    let pgweir = Pgweir::options()
        .database("postgres", &format!("postgres://{address}/postgres?sslmode=disable"))
        .role("dba", "right")
        .set("admin", "admins = [\"dba\", \"ghost\"]")
        .start();
    let login = |user: &str, password: &str| Login::new(user, "pgbouncer").password(password);
    assert_eq!(show(&mut pgweir.client(&login("dba", "right")), "STATE").rows.len(), 3);
    for (user, password) in [("dba", "wrong"), ("ghost", ""), ("nobody", "x")] {
        let (sqlstate, message) = refused(&pgweir, &login(user, password));
        assert_eq!(sqlstate, "28P01", "{message}");
    }
}

#[test]
fn the_console_answers_when_the_house_is_full_and_postgres_is_down() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("server", "max_client_connections = 2").start();
    let clients = [pgweir.client(&app()), pgweir.client(&app())];
    assert_eq!(refused(&pgweir, &app()).0, "53300");
    cluster.primary().stop(Shutdown::Immediate).unwrap();
    let mut console = console(&pgweir);
    let pools = show(&mut console, "POOLS");
    assert_eq!(pools.number(&[("database", "postgres")], "cl_active"), 2);
    let lists = show(&mut console, "LISTS");
    assert_eq!(lists.number(&[("list", "free_clients")], "items"), 0);
    assert_eq!(lists.number(&[("list", "used_clients")], "items"), 3);
    // Operators have places of their own, and no more than those.
    let others: Vec<_> = (0..15).map(|_| super::console(&pgweir)).collect();
    let (sqlstate, message) = refused(&pgweir, &Login::new("dba", "pgbouncer"));
    assert_eq!(sqlstate, "53300", "{message}");
    drop((clients, others));
}

#[test]
fn on_the_unix_socket_the_systems_own_user_needs_no_password() {
    let cluster = Cluster::start().expect("a Postgres");
    let folder = Folder::new();
    let pgweir = Pgweir::options()
        .database(
            "postgres",
            &format!("postgres://{}/postgres?sslmode=disable", cluster.primary().address()),
        )
        .role("dba", "right")
        .set("server", &format!("unix_socket = {}", toml_string(folder.path().to_str().unwrap())))
        .start();
    let socket = fs::read_dir(folder.path()).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with(".s.PGSQL.").then_some(path)
    });
    let address = Address::Unix(socket.unwrap());
    let mut console = RawClient::login(&address, &Login::new("pgbouncer", "pgbouncer"));
    assert_eq!(tag_of(&mut console, "RECONNECT"), "RECONNECT");
    assert_eq!(show(&mut console, "CLIENTS").rows[0][5].as_deref(), Some("unix"));
    // Only under that name, and only there.
    let (_, frames) = RawClient::try_login(&address, &Login::new("dba", "pgbouncer")).unwrap();
    assert_eq!(frames.last().and_then(Frame::sqlstate).as_deref(), Some("28P01"));
    assert_eq!(refused(&pgweir, &Login::new("pgbouncer", "pgbouncer")).0, "28P01");
}

#[test]
fn a_disabled_database_takes_no_new_clients() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut before = pgweir.client(&app());
    let mut console = console(&pgweir);
    assert_eq!(refusal_of(&mut console, "DISABLE nosuch").0, "3D000");
    assert_eq!(refusal_of(&mut console, "DISABLE pgbouncer").0, "0A000");
    assert_eq!(tag_of(&mut console, "DISABLE postgres"), "DISABLE");
    let (sqlstate, message) = refused(&pgweir, &app());
    assert_eq!(
        (sqlstate.as_str(), message.as_str()),
        ("57P03", "database \"postgres\" is disabled")
    );
    assert_eq!(before.ask_value("SELECT 7"), "7");
    let disabled = |console: &mut RawClient| {
        show(console, "DATABASES").number(&[("name", "postgres")], "disabled")
    };
    assert_eq!(disabled(&mut console), 1);
    assert_eq!(tag_of(&mut console, "ENABLE postgres"), "ENABLE");
    assert_eq!(disabled(&mut console), 0);
    assert_eq!(pgweir.client(&app()).ask_value("SELECT 8"), "8");
}
