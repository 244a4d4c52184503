//! `pgweir explain --sql`: what would be done with a statement, and why, behind others of the same session.
//!
//! Owns putting together what the rooms say: the guard, what the session keeps, limits in time, and where it would run.
//! Nothing is run.

use std::fmt::Write as _;

use super::super::json;
use super::super::terms::Held;
use super::catalog::Inquirer;
use super::route::{Circumstances, Journey};
use crate::config::{Effective, PoolMode, SessionStateMode, Timeout, TimeoutAction};
use crate::guard::rehearsal::Parameters;
use crate::guard::{Judgement, Rehearsal, Stage};
use crate::pool::spec::belt_of;
use crate::session::facts::effects;
use crate::session::{Kept, KeptSoFar, Limit, OwnLimits, TextEffects, Timing};
use crate::wire::TransactionStatus;

/// A statement and what is said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Explanation {
    guard: Guard,
    route: Decision,
    session: Decision,
    timeouts: Timeouts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Guard {
    action: &'static str,
    rule: Option<&'static str>,
    message: Option<String>,
    hint: Option<String>,
}

/// What happens, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) what: &'static str,
    pub(super) why: String,
}

/// The limits that hold for this statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Timeouts {
    /// By their names.
    limits: Vec<(&'static str, String)>,
    why: String,
}

/// Explains `sql` to a session that has sent `before`, each as a message of its own.
///
/// # Errors
/// The catalog was to be asked and could not be: what to say.
pub(super) fn explain(
    held: &Held,
    inquirer: Option<&Inquirer>,
    parameters: Parameters,
    before: &[String],
    sql: &str,
) -> Result<Explanation, String> {
    let settings = &held.settings;
    let mut session = Rehearsal::new(Stage::of(settings), parameters);
    let mut kept = KeptSoFar::default();
    let mut journey = Journey::default();
    let is_pinned = |kept: &Kept| settings.pool_mode == PoolMode::Session || !kept.before.is_none();
    for text in before {
        let text = text.as_bytes();
        let does = effects(text);
        let is_pinned = is_pinned(&kept.look(text, &does));
        let was = session.clone();
        session.play(text);
        let who = Circumstances { held, session: &was, is_pinned, inquirer };
        journey.ran(text, &does, &who, session.status())?;
        kept.ran(text, &does, session.status());
    }
    let text = sql.as_bytes();
    let does = effects(text);
    let mut judgement = session.judge(text);
    if let Some(inquirer) = inquirer
        && !judgement.questions.is_empty()
    {
        let questions = std::mem::take(&mut judgement.questions);
        let answers = inquirer.ask(settings, session.parameters(), questions)?;
        judgement = session.judge_told(text, answers);
    }
    let kept = kept.look(text, &does);
    let is_pinned = is_pinned(&kept);
    let who = Circumstances { held, session: &session, is_pinned, inquirer };
    Ok(Explanation {
        guard: guard(&judgement),
        route: journey.look(text, &who)?,
        session: keeping(settings, &kept, &does, session.status()),
        timeouts: timeouts(held, &session, &does),
    })
}

fn guard(judgement: &Judgement) -> Guard {
    let strictest = judgement.action();
    let first = judgement.findings.iter().find(|finding| finding.action == strictest);
    let Some(finding) = first else { return Guard { action: "allow", ..Guard::default() } };
    Guard {
        action: finding.action.as_str(),
        rule: Some(finding.rule),
        message: Some(finding.message.clone()),
        hint: Some(finding.hint.clone()).filter(|hint| !hint.is_empty()),
    }
}

/// What becomes of what the session sets.
fn keeping(
    settings: &Effective,
    kept: &Kept,
    does: &TextEffects,
    status: TransactionStatus,
) -> Decision {
    let Kept { pins, before, followed, by_values } = kept;
    if settings.pool_mode == PoolMode::Session {
        let why = "pool_mode is \"session\": the session has one server from login to goodbye";
        return Decision { what: "pin", why: why.to_owned() };
    }
    let all = pins.and(*before);
    if !all.is_none() {
        let words = pins.in_words();
        match settings.session_state {
            SessionStateMode::Track => {}
            SessionStateMode::Refuse if does.pins.is_none() => {}
            SessionStateMode::Refuse => {
                let why = format!("session_state is \"refuse\", and it would pin: {words}");
                return Decision { what: "refuse", why };
            }
            SessionStateMode::Ignore => {
                let why = format!(
                    "session_state is \"ignore\": what it leaves stays on the server, for whoever comes next ({})",
                    all.in_words()
                );
                return Decision { what: "pass", why };
            }
        }
        let why = if pins.is_none() {
            format!(
                "the session keeps its server since an earlier statement: {}",
                before.in_words()
            )
        } else {
            format!("the session keeps its server: {words}")
        };
        return Decision { what: "pin", why };
    }
    if !followed.is_empty() {
        let values = if *by_values { ", as far as its Bind values can be" } else { "" };
        let why = format!("followed from server to server: {}{values}", followed.join(", "));
        return Decision { what: "track", why };
    }
    let why = match () {
        () if does.timing == Timing::EndsTransaction => {
            "it ends the transaction, and the server goes back"
        }
        () if does.controls => "it is about the transaction, which keeps its server until it ends",
        () if does.sets_locally => "what it sets ends with the transaction",
        () if status != TransactionStatus::Idle => {
            "nothing of the session is involved; the open transaction keeps its server until it ends"
        }
        () => "nothing of the session is involved",
    };
    Decision { what: "pass", why: why.to_owned() }
}

fn timeouts(held: &Held, session: &Rehearsal, does: &TextEffects) -> Timeouts {
    let settings = &held.settings;
    let belt = belt_of(settings, OwnLimits::default());
    let upkeep = belt.upkeep(does);
    let maintains = does.timing == Timing::Maintenance;
    let holds = |limit: Limit| match session.parameters().millis(limit.name().as_bytes()) {
        Some(own) => belt.clamp(limit, own, upkeep),
        None => belt.limit(limit, upkeep),
    };
    let key = if maintains { "maintenance_timeout" } else { "statement_timeout" };
    let of_role = if maintains { settings.maintenance_timeout } else { settings.statement_timeout };
    let statement = match settings.timeout_action {
        _ if does.timing == Timing::EndsTransaction => Timeout::Off,
        TimeoutAction::Cancel => Timeout::from_millis(holds(Limit::Statement).into()),
        // The server keeps none then.
        TimeoutAction::Close | TimeoutAction::Report => of_role,
    };
    let lock = Timeout::from_millis(holds(Limit::Lock).into());
    let lock_key = match does.ddl && !settings.ddl_lock_timeout.is_off() {
        true => "ddl_lock_timeout",
        false => "lock_timeout",
    };
    let mut why = match does.timing {
        Timing::EndsTransaction => "what ends a transaction is never cut".to_owned(),
        Timing::Maintenance => {
            format!("maintenance: {key} stands in for statement_timeout ({})", held.origin(key))
        }
        Timing::SetsLimit => {
            format!("it sets limits: all of it together has {key} once ({})", held.origin(key))
        }
        Timing::Plain if does.statements > 1 => format!(
            "{key} counts once for each of its {} statements ({})",
            does.statements,
            held.origin(key)
        ),
        Timing::Plain => format!("{key} ({})", held.origin(key)),
    };
    let own = session.parameters().millis(b"statement_timeout").is_some();
    if own && statement != of_role && does.timing != Timing::EndsTransaction {
        why.push_str("; the session has set its own");
    }
    let _ = write!(why, "; {lock_key} ({})", held.origin(lock_key));
    let limits = vec![
        ("statement_timeout", statement.to_string()),
        ("lock_timeout", lock.to_string()),
        ("transaction_timeout", settings.transaction_timeout.to_string()),
        ("idle_in_transaction_timeout", settings.idle_in_transaction_timeout.to_string()),
        ("pool_wait_timeout", settings.pool_wait_timeout.to_string()),
    ];
    Timeouts { limits, why }
}

impl Explanation {
    /// The members of one JSON object, without its braces.
    pub(super) fn members(&self) -> String {
        let Self { guard, route, session, timeouts } = self;
        let decision = |key: &str, Decision { what, why }: &Decision| {
            format!("{{\"{key}\":{},\"reason\":{}}}", json::string(what), json::string(why))
        };
        let mut limits = String::new();
        for (name, limit) in &timeouts.limits {
            let _ = write!(limits, "{}:{},", json::string(name), json::string(limit));
        }
        format!(
            "\"guard\":{{\"action\":{},\"rule\":{},\"message\":{},\"hint\":{}}},\"route\":{},\"session\":{},\"timeouts\":{{{limits}\"reason\":{}}}",
            json::string(guard.action),
            json::optional(guard.rule),
            json::optional(guard.message.as_deref()),
            json::optional(guard.hint.as_deref()),
            decision("target", route),
            decision("action", session),
            json::string(&timeouts.why),
        )
    }

    /// The same for people.
    pub(super) fn text(&self) -> String {
        let Self { guard, route, session, timeouts } = self;
        let rule = guard.rule.map_or_else(String::new, |rule| format!(" {rule}"));
        let mut out = format!("guard     {}{rule}\n", guard.action);
        for line in [&guard.message, &guard.hint].into_iter().flatten() {
            let _ = writeln!(out, "          {line}");
        }
        for (name, Decision { what, why }) in [("route", route), ("session", session)] {
            let _ = writeln!(out, "{name:<9} {what}\n          {why}");
        }
        let limits = timeouts.limits.iter().map(|(name, limit)| format!("{name} {limit}"));
        let limits: Vec<_> = limits.collect();
        let _ = writeln!(out, "timeouts  {}\n          {}", limits.join(", "), timeouts.why);
        out
    }
}
