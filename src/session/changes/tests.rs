use proptest::prelude::*;

use super::*;

fn set(pairs: &[(&str, &str)]) -> Arc<ParamSet> {
    let owned = pairs.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec()));
    Arc::new(ParamSet::new(owned))
}

fn read(text: &str) -> Option<Vec<(usize, Step)>> {
    steps(text.as_bytes(), None).map(|steps| steps.0)
}

fn value(name: &str, value: &str) -> Step {
    Step::Set(name.as_bytes().into(), Setting::Value(value.as_bytes().to_vec()))
}

fn words(name: &str, words: &str) -> Step {
    Step::Set(name.as_bytes().into(), Setting::Words(words.as_bytes().to_vec()))
}

#[test]
fn texts_say_what_they_set() {
    let one = |text: &str, step: Step| assert_eq!(read(text), Some(vec![(0, step)]), "{text}");
    one("set work_mem = '5MB'", value("work_mem", "5MB"));
    one("SET SESSION Work_Mem TO 64", value("work_mem", "64"));
    one("set work_mem to -1 /* it is */", words("work_mem", "- 1"));
    one("set enable_seqscan = OFF", value("enable_seqscan", "off"));
    one("set application_name to E'it''s \\\\ me'", value("application_name", "it's \\ me"));
    one("set application_name to $$x$$", value("application_name", "x"));
    one("set search_path = A, \"B c\", 'd''e'", words("search_path", "a , \"B c\" , \"d'e\""));
    one("set search_path = E'a\\'\"'", words("search_path", "\"a'\"\"\""));
    one("set search_path = ''", words("search_path", " E''"));
    one("set schema 'x'", words("search_path", "\"x\""));
    one("set datestyle = SQL, DMY", words("datestyle", "sql , dmy"));
    one("set time zone 'UTC'", value("timezone", "UTC"));
    one("set time zone -3", words("timezone", "- 3"));
    one(
        "set time zone interval '-08:00' hour to minute",
        words("timezone", "interval  E'-08:00' hour to minute"),
    );
    one("set time zone local", Step::Reset((*b"timezone").into()));
    one("set names 'UTF8'", value("client_encoding", "UTF8"));
    one("set role x", value("role", "x"));
    one("set role none", value("role", "none"));
    one("set session authorization \"A b\"", value("session_authorization", "A b"));
    one("set app.tenant = '42'", value("app.tenant", "42"));
    one("reset Work_mem", Step::Reset((*b"work_mem").into()));
    one("reset all", Step::ResetAll);
    one("set work_mem to default", Step::Reset((*b"work_mem").into()));
    one("select set_config('a', 'b', false)", value("a", "b"));
    one("select set_config('a', null, false)", Step::Reset((*b"a").into()));
    one(
        "set session characteristics as transaction isolation level serializable",
        value("default_transaction_isolation", "serializable"),
    );
    one("rollback to a", Step::RollbackTo(Name::new(b"a")));
    one("listen News", Step::Listen(Name::new(b"news")));
    one("listen \"A b\"", Step::Listen(Name::new(b"A b")));
    one("unlisten a", Step::Unlisten(Name::new(b"a")));
    one("unlisten *", Step::UnlistenAll);
    let none: [&str; 7] = [
        "select 1",
        "set local a = 1",
        "select set_config('a', 'b', true)",
        "begin",
        "set transaction isolation level serializable",
        "set transaction_isolation = serializable",
        "show a",
    ];
    for text in none {
        assert_eq!(read(text), Some(vec![]), "{text}");
    }
    assert_eq!(
        read("begin; set a = 1; select 1; commit"),
        Some(vec![(1, value("a", "1")), (3, Step::Commit)])
    );
}

#[test]
fn what_cannot_be_followed_is_known() {
    for text in [
        "set seed = 0.5",
        "set idle_session_timeout = 1000",
        "set standard_conforming_strings = off",
        "set client_encoding = 'SJIS'",
        "set names 'Big5'",
        "set application_name = 'gr\u{fc}n'",
        "set a from current",
        "set a = U&'x'",
        "select set_config('a', $1, false)",
        "select set_config('a', 'b', $1)",
        "select set_config($1, 'b', false)",
        "listen \"gr\u{fc}n\"",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    for text in ["set standard_conforming_strings = on", "set names 'utf-8'", "set names latin1"] {
        assert!(read(text).is_some(), "{text}");
    }
}

#[test]
fn bound_values_are_read() {
    let body = |values: &[Option<&[u8]>]| {
        let mut body = b"\0\0\0\0".to_vec();
        body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            match value {
                Some(value) => {
                    body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(value);
                }
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
        }
        body
    };
    let check = |values: &[Option<&[u8]>], expected: Option<Vec<(usize, Step)>>| {
        let body = body(values);
        let values = BindValues::read(&body).unwrap();
        let read = steps(b"select set_config($1, $2, $3)", Some(&values));
        assert_eq!(read.map(|steps| steps.0), expected);
    };
    let set = vec![(0, value("a", "b"))];
    check(&[Some(b"A"), Some(b"b"), Some(b"false")], Some(set));
    check(&[Some(b"a"), Some(b"b"), Some(b"t")], Some(vec![]));
    let reset = vec![(0, Step::Reset((*b"a").into()))];
    check(&[Some(b"a"), None, Some(b"f")], Some(reset));
    check(&[None, Some(b"b"), Some(b"f")], None);
    check(&[Some(b"a"), Some(b"b"), None], None);
    check(&[Some(b"a"), Some(b"b")], None);
}

/// A session whose units are answered one after the other.
struct Session {
    changes: Changes,
    unit: u64,
}

impl Session {
    fn new(base: &[(&str, &str)]) -> Self {
        let base = set(base);
        let channels = Arc::default();
        let now = Sides::new(base.clone(), base.clone(), channels);
        Session { changes: Changes::new(base, Arc::default(), now), unit: 0 }
    }

    /// A text of which so many statements succeed, and what follows it.
    fn send(&mut self, text: &str, succeed: usize, tag: &str, status: TransactionStatus) {
        self.unit += 1;
        let steps = steps(text.as_bytes(), None).unwrap();
        self.changes.sending(steps, self.unit);
        let number = self.changes.take_number().unwrap();
        let count = text.split(';').count();
        assert!(self.changes.must_wait(self.unit + 1) && !self.changes.must_wait(self.unit));
        for _ in 0..succeed.min(count) {
            self.changes.succeeded(number, tag.as_bytes(), true);
        }
        self.changes.ready(self.unit, status, succeed < count);
        assert!(self.changes.is_done());
    }

    fn ok(&mut self, text: &str, status: TransactionStatus) {
        self.send(text, usize::MAX, "OK", status);
    }

    fn committed(&self, name: &str) -> Option<String> {
        let value = self.changes.committed().client.get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn now(&self, name: &str) -> Option<String> {
        let value = self.changes.now().client.get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

use TransactionStatus::{Failed, Idle, InTransaction};

#[test]
fn a_change_counts_when_its_transaction_has_committed() {
    let mut s = Session::new(&[]);
    s.ok("set a = 1", Idle);
    assert_eq!(s.committed("a").as_deref(), Some("1"));
    s.ok("begin; set a = 2", InTransaction);
    assert_eq!((s.committed("a").as_deref(), s.now("a").as_deref()), (Some("1"), Some("2")));
    s.ok("commit", Idle);
    assert_eq!(s.committed("a").as_deref(), Some("2"));
    s.ok("begin; set a = 3", InTransaction);
    s.ok("rollback", Idle);
    assert_eq!(s.committed("a").as_deref(), Some("2"));
    // One implicit transaction.
    s.send("set a = 4; select 1/0", 1, "SET", Idle);
    assert_eq!(s.committed("a").as_deref(), Some("2"));
    s.send("set a = 5; commit; set a = 6; select 1/0", 3, "COMMIT", Idle);
    assert_eq!(s.committed("a").as_deref(), Some("5"));
    s.ok("set a = 7; rollback; set b = 1", Idle);
    assert_eq!((s.committed("a").as_deref(), s.committed("b").as_deref()), (Some("5"), Some("1")));
}

#[test]
fn commit_of_a_failed_transaction_is_a_rollback() {
    let mut s = Session::new(&[]);
    s.ok("begin; set a = 1", InTransaction);
    s.send("set b = 1; select 1/0", 1, "SET", Failed);
    s.send("commit", 1, "ROLLBACK", Idle);
    assert_eq!((s.committed("a"), s.committed("b")), (None, None));
    // Its COMMIT was in a portal that nobody followed.
    s.ok("begin; set a = 1", InTransaction);
    s.send("select 1/0", 0, "", Failed);
    s.ok("select 1", Idle);
    assert_eq!(s.committed("a"), None);
}

#[test]
fn savepoints_are_gone_back_to() {
    let mut s = Session::new(&[]);
    s.ok(
        "begin; savepoint p; set a = 1; savepoint q; set a = 2; savepoint q; set a = 3",
        InTransaction,
    );
    s.ok("rollback to q", InTransaction);
    assert_eq!(s.now("a").as_deref(), Some("2"));
    s.ok("release q; rollback to q", InTransaction);
    assert_eq!(s.now("a").as_deref(), Some("1"));
    s.send("set a = 9; select 1/0", 1, "SET", Failed);
    s.ok("rollback to q; set b = 1", InTransaction);
    s.ok("commit", Idle);
    assert_eq!((s.committed("a").as_deref(), s.committed("b").as_deref()), (Some("1"), Some("1")));
    // One that stood before the first change, of which nothing is known here.
    s.ok("begin; set a = 5; savepoint x", InTransaction);
    s.ok("set a = 6; rollback to unknown", InTransaction);
    assert_eq!(s.now("a").as_deref(), Some("1"));
    s.ok("set a = 7; savepoint y; release unknown; set a = 8; rollback to unknown; commit", Idle);
    assert_eq!(s.committed("a").as_deref(), Some("1"));
}

#[test]
fn reset_goes_back_to_the_beginning_and_the_server_to_its_own() {
    let mut s = Session::new(&[("a", "1"), ("b", "2")]);
    s.ok("set a = 3; reset a", Idle);
    assert_eq!(s.committed("a").as_deref(), Some("1"));
    assert_eq!(s.changes.committed().server.get("a"), None);
    assert!(s.changes.catch_up(&Belt::default(), Upkeep::default()).is_some());
    s.changes.agree();
    s.ok("set c = 1; reset all", Idle);
    assert_eq!(*s.changes.committed().client, *set(&[("a", "1"), ("b", "2")]));
    assert!(s.changes.committed().server.is_empty());
}

#[test]
fn a_custom_parameter_stays_known() {
    let mut s = Session::new(&[]);
    s.ok("begin; set app.x = 1; rollback", Idle);
    assert_eq!(s.changes.committed().client.setting(b"app.x"), Some(&Setting::Unset));
    s.ok("set app.x = 2", Idle);
    assert_eq!(s.committed("app.x").as_deref(), Some("2"));
    s.ok("reset all", Idle);
    assert_eq!(s.changes.committed().server.setting(b"app.x"), Some(&Setting::Unset));
}

#[test]
fn another_session_user_ends_the_role() {
    let mut s = Session::new(&[]);
    s.ok("set role a; set session authorization b", Idle);
    assert_eq!(s.committed("role"), None);
    assert_eq!(s.committed("session_authorization").as_deref(), Some("b"));
    s.ok("set role c; reset all", Idle);
    assert_eq!(s.committed("role").as_deref(), Some("c"));
    s.ok("reset session authorization", Idle);
    assert!(s.changes.committed().client.is_empty());
}

#[test]
fn what_an_error_skipped_never_happened() {
    let mut s = Session::new(&[]);
    // A batch: two portals, the first fails; then another that succeeds.
    s.changes.sending(steps(b"set a = 1", None).unwrap(), 1);
    s.changes.take_number();
    s.changes.sending(steps(b"set b = 1", None).unwrap(), 1);
    s.changes.take_number();
    s.changes.sending(steps(b"set c = 1", None).unwrap(), 2);
    let third = s.changes.take_number().unwrap();
    s.changes.ready(1, Idle, true);
    assert!(!s.changes.is_done());
    s.changes.succeeded(third, b"SET\0", true);
    s.changes.ready(2, Idle, false);
    assert_eq!((s.committed("a"), s.committed("b")), (None, None));
    assert_eq!(s.committed("c").as_deref(), Some("1"));
}

/// What a transaction does, as Postgres has it: values with a stack for each savepoint.
#[derive(Default)]
struct Model {
    committed: Vec<Option<u8>>,
    now: Vec<Option<u8>>,
    savepoints: Vec<(u8, Vec<Option<u8>>)>,
    block: bool,
}

proptest! {
    #[test]
    fn as_a_model_of_postgres_has_it(ops in proptest::collection::vec((0..8_u8, 0..3_u8, 0..9_u8), 1..60)) {
        let mut s = Session::new(&[]);
        let none = vec![None; 3];
        let mut model = Model { committed: none.clone(), now: none, ..Model::default() };
        for (op, at, to) in ops {
            let name = [b'a' + at];
            let name = std::str::from_utf8(&name).unwrap();
            let (text, fails) = match op {
                0 | 1 => {
                    model.now[at as usize] = Some(to);
                    (format!("set {name} = {to}"), false)
                }
                2 => {
                    model.now[at as usize] = None;
                    (format!("reset {name}"), false)
                }
                3 if !model.block => {
                    model.block = true;
                    ("begin".to_owned(), false)
                }
                4 if model.block => {
                    model.savepoints.push((at, model.now.clone()));
                    (format!("savepoint {name}"), false)
                }
                5 | 6 if model.savepoints.iter().any(|(known, _)| *known == at) => {
                    let place = model.savepoints.iter().rposition(|(known, _)| *known == at).unwrap();
                    if op == 5 {
                        model.savepoints.truncate(place);
                        (format!("release {name}"), false)
                    } else {
                        model.savepoints.truncate(place + 1);
                        model.now = model.savepoints[place].1.clone();
                        (format!("rollback to {name}"), false)
                    }
                }
                7 if model.block => {
                    model.block = false;
                    model.savepoints.clear();
                    if to < 5 {
                        model.now = model.committed.clone();
                        ("rollback".to_owned(), false)
                    } else {
                        ("commit".to_owned(), false)
                    }
                }
                7 => (format!("set {name} = {to}; select 1/0"), true),
                _ => continue,
            };
            let status = if model.block { InTransaction } else { Idle };
            s.send(&text, if fails { 1 } else { usize::MAX }, "OK", status);
            if !model.block {
                model.committed = model.now.clone();
            }
            for at in 0..3 {
                let name = [b'a' + at];
                let name = std::str::from_utf8(&name).unwrap();
                let number = |value: Option<u8>| value.map(|value| value.to_string());
                prop_assert_eq!(s.now(name), number(model.now[at as usize]));
                prop_assert_eq!(s.committed(name), number(model.committed[at as usize]));
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(set|reset|select set_config\\(|rollback to) ?[a-z'\",.= $0-9;-]{0,30}") {
        let _ = steps(text.as_bytes(), None);
    }
}
