//! NONCE: thousands of clients, each of whose questions carries `client:sequence`, and each of whose
//! answers must carry it back.
//!
//! Clients are tasks on a small runtime, so that thousands fit. They ask by simple and by
//! unnamed extended queries; some may be killed at random, at any byte of a request.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
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
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.foreign += other.foreign;
        self.killed += other.killed;
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
            let logins = Arc::new(Semaphore::new(plan.logins_at_once));
            let tasks: Vec<_> = (0..plan.clients)
                .map(|number| {
                    let client = Client::new(number, plan.clone(), logins.clone());
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
    random: Random,
    counts: Counts,
}

/// An answer to one question.
enum Answer {
    Rows(Vec<String>),
    Error(String),
}

impl Client {
    fn new(number: usize, plan: Arc<Nonce>, logins: Arc<Semaphore>) -> Self {
        let random = Random::new(plan.seed.wrapping_mul(1_000_003) ^ number as u64);
        Self { number, plan, logins, random, counts: Counts::default() }
    }

    async fn run(mut self) -> Counts {
        let mut link: Option<Link> = None;
        for sequence in 0..self.plan.rounds {
            if link.is_none() {
                link = self.login().await;
            }
            let Some(open) = link.as_mut() else { continue };
            let nonce = format!("{}:{sequence}", self.number);
            let rows = 1 + self.random.below(self.plan.rows);
            let request = self.request(&nonce, rows);
            if self.random.below(1000) < self.plan.kills_in_thousand {
                self.die(link.take(), &request).await;
                continue;
            }
            let limit = self.plan.limit;
            match timeout(limit, open.ask(&request)).await {
                Ok(Ok(Answer::Rows(got))) => self.judge(&nonce, rows, &got),
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

    fn request(&mut self, nonce: &str, rows: usize) -> Vec<u8> {
        let simple = match self.plan.asks {
            Asks::Simple => true,
            Asks::Extended => false,
            Asks::Both => self.random.below(2) == 0,
        };
        if simple {
            return message::query(format!(
                "select '{nonce}' as nonce from generate_series(1, {rows})"
            ));
        }
        let sql = format!("select $1::text as nonce from generate_series(1, {rows})");
        let mut bytes = message::parse("", sql, &[]);
        bytes.extend(message::bind("", "", &[Some(nonce.as_bytes())]));
        bytes.extend(message::execute("", 0));
        bytes.extend(message::sync());
        bytes
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

    fn judge(&mut self, nonce: &str, rows: usize, got: &[String]) {
        if got.len() == rows && got.iter().all(|value| value == nonce) {
            self.counts.ok += 1;
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
}

impl Link {
    /// The outer error is the connection's, the inner one the server's SQLSTATE.
    async fn login(address: SocketAddr, login: &Login) -> io::Result<Result<Self, String>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut link = Self { stream, unread: Vec::new() };
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

    async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        let (mut rows, mut error) = (Vec::new(), None);
        loop {
            let frame = self.frame().await?;
            match frame.tag {
                b'D' => rows.push(frame.first_text().unwrap_or_default()),
                b'E' => error = Some(frame.sqlstate().unwrap_or_default()),
                b'Z' => return Ok(error.map_or(Answer::Rows(rows), Answer::Error)),
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
