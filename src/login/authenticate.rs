//! A client proves that it is the role it claims to be.
//!
//! Deliberately absent: where secrets come from, and what else the role may do.

use tokio::io::{AsyncRead, AsyncWrite};

use super::claim::Claim;
use super::edition::Edition;
use super::refusal::Refusal;
use super::secrets::Revealed;
use super::shown::Shown;
use crate::auth::certificate::{common_name, tls_server_end_point};
use crate::auth::exchange::{LoginError, LoginStep, PasswordExchange, PasswordMethod};
use crate::auth::scram::ScramKeys;
use crate::auth::secret::{SecretKind, StoredSecret};
use crate::config::{AuthMethod, Effective};
use crate::dial::frame::{ReadError, next_message};
use crate::net::link::Link;
use crate::net::socket::Peer;
use crate::wire::backend::tag;
use crate::wire::handshake::{authentication_ok, message};
use crate::wire::{FrameError, Report, frontend};

/// Length word of a password or SASL message at most.
const PASSWORD_LIMIT: u32 = 16 * 1024 - 1;

/// A client has proved its role.
#[derive(Debug)]
pub struct Proof {
    /// What it must still be sent, AuthenticationOk at the end.
    pub unsent: Vec<u8>,
    /// How it did that.
    pub method: &'static str,
    /// What it revealed thereby, for logging in to Postgres.
    pub revealed: Revealed,
}

/// Has the client prove its role. `settings` is `None` where there is no such database, which
/// the client must not notice before it has proved itself.
///
/// Not cancel safe: give the link up.
///
/// # Errors
/// The client did not prove it, or left.
pub async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    edition: &Edition,
    link: &mut Link<S>,
    peer: Peer,
    claim: &Claim,
    settings: Option<&Effective>,
    method: AuthMethod,
) -> Result<Proof, Refusal> {
    let unsent = claim.negotiation.clone();
    let name = method.as_str();
    match method {
        AuthMethod::Trust => trust(peer, claim)?,
        AuthMethod::Cert => certificate(link, claim)?,
        AuthMethod::Peer => system_user(peer, claim)?,
        AuthMethod::Md5 => {
            return by_password(edition, link, claim, settings, PasswordMethod::Md5).await;
        }
        AuthMethod::ScramSha256 => {
            return by_password(edition, link, claim, settings, PasswordMethod::ScramSha256).await;
        }
    }
    let mut proof = Proof { unsent, method: name, revealed: Revealed::Nothing };
    authentication_ok(&mut proof.unsent);
    Ok(proof)
}

/// The configuration refuses `trust` for other machines; so does this, once more.
fn trust(peer: Peer, claim: &Claim) -> Result<(), Refusal> {
    if peer.is_local() {
        return Ok(());
    }
    let message = format!("trust authentication failed for user \"{}\"", claim.role);
    Err(Refusal::from(Report::fatal(b"28000", message))
        .because("trust is for Unix sockets and loopback addresses only"))
}

/// TLS has checked the certificate against `client_ca`; the name in it must be the role.
fn certificate<S: AsyncRead + AsyncWrite + Unpin>(
    link: &Link<S>,
    claim: &Claim,
) -> Result<(), Refusal> {
    let shown = link.tls().and_then(|tls| tls.peer_certificate());
    let name = shown.and_then(common_name);
    if name.as_deref() == Some(claim.role.as_str()) {
        return Ok(());
    }
    let message = format!("certificate authentication failed for user \"{}\"", claim.role);
    let why = match (shown, name) {
        (None, _) => "the client showed no certificate".to_owned(),
        (Some(_), None) => "its certificate has no common name".to_owned(),
        (Some(_), Some(name)) => format!("its certificate is for \"{}\"", Shown(&name)),
    };
    Err(Refusal::from(Report::fatal(b"28000", message)).because(why))
}

/// The name of the system's user at the other end of the Unix socket must be the role.
fn system_user(peer: Peer, claim: &Claim) -> Result<(), Refusal> {
    let name = match peer {
        Peer::Unix { uid } => uid.and_then(name_of_user),
        Peer::Tcp(_) => None,
    };
    if name.as_deref() == Some(claim.role.as_str()) {
        return Ok(());
    }
    let message = format!("Peer authentication failed for user \"{}\"", claim.role);
    let why = match name {
        Some(name) => format!("the connection is from the system's user \"{}\"", Shown(&name)),
        None => "the system's user at the other end is not known".to_owned(),
    };
    Err(Refusal::from(Report::fatal(b"28000", message)).because(why))
}

/// A user's name in the system's own list; users of directories (LDAP, SSSD) are not found.
fn name_of_user(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

async fn by_password<S: AsyncRead + AsyncWrite + Unpin>(
    edition: &Edition,
    link: &mut Link<S>,
    claim: &Claim,
    settings: Option<&Effective>,
    method: PasswordMethod,
) -> Result<Proof, Refusal> {
    let secret = edition.secrets.find(claim, settings).await.map_err(|error| {
        let report = Report::fatal(b"57P03", "the role's secret cannot be looked up now");
        Refusal::from(report).because(error.to_string())
    })?;
    let unknown = edition.secrets.unknown();
    // As PgBouncer: a stored MD5 hash can only be proved by MD5.
    let method = match secret.as_ref().map_or_else(|| unknown.kind(), StoredSecret::kind) {
        SecretKind::Md5 => PasswordMethod::Md5,
        SecretKind::Plain | SecretKind::Scram => method,
    };
    if let (PasswordMethod::ScramSha256, Some(StoredSecret::Plain(known))) = (method, &secret) {
        // Slow, once for each password in plain text.
        let known = known.clone();
        let _ = tokio::task::spawn_blocking(move || drop(known.verifier().clone())).await;
    }
    let binding = link.tls().and(edition.tls.as_ref());
    let binding = binding.and_then(|context| tls_server_end_point(context.certificate()));
    let role = claim.role.as_bytes();
    let exchange = PasswordExchange::new(method, role, secret.as_ref(), unknown, binding);
    match converse(link, exchange, &claim.negotiation).await {
        Ok((unsent, keys)) => {
            let method = if keys.is_some() { "scram-sha-256" } else { "md5" };
            Ok(Proof { unsent, method, revealed: Revealed::of(secret, keys) })
        }
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::Wrong(error)) => {
            edition.secrets.doubt(claim, settings);
            Err(told(error, claim, secret.is_some()))
        }
    }
}

/// Why an exchange failed.
enum Failure {
    /// The client left, or broke the protocol.
    Refused(Refusal),
    /// It did not prove itself.
    Wrong(LoginError),
}

impl<E: Into<Refusal>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Refused(error.into())
    }
}

/// Carries the exchange's messages. Gives what is still to be sent, AuthenticationOk at the end.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    mut exchange: PasswordExchange,
    negotiation: &[u8],
) -> Result<(Vec<u8>, Option<ScramKeys>), Failure> {
    let mut out = negotiation.to_vec();
    message(&mut out, tag::AUTHENTICATION, &exchange.request());
    loop {
        link.write_all(&out).await?;
        out.clear();
        let answer = next_password(link).await?;
        match exchange.on_message(&answer).map_err(Failure::Wrong)? {
            LoginStep::Continue(body) => message(&mut out, tag::AUTHENTICATION, &body),
            LoginStep::Accepted { last, keys } => {
                if let Some(last) = last {
                    message(&mut out, tag::AUTHENTICATION, &last);
                }
                authentication_ok(&mut out);
                return Ok((out, keys));
            }
            // Not asked for: there is no method of the configuration that sends passwords so.
            LoginStep::NeedsCheck(_) => return Err(Failure::Wrong(LoginError::WrongPassword)),
        }
    }
}

/// The body of the next message, which must carry a password. What kind it is shows in its first
/// byte: the rest of another one, which may be a second StartupMessage, is not waited for.
async fn next_password<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
) -> Result<Vec<u8>, Refusal> {
    let limit = |tag| if tag == frontend::tag::PASSWORD { PASSWORD_LIMIT } else { 0 };
    let message = match next_message(link, limit).await {
        Ok(message) => message,
        Err(ReadError::Frame(FrameError::TooLong { tag, .. }))
            if tag != frontend::tag::PASSWORD =>
        {
            // As Postgres' `recv_password_packet`.
            let text = format!("expected password response, got message type {tag}");
            return Err(Report::fatal(b"08P01", text).into());
        }
        Err(error) => return Err(error.into()),
    };
    Ok(message.body)
}

/// What the client is told: the same for a wrong password and for an unknown role.
fn told(error: LoginError, claim: &Claim, known: bool) -> Refusal {
    let sqlstate = error.sqlstate().as_bytes().try_into().unwrap_or(*b"28000");
    let text = match error {
        LoginError::WrongPassword => {
            format!("password authentication failed for user \"{}\"", claim.role)
        }
        LoginError::EmptyPassword
        | LoginError::InvalidPasswordMessage
        | LoginError::Scram(_)
        | LoginError::Over => error.to_string(),
    };
    let mut report = Report::fatal(&sqlstate, text);
    if let Some(detail) = error.detail() {
        report = report.detail(detail);
    }
    Refusal::from(report).because(if known { "wrong password" } else { "no such role" })
}
