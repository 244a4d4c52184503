//! The console as a whole: who is there, and carrying commands out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::averages::Averages;
use super::chatter::{Chat, Known};
use super::command::Command;
use super::gates::Gates;
use super::orders::Orders;
use super::show::{Show, Sight, VERSION};
use super::snapshot::{NoAnswer, Snapshot, ask};
use super::table::{Column, Row, Value};
use crate::login::{Hall, Loop};
use crate::wire::report::Severity;
use crate::wire::{Report, TransactionStatus};
use crate::worker::mail::{Control, Mail, PoolInspection, Scope};

/// How often a command that waits looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One console session, for SHOW CLIENTS.
#[derive(Clone, Debug)]
pub(super) struct SessionLine {
    /// The process id that the client was told.
    pub(super) id: i32,
    pub(super) role: String,
    /// Its address; none on a Unix socket.
    pub(super) peer: Option<SocketAddr>,
    pub(super) since: Instant,
    pub(super) asked: Instant,
    pub(super) tls: Option<&'static str>,
    pub(super) application_name: String,
    /// Told when an administrator closes it.
    pub(super) killed: Arc<Notify>,
}

impl SessionLine {
    pub(super) fn age_s(&self) -> u64 {
        self.since.elapsed().as_secs()
    }

    pub(super) fn quiet_s(&self) -> u64 {
        self.asked.elapsed().as_secs()
    }
}

/// The console.
pub struct Console {
    hall: Arc<Hall>,
    loops: Vec<Arc<dyn Loop>>,
    orders: Arc<dyn Orders>,
    gates: Gates,
    averages: Averages,
    sessions: Mutex<BTreeMap<i32, SessionLine>>,
    queries: AtomicU64,
}

/// What a command is answered with, besides its CommandComplete.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// Notices and warnings, which come first.
    pub(super) notices: Vec<Report>,
    /// Where the session's transaction stands from now on; `None`: where it stood.
    pub(super) status: Option<TransactionStatus>,
}

/// Who asks.
pub(super) struct Asker<'a> {
    pub(super) role: &'a str,
    pub(super) database: &'a str,
}

impl Console {
    /// A console over these loops.
    pub fn new(hall: Arc<Hall>, loops: Vec<Arc<dyn Loop>>, orders: Arc<dyn Orders>) -> Self {
        Console {
            hall,
            loops,
            orders,
            gates: Gates::default(),
            averages: Averages::start(),
            sessions: Mutex::default(),
            queries: AtomicU64::new(0),
        }
    }

    /// Ends a period of averages after the other, for as long as the process lives.
    pub async fn keep_averages(&self) {
        let mut reloads = self.hall.reloads();
        let mut begun = Instant::now();
        loop {
            let period = self.hall.config().admin.stats_period.as_duration();
            // The configuration refuses "off".
            let Some(period) = period else { return };
            tokio::select! {
                () = sleep_until(begun + period) => {}
                reload = reloads.changed() => match reload {
                    // It may be a shorter one now.
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
            begun = Instant::now();
            match Snapshot::take(&self.loops).await {
                Ok(snapshot) => {
                    let totals = snapshot.by_database().into_iter();
                    self.averages.turn(totals.map(|(name, of)| (name.to_owned(), of)).collect());
                }
                Err(error) => tracing::warn!(%error, "no averages for a period"),
            }
        }
    }

    pub(super) fn hall(&self) -> &Hall {
        &self.hall
    }

    pub(super) fn gates(&self) -> &Gates {
        &self.gates
    }

    pub(super) fn sessions<T>(&self, with: impl FnOnce(&mut BTreeMap<i32, SessionLine>) -> T) -> T {
        with(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Carries a command out. It is over when the answer is there: PAUSE waits for servers.
    ///
    /// Cancel safe in so far as what was ordered stays ordered.
    pub(super) async fn carry_out(
        &self,
        command: &Command,
        asker: &Asker<'_>,
    ) -> Result<Answer, Report> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        if command.needs_admin() || !matches!(command, Command::Show(_) | Command::Chat(_)) {
            tracing::info!(role = %crate::login::Shown(asker.role), ?command, "console command");
        }
        match command {
            Command::Show(Show::Fds) => {
                return Err(Report::error(
                    b"0A000",
                    "SHOW FDS is not there: nothing is handed to another process",
                ));
            }
            Command::Show(show) => {
                let rows = self.rows(*show).await.map_err(|error| no_answer(&error))?;
                return Ok(Answer { rows, ..Answer::default() });
            }
            Command::Help => return Ok(Answer { notices: vec![help()], ..Answer::default() }),
            Command::Chat(chat) => return Ok(small_talk(*chat, asker)),
            Command::Reload => {
                let notices = self.orders.reload().await?;
                return Ok(Answer { notices, ..Answer::default() });
            }
            Command::SetOwn(key) => {
                return Err(Report::error(b"55P02", format!("\"{key}\" cannot be changed here"))
                    .hint("Change it in the configuration file, then RELOAD."));
            }
            Command::Shutdown(mode) => self.orders.shutdown(*mode),
            Command::Pause(scope) => self.pause(scope).await?,
            Command::Resume(scope) => self.resume(scope).await?,
            Command::Kill(scope) => self.kill(scope).await?,
            Command::KillClient(id) => self.kill_client(*id).await?,
            Command::Disable(database) => self.set_disabled(database, true).await?,
            Command::Enable(database) => self.set_disabled(database, false).await?,
            Command::Reconnect(scope) => {
                self.known(scope, "reconnect").await?;
                self.renew(scope);
                self.control(&Control::Reconnect(scope.clone())).await?;
            }
            Command::WaitClose(scope) => {
                self.known(scope, "wait in").await?;
                self.wait_until(|| true, scope, |pool| pool.close_needed == 0 && pool.moving == 0)
                    .await?;
            }
        }
        Ok(Answer::default())
    }

    async fn rows(&self, show: Show) -> Result<Vec<Row>, NoAnswer> {
        let config = self.hall.config();
        let sessions = self.sessions(|sessions| sessions.values().cloned().collect::<Vec<_>>());
        let sight = Sight {
            snapshot: Snapshot::take(&self.loops).await?,
            since: self.averages.since(),
            config: &config,
            gates: &self.gates,
            holds: self.gates.holds(),
            loops: &self.loops,
            sessions: &sessions,
            console_queries: self.queries.load(Ordering::Relaxed),
            admitted: self.hall.clients(),
            cancel_keys: self.hall.registry().len(),
            topologies: self.hall.pools().topologies(),
            port: self.hall.port(),
        };
        show.rows(&sight).await
    }

    /// PAUSE: no server is given out any more; over when those that were are back and closed.
    async fn pause(&self, scope: &Scope) -> Result<(), Report> {
        self.known(scope, "pause").await?;
        if !self.gates.hold(scope) && *scope == Scope::All {
            return Err(Report::error(b"55000", "already suspended/paused"));
        }
        self.tell_holds().await?;
        let held = || match scope {
            Scope::All => self.gates.holds().all,
            Scope::Database(name) => self.gates.holds().hold(name),
        };
        self.wait_until(held, scope, |pool| pool.open == 0).await
    }

    async fn resume(&self, scope: &Scope) -> Result<(), Report> {
        self.known(scope, "resume").await?;
        if !self.gates.release(scope) {
            let message = match scope {
                Scope::All => "pooler is not paused/suspended".to_owned(),
                Scope::Database(name) => format!("database {name} is not paused"),
            };
            return Err(Report::error(b"55000", message));
        }
        self.tell_holds().await
    }

    /// KILL: whoever is there goes, and whoever comes waits until RESUME.
    async fn kill(&self, scope: &Scope) -> Result<(), Report> {
        self.known(scope, "kill").await?;
        self.gates.hold(scope);
        self.tell_holds().await?;
        self.renew(scope);
        self.control(&Control::Kill(scope.clone())).await?;
        Ok(())
    }

    /// Servers that are on their way from one loop to another are not met by an order.
    fn renew(&self, scope: &Scope) {
        for pool in self.hall.pools().all() {
            if scope.covers(&pool.database) {
                pool.servers().renew();
            }
        }
    }

    async fn kill_client(&self, id: i32) -> Result<(), Report> {
        let own = self.sessions(|sessions| sessions.get(&id).map(|line| line.killed.clone()));
        if let Some(own) = own {
            own.notify_one();
            return Ok(());
        }
        match self.control(&Control::KillClient(id)).await? {
            0 => Err(Report::error(b"42704", "client not found")
                .hint("SHOW CLIENTS has the number in its last column.")),
            _ => Ok(()),
        }
    }

    async fn set_disabled(&self, database: &str, disabled: bool) -> Result<(), Report> {
        let scope = Scope::Database(database.to_owned());
        self.known(&scope, if disabled { "disable" } else { "enable" }).await?;
        self.gates.set_disabled(database, disabled);
        Ok(())
    }

    async fn tell_holds(&self) -> Result<(), Report> {
        self.control(&Control::Hold(self.gates.holds())).await.map(drop)
    }
}

impl Console {
    /// Has every loop carry an order out. How much it met.
    async fn control(&self, control: &Control) -> Result<usize, Report> {
        let question = |answer: oneshot::Sender<usize>| Mail::Control(control.clone(), answer);
        let met = ask(&self.loops, question).await.map_err(|error| no_answer(&error))?;
        Ok(met.into_iter().sum())
    }

    /// Refuses databases that do not exist, and the console's own. One that was held or disabled
    /// before a reload took it away can still be let go.
    async fn known(&self, scope: &Scope, what: &str) -> Result<(), Report> {
        let Scope::Database(name) = scope else { return Ok(()) };
        let config = self.hall.config();
        if config.admin.serves(name) {
            return Err(Report::error(b"0A000", format!("cannot {what} admin db: {name}")));
        }
        if config.resolve(name, "").is_some() || self.gates.names(name) {
            return Ok(());
        }
        // A reload may have taken a database away whose clients are still there.
        let snapshot = Snapshot::take(&self.loops).await.map_err(|error| no_answer(&error))?;
        if snapshot.pools.iter().any(|pool| pool.database == *name) {
            return Ok(());
        }
        Err(Report::error(b"3D000", format!("no such database: {name}")))
    }

    /// Looks again and again until every pool of the scope is as `done` says, or `goes_on` says
    /// that it is no longer wanted.
    async fn wait_until(
        &self,
        goes_on: impl Fn() -> bool,
        scope: &Scope,
        done: impl Fn(&PoolInspection) -> bool,
    ) -> Result<(), Report> {
        loop {
            let snapshot = Snapshot::take(&self.loops).await.map_err(|error| no_answer(&error))?;
            let mut pools = snapshot.pools.iter().filter(|pool| scope.covers(&pool.database));
            if pools.all(&done) {
                return Ok(());
            }
            if !goes_on() {
                return Err(Report::error(b"57014", "RESUME came before everything was paused"));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn no_answer(error: &NoAnswer) -> Report {
    Report::error(b"57P03", error.to_string())
}

/// The columns of a command's result; `None` when it has none.
pub(super) fn columns(command: &Command) -> Option<&'static [Column]> {
    match command {
        Command::Show(Show::Fds) => None,
        Command::Show(show) => Some(show.columns()),
        Command::Chat(Chat::Answer { column, .. }) => Some(*column),
        _ => None,
    }
}

fn small_talk(chat: Chat, asker: &Asker<'_>) -> Answer {
    let mut answer = Answer::default();
    match chat {
        Chat::Begin => answer.status = Some(TransactionStatus::InTransaction),
        Chat::Commit | Chat::Rollback => answer.status = Some(TransactionStatus::Idle),
        Chat::Done(_) => {}
        Chat::Answer { value, .. } => {
            let value: Value = match value {
                Known::Text(text) => text.into(),
                Known::One => 1_u32.into(),
                Known::Version => VERSION.into(),
                Known::Role => asker.role.into(),
                Known::Database => asker.database.into(),
            };
            answer.rows = vec![vec![value]];
        }
    }
    answer
}

/// As in PgBouncer: a notice, with the commands in its DETAIL.
fn help() -> Report {
    let mut detail = String::new();
    for group in Show::ALL.chunks(7) {
        let names: Vec<String> = group.iter().map(|show| show.name().to_uppercase()).collect();
        detail += &format!("\n\tSHOW {}", names.join("|"));
    }
    for line in [
        "SHOW HELP",
        "RELOAD",
        "PAUSE [<db>]",
        "RESUME [<db>]",
        "DISABLE <db>",
        "ENABLE <db>",
        "RECONNECT [<db>]",
        "KILL [<db>]",
        "KILL_CLIENT <client_id>",
        "SHUTDOWN",
        "SHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS",
        "WAIT_CLOSE [<db>]",
    ] {
        detail += &format!("\n\t{line}");
    }
    Report::new(Severity::Notice, b"00000", "Console usage").detail(detail)
}

/// The moment `age_s` seconds ago as PgBouncer writes it, in UTC.
pub(super) fn stamp(age_s: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    utc(now.as_secs().saturating_sub(age_s))
}

/// Seconds since 1970 as `2026-11-21 15:11:30 UTC`.
fn utc(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    // Days since the first of March of the year 0, whose four hundred years repeat (Hinnant,
    // "chrono-compatible low-level date algorithms", civil_from_days).
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn moments_are_written_as_pgbouncer_does() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_273_890), "2026-11-21 15:11:30 UTC");
    }
}
