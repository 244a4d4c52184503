//! Databases, startup parameters, and how many may come.

use pgweir::cluster::{AuthMethod, Cluster};

use super::{SECRET, ann, asking, assert_refused, in_front_of, refusal};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::{Login, RawClient};

fn trusting(cluster: &Cluster) -> PgweirOptions {
    in_front_of(cluster).set("auth", "method = \"trust\"")
}

#[test]
fn an_unknown_database_is_told_to_those_who_proved_their_role_only() {
    let cluster = asking(AuthMethod::ScramSha256).start().unwrap();
    let url = format!("postgres://{}/postgres?sslmode=disable", cluster.primary().address());
    let pgweir = Pgweir::options().database("shop", &url).role("ann", SECRET).start();
    let elsewhere = Login::new("ann", "nowhere");
    assert_refused(&pgweir, &elsewhere.clone().password("wrong"), "28P01");
    let error = refusal(&pgweir, &elsewhere.password(SECRET));
    assert_eq!(error.sqlstate().as_deref(), Some("3D000"));
    assert_eq!(error.field(b'M').as_deref(), Some("database \"nowhere\" does not exist"));
    // The name on the server is the one of the connection string.
    let mut client = pgweir.client(&Login::new("ann", "shop").password(SECRET));
    assert_eq!(client.ask_value("select current_database()"), "postgres");
}

#[test]
fn any_other_name_is_served_by_the_star_under_its_own_name() {
    let cluster = Cluster::options().database("shop").database("odd \"name\"").start().unwrap();
    let pgweir = trusting(&cluster).set("defaults", "pool_wait_timeout = \"1s\"").start();
    for name in ["shop", "odd \"name\"", "postgres"] {
        let mut client = pgweir.client(&Login::new("postgres", name));
        assert_eq!(client.ask_value("select current_database()"), name);
    }
    let error = refusal(&pgweir, &Login::new("postgres", "nowhere"));
    assert_eq!(error.sqlstate().as_deref(), Some("3D000"), "{error:?}");
}

#[test]
fn clients_beyond_the_limit_get_53300_until_one_leaves() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let pgweir = trusting(&cluster).set("server", "max_client_connections = 2").start();
    let login = Login::new("ann", "postgres");
    let mut first = pgweir.client(&login);
    let second = pgweir.client(&login);
    let error = refusal(&pgweir, &login);
    assert_eq!(error.sqlstate().as_deref(), Some("53300"));
    assert_eq!(error.field(b'M').as_deref(), Some("sorry, too many clients already"));
    drop(second);
    wait_until("a place comes free", secs(5), || {
        let tried = RawClient::try_login(&pgweir.address(), &login).unwrap();
        tried.1.last().and_then(Frame::status).is_some()
    });
    assert_eq!(first.ask_value("select 1"), "1");
}

#[test]
fn startup_parameters_follow_their_client_over_one_server() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let pgweir = trusting(&cluster).set("defaults", "pool_size = 1").start();
    let login = |zone: &str, options: &str| {
        let login = Login::new("ann", "postgres").parameter("TimeZone", zone);
        login.parameter("application_name", zone).parameter("options", options)
    };
    let plain = Login::new("ann", "postgres");
    let mut clients = [
        (
            pgweir.client(&login("Asia/Tokyo", "-c work_mem=1MB -c app.tenant=one")),
            "Asia/Tokyo",
            "1MB",
            "one",
        ),
        (
            pgweir.client(&login("Europe/Paris", "--work-mem=2MB -capp.tenant=two\\ x")),
            "Europe/Paris",
            "2MB",
            "two x",
        ),
        (pgweir.client(&plain), "UTC", "4MB", ""),
    ];
    for _ in 0..3 {
        for (client, zone, memory, tenant) in &mut clients {
            assert_eq!(client.ask_value("show timezone"), *zone);
            assert_eq!(client.ask_value("show work_mem"), *memory);
            let question = "select coalesce(current_setting('app.tenant', true), '')";
            assert_eq!(client.ask_value(question), *tenant);
            let name = if *zone == "UTC" { "" } else { *zone };
            let question = "select application_name from pg_stat_activity \
                            where pid = pg_backend_pid()";
            assert_eq!(client.ask_value(question), name);
        }
    }
}

#[test]
fn a_greeting_reports_what_the_client_asked_for() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let pgweir = trusting(&cluster).set("defaults", "pool_size = 1").start();
    let login = Login::new("ann", "postgres").parameter("DateStyle", "German");
    let direct = RawClient::try_login(&cluster.primary().address().into(), &login).unwrap().1;
    let statuses = |frames: &[Frame]| {
        let mut all: Vec<Frame> = frames.iter().filter(|f| f.tag == b'S').cloned().collect();
        all.sort_by(|a, b| a.body.cmp(&b.body));
        all
    };
    // Twice: asked of the server, then known.
    for _ in 0..2 {
        let through = RawClient::try_login(&pgweir.address(), &login).unwrap().1;
        assert_eq!(statuses(&through), statuses(&direct));
    }
}

#[test]
fn parameters_that_postgres_refuses_end_the_login_with_its_error() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let pgweir = trusting(&cluster).set("defaults", "pool_size = 1").start();
    let plain = Login::new("ann", "postgres");
    let mut other = pgweir.client(&plain);
    for (name, value, sqlstate) in [
        ("TimeZone", "Nowhere/Land", "22023"),
        ("no_such_parameter", "1", "42704"),
        ("options", "-c work_mem=lots", "22023"),
        ("options", "-c shared_buffers=1MB", "55P02"),
        ("session_authorization", "postgres", "42501"),
    ] {
        let login = plain.clone().parameter(name, value);
        let direct = RawClient::try_login(&cluster.primary().address().into(), &login).unwrap().1;
        let expected = direct.last().unwrap().sqlstate();
        assert_eq!(expected.as_deref(), Some(sqlstate), "{name} at Postgres itself");
        assert_refused(&pgweir, &login, sqlstate);
        assert_eq!(other.ask_value("select current_user"), "ann");
    }
    let _ = ann();
}
