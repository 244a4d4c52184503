//! The guard by its cases: what a session has sent before, a text, what is said to it, and why.
//!
//! Messages that come before are parted by ` | `; one that begins with `!` fails on the server. Statements of one text
//! are parted by `;`, as ever.

mod catalog;
mod code;
mod created;
mod forms;
mod limits;
mod locks;
mod migrations;
mod others;
mod spelling;
mod strings;
mod temporary;
mod transactions;
mod words;

use super::{Catalog, Context, History, Judgement, Limits, judge, looks_closely};
use crate::config::GuardPolicy;
use crate::rules::{Action, BuiltinPolicy};
use crate::sql::commands::{Command, Commands, Place};
use crate::sql::{LexOptions, TransactionControl, commands};
use crate::wire::TransactionStatus;

/// What came before, the text, what is said to it, and why.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str);

/// A session and what stands around it.
struct Session {
    policy: GuardPolicy,
    options: LexOptions,
    search_path: Option<&'static [u8]>,
    shared_server: bool,
    lock_timeout_ms: u32,
    maintenance_timeout_ms: u32,
    limits: Limits,
    catalog: Catalog,
    history: History,
    status: TransactionStatus,
}

impl Session {
    fn new(policy: BuiltinPolicy) -> Self {
        Self {
            policy: GuardPolicy::builtin(policy),
            options: LexOptions::default(),
            search_path: None,
            shared_server: true,
            lock_timeout_ms: 2_000,
            maintenance_timeout_ms: 0,
            limits: Limits::default(),
            catalog: Catalog::default(),
            history: History::default(),
            status: TransactionStatus::Idle,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            policy: &self.policy,
            origin: "",
            options: self.options,
            status: self.status,
            shared_server: self.shared_server,
            search_path: self.search_path,
            maintenance_timeout_ms: self.maintenance_timeout_ms,
            lock_timeout_ms: self.lock_timeout_ms,
            limits: self.limits,
            catalog: &self.catalog,
        }
    }

    fn judge(&self, text: &str) -> Judgement {
        let commands = commands(text.as_bytes(), self.options);
        judge(text.as_bytes(), &commands, &self.history, &self.context())
    }

    /// A message runs to its end and is answered.
    fn run(&mut self, text: &str) {
        let (text, fails) = text.strip_prefix('!').map_or((text, false), |text| (text, true));
        let commands = commands(text.as_bytes(), self.options);
        let mut history = std::mem::take(&mut self.history);
        history.sent(text.as_bytes(), &commands, &self.context());
        let failed_before = self.status == TransactionStatus::Failed;
        if !fails {
            self.status = status_behind(self.status, &commands);
        } else if self.status != TransactionStatus::Idle {
            self.status = TransactionStatus::Failed;
        }
        match self.status {
            TransactionStatus::Idle => history.transaction_ended(!fails && !failed_before),
            TransactionStatus::InTransaction => history.settled(),
            TransactionStatus::Failed => history.failed(),
        }
        self.history = history;
    }

    fn before(mut self, messages: &str) -> Self {
        for message in messages.split(" | ").filter(|message| !message.is_empty()) {
            self.run(message);
        }
        self
    }
}

/// The status after a text that succeeds.
fn status_behind(mut status: TransactionStatus, commands: &Commands) -> TransactionStatus {
    for found in commands.found().iter().filter(|found| found.place == Place::Plain) {
        let Command::Transaction(control) = &found.command else { continue };
        status = match control {
            TransactionControl::Begin(_) | TransactionControl::RollbackTo(_) => {
                TransactionStatus::InTransaction
            }
            TransactionControl::Commit { chain } | TransactionControl::Rollback { chain } => {
                if *chain {
                    TransactionStatus::InTransaction
                } else {
                    TransactionStatus::Idle
                }
            }
            TransactionControl::PrepareTransaction => TransactionStatus::Idle,
            _ => status,
        };
    }
    status
}

/// The rules of findings, in order, each once.
fn rules(judgement: &Judgement, least: Action) -> String {
    let mut rules: Vec<_> = Vec::new();
    for finding in judgement.findings.iter().filter(|finding| finding.action >= least) {
        if !rules.contains(&finding.rule) {
            rules.push(finding.rule);
        }
    }
    rules.join(" ")
}

/// Under the policy `default`: `create`, `drop`, `reindex` for what is refused by the index rules, any other by its
/// name; nothing where all of it may run.
fn check_refused(cases: &[Case]) {
    check_refused_by(|| Session::new(BuiltinPolicy::Default), cases);
}

fn check_refused_by(session: impl Fn() -> Session, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (before, text, expected, why) in cases {
        let judgement = session().before(before).judge(text);
        let found = rules(&judgement, Action::Reject)
            .replace("index-create-blocking", "create")
            .replace("index-drop-blocking", "drop")
            .replace("reindex-blocking", "reindex");
        if found != *expected {
            wrong.push(format!("{before:?} | {text:?}: {found:?}, not {expected:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Under the policy `strict`: the rules of all findings.
fn check_found(cases: &[Case]) {
    check_found_by(|| Session::new(BuiltinPolicy::Strict), cases);
}

fn check_found_by(session: impl Fn() -> Session, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (before, text, expected, why) in cases {
        let judgement = session().before(before).judge(text);
        let found = rules(&judgement, Action::Log);
        if found != *expected {
            wrong.push(format!("{before:?} | {text:?}: {found:?}, not {expected:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
