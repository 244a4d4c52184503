//! FAKE: a scripted Postgres on a real socket. It says what it is told to say, when it is told.
//!
//! ```ignore
//! let answer_now = Gate::new();
//! let held = answer_now.clone();
//! let fake = FakePostgres::start(move |session| {
//!     session.accept_login();
//!     session.expect(b'Q');
//!     held.pass();
//!     session.send(&reply::one_value("n", "1"));
//! });
//! ```
//!
//! Each connection gets a thread, which plays the script and then closes. A script that panics fails the
//! test when the fake is dropped.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::frame::Frame;
use super::raw::{RawClient, Reply};
use super::reply;

/// The code of a CancelRequest.
const CANCEL: u32 = 80_877_102;

/// What one connection received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A packet before login, by its code, with what follows the code.
    Packet(u32, Vec<u8>),
    /// A message.
    Message(Frame),
    /// The end of the connection, with the bytes of a message that had begun.
    End(Vec<u8>),
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ending: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    received: Vec<(usize, Received)>,
    connections: Vec<TcpStream>,
    running: usize,
    failures: Vec<String>,
}

/// A running fake. Dropping it closes its connections, and panics when a script did.
#[derive(Debug)]
pub struct FakePostgres {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl FakePostgres {
    /// Listens on a free port; each connection plays `script`.
    pub fn start(script: impl Fn(&mut FakeSession) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::<Shared>::default();
        let (of_thread, script) = (shared.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if of_thread.ending.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (shared, script) = (of_thread.clone(), script.clone());
                // Thousands of them must fit: a script needs no deep stack.
                let builder = std::thread::Builder::new().stack_size(256 * 1024);
                let started = builder.spawn(move || play(&shared, number, stream, &*script));
                started.expect("a thread for a connection");
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything received so far, with the number of its connection, from 0.
    pub fn received(&self) -> Vec<(usize, Received)> {
        self.state().received.clone()
    }

    /// The messages that one connection sent, in their order.
    pub fn messages_of(&self, connection: usize) -> Vec<Frame> {
        let received = self.received();
        let of_this = received.into_iter().filter(|(number, _)| *number == connection);
        of_this
            .filter_map(|(_, received)| match received {
                Received::Message(frame) => Some(frame),
                Received::Packet(..) | Received::End(_) => None,
            })
            .collect()
    }

    /// Waits until `happened` says so of what was received; panics after `limit`.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        happened: impl Fn(&[(usize, Received)]) -> bool,
    ) {
        let end = Instant::now() + limit;
        let mut state = self.state();
        while !happened(&state.received) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} was not received, but {:?}", state.received);
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.state().connections.len()
    }

    /// How many scripts still play.
    pub fn running(&self) -> usize {
        self.state().running
    }

    /// What went wrong within scripts so far; taken, so that dropping does not fail for it.
    pub fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut self.state().failures)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakePostgres {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let failures = self.take_failures();
        for stream in &self.state().connections {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        if !std::thread::panicking() {
            assert!(failures.is_empty(), "the fake server's script failed: {failures:?}");
        }
    }
}

fn play(
    shared: &Arc<Shared>,
    number: usize,
    stream: TcpStream,
    script: &(dyn Fn(&mut FakeSession) + Send + Sync),
) {
    let lock = || shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    let session = stream.try_clone().and_then(RawClient::from_stream);
    let Ok(peer) = session else { return };
    {
        let mut state = lock();
        state.connections.push(stream);
        state.running += 1;
    }
    let mut session = FakeSession { number, peer, shared: shared.clone() };
    let played = catch_unwind(AssertUnwindSafe(|| script(&mut session)));
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        // A script that is cut short by the end of the test did nothing wrong.
        if !shared.ending.load(Ordering::SeqCst) {
            lock().failures.push(format!("connection {number}: {}", text.unwrap_or_default()));
        }
    }
    session.close();
    lock().running -= 1;
    shared.changed.notify_all();
}

/// One connection, as its script sees it.
#[derive(Debug)]
pub struct FakeSession {
    /// The connection's number, from 0, in the order of acceptance.
    pub number: usize,
    peer: RawClient,
    shared: Arc<Shared>,
}

impl FakeSession {
    /// Reads a packet without a tag: its code and what follows. `None`: the client closed.
    pub fn packet(&mut self) -> Option<(u32, Vec<u8>)> {
        let packet = self.peer.packet().expect("a packet before the deadline");
        let noted = match &packet {
            Some((code, rest)) => Received::Packet(*code, rest.clone()),
            None => Received::End(Vec::new()),
        };
        self.note(noted);
        packet
    }

    /// Declines encryption as often as it is asked for, then gives the startup packet's
    /// parameters. `None`: it was a CancelRequest, or the client closed.
    pub fn startup(&mut self) -> Option<BTreeMap<String, String>> {
        loop {
            let (code, rest) = self.packet()?;
            match code {
                80_877_103 | 80_877_104 => self.send(b"N"),
                CANCEL => return None,
                _ => {
                    let mut words = rest
                        .split(|byte| *byte == 0)
                        .map(|word| String::from_utf8_lossy(word).into_owned());
                    let mut parameters = BTreeMap::new();
                    while let (Some(name), Some(value)) = (words.next(), words.next()) {
                        parameters.insert(name, value);
                    }
                    return Some(parameters);
                }
            }
        }
    }

    /// Plays a whole login without a password. The pid is the connection's number plus 1000.
    /// False: it was a CancelRequest, or the client closed.
    pub fn accept_login(&mut self) -> bool {
        let came = self.startup().is_some();
        if came {
            self.welcome();
        }
        came
    }

    /// The same from behind the startup packet.
    pub fn welcome(&mut self) {
        let mut bytes = reply::authentication_ok();
        for (name, value) in [
            ("server_version", "15.0"),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("integer_datetimes", "on"),
            ("is_superuser", "off"),
            ("in_hot_standby", "off"),
            ("default_transaction_read_only", "off"),
            ("standard_conforming_strings", "on"),
            ("session_authorization", "fake"),
            ("application_name", ""),
        ] {
            bytes.extend(reply::parameter_status(name, value));
        }
        let pid = 1000 + u32::try_from(self.number).expect("few connections");
        bytes.extend(reply::backend_key_data(pid, &pid.to_be_bytes()));
        bytes.extend(reply::ready(b'I'));
        self.send(&bytes);
    }

    /// The next message; `None` when the client closed.
    pub fn message(&mut self) -> Option<Frame> {
        match self.peer.reply() {
            Ok(Reply::Frame(frame)) => {
                self.note(Received::Message(frame.clone()));
                Some(frame)
            }
            Ok(Reply::Closed(rest)) => {
                self.note(Received::End(rest));
                None
            }
            Err(error) => panic!("waiting for a message: {error}"),
        }
    }

    /// The next message, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Frame {
        let frame = self.message().unwrap_or_else(|| panic!("closed, not {:?}", tag as char));
        assert_eq!(char::from(frame.tag), char::from(tag), "{frame:?}");
        frame
    }

    /// Messages up to and with the next of this tag.
    pub fn expect_until(&mut self, tag: u8) -> Vec<Frame> {
        let mut frames = Vec::new();
        while frames.last().is_none_or(|frame: &Frame| frame.tag != tag) {
            let frame = self.message();
            frames.push(frame.unwrap_or_else(|| panic!("closed, no {:?}", tag as char)));
        }
        frames
    }

    /// Sends bytes; a client that is gone does not matter.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.peer.send(bytes);
    }

    /// How long [`FakeSession::message`] waits.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.peer.set_deadline(deadline);
    }

    /// Ends both directions.
    pub fn close(&mut self) {
        let _ = self.peer.close();
    }

    /// Waits until the client closes, noting what it still sends.
    pub fn until_end(&mut self) {
        while self.message().is_some() {}
    }

    fn note(&self, received: Received) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.received.push((self.number, received));
        self.shared.changed.notify_all();
    }
}

/// A script that logs in and echoes: a Query `select 'x'`, or a parsed one whose value is bound, gives `x`.
pub fn echo(session: &mut FakeSession) {
    if session.accept_login() {
        echo_on(session);
    }
}

/// The same from behind the login.
pub fn echo_on(session: &mut FakeSession) {
    session.set_deadline(Duration::from_secs(600));
    while let Some(frame) = session.message_unnoted() {
        match frame.tag {
            b'Q' => {
                let value = literal_in(&frame.body);
                session.send(&reply::one_value("nonce", &value));
            }
            b'P' => session.send(&reply::bare(b'1')),
            b'B' => {
                let mut bytes = reply::bare(b'2');
                bytes.extend(reply::data_row(&[Some(first_value(&frame.body))]));
                bytes.extend(reply::command_complete("SELECT 1"));
                session.send(&bytes);
            }
            b'S' => session.send(&reply::ready(b'I')),
            b'X' => return,
            _ => {}
        }
    }
}

impl FakeSession {
    fn message_unnoted(&mut self) -> Option<Frame> {
        match self.peer.reply() {
            Ok(Reply::Frame(frame)) => Some(frame),
            Ok(Reply::Closed(_)) | Err(_) => None,
        }
    }
}

/// What stands between the first two quotes.
pub fn literal_in(sql: &[u8]) -> String {
    let text = String::from_utf8_lossy(sql);
    text.split('\'').nth(1).unwrap_or_default().to_owned()
}

/// The first parameter of a Bind of text values.
fn first_value(body: &[u8]) -> &[u8] {
    let mut parts = body.splitn(3, |byte| *byte == 0);
    let rest = parts.nth(2).unwrap_or_default();
    // No format codes, one value, its length, the value.
    let length =
        rest.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    let length = usize::try_from(length).unwrap_or(0);
    rest.get(8..8 + length).unwrap_or_default()
}
