//! One configuration with everything that it names: what a reload replaces as a whole.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::secrets::{Revealed, Secrets, SecretsError};
use crate::auth::ServerCredential;
use crate::config::{AuthMethod, Config, Effective, TlsMode};
use crate::dial::{Chain, Dialler};
use crate::net::socket::Peer;
use crate::net::tls::{
    CertificateAndKey, ClientCertificates, ServerTlsContext, ServerTlsSettings, TlsContextError,
    TlsVersion,
};

/// A configuration, and the certificates and secrets that it names. A login goes by one edition
/// from its first byte to its last.
#[derive(Debug)]
pub struct Edition {
    /// The configuration.
    pub config: Arc<Config>,
    /// TLS that clients can have.
    pub(super) tls: Option<ServerTlsContext>,
    /// Roles' passwords.
    pub(super) secrets: Secrets,
}

/// Why files that a configuration names cannot be used.
#[derive(Debug)]
pub enum EditionError {
    /// The certificates for clients.
    Tls(TlsContextError),
    /// The userlist.
    Secrets(SecretsError),
}

impl EditionError {
    /// The key of the configuration that names the file.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            EditionError::Tls(_) => "server.tls",
            EditionError::Secrets(_) => "auth.userlist",
        }
    }
}

impl fmt::Display for EditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditionError::Tls(error) => Chain(error).fmt(f),
            EditionError::Secrets(error) => Chain(error).fmt(f),
        }
    }
}

impl std::error::Error for EditionError {}

impl Edition {
    /// What logs in to Postgres for a role with these settings, as far as it is known without a login of its own.
    #[must_use]
    pub fn server_credential(&self, settings: &Effective) -> Option<ServerCredential> {
        self.secrets.server_credential(settings, Revealed::Nothing)
    }

    /// Reads the certificates and secrets that a configuration names. `before` is the edition that
    /// this one is to replace. Blocks while it reads.
    ///
    /// # Errors
    /// Every file that cannot be used.
    pub fn open(
        config: Arc<Config>,
        dialler: Arc<Dialler>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<EditionError>> {
        let tls = client_tls(&config).transpose().map_err(EditionError::Tls);
        let known = before.map(|edition| &edition.secrets);
        let secrets = Secrets::open(config.clone(), dialler, known).map_err(EditionError::Secrets);
        match (tls, secrets) {
            (Ok(tls), Ok(secrets)) => Ok(Edition { config, tls, secrets }),
            (tls, secrets) => Err(tls.err().into_iter().chain(secrets.err()).collect()),
        }
    }

    /// How long a login may take, TLS included.
    pub(super) fn login_limit(&self) -> Option<Duration> {
        self.config.server.login_timeout.as_duration()
    }

    /// TLS for a peer: none on Unix sockets, as in Postgres.
    pub(super) fn tls_for(&self, peer: Peer) -> Option<&ServerTlsContext> {
        match peer {
            Peer::Tcp(_) => self.tls.as_ref(),
            Peer::Unix { .. } => None,
        }
    }

    /// Whether clients over TCP must have TLS.
    pub(super) fn requires_tls(&self) -> bool {
        let mode = self.config.server.tls.as_ref().map(|tls| tls.mode);
        matches!(mode, Some(TlsMode::Require | TlsMode::VerifyFull))
    }

    /// How a client may prove who it is; `None` when the access rules keep it out.
    pub(super) fn method(
        &self,
        database: &str,
        role: &str,
        peer: Peer,
        tls: bool,
    ) -> Option<AuthMethod> {
        let address: Option<IpAddr> = match peer {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix { .. } => None,
        };
        self.config.access_method(database, role, address, tls)
    }

    /// The values for a role in a database; `None` where there is no such database.
    pub(super) fn settings(&self, database: &str, role: &str) -> Option<Arc<Effective>> {
        self.config.resolve(database, role).map(Arc::new)
    }

    /// Whether a role could log in to a database, from somewhere and somehow.
    pub(super) fn lets_in(&self, settings: &Effective) -> bool {
        let needs_no_secret = |method: AuthMethod| match method {
            AuthMethod::Trust | AuthMethod::Cert | AuthMethod::Peer => true,
            AuthMethod::Md5 | AuthMethod::ScramSha256 => false,
        };
        let mut methods = self.config.access_methods(&settings.database.name, &settings.role);
        let knows = self.secrets.may_know(settings);
        methods.any(|method| knows || needs_no_secret(method))
    }
}

/// Reads the certificates for clients, where TLS is on.
fn client_tls(config: &Config) -> Option<Result<ServerTlsContext, TlsContextError>> {
    let tls = config.server.tls.as_ref()?;
    let client_certificates = match (tls.mode, &tls.client_ca) {
        (TlsMode::VerifyFull, Some(ca)) => ClientCertificates::Required(ca.clone()),
        (_, Some(ca)) => ClientCertificates::Optional(ca.clone()),
        (_, None) => ClientCertificates::NotAsked,
    };
    Some(ServerTlsContext::load(&ServerTlsSettings {
        identity: CertificateAndKey {
            certificate: tls.certificate.clone(),
            key: tls.private_key.clone(),
        },
        client_certificates,
        min_version: TlsVersion::default(),
    }))
}
