//! RELOAD at the console: what it answers, and what the console and `/metrics` show afterwards.

use pgweir::cluster::Cluster;
use pgweir::cluster::process::Signal;

use super::{Keys, login_outcome, primary, reload};
use crate::console::{Table, console, refusal_of, show, tag_of};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::{Frame, render_all};
use crate::harness::http;
use crate::harness::message;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Login, RawClient};

/// As [`Keys::of`], with `dba` at the console and a database of its own name.
fn keys(cluster: &Cluster) -> Keys {
    Keys::of(cluster)
        .set("admin.admins", "[\"dba\"]")
        .set("databases.shop.primary", &shop(cluster, ""))
}

fn shop(cluster: &Cluster, more: &str) -> String {
    primary(cluster, more).replace("?sslmode", "/postgres?sslmode")
}

fn rewrite(pgweir: &mut Pgweir, keys: &Keys) {
    pgweir.rewrite_config(|options| options.whole_config(&keys.text()));
}

/// Severity, message and detail of each notice.
fn notices(frames: &[Frame]) -> Vec<(String, String, String)> {
    let text = |frame: &Frame, field| frame.field(field).unwrap_or_default();
    let notices = frames.iter().filter(|frame| frame.tag == b'N');
    notices.map(|frame| (text(frame, b'S'), text(frame, b'M'), text(frame, b'D'))).collect()
}

fn metric(pgweir: &Pgweir, name: &str) -> u64 {
    let page = http::get(pgweir.http(), "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
    line.parse().unwrap_or_else(|_| panic!("{name} is {line}"))
}

fn in_shop() -> Login {
    Login::new("postgres", "shop")
}

#[test]
fn reload_says_what_changed_and_the_tables_show_it() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(&cluster);
    let mut pgweir = keys.start();
    let mut dba = console(&pgweir);
    let mut client = pgweir.client(&in_shop());
    client.ask("select 1");
    let size = |table: &Table, name: &str| table.number(&[("name", name)], "pool_size");
    let keys = keys
        .set("defaults.pool_size", "7")
        .set("databases.shop.pool_mode", "\"session\"")
        .set("databases.fresh.primary", &shop(&cluster, ""))
        .set("roles.postgres.reserve_pool_size", "3")
        .set("roles.late.pool_size", "2")
        .set("roles.late.replication", "\"pass\"")
        .set("admin.stats_period", "\"1s\"")
        .set("server.unix_socket", "\"/nowhere\"")
        .set("server.workers", "3");
    rewrite(&mut pgweir, &keys);
    let said = dba.ask("RELOAD");
    assert_eq!(said.iter().find_map(Frame::command_tag).as_deref(), Some("RELOAD"));
    let said = notices(&said);
    let (last, warnings) = said.split_last().expect("a notice");
    assert_eq!((last.0.as_str(), last.1.as_str()), ("NOTICE", "reloaded: 9 values changed"));
    assert!(last.2.contains("defaults.pool_size = 7"), "{}", last.2);
    for key in ["server.workers", "server.unix_socket"] {
        let expected = format!("`{key}` needs a restart; the value of the start stays");
        let told = |(weight, message, _): &&_| *message == expected && weight == "WARNING";
        assert!(warnings.iter().any(|warning| told(&warning)), "{said:?}");
    }
    let idle = warnings.iter().find(|(_, message, _)| message.contains("nothing yet"));
    assert!(idle.is_some_and(|(.., list)| list.contains("`roles.late.replication`")), "{said:?}");
    let config = show(&mut dba, "CONFIG");
    assert_eq!(config.value(&[("key", "unix_socket_dir")], "value"), "", "it is not there yet");
    for (key, value) in [("default_pool_size", "7"), ("stats_period", "1")] {
        assert_eq!(config.value(&[("key", key)], "value"), value, "{key}");
        assert_eq!(config.value(&[("key", key)], "changeable"), "yes", "{key}");
    }
    let databases = show(&mut dba, "DATABASES");
    assert_eq!((size(&databases, "shop"), size(&databases, "fresh")), (7, 7));
    assert_eq!(databases.value(&[("name", "shop")], "pool_mode"), "session");
    let users = show(&mut dba, "USERS");
    assert_eq!(users.value(&[("name", "postgres")], "reserve_pool_size"), "3");
    assert_eq!(users.value(&[("name", "late")], "pool_size"), "2");
    let pools = show(&mut dba, "POOLS");
    let mode = pools.value(&[("database", "shop"), ("user", "postgres")], "pool_mode");
    assert_eq!(mode, "session");
    let labels = "{database=\"shop\",role=\"postgres\",server=\"";
    let page = http::get(pgweir.http(), "/metrics");
    let size = page.lines().find(|line| line.starts_with(&format!("pgweir_pool_size{labels}")));
    assert!(size.is_some_and(|line| line.ends_with(" 7")), "{size:?}");
    // It fits the file again, and nothing is to be said but that.
    let said = notices(&dba.ask("RELOAD"));
    assert!(said.last().unwrap().1.contains("no value changed"), "{said:?}");
    assert_eq!(client.ask_value("select 2"), "2");
}

#[test]
fn a_refused_reload_tells_every_problem_and_is_seen_in_the_metrics() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(&cluster);
    let mut pgweir = keys.start();
    let mut dba = console(&pgweir);
    let started = metric(&pgweir, "pgweir_config_last_reload_timestamp_seconds");
    assert_eq!(metric(&pgweir, "pgweir_config_last_reload_successful"), 1);
    let wrong = keys.clone().set("defaults.pool_sze", "5").set("defaults.pool_mode", "\"none\"");
    rewrite(&mut pgweir, &wrong.set("defaults.pool_size", "9"));
    let frames = dba.ask("RELOAD");
    let error = frames.iter().find(|frame| frame.tag == b'E');
    let error = error.unwrap_or_else(|| panic!("{}", render_all(&frames)));
    assert_eq!(error.sqlstate().as_deref(), Some("F0000"));
    let message = error.field(b'M').unwrap();
    assert!(message.starts_with("RELOAD failed: 2 errors"), "{message}");
    assert!(message.ends_with("the configuration in force stays"), "{message}");
    let detail = error.field(b'D').unwrap();
    for expected in ["did you mean `pool_size`?", "defaults.pool_mode", "pgweir.toml:"] {
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    assert_eq!(show(&mut dba, "CONFIG").value(&[("key", "default_pool_size")], "value"), "20");
    assert_eq!(metric(&pgweir, "pgweir_config_last_reload_successful"), 0);
    assert_eq!(metric(&pgweir, "pgweir_config_reloads_total{result=\"refused\"}"), 1);
    rewrite(&mut pgweir, &keys.set("defaults.pool_size", "9"));
    pgweir.signal(Signal::Hup);
    pgweir.wait_for_log("configuration reloaded", secs(10));
    assert_eq!(show(&mut dba, "CONFIG").value(&[("key", "default_pool_size")], "value"), "9");
    assert_eq!(metric(&pgweir, "pgweir_config_last_reload_successful"), 1);
    assert_eq!(metric(&pgweir, "pgweir_config_reloads_total{result=\"done\"}"), 1);
    assert!(metric(&pgweir, "pgweir_config_last_reload_timestamp_seconds") >= started);
}

#[test]
fn who_may_enter_the_console_follows() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(&cluster);
    let mut pgweir = keys.start();
    let mut dba = console(&pgweir);
    let outcome = |pgweir: &Pgweir, role| login_outcome(pgweir, &Login::new(role, "pgbouncer"));
    assert_eq!((outcome(&pgweir, "dba"), outcome(&pgweir, "ann")), ("in".into(), "28000".into()));
    reload(&mut pgweir, &keys.set("admin.admins", "[\"ann\"]"));
    assert_eq!((outcome(&pgweir, "dba"), outcome(&pgweir, "ann")), ("28000".into(), "in".into()));
    // Those who are there keep what they have, as the documentation says of `new logins`.
    assert_eq!(tag_of(&mut dba, "RECONNECT"), "RECONNECT");
}

#[test]
fn averages_follow_another_period() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(&cluster);
    let mut pgweir = keys.start();
    let mut dba = console(&pgweir);
    let mut client = pgweir.client(&in_shop());
    for _ in 0..20 {
        client.ask("select 1");
    }
    let average = |dba: &mut RawClient| {
        show(dba, "STATS_AVERAGES").number(&[("database", "shop")], "query_count")
    };
    wait_until("the average of the first period", secs(5), || average(&mut dba) > 0);
    // Of two short periods without a statement; the one of 60 s would not be over by then.
    reload(&mut pgweir, &keys.set("admin.stats_period", "\"50ms\""));
    wait_until("an average without these statements", secs(5), || average(&mut dba) == 0);
}

#[test]
fn what_is_paused_stays_so_through_a_reload() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(&cluster);
    let mut pgweir = keys.start();
    let mut dba = console(&pgweir);
    let mut client = pgweir.client(&in_shop());
    client.ask("select 1");
    assert_eq!(tag_of(&mut dba, "PAUSE shop"), "PAUSE");
    client.send(&message::query("select 'moved ' || current_setting('application_name')")).unwrap();
    // Another place, more servers, and some of them to be kept open.
    let keys = keys
        .set("databases.shop.primary", &shop(&cluster, "&application_name=there"))
        .set("defaults.pool_size", "5")
        .set("defaults.min_pool_size", "2")
        .set("defaults.pool_wait_timeout", "\"50ms\"");
    rewrite(&mut pgweir, &keys);
    assert_eq!(tag_of(&mut dba, "RELOAD"), "RELOAD");
    let waits = |dba: &mut RawClient| {
        let row = [("database", "shop"), ("user", "postgres")];
        let pools = show(dba, "POOLS");
        (pools.number(&row, "cl_waiting"), pools.number(&row, "sv_login"))
    };
    wait_until("the client's place in the queue", secs(5), || waits(&mut dba) == (1, 0));
    assert_eq!(show(&mut dba, "DATABASES").number(&[("name", "shop")], "paused"), 1);
    assert!(!client.has_unread(), "it is held, whatever pool_wait_timeout says");
    // PAUSE is answered when no server is open, also those that the reload let go of.
    assert_eq!(tag_of(&mut dba, "PAUSE shop"), "PAUSE");
    assert_eq!(tag_of(&mut dba, "RESUME shop"), "RESUME");
    let frames = client.until_ready();
    let answer = frames.iter().find_map(Frame::first_text);
    assert_eq!(answer.as_deref(), Some("moved there"), "{}", render_all(&frames));
}

#[test]
fn a_database_that_comes_or_goes_while_something_is_paused() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(&cluster).without("databases.\"*\".primary");
    let keys = keys.set("databases.other.primary", &shop(&cluster, ""));
    let mut pgweir = keys.start();
    let mut dba = console(&pgweir);
    let mut client = pgweir.client(&in_shop());
    client.ask("select 1");
    assert_eq!(tag_of(&mut dba, "PAUSE shop"), "PAUSE");
    assert_eq!(tag_of(&mut dba, "DISABLE other"), "DISABLE");
    client.send(&message::query("select 1")).unwrap();
    // It waits, and is sent away when its database goes.
    rewrite(&mut pgweir, &keys.clone().without("databases.shop.primary"));
    assert_eq!(tag_of(&mut dba, "RELOAD"), "RELOAD");
    let last = client.until_closed().pop().expect("last words");
    assert_eq!(last.sqlstate().as_deref(), Some("57P01"));
    assert_eq!(login_outcome(&pgweir, &in_shop()), "3D000");
    // It comes back as it was left, which can be seen and undone, also while it is away.
    rewrite(&mut pgweir, &keys);
    assert_eq!(tag_of(&mut dba, "RELOAD"), "RELOAD");
    let gates = |dba: &mut RawClient, name| {
        let databases = show(dba, "DATABASES");
        let number = |column| databases.number(&[("name", name)], column);
        (number("paused"), number("disabled"))
    };
    assert_eq!((gates(&mut dba, "shop"), gates(&mut dba, "other")), ((1, 0), (0, 1)));
    rewrite(&mut pgweir, &keys.clone().without("databases.other.primary"));
    assert_eq!(tag_of(&mut dba, "RELOAD"), "RELOAD");
    assert_eq!(tag_of(&mut dba, "ENABLE other"), "ENABLE");
    assert_eq!(refusal_of(&mut dba, "ENABLE other").0, "3D000");
    assert_eq!(tag_of(&mut dba, "RESUME shop"), "RESUME");
    assert_eq!(pgweir.client(&in_shop()).ask_value("select 3"), "3");
    // What is paused as a whole is so for a database that comes.
    assert_eq!(tag_of(&mut dba, "PAUSE"), "PAUSE");
    rewrite(&mut pgweir, &keys);
    assert_eq!(tag_of(&mut dba, "RELOAD"), "RELOAD");
    assert_eq!(gates(&mut dba, "other"), (1, 0));
    assert_eq!(tag_of(&mut dba, "RESUME"), "RESUME");
    assert_eq!(pgweir.client(&Login::new("postgres", "other")).ask_value("select 4"), "4");
}

#[test]
fn wait_close_waits_for_the_servers_that_a_reload_moved() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(&cluster);
    let mut pgweir = keys.start();
    let mut dba = console(&pgweir);
    let mut client = pgweir.client(&in_shop());
    client.ask("begin");
    rewrite(
        &mut pgweir,
        &keys.set("databases.shop.primary", &shop(&cluster, "&application_name=there")),
    );
    assert_eq!(tag_of(&mut dba, "RELOAD"), "RELOAD");
    let marked = |dba: &mut RawClient| show(dba, "SERVERS").number(&[], "close_needed");
    assert_eq!(marked(&mut dba), 1);
    dba.send(&message::query("WAIT_CLOSE shop")).unwrap();
    let mut other = console(&pgweir);
    assert_eq!(client.ask_value("select 1"), "1");
    assert_eq!(marked(&mut other), 1);
    assert!(!dba.has_unread());
    client.ask("commit");
    assert_eq!(
        dba.until_ready().iter().find_map(Frame::command_tag).as_deref(),
        Some("WAIT_CLOSE")
    );
    assert_eq!(client.ask_value("select current_setting('application_name')"), "there");
}

#[test]
fn roles_that_share_a_pool_keep_their_own_mode_and_patience() {
    let cluster = Cluster::options().role("app", "app").start().unwrap();
    let keys = keys(&cluster)
        .set("databases.shop.server_role", "\"postgres\"")
        .set("databases.shop.server_password", "\"postgres\"")
        .set("databases.shop.pool_size", "1")
        .set("roles.hasty.password", "\"x\"")
        .set("roles.hasty.pool_wait_timeout", "\"100ms\"");
    let mut pgweir = keys.start();
    let login = |role| Login::new(role, "shop");
    let mut calm = pgweir.client(&login("calm"));
    let mut hasty = pgweir.client(&login("hasty"));
    assert_eq!(calm.ask_value("select current_user"), "postgres");
    calm.ask("begin");
    let refused = |client: &mut RawClient| {
        let frames = client.ask("select 1");
        frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'))
    };
    assert!(refused(&mut hasty).unwrap().contains("Waited 100 ms"));
    // Another server role: another pool, for which the same roles keep what is theirs.
    let keys = keys.set("databases.shop.server_role", "\"app\"");
    let keys = keys.set("databases.shop.server_password", "\"app\"");
    reload(&mut pgweir, &keys.set("roles.hasty.pool_wait_timeout", "\"150ms\""));
    assert_eq!(hasty.ask_value("select current_user"), "app");
    assert_eq!(calm.ask_value("select current_user"), "postgres", "its transaction goes on");
    calm.ask("commit");
    calm.ask("begin");
    assert_eq!(calm.ask_value("select current_user"), "app");
    assert!(refused(&mut hasty).unwrap().contains("Waited 150 ms"));
    let pools = show(&mut console(&pgweir), "POOLS");
    assert_eq!(pools.number(&[("database", "shop"), ("user", "app")], "sv_active"), 1);
}
