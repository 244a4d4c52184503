//! From commands to a verdict: each command meets each rule, in the state that those before it leave.

use std::borrow::Cow;

use super::case::{Case, Fault};
use super::context::Context;
use super::history::{History, Scene, State};
use super::judgement::{Finding, Judgement};
use super::rules::{self, RULES};
use crate::config::GuardPolicy;
use crate::rules::Action;
use crate::sql::Span;
use crate::sql::commands::{Command, Commands, Found, Offset, Place};

/// More findings than this in one text are not told; a refusal always is.
const FINDINGS_MAX: usize = 100;

/// Commands of a text times events before it: with more, nothing is taken for new, for each is looked up in them.
const STEPS_MAX: usize = 400_000;

/// A text that needs more answers than this is judged without.
const QUESTIONS_MAX: usize = 64;

/// What the policy says to `text`, whose commands these are, from a session with this history.
///
/// Nothing to judge costs nothing: callers ask [`Commands::is_empty`], [`History::minds_ordinary`] and
/// [`looks_closely`] first.
#[must_use]
pub fn judge(text: &[u8], commands: &Commands, history: &History, context: &Context) -> Judgement {
    let close = if looks_closely(context.policy) {
        Commands::closely(text, context.options)
    } else {
        Commands::default()
    };
    if commands.is_empty() && close.is_empty() && !history.minds_ordinary() {
        return Judgement::default();
    }
    let found = commands.found();
    if commands.only_controls() && close.is_empty() {
        return Judgement::default(); // BEGIN and COMMIT, which come with every transaction.
    }
    let mut close = close.found().iter().peekable();
    let mut court = Court::new(context);
    let mut state = Cow::Borrowed(history.state());
    let mut scene = Scene::new(text, context);
    if history.state().length().saturating_mul(found.len()) > STEPS_MAX {
        state.to_mut().forget();
    }
    let alone = commands.statements() <= 1;
    let unnamed: Vec<usize> =
        found.iter().filter(|one| makes_unnamed(one)).map(|one| one.statement).collect();
    for (number, one) in found.iter().enumerate() {
        while let Some(one) = close.next_if(|close| close.statement < one.statement) {
            court.hear_closely(one, &state, &scene, alone);
        }
        if !scene.failed {
            let makes_unnamed =
                one.place == Place::Assembled && unnamed.binary_search(&one.statement).is_ok();
            let (state, scene) = (&*state, &scene);
            let case = Case { found: one, state, scene, context, alone, makes_unnamed };
            court.hear(&case);
        }
        if number + 1 < found.len() || close.peek().is_some() || commands.beyond().any {
            state.to_mut().foresee(one, &mut scene);
        }
    }
    for one in close {
        court.hear_closely(one, &state, &scene, alone);
    }
    if !scene.failed {
        rules::beyond(commands, &mut |rule, fault| {
            let statement = commands.statements().saturating_sub(1);
            court.note(rule, fault, statement, Span { start: 0, end: text.len() });
        });
        if found.is_empty() && history.minds_ordinary() {
            let (rule, fault) = rules::after_exclusive();
            court.note(rule, fault, 0, Span { start: 0, end: text.len() });
        }
    }
    court.close()
}

/// True where a policy has rules for which ordinary texts are judged as well ([`Commands::closely`]); none of the
/// shipped ones but `strict` has.
#[must_use]
pub fn looks_closely(policy: &GuardPolicy) -> bool {
    rules::CLOSE_RULES.iter().any(|rule| policy.action(rule) != Action::Off)
}

/// True for commands whose verdict does not depend on what has not been answered yet, and which leave a session without
/// a history without one. Of the end of a transaction that holds as long as there is nothing for it to end.
#[must_use]
pub fn stands_alone(commands: &Commands) -> bool {
    let alone = |found: &Found| {
        matches!(
            found.command,
            Command::Transaction(_)
                | Command::Write(_)
                | Command::UnboundedCount { .. }
                | Command::Offset(_)
                | Command::InList { .. }
                | Command::AdvisoryLock
                | Command::Analyze
        )
    };
    commands.found().iter().all(alone) && !commands.beyond().any
}

/// True where a relation is made under a name that cannot be read.
fn makes_unnamed(found: &Found) -> bool {
    let unnamed = matches!(&found.command, Command::CreateTable(made) if made.name.is_none());
    unnamed && found.place == Place::Assembled
}

/// What rules have said so far.
struct Court<'a> {
    context: &'a Context<'a>,
    judgement: Judgement,
    /// A refusal stands that no answer of the catalog would take back.
    certain: bool,
}

impl<'a> Court<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        Self { context, judgement: Judgement::default(), certain: false }
    }

    /// Asks every rule; the policy only where one has something to say, for most have nothing to most commands.
    fn hear(&mut self, case: &Case) {
        for rule in RULES {
            if let Some(fault) = (rule.judge)(case) {
                self.note(rule.name, fault, case.found.statement, case.found.span);
            }
        }
    }

    /// Asks them of what a close look has found, which leaves the state as it is.
    fn hear_closely(&mut self, found: &Found, state: &State, scene: &Scene, alone: bool) {
        if !scene.failed {
            let context = self.context;
            self.hear(&Case { found, state, scene, context, alone, makes_unnamed: false });
        }
    }

    fn note(&mut self, rule: &'static str, fault: Fault, statement: usize, span: Span) {
        let policy = self.context.policy;
        let mut action = policy.action(rule);
        if fault.as_index_ddl {
            action =
                rules::INDEX_RULES.iter().map(|rule| policy.action(rule)).fold(action, Action::max);
        }
        let rejects = action == Action::Reject;
        let full = self.judgement.findings.len() >= FINDINGS_MAX;
        if action == Action::Off || full && (!rejects || self.certain) {
            return;
        }
        if rejects && !self.certain {
            let asked = &mut self.judgement.questions;
            self.certain = fault.questions.is_empty();
            for question in fault.questions {
                if !asked.contains(&question) {
                    asked.push(question);
                }
            }
            self.certain |= asked.len() > QUESTIONS_MAX;
        }
        self.judgement.findings.push(Finding {
            rule,
            action,
            statement,
            span,
            message: fault.message,
            detail: self.detail(rule, action, fault.lock),
            hint: self.hint(fault.hint),
        });
    }

    fn detail(&self, rule: &str, action: Action, lock: &str) -> String {
        let policy = self.context.policy;
        let does = match action {
            Action::Off => "ignores",
            Action::Log => "logs",
            Action::Warn => "warns of",
            Action::Reject => "rejects",
        };
        let colon = if lock.is_empty() { "" } else { ": " };
        let (name, origin) = (&policy.name, policy.origin(rule));
        let from = if self.context.origin.is_empty() {
            String::new()
        } else {
            format!("; policy set at {}", self.context.origin)
        };
        format!("Rule {rule}{colon}{lock}. Guard policy \"{name}\" {does} it ({origin}{from}).")
    }

    fn hint(&self, hint: String) -> String {
        match &self.context.policy.hint_url {
            Some(url) if hint.is_empty() => format!("See {url}"),
            Some(url) => format!("{hint} See {url}"),
            None => hint,
        }
    }

    /// The verdict. Questions are worth asking only where their answers would take back every refusal.
    fn close(mut self) -> Judgement {
        if self.certain {
            self.judgement.questions.clear();
        }
        self.judgement
    }
}

/// What the policy says to a fast-path call (`FunctionCall`), which names its function by a number.
#[must_use]
pub fn judge_call(context: &Context) -> Judgement {
    judge_event(rules::call(), context)
}

/// What the policy says to a client that is silent while its transaction holds ACCESS EXCLUSIVE.
#[must_use]
pub fn judge_silence(context: &Context) -> Judgement {
    judge_event(rules::silence(), context)
}

/// What the policy says to a client that goes while its transaction has changed the catalog.
#[must_use]
pub fn judge_departure(context: &Context) -> Judgement {
    judge_event(rules::departure(), context)
}

/// What has no text.
fn judge_event((rule, fault): (&'static str, Fault), context: &Context) -> Judgement {
    let mut court = Court::new(context);
    court.note(rule, fault, 0, Span::default());
    court.close()
}

/// The parameters (`$1` is 1) whose Bind values [`bound_offset`] has to see.
pub fn offset_parameters(commands: &Commands) -> impl Iterator<Item = u32> {
    commands.found().iter().filter_map(|found| match found.command {
        Command::Offset(Offset::Param(number)) => Some(number),
        _ => None,
    })
}

/// What the policy says to an OFFSET of this value, bound to a parameter. None: nothing.
#[must_use]
pub fn bound_offset(value: u64, text: &[u8], context: &Context) -> Option<Finding> {
    let (rule, fault) = rules::offset_of(value)?;
    let mut court = Court::new(context);
    court.note(rule, fault, 0, Span { start: 0, end: text.len() });
    court.judgement.findings.pop()
}
