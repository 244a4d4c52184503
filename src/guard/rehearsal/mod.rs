//! A session that is only thought of: its messages are judged, and each of their statements is taken to succeed.
//!
//! Owns what follows from that: the transaction's status, parameters that verdicts depend on, and which tables are
//! certain to be empty because the session itself has made them. For `pgweir lint` and `pgweir explain`, where no server
//! answers. Deliberately absent: files, output, and statements that fail.

mod filled;
mod parameters;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::catalog::{Answer, Catalog, Question};
use super::context::{Context, Limits};
use super::history::{History, Scene};
use super::judge::judge;
use super::judgement::Judgement;
use crate::config::{Effective, GuardPolicy, PoolMode, Timeout};
use crate::sql::commands::{Command, Commands, Place};
use crate::sql::{Encoding, LexOptions, TransactionControl, commands};
use crate::wire::TransactionStatus;
pub use parameters::Parameters;

/// For whom a session is rehearsed.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What each rule does.
    pub policy: Arc<GuardPolicy>,
    /// Its servers go to other clients between its transactions.
    pub shared_server: bool,
    /// The limit of concurrent index builds; milliseconds, 0 for none.
    pub maintenance_timeout_ms: u32,
    /// `lock_timeout` of the role's DDL; milliseconds, 0 for none.
    pub lock_timeout_ms: u32,
    /// Above what it may not raise its own limits.
    pub limits: Limits,
}

impl Stage {
    /// What holds for a role in a database.
    #[must_use]
    pub fn of(settings: &Effective) -> Self {
        let millis = |limit: Timeout| {
            limit.as_millis().map_or(0, |ms| u32::try_from(ms).unwrap_or(u32::MAX))
        };
        let lock_ms = millis(settings.lock_timeout);
        let ddl_lock_ms = millis(settings.ddl_lock_timeout);
        Self {
            policy: settings.policy.clone(),
            shared_server: settings.pool_mode == PoolMode::Transaction,
            maintenance_timeout_ms: millis(settings.maintenance_timeout),
            lock_timeout_ms: if ddl_lock_ms == 0 { lock_ms } else { ddl_lock_ms },
            limits: Limits {
                statement_ms: millis(settings.statement_timeout),
                lock_ms,
                idle_in_transaction_ms: millis(settings.idle_in_transaction_timeout),
                transaction_ms: millis(settings.transaction_timeout),
            },
        }
    }
}

/// A session, as far as its messages show it.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    stage: Stage,
    parameters: Parameters,
    history: History,
    status: TransactionStatus,
    /// What the session has made and filled, in place of a catalog.
    catalog: Catalog,
}

impl Rehearsal {
    /// A session that has just logged in with these parameters.
    #[must_use]
    pub fn new(stage: Stage, parameters: Parameters) -> Self {
        let catalog = Catalog::rehearsed();
        let (history, status) = (History::default(), TransactionStatus::Idle);
        Self { stage, parameters, history, status, catalog }
    }

    /// How the server reads its next text.
    #[must_use]
    pub fn options(&self) -> LexOptions {
        let encoding = self.parameters.value(b"client_encoding");
        let conforming = self.parameters.value(b"standard_conforming_strings");
        LexOptions {
            standard_conforming_strings: conforming.is_none_or(parameters::is_on),
            encoding: encoding.map_or(Encoding::AsciiSafe, Encoding::from_name),
        }
    }

    /// Its transaction.
    #[must_use]
    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Its parameters, as far as verdicts and limits depend on them.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What the policy says to a message that comes next.
    #[must_use]
    pub fn judge(&self, text: &[u8]) -> Judgement {
        self.judge_commands(text, &commands(text, self.options()))
    }

    /// The same, where the catalog has said this.
    #[must_use]
    pub fn judge_told(&self, text: &[u8], answers: Vec<(Question, Answer)>) -> Judgement {
        let mut catalog = self.catalog.clone();
        answers.into_iter().for_each(|(question, answer)| catalog.tell(question, answer));
        let context = Context { catalog: &catalog, ..self.context() };
        judge(text, &commands(text, self.options()), &self.history, &context)
    }

    /// What the policy says to a message, which then runs whatever that is.
    pub fn play(&mut self, text: &[u8]) -> Judgement {
        let commands = commands(text, self.options());
        let judgement = self.judge_commands(text, &commands);
        self.run(text, &commands);
        judgement
    }

    /// Rows are put into tables by what no text shows.
    pub fn fills_unseen(&mut self) {
        self.catalog.made_mut().fill(None);
    }

    fn judge_commands(&self, text: &[u8], commands: &Commands) -> Judgement {
        judge(text, commands, &self.history, &self.context())
    }

    fn context(&self) -> Context<'_> {
        let search_path = self.parameters.value(b"search_path");
        let own_lock_ms = self.parameters.millis(b"lock_timeout");
        Context {
            policy: &self.stage.policy,
            origin: "",
            options: self.options(),
            status: self.status,
            shared_server: self.stage.shared_server,
            search_path,
            maintenance_timeout_ms: self.stage.maintenance_timeout_ms,
            lock_timeout_ms: own_lock_ms
                .filter(|ms| *ms != 0)
                .unwrap_or(self.stage.lock_timeout_ms),
            limits: self.stage.limits,
            catalog: &self.catalog,
        }
    }

    fn run(&mut self, text: &[u8], commands: &Commands) {
        let options = self.options();
        let mut history = std::mem::take(&mut self.history);
        let context = self.context();
        // COMMIT takes the log with it.
        let ends = only_control(commands);
        let committed =
            matches!(ends, Some(TransactionControl::Commit { .. })).then(|| history.clone());
        history.sent(text, commands, &context);
        let mut scene = Scene::new(text, &context);
        let before = self.status;
        for found in commands.found().iter().filter(|found| found.place != Place::Prepared) {
            if let Command::Parameter(used) = &found.command {
                let certain = matches!(found.place, Place::Plain | Place::Code { certain: true });
                self.parameters.apply(used, certain, &scene);
            }
            if found.place != Place::Plain {
                continue;
            }
            match &found.command {
                Command::Transaction(control) => {
                    self.parameters.control(control);
                    self.status = status_behind(self.status, control);
                    scene.in_block = self.status != TransactionStatus::Idle;
                }
                Command::Discard(crate::sql::Discard::All) => self.parameters.discard_all(),
                _ => {}
            }
        }
        if self.status == TransactionStatus::Idle {
            self.parameters.control(&TransactionControl::Commit { chain: false });
        }
        let made = self.catalog.made_mut();
        filled::note(text, commands, options, made);
        match committed {
            Some(history) => made.commit(&history),
            None if commands.controls() && ends.is_none() => made.forget(),
            None if before == TransactionStatus::Idle && !commands.controls() => {
                made.commit(&history);
            }
            None => {}
        }
        match self.status {
            TransactionStatus::Idle => history.transaction_ended(true),
            TransactionStatus::InTransaction | TransactionStatus::Failed => history.settled(),
        }
        self.history = history;
    }
}

/// The transaction command that a text is, where it is nothing else.
fn only_control(commands: &Commands) -> Option<&TransactionControl> {
    match commands.found() {
        [found] if commands.statements() == 1 && !commands.beyond().any => match &found.command {
            Command::Transaction(control) if found.place == Place::Plain => Some(control),
            _ => None,
        },
        _ => None,
    }
}

/// The status behind a transaction command that succeeds.
fn status_behind(status: TransactionStatus, control: &TransactionControl) -> TransactionStatus {
    match control {
        TransactionControl::Begin(_) => TransactionStatus::InTransaction,
        TransactionControl::Commit { chain } | TransactionControl::Rollback { chain } => {
            if *chain {
                status
            } else {
                TransactionStatus::Idle
            }
        }
        TransactionControl::PrepareTransaction => TransactionStatus::Idle,
        TransactionControl::Savepoint(_)
        | TransactionControl::Release(_)
        | TransactionControl::RollbackTo(_)
        | TransactionControl::CommitPrepared
        | TransactionControl::RollbackPrepared
        | TransactionControl::SetTransaction(_) => status,
    }
}
