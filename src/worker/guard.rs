//! The guard on a message's way: its text is judged before anything of it is sent, and what it does is
//! noted once it is.
//!
//! An ordinary text costs one look into the table of texts. One with commands waits until everything
//! before it has been answered, for its verdict may depend on that; and where only the catalog can
//! say whether it is to be refused, until the hall has asked.
//!
//! Deliberately absent: the rules and their words (`guard`), and how a text is refused (`refuse`).

use std::sync::Arc;

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use super::mail::{Asked, Order};
use super::refuse::Refused;
use crate::client::{Guarded, Session, State};
use crate::config::Effective;
use crate::errors;
use crate::guard::{self, Answer, Catalog, Context, Finding, Judgement, Limits, Question};
use crate::ids::{ClientId, ServerId};
use crate::prepared::StatementId;
use crate::rules::Action;
use crate::server::Server;
use crate::session::changes::{is_ascii_based, is_on};
use crate::session::{Limit, Pins};
use crate::sql::commands::{Command, Commands, Found};
use crate::sql::{Encoding, Fingerprint, LexOptions, TransactionControl, commands};
use crate::wire::frame::{HEADER_LEN, Header};
use crate::wire::frontend::{ParseView, query_text, tag};
use crate::wire::{Severity, TransactionStatus};

impl<D: Driver> Engine<D> {
    /// Judges a message of a client whose role has a policy. `None`: it may go on.
    pub(super) fn guard(
        &mut self,
        id: ClientId,
        server: Option<ServerId>,
        header: Header,
        message: &[u8],
        before: &[u8],
    ) -> Option<Next> {
        let body = message.get(HEADER_LEN..)?;
        let text = match header.tag {
            tag::QUERY => query_text(body),
            tag::PARSE => ParseView::read(body).map(|parse| parse.query),
            _ => return None,
        };
        if header.body_len as usize > self.max_statement_size {
            let refused = Refused {
                report: errors::statement_too_long(header.body_len, self.max_statement_size),
                controls: true,
            };
            return self.refuse(id, server, (header, message), before, refused);
        }
        // Postgres refuses what cannot be read.
        let text = text?;
        let client = self.clients.get(id)?;
        let minds = client.session.guarded.as_ref().is_some_and(|g| g.history.minds_ordinary());
        let options = lex_options(&client.session, server.and_then(|s| Some(&self.servers.get(s)?.server)));
        let commands = if options == LexOptions::default() {
            self.texts.look(text).commands
        } else {
            let commands = commands(text, options);
            (!commands.is_empty()).then(|| Arc::new(commands))
        };
        if commands.is_none() && !minds {
            return None;
        }
        let commands = commands.unwrap_or_default();
        self.judge_commands(id, server, (header, message), before, (text, &commands, options))
    }

    /// Judges a Bind of a statement whose text has commands: the session is another than at its Parse.
    pub(super) fn guard_bind(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        is_unnamed: bool,
        (header, message): (Header, &[u8]),
        before: &[u8],
    ) -> Option<Next> {
        let client = self.clients.get_mut(id)?;
        if !client.spec.is_guarded() || !self.statements.effects(statement).commands {
            if let Some(guarded) = client.session.guarded.as_mut().filter(|_| is_unnamed) {
                guarded.portal = None;
            }
            return None;
        }
        let options = lex_options(&client.session, Some(&self.servers.get(server)?.server));
        let content = self.statements.content(statement);
        let text = content.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let found = match self.texts.look(&text).commands {
            Some(found) if options == LexOptions::default() => found,
            Some(_) | None => Arc::new(commands(&text, options)),
        };
        let what = (&text[..], &*found, options);
        let next = self.judge_commands(id, Some(server), (header, message), before, what);
        if next.is_none() && let Some(client) = self.clients.get_mut(id) {
            let guarded = client.session.guarded.get_or_insert_default();
            if is_unnamed {
                guarded.portal = Some(statement);
            } else if found.found().iter().any(|found| !is_passing(&found.command)) {
                // When it runs is not followed: nothing is taken for new any more.
                guarded.history = guard::History::default();
            }
        }
        next
    }

    fn judge_commands(
        &mut self,
        id: ClientId,
        server: Option<ServerId>,
        (header, message): (Header, &[u8]),
        before: &[u8],
        (text, commands, options): (&[u8], &Commands, LexOptions),
    ) -> Option<Next> {
        if let Some(server) = server {
            let ledger = &self.servers.get(server)?.server.ledger;
            if ledger.is_skipping() || ledger.copy_in() {
                // The server throws it away, or ends the connection over it.
                return None;
            }
            let passing = commands.found().iter().all(|found| is_passing(&found.command));
            if !passing && !ledger.is_up_to_date() {
                return Some(self.hold_client(id));
            }
        }
        let client = self.clients.get_mut(id)?;
        if client.session.guarded.as_ref().is_some_and(|guarded| guarded.is_asking()) {
            return Some(Next::Pause);
        }
        let settings = client.spec.settings.load_full();
        let there = server.and_then(|server| Some(&self.servers.get(server)?.server));
        let judgement = judged(&client.session, there, &settings, (text, commands, options));
        if judgement.findings.is_empty() {
            return None;
        }
        if !judgement.questions.is_empty()
            && client.session.guarded.as_ref().is_none_or(|guarded| guarded.catalog.is_none())
        {
            return Some(self.ask_catalog(id, judgement.questions));
        }
        if let Some(guarded) = &mut client.session.guarded {
            guarded.catalog = None;
        }
        self.tell_of(id, server, text, &judgement);
        let refusal = judgement.refusal()?;
        let controls = commands
            .found()
            .iter()
            .any(|found| matches!(found.command, Command::Transaction(_)));
        let refused = Refused { report: refusal.report(), controls };
        self.refuse(id, server, (header, message), before, refused)
    }

    /// Counts and logs what rules have found, and warns the client of what it has not been warned of.
    fn tell_of(&mut self, id: ClientId, server: Option<ServerId>, text: &[u8], found: &Judgement) {
        let fingerprint = Fingerprint::of(text);
        let Some(client) = self.clients.get_mut(id) else { return };
        let counters = &mut self.pools[client.pool.0 as usize].counters;
        let may_tell = server.is_none_or(|server| {
            self.servers.get(server).is_some_and(|entry| !entry.server.ledger.owes_replies())
        });
        for finding in &found.findings {
            counters.guard.count(finding.rule, finding.action.as_str());
            tell_the_log(&client.spec, finding, fingerprint);
            if finding.action != Action::Warn || found.refusal().is_some() || !may_tell {
                continue;
            }
            let guarded = client.session.guarded.get_or_insert_default();
            if guarded.warns_first(finding.rule, text) {
                let mut notice = finding.report();
                notice.severity = Severity::Notice;
                notice.write(&mut self.to_client);
            }
        }
    }

    /// Has the catalog asked whether a text is to be refused.
    fn ask_catalog(&mut self, id: ClientId, questions: Vec<Question>) -> Next {
        self.catalog_questions += 1;
        let ticket = self.catalog_questions;
        let Some(client) = self.clients.get_mut(id) else { return Next::End };
        client.session.guarded.get_or_insert_default().asking = Some(ticket);
        client.session.held = true;
        let param = |name: &str| client.session.params.get(name).map(<[u8]>::to_vec);
        let (search_path, encoding) = (param("search_path"), param("client_encoding"));
        let pool = client.spec.clone();
        let asked = Asked { client: id, ticket, questions, search_path, encoding };
        self.orders.push(Order::Catalog { pool, asked });
        Next::Pause
    }

    /// The catalog has answered, as far as it could be asked.
    pub(super) fn catalog_answered(&mut self, asked: Asked, answers: &[Answer]) {
        let Some(client) = self.clients.get_mut(asked.client) else { return };
        let Some(guarded) = &mut client.session.guarded else { return };
        if guarded.asking != Some(asked.ticket) {
            return;
        }
        guarded.asking = None;
        let mut catalog = Catalog::default();
        let answers = answers.iter().copied().chain(std::iter::repeat(Answer::Unknown));
        for (question, answer) in asked.questions.into_iter().zip(answers) {
            catalog.tell(question, answer);
        }
        guarded.catalog = Some(Box::new(catalog));
        self.resume_client(asked.client);
    }

    /// A Query has been noted: what its text does is part of the session's history.
    #[inline]
    pub(super) fn record_query(&mut self, id: ClientId, server: ServerId, text: &[u8]) {
        if self.clients.get(id).is_some_and(|client| client.spec.is_guarded()) {
            self.record_text(id, server, text);
        }
    }

    /// An Execute of the unnamed portal has been noted.
    #[inline]
    pub(super) fn record_execute(&mut self, id: ClientId, server: ServerId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if let Some(guarded) = &mut client.session.guarded
            && let Some(statement) = guarded.portal.take()
        {
            let content = self.statements.content(statement);
            let text = content.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            self.record_text(id, server, &text);
        }
    }

    fn record_text(&mut self, id: ClientId, server: ServerId, text: &[u8]) {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get(server)) else {
            return;
        };
        let options = lex_options(&client.session, Some(&entry.server));
        let found = match options == LexOptions::default() {
            true => self.texts.look(text).commands,
            false => Some(Arc::new(commands(text, options))),
        };
        let Some(found) = found else { return };
        let settings = client.spec.settings.load_full();
        let mut guarded = client.session.guarded.take().unwrap_or_default();
        let origin = settings.origin_of("guard");
        let standing = (guarded.begun, Catalog::EMPTY);
        let server = Some(&entry.server);
        let context = context(&client.session, server, standing, (&settings, &origin), options);
        let begins = |found: &Found| {
            matches!(found.command, Command::Transaction(TransactionControl::Begin(_)))
        };
        let begun = found.found().iter().any(begins);
        guarded.history.sent(text, &found, &context);
        guarded.begun |= begun;
        if !guarded.is_blank() {
            client.session.guarded = Some(guarded);
        }
    }
}

/// What the policy says to a text of a session.
fn judged(
    session: &Session,
    server: Option<&Server>,
    settings: &Effective,
    (text, commands, options): (&[u8], &Commands, LexOptions),
) -> Judgement {
    let none = Guarded::default();
    let guarded = session.guarded.as_deref().unwrap_or(&none);
    let origin = settings.origin_of("guard");
    let catalog = guarded.catalog.as_deref().unwrap_or(Catalog::EMPTY);
    let standing = (guarded.begun, catalog);
    let context = context(session, server, standing, (settings, &origin), options);
    guard::judge(text, commands, &guarded.history, &context)
}

fn context<'a>(
    session: &'a Session,
    server: Option<&Server>,
    (begun, catalog): (bool, &'a Catalog),
    (settings, origin): (&'a Effective, &'a str),
    options: LexOptions,
) -> Context<'a> {
    let millis = |limit: crate::config::Timeout| {
        u32::try_from(limit.as_millis().unwrap_or(0)).unwrap_or(u32::MAX)
    };
    let status = match (&session.state, server) {
        (State::Lost(lost), _) => lost.status(),
        (_, Some(server)) if server.status == TransactionStatus::Idle && begun => {
            TransactionStatus::InTransaction
        }
        (_, Some(server)) => server.status,
        (_, None) => TransactionStatus::Idle,
    };
    let role_lock = match millis(settings.ddl_lock_timeout) {
        0 => millis(settings.lock_timeout),
        ddl => ddl,
    };
    let lock_timeout_ms = session.own_limit(Limit::Lock).filter(|own| *own != 0).unwrap_or(role_lock);
    Context {
        policy: &settings.policy,
        origin,
        options,
        status,
        shared_server: !session.pins.has(Pins::SESSION_MODE),
        search_path: session.params.get("search_path"),
        maintenance_timeout_ms: millis(settings.maintenance_timeout),
        lock_timeout_ms,
        limits: Limits {
            statement_ms: millis(settings.statement_timeout),
            lock_ms: millis(settings.lock_timeout),
            idle_in_transaction_ms: millis(settings.idle_in_transaction_timeout),
            transaction_ms: millis(settings.transaction_timeout),
        },
        catalog,
    }
}

/// How the session's server reads texts.
fn lex_options(session: &Session, server: Option<&Server>) -> LexOptions {
    let of_server = |name: &[u8]| server.and_then(|server| server.status_of(name));
    let scs = session.params.get("standard_conforming_strings");
    let scs = of_server(b"standard_conforming_strings").or(scs);
    let encoding = session.params.get("client_encoding");
    let encoding = of_server(b"client_encoding").or(encoding);
    LexOptions {
        standard_conforming_strings: scs.is_none_or(is_on),
        encoding: match encoding {
            Some(encoding) if !is_ascii_based(encoding) => Encoding::from_name(encoding),
            Some(_) | None => Encoding::default(),
        },
    }
}

/// True for commands whose verdict and effect do not depend on what has not been answered.
fn is_passing(command: &Command) -> bool {
    matches!(
        command,
        Command::Transaction(_)
            | Command::Parameter(_)
            | Command::Write(_)
            | Command::UnboundedCount { .. }
            | Command::Offset(_)
            | Command::InList { .. }
            | Command::AdvisoryLock
            | Command::Analyze
    )
}

fn tell_the_log(spec: &crate::pool::PoolSpec, finding: &Finding, fingerprint: Fingerprint) {
    let (database, role) = (spec.database.as_str(), spec.role.as_str());
    let (rule, action) = (finding.rule, finding.action.as_str());
    let what = finding.message.as_str();
    match finding.action {
        Action::Off | Action::Log => {
            tracing::info!(database, role, rule, action, %fingerprint, what, "query guard");
        }
        Action::Warn | Action::Reject => {
            tracing::warn!(database, role, rule, action, %fingerprint, what, "query guard");
        }
    }
}
