//! Unix sockets, on both sides.

use std::process::Command;

use pgweir::cluster::{AuthMethod, Cluster};

use super::{SECRET, ann, asking, current_user};
use crate::harness::files::Folder;
use crate::harness::frame::Frame;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions, toml_string};
use crate::harness::raw::{Address, Login, RawClient};

/// Listens in `folder`, and reaches Postgres by its socket.
fn by_sockets(cluster: &Cluster, folder: &Folder) -> PgweirOptions {
    let node = cluster.primary();
    let target = format!("host={} port={}", node.socket_folder().display(), node.port());
    let socket = toml_string(folder.path().to_str().unwrap());
    Pgweir::options().database("*", &target).set("server", &format!("unix_socket = {socket}"))
}

fn socket_of(pgweir: &Pgweir, folder: &Folder) -> Address {
    Address::Unix(folder.path().join(format!(".s.PGSQL.{}", pgweir.listen().port())))
}

#[test]
fn clients_and_servers_meet_over_unix_sockets() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let folder = Folder::new();
    let pgweir = by_sockets(&cluster, &folder).role("ann", SECRET).start();
    let mut local = RawClient::login(&socket_of(&pgweir, &folder), &ann());
    assert_eq!(current_user(&mut local), "ann");
    assert_eq!(local.ask_value("select coalesce(inet_client_addr()::text, 'local')"), "local");
    let mut remote = pgweir.client(&ann());
    assert_eq!(remote.ask_value("select coalesce(inet_client_addr()::text, 'local')"), "local");
}

#[test]
fn peer_lets_in_the_role_that_is_called_like_the_systems_user() {
    let output = Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let cluster = Cluster::options().role(&user, "unused").role("ann", "unused").start().unwrap();
    let folder = Folder::new();
    let pgweir = by_sockets(&cluster, &folder)
        .set("[access]", "from = [\"unix\"]\nmethod = \"peer\"")
        .start();
    let socket = socket_of(&pgweir, &folder);
    let mut myself = RawClient::login(&socket, &Login::new(&user, "postgres"));
    assert_eq!(current_user(&mut myself), user);
    let refused = |address: &Address, login: &Login| {
        let frames = RawClient::try_login(address, login).unwrap().1;
        frames.last().and_then(Frame::sqlstate)
    };
    assert_eq!(refused(&socket, &Login::new("ann", "postgres")).as_deref(), Some("28000"));
    // No rule is about TCP.
    let by_tcp = refused(&pgweir.address(), &Login::new(&user, "postgres"));
    assert_eq!(by_tcp.as_deref(), Some("28000"));
}

#[test]
fn the_socket_goes_with_pgweir() {
    let cluster = Cluster::start().unwrap();
    let folder = Folder::new();
    let mut pgweir = by_sockets(&cluster, &folder).set("auth", "method = \"trust\"").start();
    let Address::Unix(path) = socket_of(&pgweir, &folder) else { unreachable!() };
    assert!(path.exists());
    assert!(pgweir.stop(crate::harness::await_event::secs(10)).success());
    assert!(!path.exists());
    // What a killed one leaves behind does not keep the next one from starting.
    pgweir.start_again();
    pgweir.kill();
    pgweir.start_again();
    let mut client = RawClient::login(&Address::Unix(path), &Login::new("postgres", "postgres"));
    assert_eq!(client.ask_value("select 1"), "1");
}
