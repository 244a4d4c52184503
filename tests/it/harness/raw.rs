//! A client that sends exact bytes and reads exact frames, blocking, with a deadline on each read.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use socket2::SockRef;

use super::frame::{Frame, render_all};
use super::message;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A whole frame.
    Frame(Frame),
    /// The other side closed, by FIN or RST; the bytes of a frame that had begun.
    Closed(Vec<u8>),
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

/// A TLS connection, driven by whoever reads or writes.
pub type TlsStream = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

impl Stream {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tls(stream) => stream.sock.shutdown(how),
        }
    }
}

/// The sending half of a [`RawClient`], for another thread.
#[derive(Debug)]
pub struct RawWriter(Stream);

impl RawWriter {
    /// Writes all bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.send(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

/// Who logs in where.
#[derive(Debug, Clone)]
pub struct Login {
    /// Role.
    pub user: String,
    /// Database.
    pub database: String,
    /// Password; not sent unless asked for.
    pub password: String,
    /// Protocol version.
    pub protocol: u32,
    /// Further parameters of the startup packet.
    pub parameters: Vec<(String, String)>,
}

impl Login {
    /// A login with protocol 3.0, and no password.
    pub fn new(user: &str, database: &str) -> Self {
        Self {
            user: user.into(),
            database: database.into(),
            password: String::new(),
            protocol: message::PROTOCOL_3_0,
            parameters: Vec::new(),
        }
    }

    /// With a password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = password.into();
        self
    }

    /// With another protocol version.
    pub fn protocol(mut self, protocol: u32) -> Self {
        self.protocol = protocol;
        self
    }

    /// With a further startup parameter.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// The startup packet.
    pub fn packet(&self) -> Vec<u8> {
        let mut parameters = vec![("user", self.user.as_str()), ("database", &self.database)];
        parameters.extend(self.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        message::startup(self.protocol, &parameters)
    }
}

/// A connection. Reads fail after `deadline`; closing is what dropping does, without Terminate.
#[derive(Debug)]
pub struct RawClient {
    stream: Stream,
    deadline: Duration,
    unread: Vec<u8>,
    used: usize,
}

impl RawClient {
    /// Connects and sends nothing.
    pub fn connect(address: &Address) -> io::Result<Self> {
        let deadline = Duration::from_secs(20);
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, deadline)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        Ok(Self { stream, deadline, unread: Vec::new(), used: 0 })
    }

    /// Takes over a TCP connection, such as an accepted one.
    pub fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let deadline = Duration::from_secs(20);
        Ok(Self { stream: Stream::Tcp(stream), deadline, unread: Vec::new(), used: 0 })
    }

    /// Takes over a TLS connection.
    pub fn from_tls(stream: TlsStream) -> Self {
        let deadline = Duration::from_secs(20);
        Self { stream: Stream::Tls(Box::new(stream)), deadline, unread: Vec::new(), used: 0 }
    }

    /// Connects and logs in; panics with the server's answer when it refuses.
    pub fn login(address: &Address, login: &Login) -> Self {
        let (client, frames) = Self::try_login(address, login)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        let refused = frames.last().and_then(Frame::status).is_none();
        assert!(!refused, "{} was not let in to {address}:\n{}", login.user, render_all(&frames));
        client
    }

    /// Connects and speaks the login, whatever its outcome. The frames end with ReadyForQuery
    /// when it worked, else with the error, or where the server closed.
    pub fn try_login(address: &Address, login: &Login) -> io::Result<(Self, Vec<Frame>)> {
        let mut client = Self::connect(address)?;
        client.send(&login.packet())?;
        let frames = client.authenticate(login)?;
        Ok((client, frames))
    }

    /// Answers what the server asks after the startup packet: cleartext, MD5, SCRAM-SHA-256.
    pub fn authenticate(&mut self, login: &Login) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let mut answers = Answers::new(login);
        loop {
            let Reply::Frame(frame) = self.reply()? else { return Ok(frames) };
            frames.push(frame.clone());
            match frame.tag {
                b'Z' | b'E' => return Ok(frames),
                b'R' => {
                    if let Some(answer) = answers.to(&frame.body)? {
                        self.send(&answer)?;
                    }
                }
                _ => {}
            }
        }
    }

    /// Writes all bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.send(bytes)
    }

    /// Writes these bytes over and over until the other side has taken none for a while; only over TCP. The
    /// last time may have stopped at any byte.
    pub fn fill_up(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Stream::Tcp(stream) = &mut self.stream else { return Err(odd("no TCP to fill up")) };
        stream.set_write_timeout(Some(Duration::from_millis(300)))?;
        let filled = loop {
            match stream.write_all(bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        stream.set_write_timeout(None)?;
        filled
    }

    /// A second handle on the socket, for writing in another thread while this one reads.
    pub fn writer(&self) -> io::Result<RawWriter> {
        Ok(RawWriter(match &self.stream {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
            Stream::Tls(_) => return Err(odd("a second handle on a TLS connection")),
        }))
    }

    /// Says that nothing more will be sent; replies can still be read.
    pub fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Ends both directions.
    pub fn close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Both)
    }

    /// Ends the connection with a reset (RST), as a client's machine does that knows nothing of it any more.
    pub fn reset(self) -> io::Result<()> {
        let socket = match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
            Stream::Unix(_) => return Err(odd("a reset of a Unix socket")),
        };
        SockRef::from(socket).set_linger(Some(Duration::ZERO))
    }

    /// How long a read may take; 20 s unless set.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// One byte outside all framing: the answer to SSLRequest. `None`: the server closed.
    pub fn byte(&mut self) -> io::Result<Option<u8>> {
        let end = Instant::now() + self.deadline;
        while self.buffered().is_empty() {
            if !self.fill(end)? {
                return Ok(None);
            }
        }
        let byte = self.buffered()[0];
        self.used += 1;
        Ok(Some(byte))
    }

    /// A packet without a tag, as a server reads it: its code and the rest. `None`: closed.
    pub fn packet(&mut self) -> io::Result<Option<(u32, Vec<u8>)>> {
        let end = Instant::now() + self.deadline;
        loop {
            if let Some((header, rest)) = self.buffered().split_first_chunk::<8>() {
                let [l0, l1, l2, l3, code @ ..] = *header;
                let length =
                    usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).expect("64 bits");
                let length = length.checked_sub(8).ok_or_else(|| odd("a short packet"))?;
                if let Some(rest) = rest.get(..length) {
                    let packet = (u32::from_be_bytes(code), rest.to_vec());
                    self.used += 8 + length;
                    return Ok(Some(packet));
                }
            }
            if !self.fill(end)? {
                return Ok(None);
            }
        }
    }

    /// The next frame, or the end of the connection.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let end = Instant::now() + self.deadline;
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Reply::Frame(frame));
            }
            if !self.fill(end)? {
                let rest = self.buffered().to_vec();
                self.used = self.unread.len();
                return Ok(Reply::Closed(rest));
            }
        }
    }

    /// The next frame's tag and the length of its body, which goes to `each` piece by piece and is
    /// kept nowhere: for messages that should not lie in memory. `None`: the other side closed.
    pub fn skim(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<Option<(u8, usize)>> {
        let end = Instant::now() + self.deadline;
        while self.buffered().len() < 5 {
            if !self.fill(end)? {
                return Ok(None);
            }
        }
        let &[tag, l0, l1, l2, l3] = self.buffered().first_chunk::<5>().expect("five bytes");
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).expect("64 bits");
        let length = length.checked_sub(4).ok_or_else(|| odd("a short frame"))?;
        self.used += 5;
        let mut left = length;
        while left > 0 {
            if self.buffered().is_empty() && !self.fill(end)? {
                return Ok(None);
            }
            let piece = self.buffered().len().min(left);
            each(&self.unread[self.used..self.used + piece]);
            self.used += piece;
            left -= piece;
        }
        Ok(Some((tag, length)))
    }

    /// The next frame; panics when the server closes instead or says nothing in time.
    pub fn frame(&mut self) -> Frame {
        match self.reply() {
            Ok(Reply::Frame(frame)) => frame,
            Ok(Reply::Closed(rest)) => panic!("the server closed, last bytes: {rest:?}"),
            Err(error) => panic!("no frame: {error}"),
        }
    }

    /// Frames up to and with the next one of this tag.
    pub fn until(&mut self, tag: u8) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.reply() {
                Ok(Reply::Frame(frame)) => {
                    let last = frame.tag == tag;
                    frames.push(frame);
                    if last {
                        return frames;
                    }
                }
                Ok(Reply::Closed(_)) => {
                    panic!("closed before {:?} came:\n{}", tag as char, render_all(&frames))
                }
                Err(error) => {
                    panic!("{error} before {:?} came:\n{}", tag as char, render_all(&frames))
                }
            }
        }
    }

    /// Frames up to and with the next ReadyForQuery.
    pub fn until_ready(&mut self) -> Vec<Frame> {
        self.until(b'Z')
    }

    /// Every frame until the server closes.
    pub fn until_closed(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.reply() {
                Ok(Reply::Frame(frame)) => frames.push(frame),
                Ok(Reply::Closed(_)) => return frames,
                Err(error) => panic!("{error} before the end came:\n{}", render_all(&frames)),
            }
        }
    }

    /// Sends a Query and reads its whole answer.
    pub fn ask(&mut self, sql: &str) -> Vec<Frame> {
        self.send(&message::query(sql)).expect("the server takes a Query");
        self.until_ready()
    }

    /// Sends a Query and gives the first column of its first row.
    pub fn ask_value(&mut self, sql: &str) -> String {
        let frames = self.ask(sql);
        let value = frames.iter().find_map(Frame::first_text);
        value.unwrap_or_else(|| panic!("no value from {sql:?}:\n{}", render_all(&frames)))
    }

    /// Whether bytes that were read wait to be taken; does not touch the socket.
    pub fn has_unread(&self) -> bool {
        !self.buffered().is_empty()
    }

    fn buffered(&self) -> &[u8] {
        &self.unread[self.used..]
    }

    fn take_frame(&mut self) -> io::Result<Option<Frame>> {
        let bytes = self.buffered();
        let Some((header, rest)) = bytes.split_first_chunk::<5>() else { return Ok(None) };
        let [tag, length @ ..] = *header;
        let length = usize::try_from(u32::from_be_bytes(length)).expect("64 bits");
        let Some(length) = length.checked_sub(4) else {
            return Err(odd(&format!("a frame {:?} of length below four", tag as char)));
        };
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let frame = Frame { tag, body: body.to_vec() };
        self.used += 5 + length;
        Ok(Some(frame))
    }

    /// Reads more; false at the end of the stream.
    fn fill(&mut self, end: Instant) -> io::Result<bool> {
        self.unread.drain(..self.used);
        self.used = 0;
        let late = || io::Error::new(io::ErrorKind::TimedOut, "nothing came before the deadline");
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        let left = left.ok_or_else(late)?;
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.read(&mut chunk)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.read(&mut chunk)
            }
            Stream::Tls(stream) => {
                stream.sock.set_read_timeout(Some(left))?;
                stream.read(&mut chunk)
            }
        };
        match read {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                Ok(true)
            }
            Err(error) => match error.kind() {
                // What a peer that closed with unread input leaves behind.
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Ok(false),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(late()),
                io::ErrorKind::Interrupted => Ok(true),
                _ => Err(error),
            },
        }
    }
}

/// A client's side of authentication: message in, message out.
pub struct Answers<'a> {
    login: &'a Login,
    scram: Option<ScramSha256>,
}

impl<'a> Answers<'a> {
    /// For this user and password.
    pub fn new(login: &'a Login) -> Self {
        Self { login, scram: None }
    }

    /// The answer to an Authentication message, if it wants one.
    pub fn to(&mut self, body: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let (code, rest) = body.split_first_chunk::<4>().ok_or_else(|| odd("Authentication"))?;
        let running = || odd("a SASL message before SASL began");
        let password = self.login.password.as_bytes();
        Ok(match u32::from_be_bytes(*code) {
            0 => None,
            3 => Some(message::password(password)),
            5 => {
                let salt = rest.try_into().map_err(|_| odd("an MD5 salt"))?;
                Some(message::password(md5_hash(self.login.user.as_bytes(), password, salt)))
            }
            10 => {
                let scram =
                    self.scram.insert(ScramSha256::new(password, ChannelBinding::unsupported()));
                Some(message::sasl_initial_response(SCRAM_SHA_256, scram.message()))
            }
            11 => {
                let scram = self.scram.as_mut().ok_or_else(running)?;
                scram.update(rest)?;
                Some(message::sasl_response(scram.message()))
            }
            12 => {
                self.scram.as_mut().ok_or_else(running)?.finish(rest)?;
                None
            }
            other => return Err(odd(&format!("authentication code {other}"))),
        })
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected from the server: {what}"))
}
