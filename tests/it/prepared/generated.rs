//! Random sequences of messages, straight to Postgres and through pgweir, while other clients use the
//! same servers for the same statements: the replies are equal.
//!
//! `$PGWEIR_SEQUENCES` says how many (400 unless set), `$PGWEIR_SEED` which.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::diff::{
    Await, Piece, Random, Script, ScriptLogin, Step, Target, Writing, play,
};
use crate::harness::front::{client, login, pool_of, shop};
use crate::harness::message;
use crate::harness::raw::RawClient;

const NAMES: [&str; 3] = ["a", "b", ""];
const PORTALS: [&str; 3] = ["", "p", "q"];

/// Statements good and bad, with and without a parameter.
const STATEMENTS: [&str; 18] = [
    "select 1 as one",
    "select $1::int4 as v",
    "select $1::text || '!' as t",
    "select * from numbers",
    "select word from numbers where n = $1",
    "select n, word from numbers order by n",
    "insert into sink values (1)",
    "selec 1",
    "select * from missing",
    "select 1/(n - 2) from numbers order by n",
    "begin",
    "commit",
    "rollback",
    "",
    "select 1; select 2",
    "copy numbers to stdout",
    "copy sink from stdin",
    "select timestamptz '2020-01-01 00:00'",
];

const QUERIES: [&str; 20] = [
    "begin",
    "begin",
    "commit",
    "rollback",
    "select 2",
    "select 1/0",
    "deallocate a",
    "deallocate b",
    "deallocate all",
    "prepare a as select 11",
    "prepare b as select n from numbers",
    "execute a",
    "execute b",
    "discard all",
    "begin; select 1/0",
    "select 1; deallocate a",
    "deallocate a; deallocate b",
    "savepoint s",
    "rollback to s",
    "",
];

/// What may be prepared as the unnamed statement besides.
const BY_NAME: [&str; 5] =
    ["deallocate a", "deallocate all", "execute a", "prepare b as select 12", "discard all"];

/// A sequence of messages, with its words.
struct Maker {
    random: Random,
    words: String,
    steps: Vec<Step>,
    bytes: Vec<Piece>,
    /// ReadyForQuery that are to come.
    due: usize,
}

impl Maker {
    fn script(seed: u64) -> Script {
        let mut maker = Self {
            random: Random::new(seed),
            words: String::new(),
            steps: Vec::new(),
            bytes: Vec::new(),
            due: 0,
        };
        if maker.random.below(4) == 0 {
            maker.in_one_go();
        } else {
            maker.in_batches();
        }
        Script {
            name: format!("{seed}:{}", maker.words),
            login: ScriptLogin::Plain,
            setup: Vec::new(),
            steps: maker.steps,
        }
    }

    fn push(&mut self, words: &str, bytes: Vec<u8>) {
        let _ = write!(self.words, " [{words}]");
        self.bytes.push(Piece::Bytes(bytes));
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.below(of.len())]
    }

    /// Batches that end with Sync, and Queries between them; what came is read now and then.
    fn in_batches(&mut self) {
        let mut left = 2 + self.random.below(7);
        while left > 0 {
            if self.random.below(3) == 0 {
                let text = self.one_of(&QUERIES);
                self.push(&format!("Q {text:?}"), message::query(text));
                left -= 1;
            } else {
                let len = (1 + self.random.below(6)).min(left);
                for _ in 0..len {
                    self.extended();
                }
                left -= len;
                self.push("S", message::sync());
            }
            self.due += 1;
            match self.random.below(3) {
                0 => {}
                1 => self.write(None),
                _ => {
                    let due = std::mem::take(&mut self.due);
                    self.write(Some(Await::Ready(due)));
                }
            }
        }
        let due = std::mem::take(&mut self.due);
        self.write((due > 0).then_some(Await::Ready(due)));
    }

    /// Anything behind anything, in one write; read to the end of the session.
    fn in_one_go(&mut self) {
        for _ in 0..2 + self.random.below(7) {
            match self.random.below(8) {
                0 => {
                    let text = self.one_of(&QUERIES);
                    self.push(&format!("Q {text:?}"), message::query(text));
                }
                1 => self.push("S", message::sync()),
                _ => self.extended(),
            }
        }
        self.push("S", message::sync());
        self.push("X", message::terminate());
        self.write(Some(Await::Closed));
    }

    fn write(&mut self, wait: Option<Await>) {
        let bytes = std::mem::take(&mut self.bytes);
        self.words.push_str(if wait.is_some() { " --" } else { " |" });
        self.steps.push(Step::Write(bytes));
        self.steps.extend(wait.map(Step::Await));
    }

    fn extended(&mut self) {
        let (name, portal) = (self.one_of(&NAMES), self.one_of(&PORTALS));
        match self.random.below(12) {
            0..3 => {
                let text = match name {
                    "" if self.random.below(3) == 0 => self.one_of(&BY_NAME),
                    _ => self.one_of(&STATEMENTS),
                };
                self.push(&format!("P {name:?} {text:?}"), message::parse(name, text, &[]));
            }
            3..6 => {
                let value: &[Option<&[u8]>] =
                    if self.random.below(3) == 0 { &[Some(b"2")] } else { &[] };
                let words = format!("B {portal:?} {name:?} {}", value.len());
                self.push(&words, message::bind(portal, name, value));
            }
            6 => self.push(&format!("D S {name:?}"), message::describe(b'S', name)),
            7 => self.push(&format!("D P {portal:?}"), message::describe(b'P', portal)),
            8..10 => {
                let most = i32::from(self.random.below(3) == 0);
                let words = format!("E {portal:?} {most}");
                self.push(&words, message::execute(portal, most));
                // For a COPY that may have begun; ignored otherwise.
                self.push("c", message::copy_done());
            }
            10 if self.random.below(3) == 0 => self.push("H", message::flush()),
            10 => self.push(&format!("C P {portal:?}"), message::close(b'P', portal)),
            _ => self.push(&format!("C S {name:?}"), message::close(b'S', name)),
        }
    }
}

/// Uses the same names for any of the statements, and asks now and then.
fn neighbour(client: &mut RawClient, random: &mut Random) {
    let name = NAMES[random.below(2)];
    let text = STATEMENTS[random.below(10)];
    let mut bytes = message::close(b'S', name);
    bytes.extend(message::parse(name, text, &[]));
    if text.contains('$') {
        bytes.extend(message::bind("", name, &[Some(b"1")]));
    } else {
        bytes.extend(message::bind("", name, &[]));
    }
    if random.below(2) == 0 {
        bytes.extend(message::describe(b'P', ""));
    }
    bytes.extend(message::execute("", 0));
    bytes.extend(message::sync());
    client.send(&bytes).unwrap();
    client.until_ready();
}

#[test]
fn random_sequences_are_answered_as_by_postgres() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let count = number("PGWEIR_SEQUENCES").unwrap_or(400);
    let first = number("PGWEIR_SEED").unwrap_or(1) as u64;
    let cluster = shop();
    let primary = cluster.primary();
    let mut sql = primary.open_sql("shop").unwrap();
    sql.run("create table numbers (n int, word text); create table sink (n int)").unwrap();
    sql.run("insert into numbers values (1, 'one'), (2, 'two'), (3, 'three')").unwrap();
    let pgweir =
        pool_of(2, primary.address()).set("defaults", "max_prepared_statements = 12").start();
    let direct = Target::new("Postgres", primary.address(), login());
    let through = Target::new("pgweir", pgweir.address(), login());
    let next = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..3 {
            let (pgweir, done) = (&pgweir, &done);
            scope.spawn(move || {
                let (mut client, mut random) = (client(pgweir), Random::new(n));
                while !done.load(Ordering::Relaxed) {
                    neighbour(&mut client, &mut random);
                }
            });
        }
        let players: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut aside = primary.open_sql("shop").unwrap();
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count || differences.lock().unwrap().len() >= 20 {
                            return;
                        }
                        let seed = first + n as u64;
                        let script = Maker::script(seed);
                        let mut random = Random::new(seed ^ 0x5eed);
                        let writing = match n % 3 {
                            0 => Writing::Split(&mut random),
                            _ => Writing::Whole,
                        };
                        let expected = play(&script, &direct, Writing::Whole, &mut aside);
                        let got = play(&script, &through, writing, &mut aside);
                        if expected != got {
                            let told = format!(
                                "{}\n  Postgres:\n    {}\n  pgweir:\n    {}",
                                script.name,
                                expected.unwrap_or_else(|e| vec![e]).join("\n    "),
                                got.unwrap_or_else(|e| vec![e]).join("\n    ")
                            );
                            differences.lock().unwrap().push(told);
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = players.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a player broke");
    });
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
