//! Who uses a pool and how its servers are reached.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::auth::ServerCredential;
use crate::config::Effective;

/// One (database, role): made by the login hall at the first login, shared by everyone after it.
#[derive(Debug)]
pub struct PoolSpec {
    /// Number of the pool in this process; never used twice.
    pub id: u32,
    /// Database as clients name it.
    pub database: String,
    /// Role as clients name it.
    pub role: String,
    /// The settings in force; a reload replaces them.
    pub settings: ArcSwap<Effective>,
    /// What logs in to Postgres: set at start from the configuration, or by a client's login that
    /// revealed it (SCRAM pass-through).
    credential: Mutex<Option<ServerCredential>>,
}

impl PoolSpec {
    /// A pool's description.
    #[must_use]
    pub fn new(id: u32, database: String, role: String, settings: Arc<Effective>) -> Self {
        PoolSpec {
            id,
            database,
            role,
            settings: ArcSwap::new(settings),
            credential: Mutex::new(None),
        }
    }

    /// What logs in to Postgres now. Never locked across an await or beside another lock.
    #[must_use]
    pub fn credential(&self) -> Option<ServerCredential> {
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what a login revealed.
    pub fn set_credential(&self, credential: ServerCredential) {
        *self.credential.lock().unwrap_or_else(PoisonError::into_inner) = Some(credential);
    }

    /// The role that pgweir logs in to Postgres as.
    #[must_use]
    pub fn server_role(&self) -> String {
        self.settings.load().server_role.clone().unwrap_or_else(|| self.role.clone())
    }

    /// What the pool may use.
    #[must_use]
    pub fn limits(&self) -> super::Limits {
        let settings = self.settings.load();
        super::Limits {
            size: settings.pool_size,
            wait_ms: settings.pool_wait_timeout.as_millis(),
            lifetime_ms: settings.server_lifetime.as_millis(),
            idle_ms: settings.server_idle_timeout.as_millis(),
            prepared: settings.max_prepared_statements,
        }
    }

    /// Whether a client keeps its server until it leaves.
    #[must_use]
    pub fn is_session_mode(&self) -> bool {
        self.settings.load().pool_mode == crate::config::PoolMode::Session
    }

    /// The server as the configuration names it, for those who operate pgweir.
    #[must_use]
    pub fn server_name(&self) -> String {
        self.settings
            .load()
            .database
            .primary
            .hosts
            .first()
            .map_or_else(String::new, ToString::to_string)
    }
}
