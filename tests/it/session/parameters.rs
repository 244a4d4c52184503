//! Parameters that sessions set: who sets one keeps no server for it, sees its own, and nobody else does.

use std::thread;

use super::{WORK_MEM, assert_no_error, batch};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::{Frame, render};
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::{Address, RawClient};

const CLIENTS: u64 = 12;
const ROUNDS: u64 = 60;

/// What a session is asked to show after each run of statements.
const PROBES: [&str; 5] = [
    WORK_MEM,
    "select current_setting('search_path')",
    "select current_setting('TimeZone')",
    "select coalesce(current_setting('app.tenant', true), 'none')",
    "select current_user::text || '/' || session_user::text",
];

/// An xorshift generator.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub(super) fn of(&mut self, choices: &[&str]) -> String {
        choices[usize::try_from(self.throw(choices.len() as u64)).unwrap()].to_owned()
    }
}

/// A statement that changes, or might change, the session.
fn change(dice: &mut Dice, who: u64) -> String {
    let n = 64 + who * 100 + dice.throw(90);
    match dice.throw(16) {
        0 | 1 => format!("set work_mem = {n}"),
        2 => format!("set search_path = \"s{n}\", public"),
        3 => {
            dice.of(&["set time zone 'Asia/Tokyo'", "set time zone -3", "set timezone to default"])
        }
        4 | 5 => format!("set app.tenant = '{n}'"),
        6 => format!("select set_config('work_mem', '{n}', false)"),
        7 => format!("set local work_mem = {n}"),
        8 => dice.of(&["set role pg_monitor", "reset role", "set role none"]),
        9 => dice.of(&["set session authorization pg_monitor", "reset session authorization"]),
        10 => dice.of(&["reset work_mem", "reset search_path", "reset app.tenant"]),
        11 => "reset all".to_owned(),
        12 => format!("set work_mem = {n}; select 1/0"),
        13 => format!("set work_mem = {n}; set search_path = s{n}"),
        14 => "select 1/0".to_owned(),
        _ => "select 1".to_owned(),
    }
}

/// Requests that leave no transaction open, each answered by one ReadyForQuery.
fn run(dice: &mut Dice, who: u64) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    let ask = |dice: &mut Dice, sql: &str| {
        if dice.throw(3) == 0 && !sql.contains(';') { batch(sql, &[]) } else { message::query(sql) }
    };
    let block = dice.throw(2) == 0;
    if block {
        requests.push(message::query("begin"));
    }
    for _ in 0..=dice.throw(4) {
        if block && dice.throw(3) == 0 {
            let sql = dice.of(&["savepoint a", "savepoint b", "rollback to a", "release b"]);
            requests.push(ask(dice, &sql));
        }
        let bound = (64 + who * 100 + dice.throw(90)).to_string();
        let sql = change(dice, who);
        requests.push(match dice.throw(6) {
            0 => batch(
                "select set_config($1, $2, $3)",
                &[Some(b"work_mem"), Some(bound.as_bytes()), Some(b"f")],
            ),
            _ => ask(dice, &sql),
        });
    }
    if block {
        let sql = dice.of(&["commit", "rollback", "commit"]);
        requests.push(ask(dice, &sql));
    }
    requests.extend(PROBES.iter().copied().map(message::query));
    requests
}

fn answers(client: &mut RawClient, requests: &[Vec<u8>], at_once: bool) -> Vec<String> {
    let mut all = Vec::new();
    if at_once {
        client.send(&requests.concat()).unwrap();
    }
    for request in requests {
        if !at_once {
            client.send(request).unwrap();
        }
        all.extend(client.until_ready().iter().map(render));
    }
    all
}

#[test]
fn twelve_sessions_on_two_servers_each_see_their_own_parameters() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let direct: Address = cluster.primary().address().into();
    thread::scope(|scope| {
        for who in 0..CLIENTS {
            let (pgweir, direct) = (&pgweir, direct.clone());
            scope.spawn(move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (who + 1));
                let login = match who % 4 {
                    0 => front::login().parameter("app.tenant", "start"),
                    _ => front::login(),
                };
                let mut direct = RawClient::login(&direct, &login);
                let mut pooled = pgweir.client(&login);
                // Everyone knows the custom parameter: a server that has heard of one is not for
                // those who have not.
                for client in [&mut direct, &mut pooled] {
                    assert_no_error(&client.ask("set app.tenant = 'mine'"));
                }
                for round in 0..ROUNDS {
                    let requests = run(&mut dice, who);
                    let at_once = dice.throw(2) == 0;
                    let expected = answers(&mut direct, &requests, false);
                    let received = answers(&mut pooled, &requests, at_once);
                    let sent = requests.iter().map(|r| String::from_utf8_lossy(r).into_owned());
                    assert_eq!(
                        received,
                        expected,
                        "client {who}, round {round}: {:?}",
                        sent.collect::<Vec<_>>()
                    );
                }
            });
        }
    });
    accounts.assert_settled(secs(10));
}

#[test]
fn who_sets_a_parameter_keeps_no_server() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let all: [Option<&[u8]>; 3] = [Some(b"work_mem"), Some(b"7MB"), Some(b"false")];
    let mut other = front::client(&pgweir);
    let other_server = other.ask_value("select pg_backend_pid()");
    for request in [
        message::query("set work_mem = '7MB'"),
        message::query("begin; savepoint a; set work_mem = '7MB'; release a; commit"),
        message::query("select set_config('work_mem', '7MB', false)"),
        batch("set work_mem = '7MB'", &[]),
        batch("select set_config($1, $2, $3)", &all),
    ] {
        let mut client = front::client(&pgweir);
        client.send(&request).unwrap();
        assert_no_error(&client.until_ready());
        for _ in 0..3 {
            assert_eq!(other.ask_value(WORK_MEM), "4MB");
            assert_eq!(client.ask_value(WORK_MEM), "7MB");
        }
        assert_eq!(client.ask_value("select pg_backend_pid()"), other_server);
        assert_no_error(&client.ask("reset work_mem"));
        assert_eq!(client.ask_value(WORK_MEM), "4MB");
    }
    drop(other);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_role_that_is_gone_keeps_the_message_from_running() {
    let cluster = front::shop();
    cluster.primary().sql("shop", "create role passing; create table t (n int)").unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    assert_no_error(&client.ask("set role passing"));
    assert_eq!(other.ask_value("select current_user"), "postgres");
    assert_eq!(client.ask_value("select current_user"), "passing");
    assert_no_error(&other.ask("drop role passing"));
    let frames = client.ask("insert into t values (1)");
    assert_eq!(frames.iter().find_map(Frame::sqlstate).as_deref(), Some("22023"), "{frames:?}");
    assert_eq!(other.ask_value("select count(*) from t"), "0");
    drop((client, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn half_of_a_date_style_leaves_the_other_half_as_the_session_had_it() {
    const SHOW: &str = "show datestyle";
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    assert_no_error(&other.ask("set datestyle = 'sql, dmy'"));
    for (startup, changes, expected) in [
        (None, &["set datestyle = ymd"][..], "ISO, YMD"),
        (None, &["set datestyle = postgres", "set datestyle to us"], "Postgres, MDY"),
        (None, &["set datestyle = german"], "German, DMY"),
        (
            None,
            &["set datestyle = german", "select set_config('datestyle', 'iso', false)"],
            "ISO, DMY",
        ),
        (Some("Postgres, YMD"), &["set datestyle = iso"], "ISO, YMD"),
        (Some("Postgres, YMD"), &["set datestyle = dmy", "reset datestyle"], "Postgres, YMD"),
        (Some("dmy"), &[], "ISO, DMY"),
        (Some("german"), &["set datestyle = iso"], "ISO, DMY"),
    ] {
        let login =
            startup.map_or_else(front::login, |value| front::login().parameter("DateStyle", value));
        let mut client = pgweir.client(&login);
        let mut straight = RawClient::login(&cluster.primary().address().into(), &login);
        for change in changes {
            assert_eq!(other.ask_value(SHOW), "SQL, DMY");
            assert_no_error(&client.ask(change));
            assert_no_error(&straight.ask(change));
        }
        assert_eq!(other.ask_value(SHOW), "SQL, DMY");
        assert_eq!(client.ask_value(SHOW), straight.ask_value(SHOW), "{startup:?} {changes:?}");
        assert_eq!(client.ask_value(SHOW), expected, "{startup:?} {changes:?}");
    }
}
