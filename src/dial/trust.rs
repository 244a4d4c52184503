//! TLS settings of connection strings, read from their files once.

use std::path::PathBuf;

use dashmap::DashMap;

use crate::config::{Config, SslMode, Target};
use crate::net::tls::{
    self, CertificateAndKey, ClientTlsContext, ClientTlsSettings, Roots, TlsContextError,
    TlsVersion,
};

/// What decides whom a TLS connection trusts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    mode: SslMode,
    roots: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The contexts in use: connection strings that say the same share one, so that a hundred
/// databases do not hold a hundred copies of the system's root certificates.
#[derive(Debug, Default)]
pub struct TlsContexts {
    known: DashMap<Key, ClientTlsContext>,
}

impl TlsContexts {
    /// The context for a target; `None` when its `sslmode` is `disable`.
    ///
    /// Reads files the first time, which blocks for a moment.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn for_target(&self, target: &Target) -> Result<Option<ClientTlsContext>, TlsContextError> {
        let mode = match target.sslmode {
            SslMode::Disable => return Ok(None),
            SslMode::Allow => tls::SslMode::Allow,
            SslMode::Prefer => tls::SslMode::Prefer,
            SslMode::Require => tls::SslMode::Require,
            SslMode::VerifyCa => tls::SslMode::VerifyCa,
            SslMode::VerifyFull => tls::SslMode::VerifyFull,
        };
        let key = Key {
            mode: target.sslmode,
            roots: target.sslrootcert.clone(),
            certificate: target.sslcert.clone(),
            key: target.sslkey.clone(),
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(Some(known.clone()));
        }
        let identity = match (&target.sslcert, &target.sslkey) {
            (Some(certificate), Some(key)) => {
                Some(CertificateAndKey { certificate: certificate.clone(), key: key.clone() })
            }
            // Postgres' own tools keep both in one PEM file when only one is named.
            (Some(both), None) | (None, Some(both)) => {
                Some(CertificateAndKey { certificate: both.clone(), key: both.clone() })
            }
            (None, None) => None,
        };
        let settings = ClientTlsSettings {
            mode,
            roots: target.sslrootcert.clone().map_or(Roots::System, Roots::File),
            identity,
            min_version: TlsVersion::default(),
        };
        let context = ClientTlsContext::load(&settings)?;
        self.known.insert(key, context.clone());
        Ok(Some(context))
    }

    /// Reads the files of every server in a configuration, which blocks.
    ///
    /// # Errors
    /// Every database with a file that cannot be used, and why.
    pub fn for_config(config: &Config) -> Result<Self, Vec<(String, TlsContextError)>> {
        let contexts = Self::default();
        let mut errors = Vec::new();
        // An alias has the servers of the database that it is an alias of.
        for database in config.databases().filter(|database| database.alias_of.is_none()) {
            let replicas = database.replicas.iter().map(|replica| &replica.target);
            for target in std::iter::once(&database.primary).chain(replicas) {
                if let Err(error) = contexts.for_target(target) {
                    errors.push((database.name.clone(), error));
                }
            }
        }
        if errors.is_empty() { Ok(contexts) } else { Err(errors) }
    }
}
