//! `--connect`: what the guard wants to know of the catalog is asked at the database's primary.
//!
//! Owns a connection for each question that comes up, as the role that the pool's servers are logged in as, with the
//! session's `search_path` and role, read-only and short. Only refusals come to questions, so few statements need one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::auth::ServerCredential;
use crate::config::Effective;
use crate::dial::{
    Chain, Connected, Dialler, Errand, Identity, ask_relation, leave, read_snapshot,
};
use crate::guard::rehearsal::Parameters;
use crate::guard::{Answer, Question};
use crate::login::Edition;
use crate::process::prepare::Prepared;
use crate::route::Catalog;

/// How long a connection and its answers may take, where the configuration does not say.
const LIMIT: Duration = Duration::from_secs(5);

/// What the server may take for one answer.
const STATEMENT_TIMEOUT: &str = "2000";

/// Who asks.
pub(in super::super) struct Inquirer {
    edition: Edition,
    dialler: Arc<Dialler>,
    runtime: Runtime,
    /// What has been read whole for proofs of reads, by database and the role that read it.
    read: RefCell<BTreeMap<(String, String), Arc<Catalog>>>,
}

impl Inquirer {
    /// For the databases of a configuration that was read with all that it names.
    ///
    /// # Errors
    /// The process has no room for it.
    pub(in super::super) fn new(prepared: Prepared, dialler: Arc<Dialler>) -> Result<Self, String> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
        dialler.use_contexts(prepared.contexts);
        let read = RefCell::default();
        Ok(Self { edition: prepared.edition, dialler, runtime, read })
    }

    /// What the names in a database with replicas mean, read once.
    ///
    /// # Errors
    /// The server cannot be reached or does not answer: what to say.
    pub(super) fn catalog(&self, settings: &Effective) -> Result<Arc<Catalog>, String> {
        let key = (settings.database.name.clone(), settings.logs_in_as().to_owned());
        if let Some(known) = self.read.borrow().get(&key) {
            return Ok(known.clone());
        }
        let credential = self.edition.server_credential(settings);
        let parameters = vec![("application_name", "pgweir explain")];
        let safe = &settings.database.routing.replica_safe_functions;
        let reading = async {
            let connected = self.dial(settings, credential, parameters).await?;
            let read = read_snapshot(connected, safe).await;
            read.map_err(|error| format!("the catalog cannot be read: {error}"))
        };
        let catalog = Arc::new(self.runtime.block_on(reading)?);
        self.read.borrow_mut().insert(key, catalog.clone());
        Ok(catalog)
    }

    /// The answers to questions of a session.
    ///
    /// # Errors
    /// The server cannot be reached or does not answer: what to say.
    pub(super) fn ask(
        &self,
        settings: &Effective,
        session: &Parameters,
        questions: Vec<Question>,
    ) -> Result<Vec<(Question, Answer)>, String> {
        let credential = self.edition.server_credential(settings);
        self.runtime.block_on(self.ask_all(settings, session, credential, questions))
    }

    async fn ask_all(
        &self,
        settings: &Effective,
        session: &Parameters,
        credential: Option<ServerCredential>,
        questions: Vec<Question>,
    ) -> Result<Vec<(Question, Answer)>, String> {
        let mut parameters = vec![
            ("application_name", "pgweir explain"),
            ("client_encoding", "UTF8"),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", STATEMENT_TIMEOUT),
        ];
        for name in ["search_path", "role"] {
            let value = session.value(name.as_bytes()).map(str::from_utf8);
            parameters.extend(value.and_then(Result::ok).map(|value| (name, value)));
        }
        let mut connected = self.dial(settings, credential, parameters).await?;
        let mut answers = Vec::new();
        for question in questions {
            let asked = ask_relation(&mut connected, &question, true);
            let answer = match tokio::time::timeout(LIMIT, asked).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return Err(format!("the catalog does not answer: {error}")),
                Err(_) => return Err("the catalog does not answer in time".to_owned()),
            };
            answers.push((question, answer));
        }
        leave(connected).await;
        Ok(answers)
    }

    async fn dial(
        &self,
        settings: &Effective,
        credential: Option<ServerCredential>,
        parameters: Vec<(&str, &str)>,
    ) -> Result<Connected, String> {
        let database = &settings.database;
        let errand = Errand {
            target: &database.primary,
            identity: Identity {
                role: settings.logs_in_as(),
                database: &database.server_database,
                credential,
                parameters,
            },
            limit: Some(settings.connect_timeout.as_duration().unwrap_or(LIMIT)),
        };
        let dialled = self.dialler.dial(errand).await;
        dialled.map_err(|error| {
            format!("cannot ask the catalog of {}: {}", database.name, Chain(&error))
        })
    }
}
