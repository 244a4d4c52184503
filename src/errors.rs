//! The errors of pgweir's own: the one table of their SQLSTATEs and texts. `docs/errors.md`
//! explains each to those who meet it.
//!
//! Texts for clients name no address, no secret and no other tenant.

use std::fmt;

use crate::config::{ClockLimit, Timeout};
use crate::session::{Limit, MaySet};
use crate::wire::{Report, Severity};

/// Who else waits for a server.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// How many clients do.
    pub waiting: usize,
    /// For how long the first of them has.
    pub longest_ms: u64,
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest_ms = self.longest_ms;
        match self.waiting {
            0 => f.write_str("no other client waits"),
            1 => write!(f, "1 other client waits, for {longest_ms} ms so far"),
            more => write!(f, "{more} other clients wait, the first for {longest_ms} ms so far"),
        }
    }
}

/// 53300: nobody gave a server back in time. Session goes on. Fault: operator (the pool is small).
#[must_use]
pub fn pool_wait_timeout(waited_ms: u64, size: u32, queue: Queue) -> Report {
    Report::error(b"53300", "no server connection came free in time")
        .detail(format!(
            "Waited {waited_ms} ms (pool_wait_timeout) for one of {size} server connections; \
             {queue}."
        ))
        .hint("Shorten transactions, or raise pool_size for this database and role.")
}

/// 53300: no server came free in time, and the pool could have had more if other roles had not used
/// up what all of them share. Session goes on. Fault: operator.
#[must_use]
pub fn shared_limit_timeout(waited_ms: u64, limit: u32, queue: Queue) -> Report {
    Report::error(b"53300", "no server connection came free in time")
        .detail(format!(
            "Waited {waited_ms} ms (pool_wait_timeout); the {limit} server connections that all \
             roles of this database share are in use; {queue}."
        ))
        .hint("Shorten transactions, or raise max_server_connections for this database.")
}

/// 01000: a session has set a limit of time to what it may not have. The statement has succeeded. Fault: client.
#[must_use]
pub fn limit_stays(limit: Limit, holds_ms: u32, may: MaySet) -> Report {
    let name = limit.name();
    let holds = Timeout::from_millis(u64::from(holds_ms));
    let (detail, word) = match may {
        MaySet::Nothing => ("Sessions of this role may not change it", "never"),
        MaySet::Lower => ("Sessions of this role may only lower it", "lower"),
        MaySet::Anything => ("Sessions of this role may change it", "any"),
    };
    Report::new(Severity::Warning, b"01000", format!("{name} stays at {holds}, pgweir's limit"))
        .detail(format!("{detail} (timeout_override = \"{word}\")."))
        .hint(format!(
            "Work that takes longer needs a role or a database alias with a {name} of its own."
        ))
}

/// 57P03: no server can be had because Postgres cannot be reached. Session goes on, except at
/// login. Fault: server.
#[must_use]
pub fn server_unavailable(cause: &Report) -> Report {
    let mut detail = cause.message.to_string();
    if let Some(more) = &cause.detail {
        if !detail.ends_with('.') {
            detail.push('.');
        }
        detail.push(' ');
        detail.push_str(more);
    }
    Report::error(b"57P03", "the database server cannot be reached").detail(detail)
}

/// 57P03: none of a database's servers is known to be its primary. Session goes on. Fault: server.
#[must_use]
pub fn no_primary() -> Report {
    Report::error(b"57P03", "no server of this database is known to take writes")
        .hint("SHOW REPLICAS in pgweir's console says why.")
}

/// 57P03: several of a database's servers may be its primary, so that none gets writes. Session goes on. Fault: operator.
#[must_use]
pub fn several_primaries() -> Report {
    Report::error(b"57P03", "several servers of this database take writes, so none gets any")
        .hint("SHOW REPLICAS in pgweir's console says which. Stop those that are not the primary.")
}

/// 25006: a text writes, and its database is for reads. Session goes on. Fault: client.
#[must_use]
pub fn writes_rejected(database: &str) -> Report {
    Report::error(b"25006", "cannot execute a statement that writes in a read-only database")
        .detail(format!(
            "The configuration says writes = \"reject\" in [databases.{database}.routing]."
        ))
        .hint("Connect to the database that takes writes.")
}

/// 25006: in a transaction that a replica serves, a text would do something else there than on the primary. The transaction
/// has failed. Fault: client.
#[must_use]
pub fn of_one_server(name: &str) -> Report {
    let message =
        format!("\"{name}\" means something else on the replica that serves this transaction");
    Report::error(b"25006", message)
        .detail("The transaction is READ ONLY, so a replica serves it; each server has its own locks, processes and statistics.")
        .hint(
            "Run it outside of the transaction, or put /* pgweir: primary */ in front of the \
             transaction's first statement.",
        )
}

/// 57P03: no replica may be read, and the configuration does not let the primary serve. Session goes on. Fault: server.
#[must_use]
pub fn no_replica(database: &str, why: Option<&str>) -> Report {
    let report =
        Report::error(b"57P03", format!("no replica of database \"{database}\" can be read now"));
    let report = match why {
        Some(why) => report.detail(format!("{why}.")),
        None => report,
    };
    report.hint("SHOW REPLICAS in pgweir's console says how each of them stands.")
}

/// 57P01 FATAL: another server has become the primary. Told as the reason why a server was given up. Fault: server.
#[must_use]
pub fn primary_moved() -> Report {
    Report::fatal(b"57P01", "another server of this database has become its primary")
}

/// 57P01 FATAL: a replica does not answer any more. Told as the reason why it was given up. Fault: server.
#[must_use]
pub fn replica_silent(why: &str) -> Report {
    Report::fatal(b"57P01", "the replica that ran the statement cannot be reached")
        .detail(format!("{why}."))
}

/// 08006: the server went while a statement ran. Session goes on. Fault: server.
#[must_use]
pub fn server_lost() -> Report {
    Report::error(b"08006", "the server closed the connection while it ran the statement")
        .hint("Whether the statement took effect is not known unless it was part of a transaction.")
}

/// 57P01 FATAL: the server does not answer what pgweir asks it. Told as the reason why it was given up. Fault: server.
#[must_use]
pub fn server_silent() -> Report {
    Report::fatal(b"57P01", "the server did not answer pgweir in time")
}

/// 0A000: a prepared statement's rows would look otherwise than its client was told. Postgres' own
/// words, for that is what it says where it notices. Session goes on. Fault: nobody; prepare again.
#[must_use]
pub fn result_type_changed() -> Report {
    Report::error(b"0A000", "cached plan must not change result type")
}

/// 08007: the server went while a commit may have been running. Session goes on. Fault: server.
#[must_use]
pub fn commit_unknown() -> Report {
    Report::error(
        b"08007",
        "the server closed the connection during COMMIT; whether the transaction was committed is \
         not known",
    )
}

/// 57P01: the server went while the client was idle in its transaction. Session goes on. Fault:
/// server.
#[must_use]
pub fn transaction_lost(cause: Option<Report>) -> Report {
    if let Some(ours) = cause.as_ref().filter(|report| report.severity == Severity::Error) {
        // A limit of pgweir's. A server's own last words are FATAL.
        return ours.clone();
    }
    let report = Report::error(b"57P01", "the server connection of this transaction was lost")
        .hint("The transaction was rolled back; run it again.");
    match cause {
        Some(cause) => report.detail(cause.message),
        None => report,
    }
}

/// 57P01 FATAL: the server of a pinned session went, and its state with it. Fault: server.
#[must_use]
pub fn session_lost(cause: Option<Report>) -> Report {
    let report = Report::fatal(b"57P01", "the server connection of this session was lost");
    match cause {
        Some(cause) => report.detail(cause.message),
        None => report.detail("The session had state on that connection."),
    }
}

/// 57014, 25P04 or 25P03: a limit in time has struck. Session goes on. Fault: client.
///
/// `took_ms` is what was measured, `from` the line of the configuration that sets the limit.
#[must_use]
pub fn limit_struck(limit: ClockLimit, limit_ms: u64, took_ms: u64, from: &str) -> Report {
    let set = Timeout::from_millis(limit_ms);
    let key = limit.key();
    let (report, measured, hint) = match limit {
        ClockLimit::Statement => (
            Report::error(b"57014", "canceling statement due to statement timeout"),
            "The statement ran",
            "Make it faster or split it. What has to run for long can log in as a role, or to a \
             database alias, with a limit of its own.",
        ),
        ClockLimit::Maintenance => (
            Report::error(b"57014", "canceling statement due to statement timeout"),
            "The statement ran",
            "A concurrent index build that was cut off leaves an invalid index: drop that before \
             you build it again.",
        ),
        ClockLimit::Transaction => (
            Report::error(b"25P04", "transaction was rolled back due to transaction timeout"),
            "The transaction ran",
            "Keep transactions short; run this one again.",
        ),
        ClockLimit::IdleInTransaction => (
            Report::error(
                b"25P03",
                "transaction was rolled back due to idle-in-transaction timeout",
            ),
            "The client said nothing",
            "Commit before you do something else; run the transaction again.",
        ),
    };
    report.detail(format!("{measured} for {took_ms} ms; {key} is {set} ({from}).")).hint(hint)
}

/// 57014: the same where the server did not stop when it was told to. Session goes on. Fault: client.
#[must_use]
pub fn limit_struck_in_vain(report: Report, outcome_is_known: bool) -> Report {
    let said = report.detail.clone().unwrap_or_default();
    let outcome = if outcome_is_known {
        "Its transaction is rolled back."
    } else {
        "Whether it took effect is not known."
    };
    let gave_up = "The server did not stop it in time, so its connection was given up.";
    report.detail(format!("{said} {gave_up} {outcome}"))
}

/// 25P02, as Postgres says it: the transaction is failed already. Session goes on. Fault: client.
#[must_use]
pub fn failed_transaction() -> Report {
    Report::error(
        b"25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// 57014, as Postgres says it: a client cancelled while it waited for a server. Session goes on.
/// Fault: client.
#[must_use]
pub fn cancelled_while_waiting() -> Report {
    Report::error(b"57014", "canceling statement due to user request")
        .detail("The statement was waiting for a server connection and has not been run.")
}

/// 57P01 FATAL: pgweir is being shut down. Fault: operator.
#[must_use]
pub fn shutting_down() -> Report {
    Report::fatal(b"57P01", TERMINATED).detail("pgweir is shutting down.").hint("Reconnect.")
}

/// 57P05 FATAL, as Postgres says it for `idle_session_timeout`: the client said nothing for
/// `client_idle_timeout`. Fault: client.
#[must_use]
pub fn client_idle(limit_ms: u64) -> Report {
    Report::fatal(b"57P05", "terminating connection due to idle-session timeout")
        .detail(format!("The client was idle for {limit_ms} ms (client_idle_timeout)."))
        .hint("Reconnect.")
}

/// 0A000: the statement would leave something behind on its server, and `session_state = "refuse"`.
/// Session goes on. Fault: client.
#[must_use]
pub fn session_state_refused(reasons: &str) -> Report {
    Report::error(b"0A000", format!("session state is refused: {reasons}")).detail(
        "The statement would keep the session on one server connection beyond its transaction, \
         and session_state is \"refuse\" for this database and role.",
    )
}

/// 42501: a rule of the guard rejects the statement. Session goes on. Fault: client.
#[must_use]
pub fn guard_refused(rule: &str, what: &str) -> Report {
    Report::error(b"42501", format!("statement refused by query guard: {what}"))
        .routine(format!("guard:{rule}"))
}

/// 54000: a text is longer than what is held to be judged. Session goes on. Fault: client.
#[must_use]
pub fn statement_too_long(body_len: u32, most: usize) -> Report {
    Report::error(b"54000", "statement is too long to be judged by the query guard")
        .detail(format!("It has {body_len} bytes; max_statement_size is {most}."))
        .hint("Send the values as parameters, or with COPY.")
}

/// 01000: a rule of the guard warns of the statement, which is run. Fault: client.
#[must_use]
pub fn guard_warned(rule: &str, what: &str) -> Report {
    Report::new(Severity::Notice, b"01000", format!("query guard: {what}"))
        .routine(format!("guard:{rule}"))
}

/// 57P05 FATAL, as Postgres says it for `idle_session_timeout`: the session kept its server and said
/// nothing for `pin_timeout`. Fault: client.
#[must_use]
pub fn pin_idle(limit_ms: u64, reasons: &str) -> Report {
    Report::fatal(b"57P05", "terminating connection due to idle timeout of a pinned session")
        .detail(format!(
            "The session kept a server connection for itself ({reasons}) and was idle for \
             {limit_ms} ms (pin_timeout)."
        ))
        .hint("Drop or release what the session needs no longer, or end it; then reconnect.")
}

/// 57P01 FATAL: a reload took the session's database or role out of the configuration. Fault:
/// operator.
#[must_use]
pub fn configuration_gone() -> Report {
    Report::fatal(
        b"57P01",
        "terminating connection because pgweir is no longer configured for this database and role",
    )
    .hint("Whoever configured pgweir can tell where to connect instead.")
}

/// 57P01 FATAL: the connection that listened for the session's channels is gone, and what was
/// notified meanwhile is not known. Fault: server.
#[must_use]
pub fn listener_lost(cause: &Report) -> Report {
    Report::fatal(b"57P01", "the server connection that listened for this session was lost")
        .detail(cause.message.clone())
        .hint("Reconnect and LISTEN again.")
}

/// 57P01 FATAL: a reload has moved the server that listened for the session. Fault: operator.
#[must_use]
pub fn listener_moved() -> Report {
    Report::fatal(b"57P01", "the server connection that listened for this session was closed")
        .detail("The configuration has moved the database to another server.")
        .hint("Reconnect and LISTEN again.")
}

/// 54000 FATAL: a client does not take its notifications. Fault: client.
#[must_use]
pub fn too_many_notifications() -> Report {
    Report::fatal(b"54000", "too many notifications wait for this session")
        .detail(format!(
            "More than {} MB came while the session was in a transaction or did not read.",
            crate::client::listening::WAITING_MAX >> 20
        ))
        .hint("Keep transactions of sessions that listen short, and read what comes.")
}

/// 57P01 FATAL: an administrator closed this session. Fault: operator.
#[must_use]
pub fn killed() -> Report {
    Report::fatal(b"57P01", TERMINATED).detail("An administrator of pgweir closed the session.")
}

/// As Postgres words it; drivers and frameworks look for it.
const TERMINATED: &str = "terminating connection due to administrator command";

/// 08P01 FATAL, as Postgres says it: a message type that does not exist. Fault: client.
#[must_use]
pub fn unknown_message_type(tag: u8) -> Report {
    Report::fatal(b"08P01", format!("invalid frontend message type {tag}"))
}

/// 08P01 FATAL, as Postgres says it: a message that has no place in a COPY. Fault: client.
#[must_use]
pub fn message_in_copy(tag: u8) -> Report {
    Report::fatal(b"08P01", format!("unexpected message type 0x{tag:02X} during COPY from stdin"))
}

/// 08P01: the server sent what the protocol does not allow; its connection is closed. Fault:
/// server.
#[must_use]
pub fn server_protocol_violation() -> Report {
    Report::error(b"08P01", "the server sent a message that the protocol does not allow here")
}

/// XX000 FATAL: a fault of pgweir's own; the session is closed. Fault: pgweir.
#[must_use]
pub fn internal() -> Report {
    Report::fatal(b"XX000", "pgweir hit an internal error and closes this session")
}
