//! TLS without a buffer per connection, over rustls' unbuffered API.
//!
//! A [`TlsSession`] turns received records into plain bytes and plain bytes into records. It owns
//! keys and nothing else: undecrypted bytes stay with the caller, who keeps one scratch buffer
//! for many connections and a remainder only where a record was cut. Deliberately absent:
//! sockets, waiting, and any buffer that outlives a call.

mod context;
mod verify;

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, ServerConfig};

pub use context::{
    CertificateAndKey, ClientCertificates, ClientTlsContext, ClientTlsSettings, Roots,
    ServerTlsContext, ServerTlsSettings, SslMode, TlsContextError, TlsVersion,
};

/// The ALPN name of the Postgres protocol (libpq's `PG_ALPN_PROTOCOL`).
pub const ALPN: &[u8] = b"postgresql";

/// The largest payload of one record (RFC 8446 section 5.1).
const RECORD_PAYLOAD_LEN: usize = 16 * 1024;
/// More than any cipher suite adds to a payload: header, explicit nonce, content type, tag.
const RECORD_OVERHEAD: usize = 64;
/// Record header: content type, version, length.
const RECORD_HEADER_LEN: usize = 5;
/// How much of unfinished handshake messages a peer may make us keep: a client's certificate
/// chain, or what comes after the handshake. An unfinished record comes on top; together they
/// fit a scratch buffer of 64 KB.
const HANDSHAKE_LIMIT: usize = 32 * 1024;
/// The same for the handshake of a server that we dialled. rustls itself ends at 64 KB a message.
const HANDSHAKE_LIMIT_SERVER: usize = 128 * 1024;

/// What one call of [`TlsSession::receive`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumed {
    /// Bytes at the front that the caller must now drop. What follows belongs to an unfinished
    /// record or handshake message and must come first in the next call.
    pub bytes: usize,
    /// The peer sent close_notify: nothing more will come. Stays true once it was.
    pub closed: bool,
}

/// Why a TLS connection cannot go on. After any of these the connection must be closed; records
/// already appended to `to_send` (an alert) may be sent first.
#[derive(Debug)]
pub enum TlsError {
    /// The peer broke the protocol, or its certificate was not accepted.
    Protocol(rustls::Error),
    /// Application data cannot be sent before the handshake is over.
    Handshaking,
    /// Both sides have said close_notify, or an earlier call failed.
    Closed,
    /// A handshake message larger than we keep for anybody.
    HandshakeTooLarge,
    /// The keys have encrypted as much as they may (TLS 1.2 has no way to change them).
    KeysExhausted,
    /// The caller did not hand back bytes that an earlier call left unconsumed: a bug of ours.
    LostRecords,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "TLS: {error}"),
            Self::Handshaking => f.write_str("TLS handshake is not finished"),
            Self::Closed => f.write_str("TLS connection is closed"),
            Self::HandshakeTooLarge => f.write_str("TLS handshake message is too large"),
            Self::KeysExhausted => f.write_str("TLS keys are exhausted"),
            Self::LostRecords => f.write_str("undecrypted TLS records were lost"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => Some(error),
            Self::Handshaking
            | Self::Closed
            | Self::HandshakeTooLarge
            | Self::KeysExhausted
            | Self::LostRecords => None,
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Protocol(error)
    }
}

/// One TLS connection, either side, from its first handshake byte on.
///
/// Invariant: `held` bytes at the front of what the caller has not consumed are whole records
/// whose decrypted handshake fragments rustls still refers to. The caller keeps them unchanged.
pub struct TlsSession {
    side: Side,
    held: usize,
    peer_closed: bool,
    failed: bool,
}

/// The two sides differ in type only; boxes hold a `TlsSession`, so that nothing is wasted on
/// connections without TLS.
enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl TlsSession {
    /// The side that accepted the connection. See [`ServerTlsContext::session`].
    fn server(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        Ok(Self::new(Side::Server(UnbufferedServerConnection::new(config)?)))
    }

    /// The side that dialled. See [`ClientTlsContext::session`].
    fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, TlsError> {
        Ok(Self::new(Side::Client(UnbufferedClientConnection::new(config, name)?)))
    }

    fn new(side: Side) -> Self {
        Self { side, held: 0, peer_closed: false, failed: false }
    }

    fn state(&self) -> &rustls::CommonState {
        match &self.side {
            Side::Server(connection) => connection,
            Side::Client(connection) => connection,
        }
    }

    /// Whether the handshake still goes on: call [`Self::receive`], send what it wants sent.
    pub fn handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    /// Whether the peer has said close_notify: nothing more will come.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// The application protocol agreed upon, if any: [`ALPN`] or nothing.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.state().alpn_protocol()
    }

    /// The certificate that the peer identified itself with, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificates().first().map(AsRef::as_ref)
    }

    /// All certificates that the peer sent, its own first.
    pub fn peer_certificates(&self) -> &[rustls::pki_types::CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
    }

    /// The protocol version agreed upon: `"TLSv1.2"` or `"TLSv1.3"`, as Postgres words it in
    /// `pg_stat_ssl`.
    pub fn version(&self) -> Option<&'static str> {
        match self.state().protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            rustls::ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// Decrypts all whole records in `records`.
    ///
    /// `records` begins with the bytes that earlier calls left unconsumed; they are decrypted in
    /// place, so the caller must not look into them. Application data is appended to `plain`;
    /// records that must be sent (handshake, key updates, alerts) to `to_send`, also when the
    /// call fails. The dialling side calls this once with no bytes, to make its ClientHello.
    pub fn receive(
        &mut self,
        records: &mut [u8],
        plain: &mut Vec<u8>,
        to_send: &mut Vec<u8>,
    ) -> Result<Consumed, TlsError> {
        if self.failed {
            return Err(TlsError::Closed);
        }
        let mut consumed = 0;
        let result = self.receive_all(records, &mut consumed, plain, to_send);
        if result.is_err() {
            self.failed = true;
            self.take_alert(to_send);
        }
        result
    }

    fn receive_all(
        &mut self,
        records: &mut [u8],
        consumed: &mut usize,
        plain: &mut Vec<u8>,
        to_send: &mut Vec<u8>,
    ) -> Result<Consumed, TlsError> {
        if records.len() < self.held {
            return Err(TlsError::LostRecords);
        }
        let whole = end_of_whole_records(records, self.held);
        loop {
            match self.step(&mut records[*consumed..], plain, to_send, consumed)? {
                Step::Again => {}
                Step::PeerClosed => self.peer_closed = true,
                Step::Idle => break,
            }
        }
        if self.peer_closed {
            // "Any data received after a closure alert has been received MUST be ignored."
            // (RFC 8446 section 6.1)
            self.held = 0;
            return Ok(Consumed { bytes: records.len(), closed: true });
        }
        self.held = whole.saturating_sub(*consumed);
        let limit = match self.side {
            Side::Client(_) if self.handshaking() => HANDSHAKE_LIMIT_SERVER,
            Side::Client(_) | Side::Server(_) => HANDSHAKE_LIMIT,
        };
        if self.held > limit {
            return Err(TlsError::HandshakeTooLarge);
        }
        Ok(Consumed { bytes: *consumed, closed: false })
    }

    /// Encrypts application data of any size, appending records to `out`.
    ///
    /// Price: `out` grows by `plain.len()` and about 22 bytes for each 16 KB; nothing else is
    /// allocated.
    pub fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.handshaking() {
            return Err(TlsError::Handshaking);
        }
        if plain.is_empty() {
            return Ok(());
        }
        let guess = plain.len() + (plain.len() / RECORD_PAYLOAD_LEN + 1) * RECORD_OVERHEAD;
        self.write(out, guess, |encrypt, room| encrypt.encrypt(plain, room))
    }

    /// Appends close_notify to `out`, once. Does nothing while the handshake goes on.
    pub fn close_notify(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.handshaking() {
            return Ok(());
        }
        match self.write(out, RECORD_OVERHEAD, |encrypt, room| encrypt.queue_close_notify(room)) {
            Err(TlsError::Closed) => Ok(()),
            result => result,
        }
    }

    /// Brings the connection into the state where it may write, and writes with `put`, which
    /// may ask for more room than `guess` once.
    fn write(
        &mut self,
        out: &mut Vec<u8>,
        guess: usize,
        put: impl Fn(&mut dyn Outgoing, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::Closed);
        }
        // rustls skips over held bytes without looking at them but panics where they are
        // missing, so it is given as many zeroes. `held` is nearly always 0 here: handshake
        // messages cut across records are rare once the handshake is over.
        let mut held = vec![0; self.held];
        loop {
            let next = match &mut self.side {
                Side::Server(connection) => {
                    write_step(connection.process_tls_records(&mut held), out, guess, &put)
                }
                Side::Client(connection) => {
                    write_step(connection.process_tls_records(&mut held), out, guess, &put)
                }
            };
            match next {
                Ok(Step::Idle) => return Ok(()),
                Ok(Step::Again | Step::PeerClosed) => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }

    /// One turn of the connection's state machine; adds to `consumed`.
    fn step(
        &mut self,
        records: &mut [u8],
        plain: &mut Vec<u8>,
        to_send: &mut Vec<u8>,
        consumed: &mut usize,
    ) -> Result<Step, TlsError> {
        match &mut self.side {
            Side::Server(connection) => {
                read_step(connection.process_tls_records(records), plain, to_send, consumed)
            }
            Side::Client(connection) => {
                read_step(connection.process_tls_records(records), plain, to_send, consumed)
            }
        }
    }

    /// After an error, rustls may have an alert for us that tells the peer why. Asked for more
    /// than that, it would look at bytes again and fail again.
    fn take_alert(&mut self, to_send: &mut Vec<u8>) {
        let (mut nothing, mut consumed) = (Vec::new(), 0);
        while self.state().wants_write() {
            if self.step(&mut [], &mut nothing, to_send, &mut consumed).is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("server", &matches!(self.side, Side::Server(_)))
            .field("handshaking", &self.handshaking())
            .field("peer_closed", &self.peer_closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// What the state machine wants after a turn.
enum Step {
    /// Another turn.
    Again,
    /// Note that the peer has closed, then another turn.
    PeerClosed,
    /// Nothing: more bytes from the peer, or work from us.
    Idle,
}

/// [`WriteTraffic`] without its parameter, which differs between the two sides.
trait Outgoing {
    fn encrypt(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, EncryptError>;
    fn queue_close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Data> Outgoing for WriteTraffic<'_, Data> {
    fn encrypt(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::encrypt(self, plain, out)
    }

    fn queue_close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::queue_close_notify(self, out)
    }
}

fn read_step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    to_send: &mut Vec<u8>,
    consumed: &mut usize,
) -> Result<Step, TlsError> {
    *consumed += status.discard;
    match status.state? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                *consumed += record.discard;
                plain.extend_from_slice(record.payload);
            }
            Ok(Step::Again)
        }
        ConnectionState::WriteTraffic(_)
        | ConnectionState::BlockedHandshake
        | ConnectionState::Closed => Ok(Step::Idle),
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        state => queued_records(state, to_send),
    }
}

fn write_step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    out: &mut Vec<u8>,
    guess: usize,
    put: &impl Fn(&mut dyn Outgoing, &mut [u8]) -> Result<usize, EncryptError>,
) -> Result<Step, TlsError> {
    match status.state? {
        ConnectionState::WriteTraffic(mut traffic) => {
            append(out, guess, |room| match put(&mut traffic, room) {
                Ok(written) => Ok(Ok(written)),
                Err(EncryptError::InsufficientSize(needed)) => Ok(Err(needed.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(TlsError::KeysExhausted),
            })?;
            Ok(Step::Idle)
        }
        ConnectionState::Closed => Err(TlsError::Closed),
        // `receive` has taken all there was to read.
        ConnectionState::ReadTraffic(_) | ConnectionState::PeerClosed => Err(TlsError::LostRecords),
        ConnectionState::BlockedHandshake => Err(TlsError::Handshaking),
        state => queued_records(state, out),
    }
}

/// The states in which rustls hands out records of its own.
fn queued_records<Data>(
    state: ConnectionState<'_, '_, Data>,
    out: &mut Vec<u8>,
) -> Result<Step, TlsError> {
    match state {
        ConnectionState::EncodeTlsData(mut data) => {
            append(out, RECORD_OVERHEAD, |room| match data.encode(room) {
                Ok(written) => Ok(Ok(written)),
                Err(rustls::unbuffered::EncodeError::InsufficientSize(needed)) => {
                    Ok(Err(needed.required_size))
                }
                Err(rustls::unbuffered::EncodeError::AlreadyEncoded) => Ok(Ok(0)),
            })?;
            Ok(Step::Again)
        }
        ConnectionState::TransmitTlsData(data) => {
            // The records are in the caller's hands from here on.
            data.done();
            Ok(Step::Again)
        }
        // Early data is never accepted (`max_early_data_size` is 0), and the other states are
        // taken care of by the callers.
        state => {
            let text = format!("unexpected TLS connection state {state:?}");
            Err(TlsError::Protocol(rustls::Error::General(text)))
        }
    }
}

/// Appends what `put` writes into room at the end of `out`. `put` says how much it has written,
/// or how much room it needs; then it is asked once more.
fn append(
    out: &mut Vec<u8>,
    guess: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<Result<usize, usize>, TlsError>,
) -> Result<(), TlsError> {
    let start = out.len();
    let mut room = guess;
    let written = loop {
        out.resize(start + room, 0);
        match put(&mut out[start..]) {
            Ok(Ok(written)) => break Ok(written),
            Ok(Err(needed)) if needed > room => room = needed,
            Ok(Err(_)) => break Err(TlsError::KeysExhausted),
            Err(error) => break Err(error),
        }
    };
    out.truncate(start + *written.as_ref().unwrap_or(&0));
    written.map(|_| ())
}

/// Where the last whole record ends, counted from record borders at `start`.
fn end_of_whole_records(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    while let Some([_, _, _, high, low]) = bytes.get(end..end + RECORD_HEADER_LEN) {
        let next = end + RECORD_HEADER_LEN + usize::from(u16::from_be_bytes([*high, *low]));
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    end
}

#[cfg(test)]
pub(crate) mod test_files;
#[cfg(test)]
mod tests;
