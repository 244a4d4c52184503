//! From the first byte of a connection to its StartupMessage or CancelRequest.
//!
//! ```text
//!   0x16 ──direct TLS──▶ packet        SSLRequest ──'S'──TLS──▶ packet
//!                                      SSLRequest ──'N'──▶ packet
//!                                      GSSENCRequest ──'N'──▶ packet
//!   packet = SSLRequest | GSSENCRequest | CancelRequest (done) | StartupMessage (done)
//! ```
//!
//! As `ProcessSSLStartup` and `ProcessStartupPacket` in Postgres' backend_startup.c. Deliberately
//! absent: who the client says it is.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::refusal::Refusal;
use crate::net::link::{Link, StartTlsError};
use crate::net::tls::ServerTlsContext;
use crate::wire::Report;
use crate::wire::startup::{self, FirstPacket, StartupError, StartupPacket};

/// The content type of a TLS handshake record; no StartupMessage begins with it, for none is
/// 369 MB long.
const TLS_HANDSHAKE: u8 = 0x16;

/// Requests for encryption before the StartupMessage: TLS, GSSAPI, and one to spare. Postgres
/// would go on for ever.
const NEGOTIATIONS_LIMIT: u32 = 3;

/// What a connection turned out to be for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// A login.
    Startup(StartupPacket),
    /// A cancel request; the connection has no other use.
    Cancel {
        /// Process id as we gave it.
        pid: i32,
        /// Secret as we gave it.
        secret: Vec<u8>,
    },
}

/// Reads and answers until the client says what it wants. `tls` is what the client can have:
/// `None` is answered by `N`.
///
/// Not cancel safe: give the link up, or tell the client why and close it.
///
/// # Errors
/// The client left, or asked for what it cannot have.
pub async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    tls: Option<&ServerTlsContext>,
) -> Result<Request, Refusal> {
    if link.unread().is_empty() && link.fill().await? == 0 {
        return Err(Refusal::Left);
    }
    if link.unread().first() == Some(&TLS_HANDSHAKE) {
        let Some(tls) = tls else { return Err(Refusal::DirectTlsUnavailable) };
        link.start_tls_server(tls, true).await?;
    }
    // Refusing one kind of encryption opens the question for the other again, as in Postgres.
    let mut may_ask_tls = true;
    let mut may_ask_gss = true;
    for asked in 0.. {
        match first_packet(link).await? {
            FirstPacket::CancelRequest { pid, secret } => {
                return Ok(Request::Cancel { pid, secret });
            }
            FirstPacket::Startup(packet) => return Ok(Request::Startup(packet)),
            FirstPacket::SslRequest | FirstPacket::GssEncRequest if asked == NEGOTIATIONS_LIMIT => {
                break;
            }
            FirstPacket::SslRequest if may_ask_tls => {
                nothing_ahead(link, "SSL")?;
                may_ask_tls = false;
                match tls {
                    Some(tls) if link.tls().is_none() => {
                        link.write_all(b"S").await?;
                        link.start_tls_server(tls, false).await?;
                        may_ask_gss = false;
                    }
                    _ => {
                        link.write_all(b"N").await?;
                        may_ask_gss = true;
                    }
                }
            }
            FirstPacket::GssEncRequest if may_ask_gss => {
                nothing_ahead(link, "GSSAPI encryption")?;
                link.write_all(b"N").await?;
                may_ask_gss = false;
                may_ask_tls = true;
            }
            // A second time it is a version that nobody speaks, as in Postgres.
            FirstPacket::SslRequest => return Err(version(startup::SSL_REQUEST_CODE)),
            FirstPacket::GssEncRequest => return Err(version(startup::GSSENC_REQUEST_CODE)),
        }
    }
    Err(Report::fatal(b"08P01", "too many negotiation requests").into())
}

fn version(code: u32) -> Refusal {
    let [a, b, c, d] = code.to_be_bytes();
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    StartupError::Version { major, minor }.into()
}

/// Bytes behind a request for encryption came before encryption: an attacker may have put them
/// there to be taken for encrypted ones (CVE-2021-23214, CVE-2021-3935).
fn nothing_ahead<S: AsyncRead + AsyncWrite + Unpin>(
    link: &Link<S>,
    what: &'static str,
) -> Result<(), Refusal> {
    if link.unread().is_empty() {
        return Ok(());
    }
    let report = Report::fatal(b"08P01", format!("received unencrypted data after {what} request"))
        .detail(
            "This could be either a client-software bug or evidence of an attempted \
             man-in-the-middle attack.",
        );
    Err(report.into())
}

/// Cancel safe: the packet is taken out of the link only when it is whole.
async fn first_packet<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
) -> Result<FirstPacket, Refusal> {
    loop {
        if let Some(len) = startup::packet_len(link.unread())?
            && let Some(packet) = link.unread().get(..len)
        {
            let packet = startup::read(packet)?;
            link.consume(len);
            return Ok(packet);
        }
        if link.fill().await? == 0 {
            return Err(Refusal::Left);
        }
    }
}

impl From<StartupError> for Refusal {
    fn from(error: StartupError) -> Self {
        match error {
            // Such a peer does not speak the protocol; Postgres tells it nothing either.
            StartupError::Length(_) | StartupError::CancelLength => Refusal::Garbage(error),
            StartupError::Version { .. } => Report::fatal(b"0A000", error.to_string()).into(),
            StartupError::Layout => Report::fatal(b"08P01", error.to_string()).into(),
        }
    }
}

impl From<StartTlsError> for Refusal {
    fn from(error: StartTlsError) -> Self {
        Refusal::Tls(error)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Io(error)
    }
}
