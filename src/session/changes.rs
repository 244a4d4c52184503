//! What a session's texts do to its parameters, and to the channels that it listens to, as far as
//! its server has confirmed it.
//!
//! A change counts once its transaction has committed. Until then it stands in [`Changes`], with a
//! copy for each savepoint, as the server keeps a stack. Twice, for the session and its server may
//! differ: RESET takes a server to its own default, and the session to what it began with.
//!
//! Deliberately absent: SET LOCAL, which ends with its transaction by itself (but for limits of time, which a session
//! may not raise for a transaction either); messages.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::belt::{self, Belt, Limit, PerLimit};
use super::params::{self, ParamSet, Setting, is_custom};
use crate::sql::{
    self, Action, Cursor, Kind, LexOptions, Name, ParameterUse, Scope, Span, StatementFacts,
    StatementKind, Target, TransactionControl, Upkeep,
};
use crate::wire::TransactionStatus;
use crate::wire::build;
use crate::wire::frontend::BindValues;

/// Channels that a session listens to, all names of ASCII only.
pub type Channels = BTreeSet<Name>;

/// Channels that a session may listen to without keeping its server.
const CHANNELS_MAX: usize = 1_024;

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
    /// A limit of time is set until the end of the transaction: milliseconds, 0 for none.
    SetLocal(Limit, u32),
    /// It goes back to what the session began with.
    Reset(Box<[u8]>),
    /// RESET ALL.
    ResetAll,
    /// DISCARD ALL, which commits by itself.
    DiscardAll,
    /// LISTEN.
    Listen(Name),
    /// UNLISTEN of one channel.
    Unlisten(Name),
    /// UNLISTEN of all.
    UnlistenAll,
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
            Step::SetLocal(..)
            | Step::ResetAll
            | Step::DiscardAll
            | Step::Listen(_)
            | Step::Unlisten(_)
            | Step::UnlistenAll
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

    /// Whether a limit of time is set until the end of the transaction.
    #[must_use]
    pub fn set_limits_locally(&self) -> bool {
        self.0.iter().any(|(_, step)| matches!(step, Step::SetLocal(..)))
    }

    /// The channels that are listened to from then on.
    pub fn listens(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().filter_map(|(_, step)| match step {
            Step::Listen(channel) => Some(channel),
            _ => None,
        })
    }

    /// The same without LISTEN: the server itself tells the session.
    #[must_use]
    pub fn without_listens(mut self) -> Self {
        self.0.retain(|(_, step)| !matches!(step, Step::Listen(_)));
        self
    }

    /// Whether it is changed what the session listens to.
    #[must_use]
    pub fn change_channels(&self) -> bool {
        let changes = |(_, step): &(usize, Step)| {
            matches!(step, Step::Listen(_) | Step::Unlisten(_) | Step::UnlistenAll)
        };
        self.0.iter().any(changes)
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
        match &statement.kind {
            // How another name is folded and cut depends on the server's encoding.
            StatementKind::Listen { channel } if !channel.as_bytes().is_ascii() => return None,
            StatementKind::Listen { channel } => {
                found.push((number, Step::Listen(channel.clone())));
            }
            StatementKind::Unlisten { channel: Some(channel) } => {
                found.push((number, Step::Unlisten(channel.clone())));
            }
            StatementKind::Unlisten { channel: None } => found.push((number, Step::UnlistenAll)),
            _ => {}
        }
        for used in statement.parameters.iter().filter(|used| used.writes()) {
            let local = match used.scope {
                Scope::Local => true,
                Scope::Session => false,
                Scope::Param(n) => binds?.boolean(n)?,
                Scope::Expression => return None,
            };
            if local {
                if let Some((limit, asked)) = local_limit(used, text, binds) {
                    found.push((number, Step::SetLocal(limit, asked)));
                }
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

/// The limit of time that is set until the end of the transaction, where it can be seen. A spelling that is not looked
/// at is taken for no limit.
fn local_limit(
    used: &ParameterUse,
    text: &[u8],
    binds: Option<&BindValues>,
) -> Option<(Limit, u32)> {
    let limit = match &used.target {
        Target::Named(name) => Limit::of(name.as_bytes())?,
        Target::Param(n) => Limit::of(&binds?.value(*n)??.to_ascii_lowercase())?,
        Target::All | Target::Expression => return None,
    };
    let asked = match &used.action {
        Action::Tokens(span) => belt::millis(&setting(limit.name().as_bytes(), text, *span)?),
        Action::Value(value) => belt::millis_of(value),
        Action::Param(n) => belt::millis_of(binds?.value(*n)??),
        // What the session has, or nobody knows what.
        Action::Read | Action::Default | Action::Null | Action::Current | Action::Expression => {
            return None;
        }
    };
    used.certain.then_some((limit, asked.unwrap_or(0)))
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
                // In a list of names a string is one, and so `search_path` can be had as a value. No name is empty.
                if LISTS.contains(&name) && !value.is_empty() {
                    build::quoted_name(&mut words, &value);
                } else {
                    build::literal(&mut words, &value);
                }
                alone = Some(value);
                continue;
            }
            Kind::Word => {
                words.extend(raw.iter().map(u8::to_ascii_lowercase));
                alone = Some(sql::name(token, text, b'\\').as_bytes().to_vec());
            }
            Kind::QuotedWord => {
                let value = cursor.name()?;
                build::quoted_name(&mut words, value.as_bytes());
                alone = Some(value.as_bytes().to_vec());
                continue;
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

/// The parameters of a session and of its server, and what the session listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// What the session is to have.
    pub client: Arc<ParamSet>,
    /// What its server has.
    pub server: Arc<ParamSet>,
    /// The channels.
    pub channels: Arc<Channels>,
    /// Limits of time that the session has set until the end of the transaction.
    local: PerLimit<Option<u32>>,
    /// Those that its server has.
    server_local: PerLimit<Option<u32>>,
}

impl Sides {
    /// Outside of a transaction.
    #[must_use]
    pub fn new(client: Arc<ParamSet>, server: Arc<ParamSet>, channels: Arc<Channels>) -> Self {
        let (local, server_local) = Default::default();
        Sides { client, server, channels, local, server_local }
    }

    fn set_local(&mut self, limit: Limit, to: Option<u32>) {
        self.local.set(limit, to);
        self.server_local.set(limit, to);
    }

    /// The same when the transaction has ended.
    fn without_local(mut self) -> Self {
        Limit::ALL.into_iter().for_each(|limit| self.set_local(limit, None));
        self
    }

    fn change(&mut self, mut change: impl FnMut(&ParamSet, Side) -> ParamSet, bases: &Bases) {
        let same = Arc::ptr_eq(&self.client, &self.server) && bases.are_empty();
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

/// What RESET goes back to.
#[derive(Clone, Debug)]
struct Bases {
    /// What the session began with.
    client: Arc<ParamSet>,
    /// What its server was dialled with.
    server: Arc<ParamSet>,
}

impl Bases {
    fn are_empty(&self) -> bool {
        self.client.is_empty() && self.server.is_empty()
    }

    fn of(&self, side: Side) -> &ParamSet {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

/// A session's parameters, the kind of its text, and what its server is to have for both.
type Wanted = (Arc<ParamSet>, Upkeep, Arc<ParamSet>);

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
    bases: Bases,
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
    /// What was found out last of what the server is to have.
    wanted: Option<Wanted>,
    /// What the server is being given.
    coming: Option<(Arc<ParamSet>, PerLimit<Option<u32>>)>,
}

impl Changes {
    /// No change yet, in a session that began with `base`, on a server that was dialled with `dialled`.
    #[must_use]
    pub fn new(base: Arc<ParamSet>, dialled: Arc<ParamSet>, now: Sides) -> Self {
        Changes {
            bases: Bases { client: base, server: dialled },
            before: now.clone(),
            now,
            savepoints: Vec::new(),
            aborted: false,
            made: Vec::new(),
            sent: VecDeque::new(),
            numbers: 0,
            next: None,
            wanted: None,
            coming: None,
        }
    }

    /// Whether as many steps more can be kept.
    #[must_use]
    pub fn has_room_for(&self, steps: &Steps) -> bool {
        let sent: usize = self.sent.iter().map(|sent| sent.steps.size()).sum();
        let channels: usize = self.sent.iter().map(|sent| sent.steps.listens().count()).sum();
        self.now.client.size() + sent + steps.size() <= BYTES_MAX
            && self.now.channels.len() + channels + steps.listens().count() <= CHANNELS_MAX
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

    /// A statement of text `number` has succeeded, with this command tag, on a server that was `in_transaction` when the
    /// text came. The limit of time that it has set, if it has.
    pub fn succeeded(
        &mut self,
        number: u32,
        tag: &[u8],
        in_transaction: bool,
    ) -> Option<(Limit, u32)> {
        // Texts before it were skipped.
        while self.sent.front().is_some_and(|sent| sent.number != number) {
            self.sent.pop_front();
        }
        let sent = self.sent.front_mut()?;
        let statement = sent.succeeded;
        sent.succeeded += 1;
        let of_it = |(number, _): &&(usize, Step)| *number == statement;
        let steps: Vec<Step> =
            sent.steps.0.iter().filter(of_it).map(|(_, step)| step.clone()).collect();
        let set = steps.iter().rev().find_map(|step| match step {
            Step::Set(name, setting) => {
                Some((Limit::of(name)?, belt::millis(setting).unwrap_or(0)))
            }
            // The first statement of a text that finds no transaction sets nothing.
            Step::SetLocal(limit, asked) => {
                (in_transaction || statement > 0).then_some((*limit, *asked))
            }
            _ => None,
        });
        for step in steps {
            self.take(step, tag);
        }
        set
    }

    fn take(&mut self, step: Step, tag: &[u8]) {
        let bases = self.bases.clone();
        match step {
            Step::Set(name, setting) => {
                self.heard_of(&name);
                self.now.change(|set, _| set.with(&name, setting.clone()), &bases);
                self.not_local(&name);
                self.with_identity(&name);
            }
            Step::SetLocal(limit, asked) => self.now.set_local(limit, Some(asked)),
            Step::Reset(name) => {
                self.heard_of(&name);
                self.now.change(|set, side| set.reset(&name, bases.of(side)), &bases);
                self.not_local(&name);
                self.with_identity(&name);
            }
            Step::ResetAll => {
                self.now.change(|set, side| set.reset_all(bases.of(side)), &bases);
                Limit::ALL.into_iter().for_each(|limit| self.now.set_local(limit, None));
            }
            Step::DiscardAll => {
                self.now.client = Arc::new(self.now.client.discard_all(&bases.client));
                self.now.server = bases.server;
                self.now.channels = Arc::default();
                self.before = self.now.clone();
                self.savepoints.clear();
            }
            Step::Listen(channel) => self.change_channels(|channels| {
                channels.insert(channel.clone());
            }),
            Step::Unlisten(channel) => self.change_channels(|channels| {
                channels.remove(&channel);
            }),
            Step::UnlistenAll => self.change_channels(Channels::clear),
            // COMMIT of a transaction that has failed.
            Step::Commit if tag.starts_with(b"ROLLBACK") => self.roll_back(),
            Step::Commit => self.commit(),
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

    fn commit(&mut self) {
        self.now = self.now.clone().without_local();
        self.before = self.now.clone();
        self.savepoints.clear();
    }

    /// SET and RESET for the session take the place of SET LOCAL.
    fn not_local(&mut self, name: &[u8]) {
        if let Some(limit) = Limit::of(name) {
            self.now.set_local(limit, None);
        }
    }

    fn change_channels(&mut self, change: impl FnOnce(&mut Channels)) {
        change(Arc::make_mut(&mut self.now.channels));
    }

    /// SET SESSION AUTHORIZATION ends SET ROLE.
    fn with_identity(&mut self, name: &[u8]) {
        if name != b"session_authorization" {
            return;
        }
        let bases = self.bases.clone();
        let begins_with_one = bases.client.setting(b"role").is_some();
        self.now.change(
            |set, side| match side {
                Side::Client if begins_with_one => {
                    set.with(b"role", Setting::Value(b"none".to_vec()))
                }
                Side::Client | Side::Server => set.without(b"role"),
            },
            &bases,
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
                self.commit();
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

    /// The text that gives the server what it is to have for a text of this kind, under the limits of `belt`. `None`:
    /// it has that.
    pub fn catch_up(&mut self, belt: &Belt, upkeep: Upkeep) -> Option<Vec<u8>> {
        self.coming = None;
        let mut wanted = belt.covering(self.wanted(belt, upkeep), &self.bases.server);
        let mut server_local = self.now.server_local;
        let mut locally = Vec::new();
        for limit in Limit::ALL {
            let Some(asked) = self.now.local.get(limit) else { continue };
            let holds = belt.clamp(limit, asked, upkeep);
            // As long as it stands, the session's own is out of sight, and setting that would end it.
            let name = limit.name().as_bytes();
            let hidden = self.now.server.setting(name).cloned();
            wanted = Arc::new(match hidden {
                Some(setting) => wanted.with(name, setting),
                None => wanted.without(name),
            });
            if server_local.get(limit) != Some(holds) {
                server_local.set(limit, Some(holds));
                locally.push((limit, holds));
            }
        }
        let has = &self.now.server;
        if locally.is_empty() && (Arc::ptr_eq(&wanted, has) || *wanted == **has) {
            return None;
        }
        let mut text = wanted.statement_from(has).unwrap_or_default();
        for (limit, holds) in locally {
            params::set_locally(&mut text, limit.name().as_bytes(), &holds.to_string());
        }
        self.coming = Some((wanted, server_local));
        (!text.is_empty()).then_some(text)
    }

    fn wanted(&mut self, belt: &Belt, upkeep: Upkeep) -> Arc<ParamSet> {
        let client = &self.now.client;
        if let Some((params, kind, wanted)) = &self.wanted
            && Arc::ptr_eq(params, client)
            && *kind == upkeep
        {
            return wanted.clone();
        }
        let wanted = belt.over(client, upkeep).map_or_else(|| client.clone(), Arc::new);
        self.wanted = Some((client.clone(), upkeep, wanted.clone()));
        wanted
    }

    /// The server has been given what [`catch_up`](Self::catch_up) said.
    pub fn agree(&mut self) {
        if let Some((server, local)) = self.coming.take() {
            self.now.server = server;
            self.now.server_local = local;
        }
    }

    /// The limit that the session itself has set, in milliseconds; 0: none.
    #[must_use]
    pub fn own_limit(&self, limit: Limit) -> Option<u32> {
        self.now.local.get(limit).or_else(|| self.now.client.limit(limit))
    }
}

#[cfg(test)]
mod tests;
