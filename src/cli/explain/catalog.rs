//! `--connect`: what the guard wants to know of the catalog is asked at the database's primary, and a snapshot of it is
//! read for the routes of statements that have names.
//!
//! Owns a connection for each question that comes up, as the role that the pool's servers are logged in as, with the
//! session's `search_path` and role, read-only and short. Only refusals come to questions, so few statements need one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
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
    /// Snapshots, by database.
    catalogs: RefCell<BTreeMap<String, Rc<Catalog>>>,
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
        Ok(Self { edition: prepared.edition, dialler, runtime, catalogs: RefCell::default() })
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

    /// The snapshot of a database, read once.
    ///
    /// # Errors
    /// As [`Inquirer::ask`].
    pub(super) fn catalog(&self, settings: &Effective) -> Result<Rc<Catalog>, String> {
        let name = &settings.database.name;
        if let Some(known) = self.catalogs.borrow().get(name) {
            return Ok(known.clone());
        }
        let credential = self.edition.server_credential(settings);
        let safe = &settings.database.routing.replica_safe_functions;
        let read = self.runtime.block_on(async {
            let connected = self.dial(settings, credential, Vec::new()).await?;
            let read = tokio::time::timeout(2 * LIMIT, read_snapshot(connected, safe)).await;
            let read = read.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            read.map_err(|why| format!("cannot read the catalog of {name}: {why}"))
        });
        let read = Rc::new(read?);
        self.catalogs.borrow_mut().insert(name.clone(), read.clone());
        Ok(read)
    }

    async fn ask_all(
        &self,
        settings: &Effective,
        session: &Parameters,
        credential: Option<ServerCredential>,
        questions: Vec<Question>,
    ) -> Result<Vec<(Question, Answer)>, String> {
        let mut parameters = Vec::new();
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

    /// A connection to the primary, with these parameters beside those that every one has.
    async fn dial(
        &self,
        settings: &Effective,
        credential: Option<ServerCredential>,
        more: Vec<(&str, &str)>,
    ) -> Result<Connected, String> {
        let mut parameters = vec![
            ("application_name", "pgweir explain"),
            ("client_encoding", "UTF8"),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", STATEMENT_TIMEOUT),
        ];
        parameters.extend(more);
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
