//! TLS settings read from PEM files once, shared by all connections that use them.
//!
//! No session tickets and no session cache on either side, as in Postgres (`be_tls_init`) and
//! libpq: a resumed session has no certificate exchange, and `cert` logins want one each time.
//! Deliberately absent: revocation lists, and warnings about weak settings (the caller's job,
//! see [`ClientTlsContext::verifies`]).

use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::verify::{Check, ServerCertificates};
use super::{ALPN, TlsError, TlsSession};

/// The oldest TLS version spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2 and newer.
    #[default]
    V1_2,
    /// TLS 1.3 only.
    V1_3,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// They are not asked for any.
    #[default]
    NotAsked,
    /// They are asked; one that is shown must be issued by a CA of this file.
    Optional(PathBuf),
    /// Without one issued by a CA of this file there is no connection.
    Required(PathBuf),
}

/// A certificate chain, the own certificate first, and its private key: two PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateAndKey {
    /// PEM file with the certificate and the intermediate ones.
    pub certificate: PathBuf,
    /// PEM file with the unencrypted key. Must not be readable by others.
    pub key: PathBuf,
}

/// TLS from clients to pgweir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsSettings {
    /// What pgweir shows to clients.
    pub identity: CertificateAndKey,
    /// What clients show to pgweir.
    pub client_certificates: ClientCertificates,
    /// The oldest version accepted.
    pub min_version: TlsVersion,
}

/// libpq's `sslmode`, without `disable`. Whether a connection without TLS is an answer (`allow`,
/// `prefer`) is for the one who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Without TLS, else with TLS.
    Allow,
    /// With TLS, else without TLS.
    Prefer,
    /// With TLS.
    Require,
    /// With TLS and a certificate issued by one of the roots.
    VerifyCa,
    /// And issued for the host dialled.
    VerifyFull,
}

/// Which certificate authorities are trusted for servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Roots {
    /// Those of the operating system. As in libpq (`sslrootcert=system`) only for `verify-full`:
    /// everybody can have a certificate from one of them.
    #[default]
    System,
    /// Those in a PEM file. As in libpq, giving one makes the weaker modes check the chain.
    File(PathBuf),
}

/// TLS from pgweir to Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTlsSettings {
    /// How much is checked.
    pub mode: SslMode,
    /// Whom to trust.
    pub roots: Roots,
    /// What pgweir shows to servers that ask.
    pub identity: Option<CertificateAndKey>,
    /// The oldest version accepted.
    pub min_version: TlsVersion,
}

/// What is wrong with TLS settings or the files they name.
#[derive(Debug)]
pub enum TlsContextError {
    /// A file cannot be read or is not PEM.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file has no certificate or no private key in it.
    Empty {
        /// The file.
        path: PathBuf,
        /// `"certificate"` or `"private key"`.
        expected: &'static str,
    },
    /// Others than the owner can read a private key.
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate and the key do not fit together, or are of a kind we cannot use.
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A certificate in a file of roots cannot be used as one.
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The roots for client certificates cannot be used.
    ClientRoots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
    /// The operating system has no certificate authorities that we can find.
    NoSystemRoots,
    /// `verify-ca` with the roots of the system would trust nearly everybody.
    SystemRootsNeedVerifyFull,
    /// The TLS library refused the versions asked for.
    Versions(rustls::Error),
}

impl fmt::Display for TlsContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Empty { path, expected } => write!(f, "no {expected} in {}", path.display()),
            Self::KeyPermissions { path, mode } => write!(
                f,
                "private key {} has permissions {mode:04o}: it must be 0600 or less, or 0640 or \
                 less if owned by root",
                path.display()
            ),
            Self::Identity { certificate, source } => {
                write!(f, "cannot use certificate {}: {source}", certificate.display())
            }
            Self::Root { path, source } => {
                write!(f, "cannot use a root certificate in {}: {source}", path.display())
            }
            Self::ClientRoots { path, source } => {
                write!(f, "cannot use the client CA in {}: {source}", path.display())
            }
            Self::NoSystemRoots => f.write_str("the system has no root certificates"),
            Self::SystemRootsNeedVerifyFull => f.write_str(
                "verify-ca needs a file of root certificates: with those of the system anybody's \
                 certificate passes; use verify-full",
            ),
            Self::Versions(source) => write!(f, "cannot set TLS versions: {source}"),
        }
    }
}

impl std::error::Error for TlsContextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Identity { source, .. } | Self::Root { source, .. } | Self::Versions(source) => {
                Some(source)
            }
            Self::ClientRoots { source, .. } => Some(source),
            Self::Empty { .. }
            | Self::KeyPermissions { .. }
            | Self::NoSystemRoots
            | Self::SystemRootsNeedVerifyFull => None,
        }
    }
}

/// What all TLS connections from clients share. Cheap to clone.
#[derive(Clone)]
pub struct ServerTlsContext {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl ServerTlsContext {
    /// Reads the files that the settings name.
    pub fn load(settings: &ServerTlsSettings) -> Result<Self, TlsContextError> {
        let (chain, key) = read_identity(&settings.identity)?;
        let certificate = chain[0].clone();
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(settings.min_version))
            .map_err(TlsContextError::Versions)?;
        let builder = match &settings.client_certificates {
            ClientCertificates::NotAsked => builder.with_no_client_auth(),
            ClientCertificates::Optional(path) | ClientCertificates::Required(path) => {
                let (roots, _) = read_roots(path)?;
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if let ClientCertificates::Optional(_) = settings.client_certificates {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|source| TlsContextError::ClientRoots {
                    path: path.clone(),
                    source,
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|source| settings.identity.unusable(source))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), certificate })
    }

    /// A new connection, before its first byte.
    pub fn session(&self) -> Result<TlsSession, TlsError> {
        TlsSession::server(Arc::clone(&self.config))
    }

    /// The certificate shown to clients, in DER: what their channel binding is computed from.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

impl fmt::Debug for ServerTlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTlsContext")
    }
}

/// What all TLS connections to one kind of server share. Cheap to clone.
#[derive(Clone)]
pub struct ClientTlsContext {
    config: Arc<ClientConfig>,
    check: Check,
}

impl ClientTlsContext {
    /// Reads the files that the settings name.
    pub fn load(settings: &ClientTlsSettings) -> Result<Self, TlsContextError> {
        Self::load_with_alpn(settings, vec![ALPN.to_vec()])
    }

    pub(crate) fn load_with_alpn(
        settings: &ClientTlsSettings,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, TlsContextError> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let check = settings.check()?;
        let (roots, trusted) = match (&settings.roots, check) {
            (_, Check::Nothing) => (RootCertStore::empty(), Vec::new()),
            (Roots::File(path), _) => read_roots(path)?,
            (Roots::System, _) => (system_roots()?, Vec::new()),
        };
        let verifier = ServerCertificates { check, roots: Arc::new(roots), trusted, algorithms };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(settings.min_version))
            .map_err(TlsContextError::Versions)?
            // "Dangerous" is rustls' word for any verifier that is not its own.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = read_identity(identity)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|source| identity.unusable(source))?
            }
        };
        config.alpn_protocols = alpn;
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), check })
    }

    /// Whether a server must prove anything. If not, the operator wants to be told, once.
    pub fn verifies(&self) -> bool {
        self.check != Check::Nothing
    }

    /// A new connection to `host`, a name or an address. Calling [`TlsSession::receive`] with no
    /// bytes makes its first message.
    pub fn session(&self, host: &str) -> Result<TlsSession, TlsError> {
        let name = match (ServerName::try_from(host), self.check) {
            (Ok(name), _) => name.to_owned(),
            (Err(_), Check::ChainAndName) => {
                let text = format!("\"{host}\" cannot be the name in a certificate");
                return Err(TlsError::Protocol(rustls::Error::General(text)));
            }
            // Such a name is neither sent (as server name indication) nor compared. An address
            // in its place keeps rustls from sending one.
            (Err(_), Check::Nothing | Check::Chain) => {
                ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]))
            }
        };
        TlsSession::client(Arc::clone(&self.config), name)
    }
}

impl fmt::Debug for ClientTlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTlsContext").field("check", &self.check).finish_non_exhaustive()
    }
}

impl ClientTlsSettings {
    fn check(&self) -> Result<Check, TlsContextError> {
        match (self.mode, &self.roots) {
            (SslMode::Allow | SslMode::Prefer | SslMode::Require, Roots::System) => {
                Ok(Check::Nothing)
            }
            (SslMode::Allow | SslMode::Prefer | SslMode::Require, Roots::File(_)) => {
                Ok(Check::Chain)
            }
            (SslMode::VerifyCa, Roots::System) => Err(TlsContextError::SystemRootsNeedVerifyFull),
            (SslMode::VerifyCa, Roots::File(_)) => Ok(Check::Chain),
            (SslMode::VerifyFull, _) => Ok(Check::ChainAndName),
        }
    }
}

impl CertificateAndKey {
    fn unusable(&self, source: rustls::Error) -> TlsContextError {
        TlsContextError::Identity { certificate: self.certificate.clone(), source }
    }
}

/// aws-lc-rs, named here and nowhere taken from a process-wide default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_2: [&SupportedProtocolVersion; 2] =
        [&rustls::version::TLS13, &rustls::version::TLS12];
    static FROM_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match min {
        TlsVersion::V1_2 => &FROM_1_2,
        TlsVersion::V1_3 => &FROM_1_3,
    }
}

/// The chain, never empty, and the key.
fn read_identity(
    identity: &CertificateAndKey,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsContextError> {
    let chain = read_certificates(&identity.certificate)?;
    let path = &identity.key;
    let read_error = |source| TlsContextError::Read { path: path.clone(), source };
    let metadata = std::fs::metadata(path).map_err(|error| read_error(pem::Error::Io(error)))?;
    let mode = metadata.permissions().mode() & 0o777;
    // As Postgres does (check_ssl_key_file_permissions).
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if mode & forbidden != 0 {
        return Err(TlsContextError::KeyPermissions { path: path.clone(), mode });
    }
    match PrivateKeyDer::from_pem_file(path) {
        Ok(key) => Ok((chain, key)),
        Err(pem::Error::NoItemsFound) => {
            Err(TlsContextError::Empty { path: path.clone(), expected: "private key" })
        }
        Err(source) => Err(read_error(source)),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsContextError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsContextError::Read { path: path.to_path_buf(), source })?;
    if certificates.is_empty() {
        return Err(TlsContextError::Empty { path: path.to_path_buf(), expected: "certificate" });
    }
    Ok(certificates)
}

fn read_roots(
    path: &Path,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsContextError> {
    let certificates = read_certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|source| TlsContextError::Root { path: path.to_path_buf(), source })?;
    }
    Ok((roots, certificates))
}

/// The roots of the system; single ones that rustls cannot read are left out.
fn system_roots() -> Result<RootCertStore, TlsContextError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsContextError::NoSystemRoots);
    }
    Ok(roots)
}
