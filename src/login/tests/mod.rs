//! Logins byte by byte, over pipes and loopback sockets, with a stand-in for the loop.

mod authentication;
mod handing_over;
mod lookups;
mod negotiation;
mod reload;

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::accept::{CLIENT_UNREAD_LIMIT, log_in};
use super::visit::Proved;
use super::{Edition, Hall, Loop};
use crate::cancel::CancelRegistry;
use crate::config::Config;
use crate::dial::Dialler;
use crate::net::link::Link;
use crate::net::socket::{Peer, Socket};
use crate::session::ParamSets;
use crate::wire::frame::header;
use crate::wire::report::Report;
use crate::worker::mail::Mail;

/// Keeps the mail that it gets.
#[derive(Default)]
pub(crate) struct StandIn {
    pub(crate) mails: Mutex<Vec<Mail<Socket>>>,
    pub(crate) arrived: tokio::sync::Notify,
}

impl Loop for StandIn {
    fn send(&self, mail: Mail<Socket>) {
        self.mails.lock().unwrap().push(mail);
        self.arrived.notify_one();
    }
}

impl StandIn {
    /// The next mail, in the order sent.
    pub(crate) async fn next(&self) -> Mail<Socket> {
        loop {
            if let Some(mail) = self.take() {
                return mail;
            }
            self.arrived.notified().await;
        }
    }

    pub(crate) fn take(&self) -> Option<Mail<Socket>> {
        let mut mails = self.mails.lock().unwrap();
        (!mails.is_empty()).then(|| mails.remove(0))
    }
}

/// A hall with its stand-in loop and its registry.
pub(crate) struct World {
    pub(crate) hall: Arc<Hall>,
    pub(crate) mailbox: Arc<StandIn>,
    pub(crate) registry: Arc<CancelRegistry>,
}

impl World {
    pub(crate) fn new(config: &str) -> Self {
        let mailbox = Arc::new(StandIn::default());
        let world = Self::with_loop(config, mailbox.clone(), Arc::default());
        World { mailbox, ..world }
    }

    /// A hall that hands its clients to this loop.
    pub(crate) fn with_loop(config: &str, home: Arc<dyn Loop>, params: Arc<ParamSets>) -> Self {
        let config = Config::parse(config, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        let registry = Arc::new(CancelRegistry::default());
        let dialler = Arc::new(Dialler::default());
        let config = Arc::new(config.config);
        let edition = Edition::open(config, dialler, None).unwrap();
        let hall = Hall::new(edition, vec![home], registry.clone(), params);
        World { hall: Arc::new(hall), mailbox: Arc::default(), registry }
    }

    /// A client connected by a pipe that looks like this peer.
    pub(crate) fn client_from(&self, peer: Peer) -> Client {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let hall = self.hall.clone();
        let served = tokio::spawn(async move {
            let mut link = Link::new(theirs).with_unread_limit(CLIENT_UNREAD_LIMIT);
            let proved = log_in(&hall, &mut link, peer).await;
            proved.map(|proved| (proved, link))
        });
        Client { io: ours, served }
    }

    /// A client on this machine.
    pub(crate) fn client(&self) -> Client {
        self.client_from(local())
    }
}

/// A TCP client on this machine.
pub(crate) fn local() -> Peer {
    Peer::Tcp("127.0.0.1:50000".parse().unwrap())
}

/// The client's end of a pipe, and what serves the other.
pub(crate) struct Client {
    pub(crate) io: DuplexStream,
    served: JoinHandle<Option<(Box<Proved>, Link<DuplexStream>)>>,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The other side may have closed already: what it said counts.
        let _ = self.io.write_all(bytes).await;
    }

    pub(crate) async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.io.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// The next message: tag and body.
    pub(crate) async fn message(&mut self) -> (u8, Vec<u8>) {
        let head = self.read(5).await;
        let header = header(&head, 100_000).unwrap().unwrap();
        let body = self.read(header.body_len as usize).await;
        (header.tag, body)
    }

    /// The next message, which must be an error; then the end.
    pub(crate) async fn refused(&mut self) -> Report {
        let (tag, body) = self.message().await;
        assert_eq!(tag, b'E', "{:?}", String::from_utf8_lossy(&body));
        assert_eq!(self.rest().await, b"");
        Report::from_server(&body)
    }

    /// Everything up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.io.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    /// How the hall's side ended.
    pub(crate) async fn outcome(self) -> Option<Box<Proved>> {
        let Client { mut io, served } = self;
        // Whoever is being refused is waited for until it closes its side.
        let _ = io.shutdown().await;
        let outcome = served.await.unwrap();
        drop(io);
        outcome.map(|(proved, _)| proved)
    }
}

/// A packet without a tag.
pub(crate) fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(8 + body.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A StartupMessage of protocol 3.`minor`.
pub(crate) fn startup(minor: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    packet(3 << 16 | minor, &body)
}

/// A StartupMessage for a role and database.
pub(crate) fn login(role: &str, database: &str) -> Vec<u8> {
    startup(0, &[("user", role), ("database", database)])
}
