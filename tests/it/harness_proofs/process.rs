//! The starter of pgweir waits, collects the log, stops and cleans up.
//!
//! A few lines of Perl stand in for the pooler: they read the configuration and accept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::await_event::secs;
use crate::harness::pgweir_process::{Pgweir, toml_string};
use crate::harness::raw::RawClient;

const STAND_IN: &str = r#"#!/usr/bin/perl
use strict; use warnings; use IO::Socket::INET;
$ARGV[0] eq 'run' && $ARGV[1] eq '-c' or die "usage";
open my $f, '<', $ARGV[2] or die; local $/; my $config = <$f>;
$config =~ /refuse to start/ and do { print STDERR "refused: bad key\n"; exit 2 };
my ($at) = $config =~ /^listen = \["([^"]+)"\]/m or die "no listen";
my $socket = IO::Socket::INET->new(LocalAddr => $at, Listen => 9, ReuseAddr => 1) or die "bind: $!";
print STDERR "listening on $at\n";
$SIG{TERM} = sub { print STDERR "drained\n"; exit 0 };
while (1) { my $client = $socket->accept or next; print STDERR "a client came\n"; close $client }
"#;

struct StandIn(PathBuf);

impl StandIn {
    fn write(name: &str) -> Self {
        let file =
            std::env::temp_dir().join(format!("pgweir-stand-in-{name}-{}", std::process::id()));
        fs::write(&file, STAND_IN).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        Self(file)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn it_is_ready_when_it_accepts_and_its_log_is_kept() {
    let program = StandIn::write("ready");
    let mut pgweir = Pgweir::options().program(&program.0).start();
    pgweir.wait_for_log("listening on", secs(5));
    RawClient::connect(&pgweir.address()).unwrap();
    pgweir.wait_for_log("a client came", secs(5));
    assert!(pgweir.stop(secs(5)).success());
    pgweir.wait_for_log("drained", secs(5));
}

#[test]
fn a_start_that_fails_is_told_with_log_and_configuration() {
    let program = StandIn::write("fails");
    let failed = Pgweir::options()
        .program(&program.0)
        .set("defaults", "pool_mode = \"refuse to start\"")
        .try_start()
        .unwrap_err();
    assert_eq!(failed.status.and_then(|status| status.code()), Some(2));
    let text = failed.to_string();
    assert!(text.contains("refused: bad key") && text.contains("pool_mode"), "{text}");
}

#[test]
fn it_comes_back_on_the_same_ports_after_a_kill() {
    let program = StandIn::write("again");
    let mut pgweir = Pgweir::options().program(&program.0).start();
    let listen = pgweir.listen();
    pgweir.kill();
    assert!(RawClient::connect(&pgweir.address()).is_err());
    pgweir.start_again();
    assert_eq!(pgweir.listen(), listen);
    RawClient::connect(&pgweir.address()).unwrap();
}

#[test]
fn a_dropped_pgweir_leaves_no_process_and_no_file() {
    let program = StandIn::write("dropped");
    let pgweir = Pgweir::options().program(&program.0).start();
    let (pid, config) = (pgweir.pid(), pgweir.config_path().to_owned());
    assert!(config.is_file());
    drop(pgweir);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!config.parent().unwrap().exists());
}

#[test]
fn the_configuration_holds_what_the_test_asked_for() {
    let program = StandIn::write("config");
    let mut pgweir = Pgweir::options()
        .program(&program.0)
        .database("shop", "postgres://db/shop")
        .replica("shop", "postgres://db2/shop")
        .database("odd name", "postgres://db/odd")
        .role("app", "pa$s\"word\n")
        .set("defaults", "pool_size = 1")
        .set("databases.shop", "max_server_connections = 3")
        .start();
    let text = fs::read_to_string(pgweir.config_path()).unwrap();
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(table["databases"]["shop"]["replicas"][0].as_str(), Some("postgres://db2/shop"));
    assert_eq!(table["databases"]["shop"]["max_server_connections"].as_integer(), Some(3));
    assert_eq!(table["databases"]["odd name"]["primary"].as_str(), Some("postgres://db/odd"));
    assert_eq!(table["roles"]["app"]["password"].as_str(), Some("pa$$s\"word\n"));
    assert_eq!(table["defaults"]["pool_size"].as_integer(), Some(1));
    assert_eq!(table["server"]["listen"][0].as_str(), Some(pgweir.listen().to_string().as_str()));
    pgweir.rewrite_config(|options| options.set("defaults", "pool_mode = \"session\""));
    assert!(fs::read_to_string(pgweir.config_path()).unwrap().contains("session"));
    assert_eq!(toml_string("$"), "\"$$\"");
}
