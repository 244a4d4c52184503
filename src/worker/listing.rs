//! Every connection of a loop, one by one, for those who operate pgweir.

use std::sync::Arc;

use crate::config::ClockLimit;
use crate::net::socket::Ends;
use crate::pool::PoolSpec;
use crate::rules::Action;
use crate::session::Pins;
use crate::sql::Fingerprint;

/// Every connection of one loop at one moment.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Logged-in clients.
    pub clients: Vec<ClientLine>,
    /// Logged-in servers.
    pub servers: Vec<ServerLine>,
    /// Limits in time that have struck lately.
    pub timeouts: Vec<TimeoutLine>,
    /// What rules of the guard have found lately.
    pub found: Vec<FoundLine>,
}

/// Who noticed that a limit was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belt {
    /// pgweir's clock.
    Pgweir,
    /// The server's own setting.
    Server,
}

impl Belt {
    /// The word for logs and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Belt::Pgweir => "pgweir",
            Belt::Server => "server",
        }
    }
}

/// What came of a limit that has struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What ran was cancelled.
    Cancelled,
    /// What was cancelled was its wait for a standby, so it was told as a success: it has committed, unconfirmed.
    Unconfirmed,
    /// It had ended before the cancel request took effect.
    LostRace,
    /// The transaction of a silent client was rolled back.
    RolledBack,
    /// The server did not react, or was lost: its client was told so.
    GivenUp,
    /// It has committed and waits for a standby, which is let be.
    WaitsForStandby,
    /// It is let run, as `timeout_action = "report"` says.
    Reported,
}

impl Outcome {
    /// The word for logs and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Cancelled => "cancelled",
            Outcome::Unconfirmed => "unconfirmed",
            Outcome::LostRace => "lost_race",
            Outcome::RolledBack => "rolled_back",
            Outcome::GivenUp => "given_up",
            Outcome::WaitsForStandby => "waits_for_standby",
            Outcome::Reported => "reported",
        }
    }
}

/// Something that a rule of the guard has found, perhaps often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLine {
    /// The client's database.
    pub database: String,
    /// Its role.
    pub role: String,
    /// The rule.
    pub rule: &'static str,
    /// What was done about it.
    pub action: Action,
    /// How often.
    pub count: u64,
    /// How long ago the last time was, in milliseconds.
    pub age_ms: u64,
    /// Of the text.
    pub fingerprint: Fingerprint,
    /// What the rule said, the first time.
    pub message: String,
}

/// A limit in time that has struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutLine {
    /// The client's database.
    pub database: String,
    /// Its role.
    pub role: String,
    /// How long ago that was, in milliseconds.
    pub age_ms: u64,
    /// Which limit.
    pub limit: ClockLimit,
    /// The limit.
    pub limit_ms: u64,
    /// How long it had been when the outcome was known.
    pub elapsed_ms: u64,
    /// Who noticed.
    pub belt: Belt,
    /// What came of it.
    pub outcome: Outcome,
    /// Of the text that ran, or ran last; `None`: not known.
    pub fingerprint: Option<Fingerprint>,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStanding {
    /// Holds a server.
    Active,
    /// Holds none and wants none.
    Idle,
    /// Waits for one.
    Waiting,
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStanding {
    /// A client holds it.
    Active,
    /// It stands in its pool.
    Idle,
    /// It is being made clean.
    Cleaning,
    /// It is none of the pool's servers: it listens for the pool's clients.
    Listening,
    /// It is free but for a cancel request that has not ended.
    BeingCanceled,
}

/// One client.
#[derive(Clone, Debug)]
pub struct ClientLine {
    /// The process id that the client was told.
    pub id: i32,
    /// Its place on the loop, unlike any other's.
    pub handle: u64,
    /// The handle of the server that it holds.
    pub link: Option<u64>,
    /// Its database and role.
    pub pool: Arc<PoolSpec>,
    /// What it does.
    pub standing: ClientStanding,
    /// Its addresses; none on a Unix socket.
    pub ends: Ends,
    /// Seconds since it logged in.
    pub age_s: u64,
    /// Seconds since it last asked for something.
    pub quiet_s: u64,
    /// How long it has waited, in milliseconds.
    pub waiting_ms: u64,
    /// It is on its way out.
    pub closing: bool,
    /// The version of TLS.
    pub tls: Option<&'static str>,
    /// What it calls itself.
    pub application_name: String,
    /// What keeps it on its server.
    pub pin: Option<PinLine>,
}

/// What keeps a client on its server beyond its transactions.
#[derive(Clone, Debug)]
pub struct PinLine {
    /// Why.
    pub pins: Pins,
    /// The process id of the server's backend; 0 when it did not say.
    pub server_pid: i32,
    /// Seconds since the first reason arose.
    pub age_s: u64,
    /// Seconds since the client last sent something or was last answered, if it is at rest outside
    /// of a transaction.
    pub idle_s: Option<u64>,
}

/// One server.
#[derive(Clone, Debug)]
pub struct ServerLine {
    /// A number that no other server of the loop has.
    pub id: i32,
    /// Its place on the loop, unlike any other's.
    pub handle: u64,
    /// The handle of the client that holds it.
    pub link: Option<u64>,
    /// The pool's database and role.
    pub pool: Arc<PoolSpec>,
    /// What it does.
    pub standing: ServerStanding,
    /// Its addresses; none on a Unix socket.
    pub ends: Ends,
    /// Seconds since it logged in.
    pub age_s: u64,
    /// Seconds since a client last got it or gave it back.
    pub quiet_s: u64,
    /// It is closed when it is given back.
    pub close_needed: bool,
    /// The process id of its backend; 0 when it did not say.
    pub pid: i32,
    /// The version of TLS.
    pub tls: Option<&'static str>,
    /// What its client calls itself.
    pub application_name: String,
}
