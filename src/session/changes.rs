//! What a session's texts do to its parameters, as far as its server has confirmed it.
//!
//! A change counts once its transaction has committed. Until then it stands in [`Changes`], with a
//! copy for each savepoint, as the server keeps a stack. Twice, for the session and its server may
//! differ: RESET takes a server to its own default, and the session to what it began with.
//!
//! Deliberately absent: SET LOCAL, which ends with its transaction by itself; messages.

use std::collections::VecDeque;
use std::sync::Arc;

use super::params::{ParamSet, Setting, is_custom};
use crate::sql::{
    self, Action, Cursor, Kind, LexOptions, Name, Scope, Span, StatementFacts, StatementKind,
    Target, TransactionControl,
};
use crate::wire::TransactionStatus;
use crate::wire::build;
use crate::wire::frontend::BindValues;

/// Bytes of names and values that a session may have without keeping its server.
const BYTES_MAX: usize = 64 * 1024;

/// Savepoints of which copies are kept.
const SAVEPOINTS_MAX: usize = 256;

/// Parameters that end with their transaction, however they are set.
const OF_THE_TRANSACTION: [&[u8]; 3] =
    [b"transaction_isolation", b"transaction_read_only", b"transaction_deferrable"];

/// Parameters that are not put onto another server: the state of its random numbers; what would
/// end an idle server.
const ON_ITS_SERVER: [&[u8]; 2] = [b"seed", b"idle_session_timeout"];

/// Parameters in whose lists SET quotes each element (`GUC_LIST_QUOTE`).
const LISTS: [&[u8]; 6] = [
    b"local_preload_libraries",
    b"search_path",
    b"session_preload_libraries",
    b"shared_preload_libraries",
    b"temp_tablespaces",
    b"unix_socket_directories",
];

/// One step of a text that succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A parameter is set for the session.
    Set(Box<[u8]>, Setting),
    /// It goes back to what the session began with.
    Reset(Box<[u8]>),
    /// RESET ALL.
    ResetAll,
    /// DISCARD ALL, which commits by itself.
    DiscardAll,
    /// COMMIT, PREPARE TRANSACTION; in a failed transaction a rollback.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT.
    Savepoint(Name),
    /// RELEASE.
    Release(Name),
    /// ROLLBACK TO.
    RollbackTo(Name),
}

/// The steps of a text, each with the number of its statement, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps(Vec<(usize, Step)>);

impl Steps {
    /// Those of a DISCARD ALL that stands alone.
    #[must_use]
    pub fn discard_all() -> Self {
        Steps(vec![(0, Step::DiscardAll)])
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameters that are set or reset by name.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter_map(|(_, step)| match step {
            Step::Set(name, _) | Step::Reset(name) => Some(&**name),
            Step::ResetAll
            | Step::DiscardAll
            | Step::Commit
            | Step::Rollback
            | Step::Savepoint(_)
            | Step::Release(_)
            | Step::RollbackTo(_) => None,
        })
    }

    /// Whether any parameter is set or reset.
    #[must_use]
    pub fn change_parameters(&self) -> bool {
        self.0.iter().any(|(_, step)| *step == Step::ResetAll) || self.names().next().is_some()
    }

    /// Whether every parameter may be reset.
    #[must_use]
    pub fn reset_all(&self) -> bool {
        self.0.iter().any(|(_, step)| *step == Step::ResetAll)
    }

    fn size(&self) -> usize {
        let size = |(_, step): &(usize, Step)| match step {
            Step::Set(name, Setting::Value(value) | Setting::Words(value)) => {
                name.len() + value.len()
            }
            _ => 0,
        };
        self.0.iter().map(size).sum()
    }
}

/// Reads the steps of a text, with its Bind values where it has parameters. `None`: they cannot be
/// followed, and the session keeps its server.
#[must_use]
pub fn steps(text: &[u8], binds: Option<&BindValues>) -> Option<Steps> {
    let facts = sql::facts(text, LexOptions::default());
    let mut found = Vec::new();
    if facts.flaw().is_some() {
        // The server refuses it whole.
        return Some(Steps(found));
    }
    if !facts.statements().is_empty() && facts.statements().len() != facts.count() {
        return None;
    }
    for (number, statement) in facts.statements().iter().enumerate() {
        if let Some(step) = control(statement) {
            found.push((number, step));
        }
        for used in statement.parameters.iter().filter(|used| used.writes()) {
            let local = match used.scope {
                Scope::Local => true,
                Scope::Session => false,
                Scope::Param(n) => binds?.boolean(n)?,
                Scope::Expression => return None,
            };
            if local {
                continue;
            }
            if !used.certain {
                return None;
            }
            let name: Box<[u8]> = match &used.target {
                Target::Named(name) => name.as_bytes().into(),
                Target::Param(n) => binds?.value(*n)??.to_ascii_lowercase().into(),
                Target::All => {
                    found.push((number, Step::ResetAll));
                    continue;
                }
                Target::Expression => return None,
            };
            if OF_THE_TRANSACTION.contains(&&*name) {
                continue;
            }
            let setting = match &used.action {
                Action::Read => continue,
                Action::Default | Action::Null => None,
                Action::Tokens(span) => Some(setting(&name, text, *span)?),
                Action::Value(value) => Some(Setting::Value(value.to_vec())),
                Action::Param(n) => binds?.value(*n)?.map(|value| Setting::Value(value.to_vec())),
                Action::Current | Action::Expression => return None,
            };
            if !can_follow(&name, setting.as_ref()) {
                return None;
            }
            found.push((
                number,
                match setting {
                    Some(setting) => Step::Set(name, setting),
                    None => Step::Reset(name),
                },
            ));
        }
    }
    Some(Steps(found))
}

fn control(statement: &StatementFacts) -> Option<Step> {
    let StatementKind::Transaction(control) = &statement.kind else { return None };
    match control {
        TransactionControl::Commit { .. } | TransactionControl::PrepareTransaction => {
            Some(Step::Commit)
        }
        TransactionControl::Rollback { .. } => Some(Step::Rollback),
        TransactionControl::Savepoint(name) => Some(Step::Savepoint(name.clone())),
        TransactionControl::Release(name) => Some(Step::Release(name.clone())),
        TransactionControl::RollbackTo(name) => Some(Step::RollbackTo(name.clone())),
        TransactionControl::Begin(_)
        | TransactionControl::CommitPrepared
        | TransactionControl::RollbackPrepared
        | TransactionControl::SetTransaction(_) => None,
    }
}

/// Whether a parameter can be put onto another server as it stands here.
fn can_follow(name: &[u8], setting: Option<&Setting>) -> bool {
    let bytes: &[u8] = match setting {
        Some(Setting::Value(bytes) | Setting::Words(bytes)) => bytes,
        Some(Setting::Unset) | None => b"",
    };
    // What a byte beyond ASCII means depends on the encoding that the server has at that moment.
    let is_plain = |bytes: &[u8]| bytes.iter().all(|byte| byte.is_ascii() && *byte != 0);
    if !is_plain(name) || !is_plain(bytes) || name.is_empty() || ON_ITS_SERVER.contains(&name) {
        return false;
    }
    let Some(setting) = setting else { return true };
    match (name, setting) {
        // Both change what the bytes of later texts mean.
        (b"standard_conforming_strings", Setting::Value(value)) => is_on(value),
        (b"client_encoding", Setting::Value(value)) => is_ascii_based(value),
        (b"standard_conforming_strings" | b"client_encoding", _) => false,
        // A role is a name; anything else is a form that we do not know.
        (b"role" | b"session_authorization", setting) => matches!(setting, Setting::Value(_)),
        _ => true,
    }
}

/// Whether a boolean value is true.
#[must_use]
pub fn is_on(value: &[u8]) -> bool {
    [&b"on"[..], b"true", b"t", b"1", b"yes"].iter().any(|on| on.eq_ignore_ascii_case(value))
}

/// Whether no character of an encoding holds a byte that could be taken for one of ASCII.
#[must_use]
pub fn is_ascii_based(encoding: &[u8]) -> bool {
    let letters = encoding.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let name: Vec<u8> = letters.map(u8::to_ascii_lowercase).collect();
    [
        &b"utf8"[..],
        b"unicode",
        b"sqlascii",
        b"latin",
        b"iso8859",
        b"win125",
        b"windows125",
        b"koi8",
        b"euc",
    ]
    .iter()
    .any(|safe| name.starts_with(safe))
}

/// What the words behind TO set a parameter to.
fn setting(name: &[u8], text: &[u8], span: Span) -> Option<Setting> {
    let mut cursor = Cursor::new(text, span, LexOptions::default());
    let mut words = Vec::new();
    let mut alone = None;
    let mut count = 0;
    while let Some(token) = cursor.peek() {
        let raw = token.span.of(text);
        if count > 0 {
            words.push(b' ');
        }
        count += 1;
        match token.kind {
            Kind::String | Kind::EscapeString | Kind::DollarString => {
                let value = cursor.string()?.into_owned();
                build::literal(&mut words, &value);
                alone = Some(value);
                continue;
            }
            Kind::Word => {
                words.extend(raw.iter().map(u8::to_ascii_lowercase));
                alone = Some(sql::name(token, text, b'\\').as_bytes().to_vec());
            }
            Kind::QuotedWord => {
                words.extend_from_slice(raw);
                alone = Some(sql::name(token, text, b'\\').as_bytes().to_vec());
            }
            Kind::Integer | Kind::Decimal => {
                words.extend_from_slice(raw);
                let as_written =
                    raw.iter().all(u8::is_ascii_digit) && (raw[0] != b'0' || raw == b"0");
                alone = as_written.then(|| raw.to_vec());
            }
            Kind::Symbol(b',' | b'-' | b'+' | b'(' | b')') => words.extend_from_slice(raw),
            _ => return None,
        }
        cursor.bump();
    }
    match alone {
        Some(value) if count == 1 && !LISTS.contains(&name) => Some(Setting::Value(value)),
        _ => Some(Setting::Words(words)),
    }
}

/// The parameters of a session and of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// What the session is to have.
    pub client: Arc<ParamSet>,
    /// What its server has.
    pub server: Arc<ParamSet>,
}

impl Sides {
    fn change(&mut self, mut change: impl FnMut(&ParamSet, Side) -> ParamSet, base: &ParamSet) {
        let same = Arc::ptr_eq(&self.client, &self.server) && base.is_empty();
        self.client = Arc::new(change(&self.client, Side::Client));
        self.server =
            if same { self.client.clone() } else { Arc::new(change(&self.server, Side::Server)) };
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// A text that was sent and has not been answered to its end.
#[derive(Debug)]
struct SentSteps {
    number: u32,
    unit: u64,
    steps: Steps,
    /// Its statements that have succeeded.
    succeeded: usize,
}

/// The changes of a transaction that has not ended, and of texts that have not been answered.
#[derive(Debug)]
pub struct Changes {
    base: Arc<ParamSet>,
    /// What holds if it is rolled back.
    before: Sides,
    now: Sides,
    savepoints: Vec<(Name, Sides)>,
    /// The transaction has failed, and nothing has mended it.
    aborted: bool,
    /// Custom parameters that the server has heard of, whatever becomes of the transaction.
    made: Vec<Box<[u8]>>,
    sent: VecDeque<SentSteps>,
    numbers: u32,
    /// The number of a text that is being sent.
    next: Option<u32>,
}

impl Changes {
    /// No change yet, in a session that began with `base`.
    #[must_use]
    pub fn new(base: Arc<ParamSet>, client: Arc<ParamSet>, server: Arc<ParamSet>) -> Self {
        let now = Sides { client, server };
        Changes {
            base,
            before: now.clone(),
            now,
            savepoints: Vec::new(),
            aborted: false,
            made: Vec::new(),
            sent: VecDeque::new(),
            numbers: 0,
            next: None,
        }
    }

    /// Whether as many steps more can be kept.
    #[must_use]
    pub fn has_room_for(&self, steps: &Steps) -> bool {
        let sent: usize = self.sent.iter().map(|sent| sent.steps.size()).sum();
        self.now.client.size() + sent + steps.size() <= BYTES_MAX
            && self.savepoints.len() < SAVEPOINTS_MAX
            && self.made.len() < SAVEPOINTS_MAX
    }

    /// A text is about to be sent in unit `unit`.
    pub fn sending(&mut self, steps: Steps, unit: u64) {
        self.numbers = self.numbers.wrapping_add(1).max(1);
        self.sent.push_back(SentSteps { number: self.numbers, unit, steps, succeeded: 0 });
        self.next = Some(self.numbers);
    }

    /// The number of the text that is being sent; its answers bring it back.
    pub fn take_number(&mut self) -> Option<u32> {
        self.next.take()
    }

    /// Whether a unit before `building` has not been answered whose text is followed.
    #[must_use]
    pub fn must_wait(&self, building: u64) -> bool {
        self.sent.front().is_some_and(|sent| sent.unit < building)
    }

    /// A statement of text `number` has succeeded, with this command tag.
    pub fn succeeded(&mut self, number: u32, tag: &[u8]) {
        // Texts before it were skipped.
        while self.sent.front().is_some_and(|sent| sent.number != number) {
            self.sent.pop_front();
        }
        let Some(sent) = self.sent.front_mut() else { return };
        let statement = sent.succeeded;
        sent.succeeded += 1;
        let of_it = |(number, _): &&(usize, Step)| *number == statement;
        let steps: Vec<Step> =
            sent.steps.0.iter().filter(of_it).map(|(_, step)| step.clone()).collect();
        for step in steps {
            self.take(step, tag);
        }
    }

    fn take(&mut self, step: Step, tag: &[u8]) {
        let base = self.base.clone();
        match step {
            Step::Set(name, setting) => {
                self.heard_of(&name);
                self.now.change(|set, _| set.with(&name, setting.clone()), &base);
                self.with_identity(&name);
            }
            Step::Reset(name) => {
                self.heard_of(&name);
                let none = ParamSet::default();
                let base_of = |side| if side == Side::Client { &*base } else { &none };
                self.now.change(|set, side| set.reset(&name, base_of(side)), &base);
                self.with_identity(&name);
            }
            Step::ResetAll => {
                let none = ParamSet::default();
                let base_of = |side| if side == Side::Client { &*base } else { &none };
                self.now.change(|set, side| set.reset_all(base_of(side)), &base);
            }
            Step::DiscardAll => {
                self.now.client = Arc::new(self.now.client.discard_all(&base));
                self.now.server = Arc::default();
                self.before = self.now.clone();
                self.savepoints.clear();
            }
            // COMMIT of a transaction that has failed.
            Step::Commit if tag.starts_with(b"ROLLBACK") => self.roll_back(),
            Step::Commit => {
                self.before = self.now.clone();
                self.savepoints.clear();
            }
            Step::Rollback => self.roll_back(),
            Step::Savepoint(name) => self.savepoints.push((name, self.now.clone())),
            Step::Release(name) => {
                let at = self.savepoint(&name).unwrap_or(0);
                self.savepoints.truncate(at);
            }
            Step::RollbackTo(name) => {
                self.aborted = false;
                match self.savepoint(&name) {
                    Some(at) => {
                        self.now = self.savepoints[at].1.clone();
                        self.savepoints.truncate(at + 1);
                    }
                    // It was there before the first change.
                    None => {
                        self.now = self.before.clone();
                        self.savepoints.clear();
                    }
                }
                self.keep_made();
            }
        }
    }

    /// SET SESSION AUTHORIZATION ends SET ROLE.
    fn with_identity(&mut self, name: &[u8]) {
        if name != b"session_authorization" {
            return;
        }
        let base = self.base.clone();
        let begins_with_one = base.setting(b"role").is_some();
        self.now.change(
            |set, side| match side {
                Side::Client if begins_with_one => {
                    set.with(b"role", Setting::Value(b"none".to_vec()))
                }
                Side::Client | Side::Server => set.without(b"role"),
            },
            &base,
        );
    }

    fn savepoint(&self, name: &Name) -> Option<usize> {
        self.savepoints.iter().rposition(|(known, _)| known == name)
    }

    fn roll_back(&mut self) {
        self.now = self.before.clone();
        self.savepoints.clear();
        self.aborted = false;
        self.keep_made();
    }

    fn heard_of(&mut self, name: &[u8]) {
        if is_custom(name) && !self.made.iter().any(|made| **made == *name) {
            self.made.push(name.into());
        }
    }

    /// A custom parameter stays known to its server, though its value is rolled back.
    fn keep_made(&mut self) {
        for name in std::mem::take(&mut self.made) {
            for set in [&mut self.now.client, &mut self.now.server] {
                if set.setting(&name).is_none() {
                    *set = Arc::new(set.with(&name, Setting::Unset));
                }
            }
            self.made.push(name);
        }
    }

    /// ReadyForQuery for unit `unit`, which failed or not.
    pub fn ready(&mut self, unit: u64, status: TransactionStatus, failed: bool) {
        while self.sent.front().is_some_and(|sent| sent.unit <= unit) {
            self.sent.pop_front();
        }
        match status {
            TransactionStatus::InTransaction => {}
            TransactionStatus::Failed => self.aborted = true,
            TransactionStatus::Idle => {
                if failed || self.aborted {
                    self.roll_back();
                }
                self.before = self.now.clone();
                self.savepoints.clear();
            }
        }
    }

    /// What has been committed.
    #[must_use]
    pub fn committed(&self) -> &Sides {
        &self.before
    }

    /// Whether nothing is open and nothing unanswered, after a ReadyForQuery of an idle server.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.sent.is_empty()
    }

    /// What the session and its server have now.
    #[must_use]
    pub fn now(&self) -> &Sides {
        &self.now
    }

    /// The server has been given what the session is to have.
    pub fn agree(&mut self) {
        self.now.server = self.now.client.clone();
    }
}

#[cfg(test)]
mod tests;
