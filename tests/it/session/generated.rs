//! Generated session scripts: twelve sessions on two servers, each compared with one that talks to Postgres
//! directly, over every kind of state that a session can have.
//!
//! A script leaves no transaction open. At its end the session gives up what keeps a server, discards everything or
//! leaves, and another begins where it stands. `$PGWEIR_SESSIONS` says how many scripts (2,000 unless set),
//! `$PGWEIR_SEED` which.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::batch;
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::diff::Random;
use crate::harness::frame::{Frame, render};
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::{Address, Login, RawClient};

const CLIENTS: usize = 12;

/// What a session is asked to show at the end of a script. That a server has heard of `app.tenant`
/// shows (docs/session.md); its value must not.
const PROBES: [&str; 12] = [
    "select current_setting('work_mem')",
    "select current_setting('search_path')",
    "select current_setting('TimeZone')",
    "select nullif(current_setting('app.tenant', true), '')",
    "select current_user::text || '/' || session_user::text",
    "select relname::text from pg_class where relnamespace = pg_my_temp_schema() order by 1",
    "select objid::text from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() order by 1",
    "select name::text from pg_cursors where name <> '' order by 1",
    "select count(*) from mine",
    "fetch 1 from held",
    "execute p",
    "select timestamptz '2020-01-01 00:00' at time zone 'UTC'",
];

/// What gives up everything that keeps a server.
const GIVING_UP: [&str; 7] = [
    "reset session authorization",
    "reset role",
    "drop table if exists mine",
    "close all",
    "select pg_advisory_unlock_all()",
    "unlisten *",
    "deallocate all",
];

/// One request, which brings one ReadyForQuery.
struct Request {
    words: String,
    bytes: Vec<u8>,
}

/// Writes one script.
struct Maker<'a> {
    random: &'a mut Random,
    who: usize,
    requests: Vec<Request>,
    /// Something was done that keeps the server until the session ends.
    clings: bool,
    /// It stands in a transaction or a batch.
    inside: bool,
}

impl Maker<'_> {
    fn one_of<'b>(&mut self, of: &[&'b str]) -> &'b str {
        of[self.random.below(of.len())]
    }

    fn push(&mut self, words: String, bytes: Vec<u8>) {
        self.requests.push(Request { words, bytes });
    }

    fn query(&mut self, sql: &str) {
        self.push(format!("Q {sql}"), message::query(sql));
    }

    /// As a Query or as a batch of its own.
    fn ask(&mut self, sql: &str) {
        if self.random.below(3) == 0 && !sql.contains(';') {
            self.push(format!("B {sql}"), batch(sql, &[]));
        } else {
            self.query(sql);
        }
    }

    fn script(&mut self) {
        let block = self.random.below(5) < 2;
        if block {
            self.inside = true;
            self.ask("begin");
        }
        for _ in 0..=self.random.below(6) {
            match self.random.below(12) {
                0 if block => {
                    let sql = ["savepoint a", "savepoint b", "rollback to a", "release b"];
                    let sql = self.one_of(&sql);
                    self.ask(sql);
                }
                1 => self.bound(),
                2 => self.protocol_statement(),
                3 => self.one_batch(),
                _ => {
                    let sql = self.statement();
                    self.ask(&sql);
                }
            }
        }
        if block {
            let sql = self.one_of(&["commit", "commit", "rollback"]);
            self.ask(sql);
            self.inside = false;
        }
    }

    fn statement(&mut self) -> String {
        let n = 64 + self.who * 100 + self.random.below(90);
        let who = self.who;
        match self.random.below(19) {
            0 => self.parameter(n),
            1 => self.parameter(n),
            2 => self.role().to_owned(),
            3 => self
                .one_of(&[
                    "create temp table if not exists mine (n int)",
                    "create temp table mine (n int) on commit drop",
                    "create temporary table mine as select 7 as n",
                    "drop table if exists mine",
                    "insert into mine values (1)",
                    "select count(*) from mine",
                ])
                .to_owned(),
            4 => {
                let call = self.one_of(&[
                    "pg_advisory_lock",
                    "pg_try_advisory_lock",
                    "pg_advisory_xact_lock",
                    "pg_advisory_lock_shared",
                    "pg_advisory_unlock",
                ]);
                format!("select {call}({})", n - n % 3)
            }
            5 => self
                .one_of(&[
                    "declare held cursor with hold for select generate_series(1, 9)",
                    "declare held cursor for select generate_series(1, 9)",
                    "fetch 2 from held",
                    "move held",
                    "close held",
                    "close all",
                ])
                .to_owned(),
            6 | 7 => match self.random.below(6) {
                0 => format!("prepare p as select {n}"),
                1 => format!("prepare p(int) as select $1 + {n}"),
                2 => "execute p".to_owned(),
                3 => "execute p(1)".to_owned(),
                4 => "deallocate p".to_owned(),
                _ => "deallocate all".to_owned(),
            },
            8 => match self.random.below(5) {
                0 => format!("listen news_{who}"),
                1 => format!("listen other_{who}"),
                2 => format!("unlisten news_{who}"),
                3 => "unlisten *".to_owned(),
                _ => format!("notify news_{who}, 'n{n}'"),
            },
            9 => format!("set work_mem = {n}; set search_path = s{n}; select 1"),
            10 => format!("set work_mem = {n}; select 1/0"),
            11 => "select 1/0".to_owned(),
            12 => self
                .one_of(&["discard temp", "discard plans", "discard sequences", "discard all"])
                .to_owned(),
            13 => format!("select nextval('numbers_{who}')"),
            14 if self.random.below(4) == 0 && !self.inside => {
                self.clings = true;
                let of_it = format!("select currval('numbers_{who}')");
                self.one_of(&["select lastval()", &of_it]).to_owned()
            }
            15 => format!("do $$ begin perform set_config('work_mem', '{n}', true); end $$"),
            16 => format!("begin; set work_mem = {n}; commit; set local work_mem = 99"),
            17 => self.one_of(&["reset all", "reset work_mem", "reset app.tenant"]).to_owned(),
            _ => "select 1".to_owned(),
        }
    }

    fn parameter(&mut self, n: usize) -> String {
        match self.random.below(9) {
            0 => format!("set work_mem = {n}"),
            1 => format!("set search_path = \"s{n}\", public"),
            2 => self
                .one_of(&[
                    "set time zone 'Asia/Tokyo'",
                    "set time zone -3",
                    "set timezone to default",
                ])
                .to_owned(),
            3 => format!("set app.tenant = '{n}'"),
            4 => format!("select set_config('work_mem', '{n}', false)"),
            5 => format!("set local work_mem = {n}"),
            6 => format!("set session characteristics as transaction isolation level {}", {
                self.one_of(&["serializable", "repeatable read", "read committed"])
            }),
            7 => "set datestyle = 'german'".to_owned(),
            _ => format!("set work_mem = {n}; rollback"),
        }
    }

    fn role(&mut self) -> &'static str {
        const ROLES: [&str; 5] = [
            "set role pg_monitor",
            "reset role",
            "set role none",
            "set session authorization pg_monitor",
            "reset session authorization",
        ];
        ROLES[self.random.below(ROLES.len())]
    }

    /// `set_config` with Bind values.
    fn bound(&mut self) {
        let value = (64 + self.who * 100 + self.random.below(90)).to_string();
        let name = self.one_of(&["work_mem", "app.tenant", "statement_timeout"]);
        let value = if name == "statement_timeout" { "60000" } else { &value };
        let local = self.one_of(&["f", "f", "t"]);
        let values = [Some(name.as_bytes()), Some(value.as_bytes()), Some(local.as_bytes())];
        let bytes = batch("select set_config($1, $2, $3)", &values);
        self.push(format!("B set_config({name}, {value}, {local})"), bytes);
    }

    /// Statements of the protocol, under names that SQL uses too.
    fn protocol_statement(&mut self) {
        let n = 64 + self.who * 100 + self.random.below(90);
        let sync = message::sync();
        let (words, bytes) = match self.random.below(4) {
            0 => {
                let sql = format!("select {n} as prepared");
                (format!("Parse p {sql}"), message::parse("p", &sql, &[]))
            }
            1 => {
                let sql = format!("set work_mem = {n}");
                (format!("Parse q {sql}"), message::parse("q", &sql, &[]))
            }
            2 => {
                let name = self.one_of(&["p", "q"]);
                let run = [message::bind("", name, &[]), message::execute("", 0)].concat();
                (format!("Bind {name}"), run)
            }
            _ => {
                let name = self.one_of(&["p", "q"]);
                (format!("Close {name}"), message::close(b'S', name))
            }
        };
        self.push(words, [bytes, sync].concat());
    }

    /// Several statements in one batch: what comes first is undone when what comes later fails.
    fn one_batch(&mut self) {
        let (mut words, mut bytes) = ("B".to_owned(), Vec::new());
        let inside = std::mem::replace(&mut self.inside, true);
        for _ in 0..2 + self.random.below(2) {
            let sql = self.statement();
            let sql = if sql.contains(';') { "select 2" } else { &sql };
            words += &format!(" {sql} /");
            bytes.extend(message::parse("", sql, &[]));
            bytes.extend(message::bind("", "", &[]));
            bytes.extend(message::execute("", 0));
        }
        bytes.extend(message::sync());
        self.push(words, bytes);
        self.inside = inside;
    }
}

/// One side of the comparison.
struct Session {
    address: Address,
    login: Login,
    client: RawClient,
    pid: u32,
    heard: Vec<News>,
}

impl Session {
    fn begin(address: Address, login: Login) -> Self {
        let (client, frames) = RawClient::try_login(&address, &login).expect("a login");
        let pid = frames.iter().find_map(Frame::backend_key).expect("a key").0;
        Session { address, login, client, pid, heard: Vec::new() }
    }

    fn leave(&mut self) {
        self.client.send(&message::terminate()).unwrap();
        self.client.until_closed();
        *self = Session::begin(self.address.clone(), self.login.clone());
    }

    fn hears(&mut self, frame: &Frame) {
        let (pid, words) = frame.body.split_first_chunk::<4>().expect("a pid");
        let mut words = words.split(|byte| *byte == 0);
        let mut word = || String::from_utf8(words.next().expect("a word").to_vec()).unwrap();
        let own = u32::from_be_bytes(*pid) == self.pid;
        self.heard.push(News { channel: word(), payload: word(), own });
    }

    /// The answer to what has been sent; notifications come when they like.
    fn answer(&mut self) -> Vec<String> {
        let frames = self.client.until_ready();
        let (heard, rest): (Vec<_>, Vec<_>) = frames.into_iter().partition(|f| f.tag == b'A');
        heard.iter().for_each(|frame| self.hears(frame));
        rest.iter().map(shown).collect()
    }

    /// The answers to requests that are sent one after the other, and how many notifications had come
    /// after each.
    fn answers(&mut self, requests: &[Request]) -> (Vec<String>, Vec<usize>) {
        let (mut lines, mut counts) = (Vec::new(), Vec::new());
        for request in requests {
            self.client.send(&request.bytes).unwrap();
            lines.extend(self.answer());
            counts.push(self.heard.len());
        }
        (lines, counts)
    }

    /// The same, waiting after each for so many notifications; none is missed.
    fn answers_and_news(&mut self, requests: &[Request], counts: &[usize]) -> Vec<String> {
        let mut lines = Vec::new();
        for (request, count) in requests.iter().zip(counts) {
            self.client.send(&request.bytes).unwrap();
            lines.extend(self.answer());
            while self.heard.len() < *count {
                let frame = self.client.frame();
                assert_eq!(frame.tag, b'A', "{frame:?} behind {}", request.words);
                self.hears(&frame);
            }
        }
        lines
    }

    /// All requests in one write.
    fn answers_at_once(&mut self, requests: &[Request]) -> Vec<String> {
        let all: Vec<u8> = requests.iter().flat_map(|r| r.bytes.iter().copied()).collect();
        self.client.send(&all).unwrap();
        requests.iter().flat_map(|_| self.answer()).collect()
    }
}

/// A message in one line. In a failed transaction it may be a Parse before the client's Bind that
/// Postgres refuses.
fn shown(frame: &Frame) -> String {
    let line = render(frame);
    match line.split_once(" F=") {
        Some((words, _)) if words.contains("C=\"25P02\"") => words.to_owned(),
        _ => line,
    }
}

/// A notification, and whether it is known to be the session's own.
#[derive(Debug, PartialEq, Eq)]
struct News {
    channel: String,
    payload: String,
    own: bool,
}

/// Whether these notifications, in this order, are all or some of those: a session may be told of its
/// own a moment later, when it does not listen any more, and under its server's process id.
fn are_among(news: &[News], expected: &[News], all: bool) -> bool {
    let mut expected_left = expected.iter();
    let told = |told: &News| {
        expected_left.any(|expected| {
            (&told.channel, &told.payload) == (&expected.channel, &expected.payload)
                && (expected.own || !told.own)
        })
    };
    news.iter().all(told) && (!all || news.len() == expected.len())
}

/// Who had a server last, by its pid.
type Users = Mutex<HashMap<String, usize>>;

/// Every session's last scripts, for whoever looks for what left a trace.
#[derive(Default)]
struct Recent(Mutex<VecDeque<String>>);

impl Recent {
    fn add(&self, script: String) {
        let mut scripts = self.0.lock().unwrap();
        if scripts.len() == 4 * CLIENTS {
            scripts.pop_front();
        }
        scripts.push_back(script);
    }

    fn told(&self) -> String {
        let scripts = self.0.lock().unwrap();
        scripts.iter().map(|script| format!("\n    earlier: {script}")).collect()
    }
}

#[test]
fn generated_sessions_are_answered_as_by_postgres() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let count: usize = number("PGWEIR_SESSIONS").unwrap_or(2_000);
    let seed = number("PGWEIR_SEED").unwrap_or(1) as u64;
    let cluster = front::shop();
    let primary = cluster.primary();
    primary.sql("postgres", "create database twin").unwrap();
    for database in ["shop", "twin"] {
        for who in 0..CLIENTS {
            primary.sql(database, &format!("create sequence numbers_{who}")).unwrap();
        }
    }
    let pgweir = front::pool_of(number("PGWEIR_POOL").unwrap_or(2) as u32, primary.address())
        .set("defaults", "pool_wait_timeout = \"60s\"")
        .start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[primary]);
    let direct: Address = primary.address().into();
    let (next, handed_over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let recent = Recent::default();
    let (users, differences) = (Users::default(), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for who in 0..CLIENTS {
            let (pgweir, direct) = (&pgweir, direct.clone());
            let (next, handed_over, users) = (&next, &handed_over, &users);
            let (differences, recent) = (&differences, &recent);
            scope.spawn(move || {
                let mut random = Random::new(seed * 1_000 + who as u64);
                let login = |database| match who % 4 {
                    0 => Login::new("postgres", database).parameter("app.tenant", "start"),
                    1 => Login::new("postgres", database).parameter("options", "-c work_mem=77"),
                    _ => Login::new("postgres", database),
                };
                let mut direct = Session::begin(direct, login("twin"));
                let mut pooled = Session::begin(pgweir.address(), login("shop"));
                // From here on servers forget sequences for whoever comes next.
                pooled.client.ask("select lastval()");
                pooled.leave();
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    if differences.lock().unwrap().len() >= 5 {
                        return;
                    }
                    let found = one_script(&mut random, who, &mut direct, &mut pooled, recent);
                    if let Some(found) = found {
                        differences.lock().unwrap().push(format!("client {who}: {found}"));
                        direct.leave();
                        pooled.leave();
                    }
                    let pid = pooled.client.ask_value("select pg_backend_pid()");
                    let before = users.lock().unwrap().insert(pid, who);
                    handed_over.fetch_add(usize::from(before != Some(who)), Ordering::Relaxed);
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    println!(
        "{count} sessions' scripts, servers seen with another client after one: {}",
        handed_over.into_inner()
    );
    accounts.assert_settled(secs(10));
}

/// What a session last had from a sequence is known to one server: where Postgres tells it, pgweir
/// may refuse to. It never tells what Postgres would not.
fn without_lost_sequences(
    requests: &[Request],
    received: Vec<String>,
    expected: &[String],
) -> Vec<String> {
    let reads = |line: &str| line.contains("lastval") || line.contains("currval");
    if !requests.iter().any(|request| reads(&request.words)) {
        return received;
    }
    let mut lines = Vec::new();
    let mut expected = expected.iter().peekable();
    for line in received {
        let is_refusal = line.starts_with("ErrorResponse") && reads(&line);
        if is_refusal && expected.peek().is_some_and(|line| line.starts_with("DataRow")) {
            // DataRow, CommandComplete.
            lines.extend(expected.by_ref().take(2).cloned());
        } else if is_refusal && expected.peek().is_some_and(|expected| reads(expected)) {
            // In our words.
            lines.extend(expected.next().cloned());
        } else {
            expected.next();
            lines.push(line);
        }
    }
    lines
}

/// Plays a script on both sides; what differs.
fn one_script(
    random: &mut Random,
    who: usize,
    direct: &mut Session,
    pooled: &mut Session,
    recent: &Recent,
) -> Option<String> {
    let mut maker = Maker { random, who, requests: Vec::new(), clings: false, inside: false };
    maker.script();
    let probes = maker.random.below(4) == 0;
    let end = maker.random.below(4);
    let (mut requests, clings) = (maker.requests, maker.clings);
    let at_once = random.below(2) == 0;
    let ask = |sql: &&str| Request { words: format!("Q {sql}"), bytes: message::query(sql) };
    if probes {
        requests.extend(PROBES.iter().map(ask));
    }
    let leaves = clings || end == 0;
    match end {
        _ if leaves => {}
        1 => requests.push(ask(&"discard all")),
        _ => requests.extend(GIVING_UP.iter().map(ask)),
    }
    let (expected, counts) = direct.answers(&requests);
    let received = match at_once {
        true => pooled.answers_at_once(&requests),
        false => pooled.answers_and_news(&requests, &counts),
    };
    let expected_news = std::mem::take(&mut direct.heard);
    let news = std::mem::take(&mut pooled.heard);
    let words: Vec<&str> = requests.iter().map(|request| request.words.as_str()).collect();
    recent.add(format!("client {who}: {}", words.join(" | ")));
    if leaves {
        direct.leave();
        pooled.leave();
    }
    let received = without_lost_sequences(&requests, received, &expected);
    if received != expected || !are_among(&news, &expected_news, !at_once) {
        let place = received.iter().zip(&expected).position(|(a, b)| a != b);
        let place = place.unwrap_or(received.len().min(expected.len()));
        return Some(format!(
            "{}\n  Postgres: {:?}\n  pgweir:   {:?}\n  (message {place}); heard {expected_news:?} and \
             {news:?}{}",
            words.join(if at_once { " | " } else { "\n    " }),
            expected.get(place),
            received.get(place),
            recent.told(),
        ));
    }
    None
}
