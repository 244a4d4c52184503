//! What is known of roles' passwords, and what of it logs in to Postgres.
//!
//! In this order: the configuration, the userlist, `auth_query`. Deliberately absent: how a client
//! proves that it has the password.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dashmap::DashMap;

use super::claim::Claim;
use super::lookup::{LookupError, Lookups};
use crate::auth::ServerCredential;
use crate::auth::scram::{MockSecret, PassThrough, ScramKeys};
use crate::auth::secret::{SecretKind, StoredSecret};
use crate::auth::userlist::{Userlist, UserlistError};
use crate::config::{Config, Effective, Secret};
use crate::dial::Dialler;

/// Why the userlist cannot be used.
#[derive(Debug)]
pub enum SecretsError {
    /// It cannot be read.
    Read(PathBuf, io::Error),
    /// It is not a userlist.
    Parse(PathBuf, UserlistError),
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretsError::Read(path, error) => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            SecretsError::Parse(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for SecretsError {}

/// What a client's login revealed.
#[derive(Clone, Debug)]
pub enum Revealed {
    /// Nothing that would log in to a server.
    Nothing,
    /// The stored secret, which the client has proved to know.
    Stored(StoredSecret),
    /// The keys of its SCRAM exchange.
    Keys(PassThrough),
}

impl Revealed {
    /// What a successful exchange about `secret` revealed.
    pub(super) fn of(secret: Option<StoredSecret>, keys: Option<ScramKeys>) -> Self {
        match (secret, keys) {
            (Some(StoredSecret::Scram(verifier)), Some(keys)) => {
                Revealed::Keys(PassThrough::new(keys, &verifier))
            }
            (Some(secret), _) => Revealed::Stored(secret),
            (None, _) => Revealed::Nothing,
        }
    }
}

/// Everything known of roles' passwords.
#[derive(Debug)]
pub struct Secrets {
    config: Arc<Config>,
    userlist: Userlist,
    unknown: MockSecret,
    lookups: Option<Lookups>,
    /// Secrets of the configuration by role, told apart once: the verifier made of a password is
    /// kept with it. A role has several where databases have their own.
    configured: DashMap<String, Vec<(Secret, StoredSecret)>>,
    /// The same of the configuration before a reload.
    inherited: HashMap<String, Vec<(Secret, StoredSecret)>>,
}

impl Secrets {
    /// Reads the userlist that the configuration names. From what was known `before` it keeps what
    /// it made of passwords itself.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(
        config: Arc<Config>,
        dialler: Arc<Dialler>,
        before: Option<&Self>,
    ) -> Result<Self, SecretsError> {
        let mut userlist = match &config.auth.userlist {
            None => Userlist::default(),
            Some(path) => {
                let contents =
                    std::fs::read(path).map_err(|error| SecretsError::Read(path.clone(), error))?;
                Userlist::parse(&contents)
                    .map_err(|error| SecretsError::Parse(path.clone(), error))?
            }
        };
        for (role, line) in &userlist.repeated {
            tracing::warn!(role, line, "the userlist has the role twice; the later entry counts");
        }
        let lookups = Lookups::new(&config, dialler);
        let mut unknown = MockSecret::new();
        let mut inherited = HashMap::new();
        if let Some(before) = before {
            userlist.keep_verifiers_of(&before.userlist);
            unknown = before.unknown.clone();
            inherited = before.made_of_passwords(&config);
        }
        Ok(Secrets {
            unknown: unknown.with_kind(most_common_kind(&config, &userlist)),
            userlist,
            lookups,
            configured: DashMap::new(),
            inherited,
            config,
        })
    }

    /// What unknown roles are played with.
    pub(super) fn unknown(&self) -> &MockSecret {
        &self.unknown
    }

    /// The secret of the role that a client claims to be; `None` when there is none.
    ///
    /// Not cancel safe in so far as a look-up that is under way is lost.
    ///
    /// # Errors
    /// It would have to be looked up, and that failed.
    pub async fn find(
        &self,
        claim: &Claim,
        settings: Option<&Effective>,
    ) -> Result<Option<StoredSecret>, LookupError> {
        if let Some(secret) = self.known(&claim.role, settings) {
            return Ok(Some(secret));
        }
        match (&self.lookups, settings) {
            (Some(lookups), Some(settings)) => {
                let password = self.own_secret(lookups.role(), settings);
                lookups.find(&claim.role, settings, password).await
            }
            // Without a database there is no server to ask. The client fails as with a wrong
            // password.
            (Some(_), None) | (None, _) => Ok(None),
        }
    }

    /// After a failed proof: the next login asks again where the answer is not fresh, for the
    /// password may have been changed.
    pub fn doubt(&self, claim: &Claim, settings: Option<&Effective>) {
        if let (Some(lookups), Some(settings)) = (&self.lookups, settings) {
            lookups.doubt(&claim.role, settings);
        }
    }

    /// What logs in to Postgres for a client with these settings that has revealed that.
    #[must_use]
    pub fn server_credential(
        &self,
        settings: &Effective,
        revealed: Revealed,
    ) -> Option<ServerCredential> {
        let server_role = settings.server_role.as_deref().unwrap_or(&settings.role);
        if let Some(password) = &settings.server_password {
            return credential(parsed(password)?);
        }
        if let Some(known) = self.own_secret(server_role, settings) {
            return Some(known);
        }
        match revealed {
            _ if server_role != settings.role => None,
            Revealed::Nothing => None,
            Revealed::Stored(secret) => credential(secret),
            Revealed::Keys(keys) => Some(ServerCredential::PassThrough(keys)),
        }
    }

    /// The secrets told apart so far whose texts `config` has as well.
    fn made_of_passwords(&self, config: &Config) -> HashMap<String, Vec<(Secret, StoredSecret)>> {
        let current: HashSet<&str> = config.passwords().map(Secret::expose).collect();
        let mut all = self.inherited.clone();
        for entry in &self.configured {
            all.entry(entry.key().clone()).or_default().extend(entry.value().iter().cloned());
        }
        for known in all.values_mut() {
            known.retain(|(text, _)| current.contains(text.expose()));
            known.dedup_by(|(a, _), (b, _)| a.expose() == b.expose());
        }
        all
    }

    /// Whether a secret may be found for a role in a database with these settings.
    pub(super) fn may_know(&self, settings: &Effective) -> bool {
        self.lookups.is_some() || self.known(&settings.role, Some(settings)).is_some()
    }

    /// What the configuration or the userlist knows of a role that would log in to a server.
    fn own_secret(&self, role: &str, settings: &Effective) -> Option<ServerCredential> {
        let same = (role == settings.role).then_some(settings);
        credential(self.known(role, same)?)
    }

    /// A secret from the configuration or the userlist.
    fn known(&self, role: &str, settings: Option<&Effective>) -> Option<StoredSecret> {
        let here = settings.and_then(|settings| settings.password.as_ref());
        let Some(password) = here.or_else(|| self.config.role_password(role)) else {
            return self.userlist.secret(role).cloned();
        };
        let is_this = |(text, _): &&(Secret, _)| text.expose() == password.expose();
        let known = self.configured.get(role);
        if let Some((_, secret)) = known.as_ref().and_then(|known| known.iter().find(is_this)) {
            return Some(secret.clone());
        }
        drop(known);
        let inherited = self.inherited.get(role);
        let secret = match inherited.and_then(|known| known.iter().find(is_this)) {
            Some((_, secret)) => secret.clone(),
            None => parsed(password)?,
        };
        // Bounded: only secrets of the configuration get here, whatever a client claims.
        let mut known = self.configured.entry(role.to_owned()).or_default();
        match known.iter().find(is_this) {
            Some((_, secret)) => Some(secret.clone()),
            None => {
                known.push((password.clone(), secret.clone()));
                Some(secret)
            }
        }
    }
}

fn parsed(password: &Secret) -> Option<StoredSecret> {
    StoredSecret::parse(password.expose().as_bytes()).ok()
}

/// A stored secret as something to log in with; a SCRAM verifier alone is not.
fn credential(secret: StoredSecret) -> Option<ServerCredential> {
    match secret {
        StoredSecret::Plain(known) => Some(ServerCredential::Password(known.password().clone())),
        StoredSecret::Md5(hash) => Some(ServerCredential::Md5(hash)),
        StoredSecret::Scram(_) => None,
    }
}

/// Unknown roles look like most of the known ones do; without any, like the roles of a Postgres
/// that stores verifiers.
fn most_common_kind(config: &Config, userlist: &Userlist) -> SecretKind {
    let configured = config.passwords().filter_map(parsed).map(|secret| secret.kind());
    let listed = userlist.iter().filter_map(|(_, secret)| secret).map(StoredSecret::kind);
    let kinds: Vec<SecretKind> = configured.chain(listed).collect();
    let roles_of = |kind| kinds.iter().filter(|other| **other == kind).count();
    let all = [SecretKind::Plain, SecretKind::Md5, SecretKind::Scram];
    all.into_iter().max_by_key(|kind| roles_of(*kind)).unwrap_or(SecretKind::Scram)
}
