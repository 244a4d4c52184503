//! Other clients of the databases that Django's tests run in. Their sessions are set up in a way in which hardly any
//! test passes, and they take servers all the time: what pgweir let through from one session to another would show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{PASSWORD, ROLE};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Address, Login, RawClient, Reply};

/// How many for each database: more than it has servers. pgweir gives a session back the server that it fits, so with
/// fewer each would soon have one of its own.
const EACH: usize = 4;
/// Between two of a neighbour's turns, and between its attempts to come in.
const PAUSE: Duration = Duration::from_millis(15);
/// A visit ends after so many turns, with something left behind on the server.
const TURNS: usize = 25;

const MOVE_IN: &str = "SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'German'; SET search_path = pg_catalog; \
    SET default_transaction_read_only = on; SET default_transaction_isolation = 'serializable'; \
    SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape'; SET lock_timeout = '1ms'; \
    SET ROLE pg_read_all_settings";
const TURN: [&str; 3] = [
    "BEGIN",
    "SELECT concat_ws(' ', current_setting('TimeZone'), current_setting('default_transaction_read_only'), \
     current_user), pg_backend_pid() FROM pg_sleep(0.01)",
    "COMMIT",
];
const EXPECTED: &str = "Asia/Kathmandu on pg_read_all_settings";
/// What a read-only session of that role may not do.
const UNLOCK: &str = "SET default_transaction_read_only = off; RESET ROLE";
/// State of the server itself, some of it with names that Django uses.
const MOVE_OUT: &str = "CREATE TEMP TABLE django_content_type (); CREATE TEMP TABLE auth_user (); \
    PREPARE _pg3_0 AS SELECT 1; DECLARE held CURSOR WITH HOLD FOR SELECT 1; SELECT pg_advisory_lock(1)";

/// They live until [`Neighbours::leave`].
#[derive(Debug)]
pub struct Neighbours {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Diary>>,
}

/// What one of them did.
#[derive(Debug, Default)]
struct Diary {
    visits: usize,
    turns: usize,
    /// Turns on another server than the one before.
    moves: usize,
    /// Errors by their text: a database that is being dropped, or is not there.
    errors: BTreeMap<String, usize>,
    /// Another's state, seen as its own.
    wrong: Vec<String>,
}

impl Neighbours {
    /// Through this pgweir, in each of these databases as soon as it is there.
    pub fn move_in(pgweir: &Pgweir, databases: &[String]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let each = databases.iter().flat_map(|database| std::iter::repeat_n(database, EACH));
        let live = |database: &String| {
            let (address, over) = (pgweir.address(), over.clone());
            let login = Login::new(ROLE, database).password(PASSWORD);
            thread::spawn(move || live(&address, &login, &over))
        };
        let threads = each.map(live).collect();
        Self { over, threads }
    }

    /// Sends them away; what they did. Panics when one saw what was not its own.
    pub fn leave(self) -> String {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Diary::default();
        for thread in self.threads {
            let diary = thread.join().unwrap();
            all.visits += diary.visits;
            all.turns += diary.turns;
            all.moves += diary.moves;
            all.wrong.extend(diary.wrong);
            for (text, count) in diary.errors {
                *all.errors.entry(text).or_default() += count;
            }
        }
        assert!(all.wrong.is_empty(), "neighbours saw what was not theirs: {:?}", all.wrong);
        // Otherwise nothing was shared, and nothing could have shown.
        assert!(
            all.turns > 100 && all.moves > all.turns / 10,
            "hardly any neighbour moved: {all:?}"
        );
        let errors = all.errors.iter().map(|(text, count)| format!("\n  {count} x {text}"));
        let Diary { visits, turns, moves, .. } = all;
        format!(
            "neighbours: {turns} turns in {visits} visits, {moves} on another server than the last{}",
            errors.collect::<String>()
        )
    }
}

fn live(address: &Address, login: &Login, over: &AtomicBool) -> Diary {
    let mut diary = Diary::default();
    while !over.load(Ordering::Relaxed) {
        let visit = visit(address, login, over, &mut diary);
        if let Err(text) = visit {
            *diary.errors.entry(text).or_default() += 1;
        }
        thread::sleep(PAUSE);
    }
    diary
}

fn visit(
    address: &Address,
    login: &Login,
    over: &AtomicBool,
    diary: &mut Diary,
) -> Result<(), String> {
    let (mut client, frames) =
        RawClient::try_login(address, login).map_err(|error| error.to_string())?;
    whole(&frames)?;
    ask(&mut client, MOVE_IN)?;
    diary.visits += 1;
    let mut server = None;
    for _ in 0..TURNS {
        for sql in TURN {
            let frames = ask(&mut client, sql)?;
            let Some(row) = frames.iter().find(|frame| frame.tag == b'D') else { continue };
            let mut seen = row.texts().into_iter();
            diary.wrong.extend(seen.next().filter(|seen| seen != EXPECTED));
            let before = std::mem::replace(&mut server, seen.next());
            diary.moves += usize::from(before.is_some() && before != server);
        }
        diary.turns += 1;
        if over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(PAUSE);
    }
    ask(&mut client, UNLOCK)?;
    ask(&mut client, MOVE_OUT).map(drop)
}

fn ask(client: &mut RawClient, sql: &str) -> Result<Vec<Frame>, String> {
    client.send(&message::query(sql)).map_err(|error| error.to_string())?;
    let mut frames = Vec::new();
    while let Reply::Frame(frame) = client.reply().map_err(|error| error.to_string())? {
        let last = frame.tag == b'Z';
        frames.push(frame);
        if last {
            break;
        }
    }
    whole(&frames)?;
    Ok(frames)
}

/// Whether an answer ended with ReadyForQuery and without an error.
fn whole(frames: &[Frame]) -> Result<(), String> {
    if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
        let text = [error.sqlstate(), error.field(b'M')].map(Option::unwrap_or_default).join(" ");
        return Err(text);
    }
    let ready = frames.last().is_some_and(|frame| frame.tag == b'Z');
    if ready { Ok(()) } else { Err("closed".to_owned()) }
}
