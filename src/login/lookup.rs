//! `auth_query`: asking Postgres for a role's stored secret.
//!
//! The session is pgweir's own from dial to goodbye: nothing that a client said reaches it but
//! the role's name, as a parameter (CVE-2025-12819, CVE-2015-6817). Answers, "no such role"
//! included, are kept for `cache_ttl`; a role is asked about by one task at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use crate::auth::ServerCredential;
use crate::auth::secret::StoredSecret;
use crate::config::{Config, Effective, Target};
use crate::dial::{AnswerError, Dialler, Errand, Identity, Row, ask, leave};

/// Look-ups at a time: each is a connection of its own.
const OPEN_LOOKUPS: usize = 8;
/// Answers kept; what is over goes, oldest knowledge first or all of it. Strangers choose the
/// names that are asked about.
const ANSWERS_LIMIT: usize = 10_000;
/// How long a look-up may take beside the dial; the server's own limit strikes before.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// How long a dial may take where `connect_timeout` is off.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// An answer younger than this is not doubted, so that wrong passwords make no storm.
const FRESH: Duration = Duration::from_secs(1);
/// The longest secret taken; a verifier has some 130 bytes.
const SECRET_LIMIT: usize = 4 * 1024;

/// The server's settings of a look-up: fixed names, no writes, an end.
const SESSION: [(&str, &str); 4] = [
    ("application_name", "pgweir auth_query"),
    ("search_path", "pg_catalog"),
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "2000"),
];

/// Why a role could not be looked up.
#[derive(Debug)]
pub enum LookupError {
    /// The server could not be asked, or answered with an error.
    Answer(AnswerError),
    /// It took too long.
    TimedOut,
    /// The query gave something else than at most one row of the role's name and secret.
    Shape(&'static str),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auth_query: ")?;
        match self {
            LookupError::Answer(error) => error.fmt(f),
            LookupError::TimedOut => f.write_str("timed out"),
            LookupError::Shape(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LookupError {}

/// What is known of a role on a server.
struct Answer {
    secret: Option<StoredSecret>,
    asked: Instant,
}

type Slot = Arc<Mutex<Option<Answer>>>;

/// All look-ups of the process.
pub struct Lookups {
    dialler: Arc<Dialler>,
    query: String,
    role: String,
    database: String,
    /// Zero: nothing is kept.
    ttl: Duration,
    /// By server and role.
    answers: DashMap<(String, String), Slot>,
    open: Semaphore,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups")
            .field("role", &self.role)
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}

impl Lookups {
    /// `None` where the configuration has no `auth_query`.
    pub(super) fn new(config: &Config, dialler: Arc<Dialler>) -> Option<Self> {
        let auth = &config.auth;
        let (Some(query), Some(role)) = (&auth.auth_query, &auth.auth_query_role) else {
            return None;
        };
        Some(Lookups {
            dialler,
            query: query.clone(),
            role: role.clone(),
            database: auth.auth_query_database.clone(),
            ttl: auth.cache_ttl.as_duration().unwrap_or_default(),
            answers: DashMap::new(),
            open: Semaphore::new(OPEN_LOOKUPS),
        })
    }

    /// The role that asks.
    pub(super) fn role(&self) -> &str {
        &self.role
    }

    /// The secret of `role` on the server of these settings; `None` when there is none.
    ///
    /// Not cancel safe: a look-up under way is lost.
    pub(super) async fn find(
        &self,
        role: &str,
        settings: &Effective,
        credential: Option<ServerCredential>,
    ) -> Result<Option<StoredSecret>, LookupError> {
        let slot = self.slot(role, settings);
        // Whoever comes second waits here and finds the first one's answer.
        let mut known = slot.lock().await;
        if let Some(answer) = known.as_ref().filter(|answer| answer.asked.elapsed() < self.ttl) {
            return Ok(answer.secret.clone());
        }
        *known = None;
        let asked = Instant::now();
        let limit = settings.connect_timeout.as_duration().unwrap_or(DIAL_LIMIT);
        let _place = self.open.acquire().await;
        let asking = self.ask(role, settings, credential, limit);
        let secret = match timeout(limit + ANSWER_LIMIT, asking).await {
            Ok(answer) => answer?,
            Err(_) => return Err(LookupError::TimedOut),
        };
        *known = Some(Answer { secret: secret.clone(), asked });
        Ok(secret)
    }

    /// Forgets an answer that is not fresh.
    pub(super) fn doubt(&self, role: &str, settings: &Effective) {
        let slot = self.slot(role, settings);
        // Held: somebody is asking anew already.
        if let Ok(mut known) = slot.try_lock()
            && known.as_ref().is_some_and(|answer| answer.asked.elapsed() > FRESH)
        {
            *known = None;
        }
    }

    fn slot(&self, role: &str, settings: &Effective) -> Slot {
        if self.answers.len() >= ANSWERS_LIMIT {
            let stale = |slot: &Slot| match slot.try_lock() {
                Ok(known) => known.as_ref().is_none_or(|answer| answer.asked.elapsed() >= self.ttl),
                Err(_) => false,
            };
            self.answers.retain(|_, slot| !stale(slot));
            if self.answers.len() >= ANSWERS_LIMIT {
                self.answers.clear();
            }
        }
        let key = (server_of(&settings.database.primary), role.to_owned());
        self.answers.entry(key).or_default().clone()
    }

    async fn ask(
        &self,
        role: &str,
        settings: &Effective,
        credential: Option<ServerCredential>,
        limit: Duration,
    ) -> Result<Option<StoredSecret>, LookupError> {
        let identity = Identity {
            role: &self.role,
            database: &self.database,
            credential,
            parameters: SESSION.to_vec(),
        };
        let errand = Errand { target: &settings.database.primary, identity, limit: Some(limit) };
        let connected = self.dialler.dial(errand).await;
        let mut connected = connected.map_err(|error| LookupError::Answer(error.into()))?;
        let rows = ask(&mut connected, &self.query, &[role.as_bytes()]).await;
        let rows = rows.map_err(LookupError::Answer)?;
        leave(connected).await;
        read_answer(role, &rows)
    }
}

/// The secret in the answer, which must be about the role that was asked for.
fn read_answer(role: &str, rows: &[Row]) -> Result<Option<StoredSecret>, LookupError> {
    let row = match rows {
        [] => return Ok(None),
        [row] => row,
        _ => return Err(LookupError::Shape("more than one row")),
    };
    let [name, secret] = row.as_slice() else {
        return Err(LookupError::Shape("not two columns: the role's name and its secret"));
    };
    if name.as_deref() != Some(role.as_bytes()) {
        return Err(LookupError::Shape("the row is not about the role that was asked for"));
    }
    match secret {
        // No password, or an expired one.
        None => Ok(None),
        Some(secret) if secret.len() > SECRET_LIMIT => {
            Err(LookupError::Shape("the secret is too long"))
        }
        // What is no secret lets nobody in.
        Some(secret) => Ok(StoredSecret::parse(secret).ok()),
    }
}

fn server_of(target: &Target) -> String {
    target.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[Option<&str>]) -> Row {
        columns.iter().map(|column| column.map(|text| text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn only_one_row_about_the_very_role_is_an_answer() {
        let read = |rows: &[Row]| read_answer("app", rows).map(|secret| secret.is_some());
        let good = row(&[Some("app"), Some("secret")]);
        assert!(read(std::slice::from_ref(&good)).unwrap());
        assert!(!read(&[]).unwrap());
        assert!(!read(&[row(&[Some("app"), None])]).unwrap());
        assert!(!read(&[row(&[Some("app"), Some("")])]).unwrap());
        let long = "x".repeat(SECRET_LIMIT + 1);
        for wrong in [
            vec![good.clone(), good],
            vec![row(&[Some("root"), Some("secret")])],
            vec![row(&[None, Some("secret")])],
            vec![row(&[Some("app")])],
            vec![row(&[Some("app"), Some("a"), Some("b")])],
            vec![row(&[Some("app"), Some(&long)])],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }
}
