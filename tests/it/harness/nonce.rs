//! NONCE: thousands of clients, each of whose questions carries `client:sequence`, and each of whose
//! answers must carry it back.
//!
//! Clients are tasks on a small runtime, so that thousands fit. They ask by simple and by
//! unnamed extended queries; some may be killed at random, at any byte of a request.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, Semaphore};
use tokio::time::timeout;

use super::diff::Random;
use super::frame::Frame;
use super::message;
use super::raw::{Answers, Login};

/// What is asked of the clients; ends with [`Nonce::run`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Nonce {
    address: SocketAddr,
    login: Login,
    clients: usize,
    rounds: usize,
    rows: usize,
    asks: Asks,
    kills_in_thousand: usize,
    logins_at_once: usize,
    together: bool,
    limit: Duration,
    seed: u64,
}

/// How clients ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// By Query.
    Simple,
    /// By unnamed Parse, Bind, Execute, Sync.
    Extended,
    /// Either, by chance.
    Both,
    /// By Query, unnamed, by a named statement, in a transaction, in a pipeline: by chance.
    Every,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers that carried their nonce in every row.
    pub ok: u64,
    /// Answers that carried another nonce, or too few or too many rows. None may be.
    pub foreign: u64,
    /// ErrorResponses by SQLSTATE.
    pub errors: BTreeMap<String, u64>,
    /// Connections that failed, closed or fell silent, by what was seen.
    pub lost: BTreeMap<String, u64>,
    /// Clients that were killed on purpose, and came back.
    pub killed: u64,
    /// The first foreign answers, in words.
    pub examples: Vec<String>,
    /// When each question was sent and when the server ran it, in microseconds since 1970.
    pub times: Vec<(u64, u64)>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.foreign += other.foreign;
        self.killed += other.killed;
        self.times.extend(other.times);
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        for (what, count) in other.lost {
            *self.lost.entry(what).or_default() += count;
        }
        self.examples.extend(other.examples);
        self.examples.truncate(10);
    }

    /// Panics unless every answer was its client's own and nothing else happened.
    pub fn assert_all_ok(&self, expected: u64) {
        let clean = self.foreign == 0 && self.errors.is_empty() && self.lost.is_empty();
        assert!(clean && self.ok == expected, "expected {expected} answers: {self:#?}");
    }

    /// How much later than a client that was still waiting another one asked that was served before
    /// it, at most, in microseconds.
    pub fn overtaken_us(&self) -> u64 {
        let mut by_run = self.times.clone();
        by_run.sort_unstable_by_key(|(_, ran)| *ran);
        let (mut latest, mut most) = (0_u64, 0);
        for (sent, _) in by_run {
            most = most.max(latest.saturating_sub(sent));
            latest = latest.max(sent);
        }
        most
    }

    /// Panics when a client got another's answer.
    pub fn assert_none_foreign(&self) {
        assert_eq!(self.foreign, 0, "{self:#?}");
    }
}

impl Nonce {
    /// 10 clients of 10 rounds; the seed is `$PGWEIR_SEED` or 1.
    pub fn new(address: SocketAddr, login: Login) -> Self {
        let seed = std::env::var("PGWEIR_SEED").ok().and_then(|text| text.parse().ok());
        Self {
            address,
            login,
            clients: 10,
            rounds: 10,
            rows: 3,
            asks: Asks::Both,
            kills_in_thousand: 0,
            logins_at_once: 50,
            together: false,
            limit: Duration::from_secs(60),
            seed: seed.unwrap_or(1),
        }
    }

    /// How many clients, all connected at once.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// How many questions each asks.
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// At most so many rows an answer; 3 unless set.
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// How they ask.
    pub fn asks(mut self, asks: Asks) -> Self {
        self.asks = asks;
        self
    }

    /// In so many of a thousand rounds the client dies amid its request, and comes back.
    pub fn kills_in_thousand(mut self, kills: usize) -> Self {
        self.kills_in_thousand = kills;
        self
    }

    /// How many log in at the same time; 50 unless set.
    pub fn logins_at_once(mut self, logins: usize) -> Self {
        self.logins_at_once = logins;
        self
    }

    /// Nobody asks before all have logged in.
    pub fn together(mut self) -> Self {
        self.together = true;
        self
    }

    /// How long a login or an answer may take; a minute unless set.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Another course of chance.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs all clients to their end.
    pub fn run(self) -> Counts {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let plan = Arc::new(self);
            let here = Arc::new(Barrier::new(plan.clients));
            let logins = Arc::new(Semaphore::new(plan.logins_at_once));
            let tasks: Vec<_> = (0..plan.clients)
                .map(|number| {
                    let client = Client::new(number, plan.clone(), logins.clone(), here.clone());
                    tokio::spawn(client.run())
                })
                .collect();
            let mut counts = Counts::default();
            for task in tasks {
                counts.add(task.await.expect("a client's task"));
            }
            counts
        })
    }
}

struct Client {
    number: usize,
    plan: Arc<Nonce>,
    logins: Arc<Semaphore>,
    /// Where those who are to begin together wait for each other.
    here: Arc<Barrier>,
    random: Random,
    counts: Counts,
}

/// An answer to one question.
enum Answer {
    /// And when the question was sent.
    Rows(Vec<(String, u64)>, u64),
    Error(String),
}

impl Client {
    fn new(number: usize, plan: Arc<Nonce>, logins: Arc<Semaphore>, here: Arc<Barrier>) -> Self {
        let random = Random::new(plan.seed.wrapping_mul(1_000_003) ^ number as u64);
        Self { number, plan, logins, here, random, counts: Counts::default() }
    }

    async fn run(mut self) -> Counts {
        let mut link: Option<Link> = None;
        if self.plan.together {
            link = self.login().await;
            self.here.wait().await;
        }
        for sequence in 0..self.plan.rounds {
            if link.is_none() {
                link = self.login().await;
            }
            let Some(open) = link.as_mut() else { continue };
            let nonce = format!("{}:{sequence}", self.number);
            let rows = 1 + self.random.below(self.plan.rows);
            let (request, ends) = self.request(&nonce, rows, &mut open.named);
            if self.random.below(1000) < self.plan.kills_in_thousand {
                self.die(link.take(), &request).await;
                continue;
            }
            let limit = self.plan.limit;
            match timeout(limit, open.ask(&request, ends)).await {
                Ok(Ok(Answer::Rows(got, sent))) => self.judge(&nonce, rows, &got, sent),
                Ok(Ok(Answer::Error(code))) => {
                    *self.counts.errors.entry(code).or_default() += 1;
                }
                Ok(Err(error)) => {
                    self.lost(&format!("{:?}", error.kind()));
                    link = None;
                }
                Err(_) => {
                    self.lost("silence");
                    link = None;
                }
            }
        }
        if let Some(mut open) = link {
            let _ = open.stream.write_all(&message::terminate()).await;
        }
        self.counts
    }

    async fn login(&mut self) -> Option<Link> {
        let permit = self.logins.clone().acquire_owned().await.ok()?;
        let login = timeout(self.plan.limit, Link::login(self.plan.address, &self.plan.login));
        let outcome = login.await;
        drop(permit);
        match outcome {
            Ok(Ok(Ok(link))) => return Some(link),
            Ok(Ok(Err(code))) => *self.counts.errors.entry(code).or_default() += 1,
            Ok(Err(error)) => self.lost(&format!("login: {:?}", error.kind())),
            Err(_) => self.lost("login: silence"),
        }
        None
    }

    /// The bytes of a question, and with how many ReadyForQuery its answer ends.
    fn request(
        &mut self,
        nonce: &str,
        rows: usize,
        named: &mut BTreeSet<usize>,
    ) -> (Vec<u8>, usize) {
        let now = "(extract(epoch from clock_timestamp()) * 1e6)::bigint";
        let simple = format!("select '{nonce}' as nonce, {now} from generate_series(1, {rows})");
        let sql = format!("select $1::text as nonce, {now} from generate_series(1, {rows})");
        let value = [Some(nonce.as_bytes())];
        let unnamed = || {
            let (parse, bind) = (message::parse("", &sql, &[]), message::bind("", "", &value));
            [parse, bind, message::execute("", 0), message::sync()].concat()
        };
        let way = match self.plan.asks {
            Asks::Simple => 0,
            Asks::Extended => 1,
            Asks::Both => self.random.below(2),
            Asks::Every => self.random.below(5),
        };
        match way {
            0 => (message::query(simple), 1),
            1 => (unnamed(), 1),
            2 => {
                // Everybody has these names, and each name another text with each client.
                let name = format!("rows_{rows}");
                let text = format!("{sql} -- {}", self.number % 50);
                let mut bytes = Vec::new();
                if named.insert(rows) {
                    bytes.extend(message::parse(&name, text, &[]));
                }
                bytes.extend(message::bind("", &name, &value));
                bytes.extend([message::execute("", 0), message::sync()].concat());
                (bytes, 1)
            }
            3 => {
                let texts = ["begin", &simple, "commit"];
                (texts.iter().flat_map(message::query).collect(), 3)
            }
            _ => {
                let nothing = message::parse("", "select from pg_class where false", &[]);
                let nothing =
                    [nothing, message::bind("", "", &[]), message::execute("", 0), message::sync()];
                ([unnamed(), nothing.concat()].concat(), 2)
            }
        }
    }

    /// Sends some of the request, from nothing to all, and vanishes, by FIN or by RST.
    async fn die(&mut self, link: Option<Link>, request: &[u8]) {
        let Some(mut link) = link else { return };
        let sent = self.random.below(request.len() + 1);
        let _ = link.stream.write_all(&request[..sent]).await;
        if self.random.below(2) == 0 {
            let _ = SockRef::from(&link.stream).set_linger(Some(Duration::ZERO));
        }
        self.counts.killed += 1;
    }

    fn judge(&mut self, nonce: &str, rows: usize, got: &[(String, u64)], sent: u64) {
        if got.len() == rows && got.iter().all(|(value, _)| value == nonce) {
            self.counts.ok += 1;
            self.counts.times.extend(got.first().map(|(_, ran)| (sent, *ran)));
            return;
        }
        self.counts.foreign += 1;
        self.counts.examples.push(format!("{nonce} in {rows} rows was answered by {got:?}"));
    }

    fn lost(&mut self, what: &str) {
        *self.counts.lost.entry(what.to_owned()).or_default() += 1;
    }
}

/// A connection within the runtime.
struct Link {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Statements that have a name.
    named: BTreeSet<usize>,
}

impl Link {
    /// The outer error is the connection's, the inner one the server's SQLSTATE.
    async fn login(address: SocketAddr, login: &Login) -> io::Result<Result<Self, String>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut link = Self { stream, unread: Vec::new(), named: BTreeSet::new() };
        link.stream.write_all(&login.packet()).await?;
        let mut answers = Answers::new(login);
        loop {
            let frame = link.frame().await?;
            match frame.tag {
                b'Z' => return Ok(Ok(link)),
                b'E' => return Ok(Err(frame.sqlstate().unwrap_or_default())),
                b'R' => {
                    if let Some(answer) = answers.to(&frame.body)? {
                        link.stream.write_all(&answer).await?;
                    }
                }
                _ => {}
            }
        }
    }

    async fn ask(&mut self, request: &[u8], mut ends: usize) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        let sent =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let sent = u64::try_from(sent).unwrap_or(u64::MAX);
        let (mut rows, mut error) = (Vec::new(), None);
        loop {
            let frame = self.frame().await?;
            match frame.tag {
                b'D' => {
                    let mut texts = frame.texts().into_iter();
                    let nonce = texts.next().unwrap_or_default();
                    rows.push((nonce, texts.next().and_then(|ran| ran.parse().ok()).unwrap_or(0)));
                }
                b'E' => error = Some(frame.sqlstate().unwrap_or_default()),
                b'Z' => {
                    ends -= 1;
                    if ends == 0 {
                        return Ok(error.map_or(Answer::Rows(rows, sent), Answer::Error));
                    }
                }
                _ => {}
            }
        }
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some((header, rest)) = self.unread.split_first_chunk::<5>() {
                let [tag, length @ ..] = *header;
                let length = usize::try_from(u32::from_be_bytes(length)).expect("64 bits");
                let odd = || io::Error::new(io::ErrorKind::InvalidData, "a length below four");
                let length = length.checked_sub(4).ok_or_else(odd)?;
                if let Some(body) = rest.get(..length) {
                    let frame = Frame { tag, body: body.to_vec() };
                    self.unread.drain(..5 + length);
                    return Ok(frame);
                }
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
