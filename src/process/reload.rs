//! Reload: everything is read and checked first, then all of it takes effect, or nothing.
//!
//! Asked for by SIGHUP, `pgweir reload` and the console's RELOAD, through a [`ReloadHandle`].
//! Reloads come one after the other. Deliberately absent: what a changed value means to those who
//! use it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::doors::Doors;
use super::http_door::HttpDoor;
use super::limits;
use super::logging::LogLevel;
use super::prepare::{InForce, Prepared, prepare};
use crate::config::{Change, Config, ConfigProblems, Places, Problem, Severity, summary};
use crate::dial::Dialler;
use crate::login::Hall;
use crate::metrics::Reloads;
use crate::wire::Report;
use crate::wire::report::Severity as Weight;

/// Changes that are logged one by one.
const LOGGED_CHANGES: usize = 100;

/// What a reload did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Every value that the files now set differently. Files that they name, certificates for
    /// instance, were read again as well.
    pub changes: Vec<Change>,
    /// Keys whose values differ from those that the process was started with, and that need a
    /// restart.
    pub need_restart: Vec<&'static str>,
    /// What is worth knowing about the configuration.
    pub warnings: Vec<Problem>,
    /// Keys that are set and that nothing acts on yet.
    pub not_yet: Vec<Problem>,
}

impl Summary {
    /// In one line.
    fn headline(&self) -> String {
        match self.changes.len() {
            0 => "reloaded: no value changed; the files it names were read again".to_owned(),
            1 => "reloaded: 1 value changed".to_owned(),
            n => format!("reloaded: {n} values changed"),
        }
    }

    /// What the console says: warnings one by one, then what was done.
    #[must_use]
    pub fn notices(&self) -> Vec<Report> {
        let warning = |text: String| Report::new(Weight::Warning, b"01000", text);
        let mut notices: Vec<Report> = self.warnings.iter().map(in_the_console).collect();
        notices.extend(self.need_restart.iter().map(|key| warning(needs_restart(key))));
        if let Some((message, list)) = without_effect(&self.not_yet) {
            notices.push(warning(message).detail(list.join("\n")));
        }
        let done = Report::new(Weight::Notice, b"00000", self.headline());
        let changes: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
        notices.push(if changes.is_empty() { done } else { done.detail(changes.join("\n")) });
        notices
    }
}

/// A warning or note about the configuration as the console says it.
fn in_the_console(problem: &Problem) -> Report {
    let weight = match problem.severity {
        Severity::Error | Severity::Warning => Weight::Warning,
        Severity::Note => Weight::Notice,
    };
    let report = Report::new(weight, b"01000", problem.message.clone());
    let report = match (&problem.location, &problem.key) {
        (Some(at), _) => report.detail(format!("{}:{}:{}", at.file, at.line, at.column)),
        (None, Some(key)) => report.detail(key.clone()),
        (None, None) => report,
    };
    match &problem.help {
        Some(help) => report.hint(help.clone()),
        None => report,
    }
}

/// What the console says of a reload that was refused: every problem in its DETAIL.
#[must_use]
pub fn refused(problems: &ConfigProblems) -> Report {
    let message =
        format!("RELOAD failed: {}; the configuration in force stays", summary(&problems.problems));
    let texts: Vec<String> = problems.problems.iter().map(ToString::to_string).collect();
    Report::error(b"F0000", message).detail(texts.join("\n").trim_end().to_owned())
}

/// What is said of keys that nothing acts on yet: in one line, and one by one.
fn without_effect(not_yet: &[Problem]) -> Option<(String, Vec<String>)> {
    let list: Vec<String> = not_yet.iter().map(Problem::in_one_line).collect();
    let message = match list.len() {
        0 => return None,
        1 => "1 key is set that does nothing yet".to_owned(),
        n => format!("{n} keys are set that do nothing yet"),
    };
    Some((message, list))
}

/// Tells the log which keys are set that nothing acts on yet, all at once.
pub(super) fn log_without_effect(not_yet: &[Problem]) {
    if let Some((message, list)) = without_effect(not_yet) {
        tracing::warn!("configuration: {message}: {}", list.join("; "));
    }
}

fn needs_restart(key: &str) -> String {
    format!("`{key}` needs a restart; the value of the start stays")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "{warning}")?;
        }
        for change in &self.changes {
            writeln!(f, "changed: {change}")?;
        }
        for key in &self.need_restart {
            writeln!(f, "warning: {}", needs_restart(key))?;
        }
        if let Some((message, list)) = without_effect(&self.not_yet) {
            writeln!(f, "warning: {message}:\n  {}", list.join("\n  "))?;
        }
        f.write_str(&self.headline())
    }
}

type Outcome = Result<Summary, ConfigProblems>;

/// Asks for reloads. Clones ask the same process.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    asks: mpsc::Sender<oneshot::Sender<Outcome>>,
    counts: Arc<Reloads>,
}

/// What has been asked for through a [`ReloadHandle`].
#[derive(Debug)]
pub struct Asks {
    asks: mpsc::Receiver<oneshot::Sender<Outcome>>,
    counts: Arc<Reloads>,
}

impl ReloadHandle {
    /// A handle, and where its asks arrive.
    #[must_use]
    pub fn new() -> (Self, Asks) {
        let (sender, receiver) = mpsc::channel(8);
        let counts = Arc::new(Reloads::default());
        let asks = Asks { asks: receiver, counts: counts.clone() };
        (ReloadHandle { asks: sender, counts }, asks)
    }

    /// Reads the configuration again. When this returns it is in force for every login that
    /// begins, and every loop has been told.
    ///
    /// Not cancel safe in so far as a reload that was asked for goes on.
    ///
    /// # Errors
    /// Every problem; then nothing of the old configuration has been given up.
    pub async fn reload(&self) -> Result<Summary, ConfigProblems> {
        let (sender, receiver) = oneshot::channel();
        let ended = || refusal("", "pgweir is shutting down");
        self.asks.send(sender).await.map_err(|_| ended())?;
        receiver.await.unwrap_or_else(|_| Err(ended()))
    }

    /// How reloads went so far.
    #[must_use]
    pub fn counts(&self) -> Arc<Reloads> {
        self.counts.clone()
    }
}

/// Everything that a reload reaches.
pub(super) struct Reloader {
    /// The main file, as it was named at the start.
    pub path: PathBuf,
    /// The configuration of the start.
    pub started: Arc<Config>,
    pub hall: Arc<Hall>,
    pub dialler: Arc<Dialler>,
    pub doors: Doors,
    pub http: HttpDoor,
    pub log: LogLevel,
}

impl Reloader {
    /// Serves asks until `closing` turns true, then closes the doors.
    pub(super) async fn serve(
        mut self,
        mut asks: Asks,
        mut closing: tokio::sync::watch::Receiver<bool>,
    ) {
        loop {
            let ask = tokio::select! {
                // The doors first, so that a successor can have the ports.
                biased;
                _ = closing.wait_for(|closing| *closing) => break,
                ask = asks.asks.recv() => ask,
            };
            let Some(answer) = ask else { break };
            let outcome = self.reload().await;
            asks.counts.count(outcome.is_ok());
            log_outcome(&outcome);
            // Whoever asked may have gone.
            let _ = answer.send(outcome);
        }
        self.doors.close();
        // Those who come now are told that their ask was dropped.
    }

    async fn reload(&mut self) -> Outcome {
        let before = self.hall.edition();
        let prepared = self.prepare().await?;
        let Prepared { edition, contexts, warnings, not_yet, need_restart, places } = prepared;
        let config = edition.config.clone();
        let filter = LogLevel::parse(&config.log);
        let refusal = |key, error: &dyn fmt::Display| refusal_at(key, error, &places);
        let filter = filter.map_err(|error| refusal("log.level", &error))?;
        let bound = self.doors.bind_new(&config).await;
        let bound = bound.map_err(|error| refusal("server.listen", &error))?;
        let bound_http = self.http.bind_new(&config).await;
        let bound_http = bound_http.map_err(|error| refusal("http.listen", &error))?;
        // From here on nothing fails and nothing waits.
        self.log.set(filter);
        self.dialler.use_contexts(contexts);
        self.hall.follow(edition);
        self.doors.follow(&config, bound);
        self.http.follow(&config, bound_http);
        limits::warn_of_few_files(&config);
        Ok(Summary {
            changes: config.changes_since(&before.config),
            need_restart,
            warnings,
            not_yet,
        })
    }

    async fn prepare(&self) -> Result<Prepared, ConfigProblems> {
        let (path, dialler) = (self.path.clone(), self.dialler.clone());
        let (edition, started) = (self.hall.edition(), self.started.clone());
        let reading = move || {
            let before = InForce { edition: &edition, started: &started };
            prepare(&path, dialler, Some(before))
        };
        match tokio::task::spawn_blocking(reading).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(refusal("", format!("reading it failed: {panic}"))),
        }
    }
}

fn refusal(key: &str, error: impl fmt::Display) -> ConfigProblems {
    vec![Problem::error(key, error.to_string())].into()
}

fn refusal_at(key: &str, error: &dyn fmt::Display, places: &Places) -> ConfigProblems {
    vec![Problem::error(key, error.to_string()).placed(places)].into()
}

fn log_outcome(outcome: &Outcome) {
    match outcome {
        Ok(Summary { changes, need_restart, warnings, not_yet }) => {
            for warning in warnings {
                tracing::warn!("configuration: {warning}");
            }
            log_without_effect(not_yet);
            for change in changes.iter().take(LOGGED_CHANGES) {
                tracing::info!("configuration changed: {change}");
            }
            for key in need_restart {
                tracing::warn!("configuration: {}", needs_restart(key));
            }
            tracing::info!(changes = changes.len(), "configuration reloaded");
        }
        Err(problems) => {
            for problem in &problems.problems {
                tracing::error!("configuration: {problem}");
            }
            tracing::error!("reload refused; the configuration in force stays");
        }
    }
}
