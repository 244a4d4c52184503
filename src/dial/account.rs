//! Who pgweir is at a server, kept with each connection to it, and logging in there once more.
//!
//! What only another connection can find out about a server process, or do to it, is for the same role
//! at the same address: the configuration may name several hosts, a name may have moved, and a reload may
//! have put another server in its place since.

use std::time::Duration;

use tokio::time::Instant;

use super::login::Identity;
use super::{Attempt, Connected, DialError, Dialler, Errand, target_parameters, try_once};
use crate::auth::ServerCredential;
use crate::cancel::CancelTarget;
use crate::config::{Effective, Target};
use crate::pool::PoolSpec;
use crate::session::Limit;

/// `application_name` of a connection beside a server's own.
const NAME_BESIDE: &str = "pgweir inquiry";

/// Who a server was logged in as.
#[derive(Clone, Debug)]
pub struct Account {
    /// The role on the server.
    pub role: String,
    /// The database on the server.
    pub database: String,
    /// What proved the role.
    credential: Option<ServerCredential>,
    /// What the operator put into the connection string for the server's process.
    parameters: Vec<(&'static str, String)>,
}

impl Account {
    /// Who a pool's servers are logged in as now.
    pub(super) fn of(pool: &PoolSpec, settings: &Effective) -> Self {
        let parameters = target_parameters(&settings.database.primary);
        Account {
            role: settings.server_role.clone().unwrap_or_else(|| pool.role.clone()),
            database: settings.database.server_database.clone(),
            credential: pool.credential(),
            parameters: parameters.map(|(name, value)| (name, value.to_owned())).collect(),
        }
    }

    /// As a dial takes it, with these limits of time.
    pub(super) fn identity<'a>(&'a self, limits: &'a [(Limit, String)]) -> Identity<'a> {
        let own = self.parameters.iter().map(|(name, value)| (*name, value.as_str()));
        let limits = limits.iter().map(|(limit, value)| (limit.name(), value.as_str()));
        Identity {
            role: &self.role,
            database: &self.database,
            credential: self.credential.clone(),
            parameters: own.chain(limits).collect(),
        }
    }

    /// For a connection beside the server's own.
    fn identity_beside(&self) -> Identity<'_> {
        // It runs nothing that takes time.
        let mut identity = self.identity(&[]);
        identity.parameters.retain(|(name, _)| *name != "application_name");
        identity.parameters.push(("application_name", NAME_BESIDE));
        identity
    }
}

/// Logs in beside a server: at the very address that its own connection goes to, with TLS where that has
/// TLS, and as the same role. `pool` is the one that the server belongs to.
///
/// Cancel safe: dropping it closes what was opened.
///
/// # Errors
/// The server cannot be reached, or does not let us in.
pub async fn log_in_beside(
    target: &CancelTarget,
    pool: &PoolSpec,
    limit: Duration,
) -> Result<Connected, DialError> {
    let deadline = Some(Instant::now() + limit);
    let attempt = if target.tls.is_some() { Attempt::Tls } else { Attempt::Plain };
    let (address, tls) = (&target.address, target.tls.as_ref());
    let mut identity = target.account.identity_beside();
    match try_once(&identity, address, tls, attempt, deadline).await {
        // The password may have been changed since; then the pool knows the new one.
        Err(error) if error.is_wrong_password() => {
            identity.credential = pool.credential();
            try_once(&identity, address, tls, attempt, deadline).await
        }
        connected => connected,
    }
}

impl Dialler {
    /// Logs in to one server of a pool's database as the pool's server role: for questions about the server itself, in
    /// this database there. `None`: in the pool's own.
    ///
    /// Cancel safe: dropping it closes what was opened.
    ///
    /// # Errors
    /// The server cannot be reached, or does not let us in.
    pub async fn dial_beside(
        &self,
        pool: &PoolSpec,
        target: &Target,
        database: Option<&str>,
        name: &'static str,
        limit: Duration,
    ) -> Result<Connected, DialError> {
        let mut account = Account::of(pool, &pool.settings.load_full());
        if let Some(database) = database {
            database.clone_into(&mut account.database);
        }
        account.parameters = target_parameters(target)
            .filter(|(parameter, _)| *parameter != "application_name")
            .map(|(parameter, value)| (parameter, value.to_owned()))
            .chain([("application_name", name.to_owned())])
            .collect();
        self.dial(Errand { target, identity: account.identity(&[]), limit: Some(limit) }).await
    }
}

#[cfg(test)]
impl Account {
    /// Somebody, who proves nothing.
    pub(crate) fn any() -> Self {
        let (role, database) = ("app".to_owned(), "shop".to_owned());
        Account { role, database, credential: None, parameters: Vec::new() }
    }
}
