//! The guard on a message's way: its text is judged before anything of it is sent.
//!
//! An ordinary text costs one look into the table of texts. One with commands waits until everything
//! before it has been answered, for its verdict may depend on that; and where only the catalog can
//! say whether it is to be refused, until the hall has asked.
//!
//! Deliberately absent: the rules and their words (`guard`), what is bound (`guard_bound`), what is kept of a text that is
//! sent (`guard_notes`), and how one is refused (`refuse`).

use std::sync::Arc;

use super::Engine;
use super::driver::Driver;
use super::from_client::{Next, is_large_object_function};
use super::mail::{Asked, Order};
use super::refuse::{Refused, Stands};
use crate::client::{Guarded, Session, State};
use crate::config::Effective;
use crate::errors;
use crate::guard::{self, Answer, Catalog, Context, Judgement, Limits, Question};
use crate::ids::{ClientId, ServerId};
use crate::prepared::Known;
use crate::rules::Action;
use crate::server::Server;
use crate::server::ledger::Ledger;
use crate::session::changes::is_on;
use crate::session::{Limit, Pins, TextEffects};
use crate::sql::commands::Commands;
use crate::sql::{Encoding, Fingerprint, LexOptions, commands};
use crate::wire::TransactionStatus;
use crate::wire::frame::{HEADER_LEN, Header};
use crate::wire::frontend::{ParseView, query_text, tag};

/// Reasons to keep a server that stand for code which may have set `search_path` unseen.
const PATH_UNKNOWN: Pins = Pins::PARAMETER
    .and(Pins::HIDDEN_CODE)
    .and(Pins::FUNCTION_CALL)
    .and(Pins::UNREAD_TEXT)
    .and(Pins::DISCARD);

/// A text that is to be judged.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    /// The client.
    pub(super) id: ClientId,
    /// Its server, if it holds one.
    pub(super) server: Option<ServerId>,
    /// The message that the text came in, or that runs it.
    pub(super) stands: Stands,
    /// What goes to the server before it.
    pub(super) before: &'a [u8],
    /// The text.
    pub(super) text: &'a [u8],
}

impl<D: Driver> Engine<D> {
    /// Judges a text of a client that holds no server: whatever is refused here costs no server, and what is not is
    /// judged again once there is one.
    #[inline]
    pub(super) fn guard_here(
        &mut self,
        id: ClientId,
        header: Header,
        message: &[u8],
    ) -> Option<Next> {
        if self.is_too_long(header) {
            return self.refuse_too_long((id, None), (header, message), b"");
        }
        if !may_be_definition(header.tag, message.get(HEADER_LEN..)?) {
            return None;
        }
        self.guard_definition(id, header, message)
    }

    #[inline(never)]
    fn guard_definition(&mut self, id: ClientId, header: Header, message: &[u8]) -> Option<Next> {
        let (text, stands) = text_of(header.tag, message.get(HEADER_LEN..)?)?;
        let case = Case { id, server: None, stands, before: b"", text };
        let options = lex_options(&self.clients.get(id)?.session);
        // Not looked up: that would count as having come before.
        let commands = commands(text, options);
        self.judge_text(case, &commands, options, None)
    }

    /// Judges a Query of a client that holds a server, and what cannot be read. `known`: what the text of a Query
    /// does, read under the usual options.
    #[inline]
    pub(super) fn guard_first(
        &mut self,
        (id, server): (ClientId, ServerId),
        (header, message): (Header, &[u8]),
        before: &[u8],
        known: Option<(&[u8], &Known)>,
    ) -> Option<Next> {
        if !matches!(header.tag, tag::QUERY | tag::PARSE | tag::FUNCTION_CALL) {
            return None;
        }
        let (client, entry) = (self.clients.get(id)?, self.servers.get(server)?);
        if !client.spec.is_guarded() {
            return None;
        }
        match known {
            Some((text, known))
                if known.commands.is_none()
                    && !client.spec.looks_closely()
                    && !minds_all(&client.session, &entry.server, text) =>
            {
                None
            }
            Some((text, known)) => {
                let case = Case { id, server: Some(server), stands: Stands::Query, before, text };
                self.guard_text(case, Some(known))
            }
            None if self.is_too_long(header) => {
                self.refuse_too_long((id, Some(server)), (header, message), before)
            }
            None if header.tag == tag::FUNCTION_CALL => {
                if is_large_object_function(message.get(HEADER_LEN..)?) {
                    return None;
                }
                self.guard_call(id, server, before)
            }
            None => None,
        }
    }

    /// Whether a text is judged for what it does, whatever came before it.
    #[inline]
    pub(super) fn guards(&self, id: ClientId, effects: &TextEffects) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let spec = &client.spec;
        spec.is_guarded() && (effects.commands || spec.looks_closely())
    }

    /// Judges a Parse. `effects`: what its text does, read under the usual options.
    #[inline]
    pub(super) fn guard_parse(&mut self, case: Case<'_>, effects: &TextEffects) -> Option<Next> {
        let (client, entry) = (self.clients.get(case.id)?, self.servers.get(case.server?)?);
        let minds = effects.commands
            || client.spec.looks_closely()
            || minds_all(&client.session, &entry.server, case.text);
        if minds && client.spec.is_guarded() {
            return self.guard_text(case, None);
        }
        None
    }

    #[inline(never)]
    fn guard_text(&mut self, case: Case<'_>, known: Option<&Known>) -> Option<Next> {
        let entry = self.servers.get(case.server?)?;
        let options = entry.server.reads();
        let ledger = &entry.server.ledger;
        if ledger.runs_nothing() {
            return None;
        }
        let doubtful = is_doubtful(ledger, case.text);
        if doubtful && !ledger.is_up_to_date() {
            return Some(self.hold_client(case.id));
        }
        let found = match known {
            Some(known) if options == LexOptions::default() => known.all_commands(case.text),
            Some(_) | None => self.commands_of(case.text, options),
        };
        if doubtful {
            let conforms = !options.standard_conforming_strings;
            let otherwise = LexOptions { standard_conforming_strings: conforms, ..options };
            let other = self.commands_of(case.text, otherwise);
            let refused = self.judge_text(case, &other, otherwise, None);
            if refused.is_some() {
                return refused;
            }
        }
        self.judge_text(case, &found, options, None)
    }

    /// What a text does to objects and to its transaction.
    pub(super) fn commands_of(&mut self, text: &[u8], options: LexOptions) -> Arc<Commands> {
        if options == LexOptions::default() {
            self.texts.look(text).all_commands(text)
        } else {
            Arc::new(commands(text, options))
        }
    }

    #[inline]
    fn is_too_long(&self, header: Header) -> bool {
        let is_text = matches!(header.tag, tag::QUERY | tag::PARSE);
        is_text && header.body_len as usize > self.max_statement_size
    }

    /// Refuses a text that is too long to be held until it has been judged, where it might have to be refused.
    fn refuse_too_long(
        &mut self,
        (id, server): (ClientId, Option<ServerId>),
        (header, message): (Header, &[u8]),
        before: &[u8],
    ) -> Option<Next> {
        let client = self.clients.get(id)?;
        if !client.spec.settings.load().policy.rejects() {
            return None;
        }
        let report = errors::statement_too_long(header.body_len, self.max_statement_size);
        let refused = Refused { report, controls: true };
        self.refuse(id, server, Stands::of(message)?, before, refused)
    }

    /// Judges a fast-path call of a function, of which only the number is seen.
    pub(super) fn guard_call(
        &mut self,
        id: ClientId,
        server: ServerId,
        before: &[u8],
    ) -> Option<Next> {
        let stands = Stands::Query;
        let case = Case { id, server: Some(server), stands, before, text: b"" };
        let options = self.servers.get(server)?.server.reads();
        self.judge_with(case, options, false, |_, context| guard::judge_call(context))
    }

    /// Judges a text that has these commands. `offset`: the largest OFFSET that its Bind gives it.
    pub(super) fn judge_text(
        &mut self,
        case: Case<'_>,
        commands: &Commands,
        options: LexOptions,
        offset: Option<u64>,
    ) -> Option<Next> {
        let client = self.clients.get(case.id)?;
        let session = &client.session;
        let is_nothing = commands.is_empty() && !client.spec.looks_closely();
        if (commands.only_controls() || is_nothing)
            && !session.guarded.as_ref().is_some_and(|guarded| guarded.history.minds_ordinary())
        {
            return None;
        }
        if let Some(server) = case.server {
            let ledger = &self.servers.get(server)?.server.ledger;
            if ledger.runs_nothing() {
                return None;
            }
            if !guard::stands_alone(commands) && !ledger.is_up_to_date() {
                return Some(self.hold_client(case.id));
            }
        }
        let judged = |guarded: &Guarded, context: &Context| {
            let mut judgement = guard::judge(case.text, commands, &guarded.history, context);
            let bound = offset.and_then(|offset| guard::bound_offset(offset, case.text, context));
            judgement.findings.extend(bound);
            judgement
        };
        self.judge_with(case, options, commands.controls(), judged)
    }

    /// Judges, asks the catalog first where that may take a refusal back, and does what the verdict says.
    fn judge_with(
        &mut self,
        case: Case<'_>,
        options: LexOptions,
        controls: bool,
        judged: impl Fn(&Guarded, &Context) -> Judgement,
    ) -> Option<Next> {
        let client = self.clients.get(case.id)?;
        if client.session.guarded.as_ref().is_some_and(|guarded| guarded.is_asking()) {
            return Some(self.hold_client(case.id));
        }
        let settings = client.spec.settings.load_full();
        let there = case.server.and_then(|server| Some(&self.servers.get(server)?.server));
        let none = Guarded::default();
        let guarded = client.session.guarded.as_deref().unwrap_or(&none);
        let origin = settings.policy_origin();
        let asked = guarded.answers_for(case.text, self.now);
        let asks = asked.is_none();
        let catalog = asked.unwrap_or(Catalog::EMPTY);
        let context = context(&client.session, there, catalog, (&settings, &origin), options);
        let judgement = judged(guarded, &context);
        if judgement.findings.is_empty() {
            return None;
        }
        let guarded = self.clients.get_mut(case.id)?.session.guarded.as_mut();
        if guarded.is_some_and(|guarded| guarded.takes_cancel(case.text)) {
            let refused = Refused { report: errors::cancelled_while_waiting(), controls };
            return self.refuse(case.id, case.server, case.stands, case.before, refused);
        }
        if !judgement.questions.is_empty() && asks {
            return Some(self.ask_catalog(case, judgement.questions));
        }
        let must_wait = |server| {
            let ledger = self.servers.get(server).map(|entry| &entry.server.ledger);
            ledger.is_some_and(|ledger| !ledger.is_up_to_date() && !ledger.copy_in())
        };
        if judgement.refusal().is_some() && case.server.is_some_and(must_wait) {
            // It is refused, and told of, when that is over.
            return Some(self.hold_client(case.id));
        }
        self.tell_of(case, &judgement);
        let refusal = judgement.refusal()?;
        let refused = Refused { report: refusal.report(), controls };
        self.refuse(case.id, case.server, case.stands, case.before, refused)
    }

    /// Counts and logs what rules have found, and warns the client of what it has not been warned of. Once for a text,
    /// however often it must wait.
    fn tell_of(&mut self, case: Case<'_>, found: &Judgement) {
        let Some(client) = self.clients.get_mut(case.id) else { return };
        let least = client.session.params.get("client_min_messages");
        let reads_notices = least.is_none_or(|least| !matches!(least, b"warning" | b"error"));
        let guarded = client.session.guarded.get_or_insert_default();
        if !guarded.tells_first(found, case.text) {
            return;
        }
        let fingerprint = Fingerprint::of(case.text);
        let counters = &mut self.pools[client.pool.0 as usize].counters;
        // A warning may only stand where an answer to this text could.
        let may_tell = case.server.is_none_or(|server| {
            let there = self.servers.get(server);
            there.is_some_and(|entry| !entry.server.ledger.owes_replies() && entry.conn.skip == 0)
        });
        for finding in &found.findings {
            counters.guard.count(finding.rule, finding.action.as_str());
            self.found_lately.record(&client.spec, self.now_us, finding, fingerprint);
            if finding.action == Action::Warn
                && found.refusal().is_none()
                && may_tell
                && reads_notices
                && guarded.warns_first(finding.rule, case.text)
            {
                finding.report().write(&mut self.to_client);
            }
        }
    }

    /// Has the catalog asked whether a text is to be refused.
    fn ask_catalog(&mut self, case: Case<'_>, questions: Vec<Question>) -> Next {
        self.catalog_questions += 1;
        let ticket = self.catalog_questions;
        let Some(client) = self.clients.get_mut(case.id) else { return Next::End };
        let session = &mut client.session;
        let there = case.server.and_then(|server| self.servers.get(server));
        let is_early = there.is_some_and(|entry| entry.server.ledger.owes_replies());
        session.guarded.get_or_insert_default().asks(ticket, case.text);
        session.held = true;
        let param = |name: &str| session.params.get(name).map(<[u8]>::to_vec);
        let asked = Asked {
            client: case.id,
            ticket,
            questions,
            search_path: param("search_path"),
            encoding: param("client_encoding"),
            role: param("role"),
            path_is_known: !session.pins.has(PATH_UNKNOWN)
                && session.params.setting(b"session_authorization").is_none(),
            is_early,
        };
        self.orders.push(Order::Catalog { pool: client.spec.clone(), asked });
        Next::Pause
    }

    /// The catalog has answered, as far as it could be asked.
    pub(super) fn catalog_answered(&mut self, asked: Asked, answers: &[Answer]) {
        let Some(client) = self.clients.get_mut(asked.client) else { return };
        let Some(guarded) = &mut client.session.guarded else { return };
        let mut catalog = Catalog::default();
        let answers = answers.iter().copied().chain(std::iter::repeat(Answer::Unknown));
        for (question, answer) in asked.questions.into_iter().zip(answers) {
            catalog.tell(question, answer);
        }
        if guarded.answered(asked.ticket, catalog, self.now) {
            self.resume_client(asked.client);
        }
    }

    /// The client cancels what it asked for last. Whether that waits for the catalog: then it is over.
    pub(super) fn cancel_judgement(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let is_asking = client.session.guarded.as_mut().is_some_and(|guarded| guarded.cancel());
        if is_asking {
            self.resume_client(id);
        }
        is_asking
    }
}

pub(super) fn context<'a>(
    session: &'a Session,
    server: Option<&Server>,
    catalog: &'a Catalog,
    (settings, origin): (&'a Effective, &'a str),
    options: LexOptions,
) -> Context<'a> {
    let millis = |limit: crate::config::Timeout| {
        u32::try_from(limit.as_millis().unwrap_or(0)).unwrap_or(u32::MAX)
    };
    let status = match (&session.state, server) {
        (State::Lost(lost), _) => lost.status(),
        // What comes later in a batch runs only where what came before has ended the failure.
        (_, Some(server))
            if server.status == TransactionStatus::Failed && server.ledger.batch_is_open() =>
        {
            TransactionStatus::InTransaction
        }
        (_, Some(server)) => server.status,
        (State::Begun, None) => TransactionStatus::InTransaction,
        (_, None) => TransactionStatus::Idle,
    };
    let role_lock = match millis(settings.ddl_lock_timeout) {
        0 => millis(settings.lock_timeout),
        ddl => ddl,
    };
    let lock_timeout_ms =
        session.own_limit(Limit::Lock).filter(|own| *own != 0).unwrap_or(role_lock);
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

/// How a server that has the session's parameters would read texts.
fn lex_options(session: &Session) -> LexOptions {
    let scs = session.params.get("standard_conforming_strings");
    let encoding = session.params.get("client_encoding");
    LexOptions {
        standard_conforming_strings: scs.is_none_or(is_on),
        encoding: encoding.map(Encoding::from_name).unwrap_or_default(),
    }
}

/// The text of a Query or Parse, where there is one: Postgres refuses what cannot be read.
fn text_of(message: u8, body: &[u8]) -> Option<(&[u8], Stands)> {
    match message {
        tag::QUERY => Some((query_text(body)?, Stands::Query)),
        tag::PARSE => {
            let parse = ParseView::read(body)?;
            Some((parse.query, Stands::Parse { unnamed: parse.statement.is_empty() }))
        }
        _ => None,
    }
}

/// Whether what is under way may change how the server reads a text: where a backslash in it stands for itself.
fn is_doubtful(ledger: &Ledger, text: &[u8]) -> bool {
    (!ledger.is_up_to_date() || ledger.batch_is_open()) && text.contains(&b'\\')
}

/// Whether a text is judged that has no commands, as far as the usual options show: something before it makes it one to be
/// told of, or it is read otherwise here.
#[inline]
fn minds_all(session: &Session, server: &Server, text: &[u8]) -> bool {
    // For most none of it is so, and the text need not be looked at.
    let may_mind = session.guarded.is_some()
        || server.reads() != LexOptions::default()
        || !server.ledger.is_up_to_date()
        || server.ledger.batch_is_open();
    may_mind && minds_all_now(session, server, text)
}

#[inline(never)]
fn minds_all_now(session: &Session, server: &Server, text: &[u8]) -> bool {
    session.guarded.as_ref().is_some_and(|guarded| guarded.history.minds_ordinary())
        || server.reads() != LexOptions::default()
        || is_doubtful(&server.ledger, text)
}

/// True for messages whose text begins like CREATE, DROP, DO or REINDEX: what else there is can wait for a server.
#[inline]
fn may_be_definition(message: u8, body: &[u8]) -> bool {
    let text = match message {
        tag::QUERY => body,
        tag::PARSE => body.iter().position(|byte| *byte == 0).map_or(body, |end| &body[end + 1..]),
        _ => return false,
    };
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'c' | b'C' | b'd' | b'D' | b'r' | b'R'))
}
