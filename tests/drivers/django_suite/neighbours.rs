//! Other clients of the databases that Django's tests run in. Their sessions are set up in a way in which hardly any
//! test passes, each in a way of its own, and they take servers all the time: what pgweir let through from one session
//! to another would show, to Django or to them.

mod own;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{PASSWORD, ROLE};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Address, Login, RawClient, Reply};
use own::{Belonging, KINDS, Own};

/// How many for each database: more than it has servers. pgweir gives a session back the server that it fits, so with
/// fewer each would soon have one of its own.
const EACH: usize = KINDS;
/// Between two of a neighbour's turns, and between its visits.
const PAUSE: Duration = Duration::from_millis(15);
/// Between its attempts to come in, each of which costs a login.
const KNOCKING_PAUSE: Duration = Duration::from_millis(200);
/// So many turns for each thing that keeps a server: in some of them the neighbour has it, few enough that Django need
/// not wait for long. Then its visit ends, with something left behind on the server.
const TURNS: usize = 20;
const HAS: Range<usize> = 10..14;

/// What nobody need wonder about, by its SQLSTATE: a database that is being dropped, copied, or is not there; tests
/// that keep all servers for long; and what comes of `lock_timeout` and of serializable transactions.
const ORDINARY: [&str; 7] = ["3D000", "57P01", "57P03", "08006", "53300", "55P03", "40001"];

/// They live until [`Neighbours::leave`].
#[derive(Debug)]
pub struct Neighbours {
    over: Arc<AtomicBool>,
    diary: Arc<Mutex<Diary>>,
    threads: Vec<JoinHandle<()>>,
}

/// What they did.
#[derive(Debug, Default)]
pub struct Diary {
    visits: usize,
    turns: usize,
    /// Turns on another server than the one before.
    moves: usize,
    /// Ordinary errors by their text.
    errors: BTreeMap<String, usize>,
    /// What was not as it should be, by what it was about: how often, and how it was for the first time.
    wrong: BTreeMap<String, (usize, String)>,
}

impl Neighbours {
    /// Through this pgweir, in each of these databases as soon as it is there.
    pub fn move_in(pgweir: &Pgweir, databases: &[String]) -> Self {
        let (over, diary) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Diary>>::default());
        let each =
            databases.iter().flat_map(|database| (0..EACH).map(move |kind| (database, kind)));
        let live = |(database, kind): (&String, usize)| {
            let neighbour = Neighbour {
                address: pgweir.address(),
                login: Login::new(ROLE, database).password(PASSWORD),
                kind,
                over: over.clone(),
                diary: diary.clone(),
            };
            thread::spawn(move || neighbour.live())
        };
        let threads = each.map(live).collect();
        Self { over, diary, threads }
    }

    /// How often one of them has come.
    fn visits(&self) -> usize {
        lock(&self.diary).visits
    }

    /// Whether one of them has seen something wrong about this.
    fn has_complained_of(&self, aspect: &str) -> bool {
        lock(&self.diary).wrong.contains_key(aspect)
    }

    /// Sends them away; what they did.
    pub fn leave(self) -> Diary {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut lock(&self.diary))
    }
}

impl Diary {
    /// What speaks against pgweir, or against this test.
    pub fn complaints(&self) -> Vec<String> {
        let wrong = self.wrong.iter().map(|(aspect, (count, first))| {
            format!("neighbours, {count} x {aspect}, at first: {first}")
        });
        let mut complaints: Vec<String> = wrong.collect();
        if self.turns <= 100 || self.moves <= self.turns / 10 {
            // Nothing was shared, and nothing could have shown.
            complaints.push(format!("hardly any neighbour moved: {self}"));
        }
        complaints
    }

    fn wrong(&mut self, aspect: &str, how: impl FnOnce() -> String) {
        let (count, _) = self.wrong.entry(aspect.to_owned()).or_insert_with(|| (0, how()));
        *count += 1;
    }
}

impl fmt::Display for Diary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { visits, turns, moves, errors, wrong } = self;
        write!(
            f,
            "neighbours: {turns} turns in {visits} visits, {moves} on another server than the last, "
        )?;
        write!(f, "{} kinds of complaints", wrong.len())?;
        errors.iter().try_for_each(|(text, count)| write!(f, "\n  {count} x {text}"))
    }
}

fn lock(diary: &Mutex<Diary>) -> std::sync::MutexGuard<'_, Diary> {
    diary.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of them.
struct Neighbour {
    address: Address,
    login: Login,
    kind: usize,
    over: Arc<AtomicBool>,
    diary: Arc<Mutex<Diary>>,
}

/// Why a visit ended early.
struct Trouble {
    sqlstate: String,
    text: String,
}

impl Neighbour {
    fn live(&self) {
        for number in 0.. {
            if self.is_over() {
                return;
            }
            if let Err(Trouble { sqlstate, text }) = self.visit(number) {
                let mut diary = lock(&self.diary);
                if sqlstate.is_empty() || ORDINARY.contains(&sqlstate.as_str()) {
                    *diary.errors.entry(text).or_default() += 1;
                } else {
                    diary.wrong(&format!("error {sqlstate}"), || text);
                }
                drop(diary);
                thread::sleep(KNOCKING_PAUSE);
            }
            thread::sleep(PAUSE);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn visit(&self, number: usize) -> Result<(), Trouble> {
        let (mut client, frames) =
            RawClient::try_login(&self.address, &self.login).map_err(lost)?;
        whole("login", &frames)?;
        let own = Own::new(&self.login.database, self.kind, number);
        ask_all(&mut client, &own.moves_in())?;
        lock(&self.diary).visits += 1;
        let (look, mut server) = (Own::look(), None);
        for (belonging, turn) in
            Belonging::ALL.into_iter().flat_map(|one| (0..TURNS).map(move |turn| (one, turn)))
        {
            let has = HAS.contains(&turn).then_some(belonging);
            if turn == HAS.start {
                ask_all(&mut client, &own.takes(belonging))?;
            }
            if turn == HAS.end {
                ask_all(&mut client, &own.gives_up(belonging))?;
            }
            ask(&mut client, "BEGIN")?;
            let frames = ask(&mut client, &look)?;
            ask(&mut client, "COMMIT")?;
            self.compare(&own.sees(has), &frames, &mut server);
            self.expect(&mut client, "a statement's name", own.asks_by_name())?;
            if let Some(belonging) = has {
                let used = own.uses(belonging, turn - HAS.start);
                self.expect(&mut client, belonging.aspect(), used)?;
            }
            if self.is_over() {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        ask_all(&mut client, &own.leaves_behind())
    }

    /// Writes down what of a look is not as it should be, and whether it was on another server than the last.
    fn compare(
        &self,
        expected: &[(&'static str, String)],
        frames: &[Frame],
        server: &mut Option<String>,
    ) {
        let mut diary = lock(&self.diary);
        let Some(mut seen) = frames.iter().find(|frame| frame.tag == b'D').map(Frame::texts) else {
            return diary.wrong("an answer", || format!("no row: {frames:?}"));
        };
        let now_on = seen.pop();
        let before = std::mem::replace(server, now_on);
        diary.turns += 1;
        diary.moves += usize::from(before.is_some() && before != *server);
        for ((aspect, expected), seen) in expected.iter().zip(&seen) {
            if seen != expected {
                diary.wrong(aspect, || format!("{seen:?} instead of {expected:?}"));
            }
        }
    }

    /// Asks for one row, which must be this one.
    fn expect(
        &self,
        client: &mut RawClient,
        aspect: &str,
        (sql, expected): (String, String),
    ) -> Result<(), Trouble> {
        let answer = ask(client, &sql);
        if let Err(Trouble { sqlstate, text }) = &answer
            && !ORDINARY.contains(&sqlstate.as_str())
            && !sqlstate.is_empty()
        {
            lock(&self.diary).wrong(aspect, || text.clone());
        }
        let rows: Vec<_> = answer?
            .iter()
            .filter(|frame| frame.tag == b'D')
            .map(|row| row.texts().join("|"))
            .collect();
        if rows != [expected.clone()] {
            lock(&self.diary).wrong(aspect, || format!("{sql}: {rows:?} instead of {expected:?}"));
        }
        Ok(())
    }
}

fn ask_all(client: &mut RawClient, texts: &[String]) -> Result<(), Trouble> {
    texts.iter().try_for_each(|sql| ask(client, sql).map(drop))
}

fn ask(client: &mut RawClient, sql: &str) -> Result<Vec<Frame>, Trouble> {
    client.send(&message::query(sql)).map_err(lost)?;
    let mut frames = Vec::new();
    while let Reply::Frame(frame) = client.reply().map_err(lost)? {
        let last = frame.tag == b'Z';
        frames.push(frame);
        if last {
            break;
        }
    }
    whole(sql, &frames)?;
    Ok(frames)
}

fn lost(error: impl fmt::Display) -> Trouble {
    Trouble { sqlstate: String::new(), text: error.to_string() }
}

/// Whether an answer ended with ReadyForQuery and without an error.
fn whole(sql: &str, frames: &[Frame]) -> Result<(), Trouble> {
    if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
        let [sqlstate, words] =
            [error.sqlstate(), error.field(b'M')].map(Option::unwrap_or_default);
        let first = sql.split_whitespace().next().unwrap_or_default();
        return Err(Trouble { text: format!("{first}: {sqlstate} {words}"), sqlstate });
    }
    let ready = frames.last().is_some_and(|frame| frame.tag == b'Z');
    if ready { Ok(()) } else { Err(lost("closed")) }
}

/// Neighbours alone, with so many servers that they share them.
mod proofs {
    use std::time::Instant;

    use pgweir::cluster::Cluster;

    use super::super::{PASSWORD, ROLE, SERVERS};
    use super::own::Belonging;
    use super::{KINDS, Neighbours};
    use crate::harness::await_event::{secs, wait_until};
    use crate::harness::pgweir_process::Pgweir;

    fn stage(session_state: &str) -> (Cluster, Pgweir, Neighbours) {
        let cluster = Cluster::options().role(ROLE, PASSWORD).database("shop").start().unwrap();
        let primary = cluster.primary();
        primary.sql("postgres", &format!("ALTER ROLE {ROLE} SUPERUSER")).unwrap();
        let pgweir = Pgweir::options()
            .database("*", &format!("postgres://{}?sslmode=disable", primary.address()))
            .role(ROLE, PASSWORD)
            .set("server", "workers = 2")
            .set("defaults", &format!("pool_mode = \"transaction\"\npool_size = {SERVERS}"))
            .set("defaults", &format!("reserve_pool_size = 0\nsession_state = \"{session_state}\""))
            .start();
        let neighbours = Neighbours::move_in(&pgweir, &["shop".to_owned()]);
        (cluster, pgweir, neighbours)
    }

    #[test]
    fn neighbours_have_nothing_to_complain_of() {
        let (_cluster, _pgweir, neighbours) = stage("track");
        // Each has had everything, and has come after others who left it behind.
        wait_until("visits", secs(120), || neighbours.visits() > 3 * KINDS);
        let diary = neighbours.leave();
        assert!(diary.complaints().is_empty(), "{:#?}", diary.complaints());
    }

    #[test]
    fn neighbours_complain_where_what_they_have_does_not_keep_its_server() {
        let mut unseen = Belonging::ALL.map(Belonging::aspect).to_vec();
        // What one has left behind may fail all the others at their first steps: then new ones move in.
        for _ in 0..10 {
            let (_cluster, _pgweir, neighbours) = stage("ignore");
            let until = Instant::now() + secs(12);
            wait_until("complaints", secs(60), || {
                unseen.retain(|aspect| !neighbours.has_complained_of(aspect));
                unseen.is_empty() || Instant::now() > until
            });
            assert!(!neighbours.leave().complaints().is_empty());
            if unseen.is_empty() {
                return;
            }
        }
        panic!("nobody has complained of {unseen:?}");
    }
}
