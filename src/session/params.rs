//! The parameters that a session has: those of its startup packet, and what SET made of them; and
//! what must be sent to a server so that it has the same.
//!
//! Sets are interned: equal sets are one allocation, so that "does this server already have what
//! this client wants" is a comparison of two pointers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashSet;

use super::belt::{self, Limit};
use super::date_style;
use crate::sql::names_temp_schema;
use crate::wire::build;

/// What a parameter is set to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// A value, as a startup packet and `set_config` take it.
    Value(Vec<u8>),
    /// What stands behind TO in a SET: a list, or a constant with a type.
    Words(Vec<u8>),
    /// A parameter with a dot in its name that the session has made known to its server and does
    /// not set (any more): it has its default there, mostly an empty value.
    Unset,
}

/// Parameters by name, in lower case and sorted.
#[derive(Clone, Debug, Default)]
pub struct ParamSet {
    pairs: Vec<(Vec<u8>, Setting)>,
    dialect: Vec<u8>,
    /// The shortest limit of time that they may set for statements and waits for locks, in
    /// milliseconds; 0: none.
    shortest_limit: u32,
}

// Everything else follows from the pairs.
impl PartialEq for ParamSet {
    fn eq(&self, other: &Self) -> bool {
        self.pairs == other.pairs
    }
}

impl Eq for ParamSet {}

impl std::hash::Hash for ParamSet {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.pairs.hash(state);
    }
}

/// Parameters that do not change what a statement means. Neither do those with a dot in their name.
const WITHOUT_MEANING: [&[u8]; 15] = [
    b"application_name",
    b"client_min_messages",
    b"default_transaction_deferrable",
    b"default_transaction_isolation",
    b"default_transaction_read_only",
    b"idle_in_transaction_session_timeout",
    b"idle_session_timeout",
    b"lock_timeout",
    b"log_min_duration_statement",
    b"maintenance_work_mem",
    // Looked at whenever a plan is chosen.
    b"plan_cache_mode",
    b"statement_timeout",
    b"synchronous_commit",
    b"transaction_timeout",
    b"work_mem",
];

/// Who the session acts as: changed before everything else, and set after everything else, for
/// others may not be allowed to set what it has set.
const IDENTITY: [&[u8]; 2] = [b"session_authorization", b"role"];

impl ParamSet {
    /// Sorts the settings of a startup packet; of several for one name the last counts.
    #[must_use]
    pub fn new(settings: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut set = ParamSet::default();
        for (mut name, value) in settings {
            // Postgres finds parameters by name without regard to ASCII case (guc_name_compare).
            name.make_ascii_lowercase();
            set.put(&name, Setting::Value(value));
        }
        set.find_the_rest();
        set
    }

    fn put(&mut self, name: &[u8], setting: Setting) {
        let setting = match name {
            b"datestyle" => date_style::whole(setting, self.setting(name)),
            _ => setting,
        };
        match self.find(name) {
            Ok(at) => self.pairs[at].1 = setting,
            Err(at) => self.pairs.insert(at, (name.to_vec(), setting)),
        }
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(known, _)| known.as_slice().cmp(name))
    }

    fn find_the_rest(&mut self) {
        self.shortest_limit = 0;
        for limit in Limit::ALL {
            let setting = self.setting(limit.name().as_bytes());
            // One that is not understood may be any.
            let ms = setting.map_or(0, |setting| belt::millis(setting).unwrap_or(1));
            if ms != 0 && (self.shortest_limit == 0 || ms < self.shortest_limit) {
                self.shortest_limit = ms;
            }
        }
        self.dialect.clear();
        for (name, setting) in &self.pairs {
            if WITHOUT_MEANING.contains(&&name[..]) || is_custom(name) {
                continue;
            }
            self.dialect.extend_from_slice(name);
            self.dialect.push(0);
            match setting {
                Setting::Value(value) => self.dialect.extend_from_slice(value),
                Setting::Words(words) => {
                    self.dialect.push(1);
                    self.dialect.extend_from_slice(words);
                }
                Setting::Unset => self.dialect.push(2),
            }
            self.dialect.push(0);
        }
    }

    /// The parameters under which a statement's text is read, as bytes: equal bytes, equal meaning.
    #[must_use]
    pub fn dialect(&self) -> &[u8] {
        &self.dialect
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of a parameter; the name in lower case. `None` for a list, but for that of `search_path`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match self.setting(name.as_bytes())? {
            Setting::Value(value) => Some(value),
            // Names in quotes, or without: as `set_config` takes them.
            Setting::Words(words) if name == "search_path" => Some(words),
            Setting::Words(_) | Setting::Unset => None,
        }
    }

    /// What a parameter is set to; the name in lower case.
    #[must_use]
    pub fn setting(&self, name: &[u8]) -> Option<&Setting> {
        self.find(name).ok().map(|at| &self.pairs[at].1)
    }

    /// What a limit of time is set to, in milliseconds, as far as it is looked at; 0: no limit.
    #[must_use]
    pub fn limit(&self, limit: Limit) -> Option<u32> {
        self.setting(limit.name().as_bytes()).map(|setting| belt::millis(setting).unwrap_or(0))
    }

    /// The shortest limit of time for statements or waits for locks that a server with these may
    /// keep, in milliseconds; 0: none.
    #[must_use]
    #[inline]
    pub fn shortest_limit(&self) -> u32 {
        self.shortest_limit
    }

    /// Whether what is created without a schema may be temporary: `search_path` names the schema of
    /// temporary objects.
    #[must_use]
    pub fn searches_temporary(&self) -> bool {
        match self.setting(b"search_path") {
            Some(Setting::Value(path) | Setting::Words(path)) => names_temp_schema(path),
            Some(Setting::Unset) | None => false,
        }
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.pairs.iter().map(|(name, _)| name.as_slice())
    }

    /// The names with a dot in them. A backend that has heard of one knows it for as long as it
    /// lives.
    pub fn custom_names(&self) -> impl Iterator<Item = &[u8]> {
        self.names().filter(|name| is_custom(name))
    }

    /// Bytes of names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        let size = |(name, setting): &(Vec<u8>, Setting)| {
            name.len()
                + match setting {
                    Setting::Value(bytes) | Setting::Words(bytes) => bytes.len(),
                    Setting::Unset => 0,
                }
        };
        self.pairs.iter().map(size).sum()
    }

    /// These, and `name` (in lower case) set.
    #[must_use]
    pub fn with(&self, name: &[u8], setting: Setting) -> Self {
        let mut set = ParamSet { pairs: self.pairs.clone(), ..ParamSet::default() };
        set.put(name, setting);
        set.find_the_rest();
        set
    }

    /// These without `name`.
    #[must_use]
    pub fn without(&self, name: &[u8]) -> Self {
        let mut set = self.clone();
        if let Ok(at) = set.find(name) {
            set.pairs.remove(at);
            set.find_the_rest();
        }
        set
    }

    /// These after RESET of `name`, in a session that began with `base`.
    #[must_use]
    pub fn reset(&self, name: &[u8], base: &ParamSet) -> Self {
        match base.setting(name) {
            Some(setting) => self.with(name, setting.clone()),
            None if is_custom(name) => self.with(name, Setting::Unset),
            None => self.without(name),
        }
    }

    /// These after RESET ALL, which leaves the role as it is, in a session that began with `base`.
    #[must_use]
    pub fn reset_all(&self, base: &ParamSet) -> Self {
        let mut set = base.clone();
        for (name, setting) in &self.pairs {
            if IDENTITY.contains(&&name[..]) {
                set.put(name, setting.clone());
            } else if is_custom(name) && base.setting(name).is_none() {
                set.put(name, Setting::Unset);
            }
        }
        for name in IDENTITY {
            if self.setting(name).is_none()
                && let Ok(at) = set.find(name)
            {
                set.pairs.remove(at);
            }
        }
        set.find_the_rest();
        set
    }

    /// These after DISCARD ALL, in a session that began with `base`.
    #[must_use]
    pub fn discard_all(&self, base: &ParamSet) -> Self {
        let mut set = self.reset_all(base);
        for name in IDENTITY {
            set = set.reset(name, base);
        }
        set
    }

    /// A Query text that turns a server with the parameters `from` into one with these; `None`
    /// when there is nothing to do. The text is one implicit transaction: all of it or nothing.
    ///
    /// `set_config` takes the value as the startup packet would, lists included; `SET x = 'a, b'`
    /// would make one element of the list.
    #[must_use]
    pub fn statement_from(&self, from: &ParamSet) -> Option<Vec<u8>> {
        if self == from {
            return None;
        }
        let mut text = Vec::new();
        let acts_as_another = IDENTITY.iter().any(|name| from.setting(name).is_some());
        if acts_as_another {
            text.extend_from_slice(b"RESET SESSION AUTHORIZATION;RESET ROLE;");
        }
        let plain = |name: &[u8]| !IDENTITY.contains(&name);
        let gone = from.names().filter(|name| self.setting(name).is_none());
        let differs = |(name, setting): &&(Vec<u8>, Setting)| from.setting(name) != Some(setting);
        let changed = || self.pairs.iter().filter(differs).filter(|(name, _)| plain(name));
        let unset = changed().filter(|(_, setting)| *setting == Setting::Unset);
        for name in gone.filter(|name| plain(name)).chain(unset.map(|(name, _)| &name[..])) {
            text.extend_from_slice(b"RESET ");
            quoted_name(&mut text, name);
            text.push(b';');
        }
        let mut separator: &[u8] = b"SELECT ";
        for (name, setting) in changed() {
            if let Setting::Value(value) = setting {
                text.extend_from_slice(separator);
                set_config(&mut text, name, value);
                separator = b",";
            }
        }
        for (name, setting) in changed() {
            if let Setting::Words(words) = setting {
                // Only so does it take an interval.
                end_statement(&mut text);
                if name == b"timezone" {
                    text.extend_from_slice(b"SET TIME ZONE ");
                } else {
                    text.extend_from_slice(b"SET ");
                    quoted_name(&mut text, name);
                    text.extend_from_slice(b" TO ");
                }
                text.extend_from_slice(words);
            }
        }
        for name in IDENTITY {
            let Some(Setting::Value(value)) = self.setting(name) else { continue };
            end_statement(&mut text);
            text.extend_from_slice(b"SELECT ");
            set_config(&mut text, name, value);
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Whether a name has a dot: Postgres takes any of these.
#[must_use]
pub fn is_custom(name: &[u8]) -> bool {
    name.contains(&b'.')
}

fn end_statement(text: &mut Vec<u8>) {
    if text.last().is_some_and(|last| *last != b';') {
        text.push(b';');
    }
}

fn set_config(text: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    text.extend_from_slice(b"pg_catalog.set_config(");
    build::literal(text, name);
    text.push(b',');
    build::literal(text, value);
    text.extend_from_slice(b",false)");
}

/// Adds a statement that sets a parameter until the end of the transaction.
pub(super) fn set_locally(text: &mut Vec<u8>, name: &[u8], value: &str) {
    end_statement(text);
    text.extend_from_slice(b"SELECT pg_catalog.set_config(");
    build::literal(text, name);
    text.push(b',');
    build::literal(text, value.as_bytes());
    text.extend_from_slice(b",true)");
}

/// A parameter name as RESET takes it: parts between dots, each quoted.
fn quoted_name(text: &mut Vec<u8>, name: &[u8]) {
    for (n, part) in name.split(|&byte| byte == b'.').enumerate() {
        if n > 0 {
            text.push(b'.');
        }
        build::quoted_name(text, part);
    }
}

/// All parameter sets in use, each once.
#[derive(Debug)]
pub struct ParamSets {
    known: DashSet<Arc<ParamSet>>,
    /// Above this many known sets those that nobody uses are forgotten.
    sweep_at: AtomicUsize,
}

/// The least number of known sets above which unused ones are forgotten.
const SETS_BEFORE_SWEEP: usize = 1_024;

impl Default for ParamSets {
    fn default() -> Self {
        ParamSets { known: DashSet::default(), sweep_at: AtomicUsize::new(SETS_BEFORE_SWEEP) }
    }
}

impl ParamSets {
    /// The one allocation for this set. At most twice as many sets are kept as are in use, and
    /// [`SETS_BEFORE_SWEEP`].
    #[must_use]
    pub fn intern(&self, set: ParamSet) -> Arc<ParamSet> {
        if self.known.len() > self.sweep_at.load(Ordering::Relaxed) {
            // The table itself holds one reference.
            self.known.retain(|set| Arc::strong_count(set) > 1);
            let next = (2 * self.known.len()).max(SETS_BEFORE_SWEEP);
            self.sweep_at.store(next, Ordering::Relaxed);
        }
        loop {
            if let Some(known) = self.known.get(&set) {
                return known.clone();
            }
            // Whoever enters it first wins; the other finds it on the next turn.
            self.known.insert(Arc::new(set.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> ParamSet {
        ParamSet::new(pairs.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())))
    }

    fn between(from: &[(&str, &str)], to: &[(&str, &str)]) -> Option<String> {
        set(to).statement_from(&set(from)).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn only_differences_are_sent() {
        assert_eq!(between(&[], &[]), None);
        assert_eq!(between(&[("a", "1")], &[("A", "1")]), None);
        assert_eq!(
            between(&[("a", "1"), ("x.y", "3")], &[("a", "2"), ("b", "it's \\")]).as_deref(),
            Some(
                "RESET \"x\".\"y\";SELECT pg_catalog.set_config( E'a', E'2',false),\
                 pg_catalog.set_config( E'b', E'it''s \\\\',false)"
            )
        );
        assert_eq!(between(&[("a", "1")], &[]).as_deref(), Some("RESET \"a\";"));
    }

    #[test]
    fn reset_goes_back_to_what_the_session_began_with() {
        let base = set(&[("a", "1"), ("role", "x"), ("app.y", "7")]);
        let now = base.with(b"a", Setting::Value(b"2".to_vec()));
        let now = now.with(b"b", Setting::Words(b"c, d".to_vec()));
        let now = now.with(b"app.x", Setting::Value(b"3".to_vec()));
        assert_eq!(now.reset(b"a", &base).get("a"), Some(&b"1"[..]));
        assert_eq!(now.reset(b"b", &base).setting(b"b"), None);
        assert_eq!(now.reset(b"app.x", &base).setting(b"app.x"), Some(&Setting::Unset));
        let all = base.with(b"app.x", Setting::Unset);
        assert_eq!(now.reset_all(&base), all);
        let other = now.with(b"role", Setting::Value(b"z".to_vec()));
        assert_eq!(other.reset_all(&base).get("role"), Some(&b"z"[..]));
        assert_eq!(other.without(b"role").reset_all(&base).get("role"), None);
        assert_eq!(other.discard_all(&base), all);
    }

    #[test]
    fn the_role_is_left_first_and_taken_last() {
        let from = set(&[("role", "a"), ("x", "1")]);
        let to = set(&[("role", "a"), ("session_authorization", "c"), ("app.t", "2")]);
        let to = to.with(b"search_path", Setting::Words(b"a, b".to_vec()));
        assert_eq!(
            String::from_utf8(to.statement_from(&from).unwrap()).unwrap(),
            "RESET SESSION AUTHORIZATION;RESET ROLE;RESET \"x\";\
             SELECT pg_catalog.set_config( E'app.t', E'2',false);\
             SET \"search_path\" TO a, b;\
             SELECT pg_catalog.set_config( E'session_authorization', E'c',false);\
             SELECT pg_catalog.set_config( E'role', E'a',false)"
        );
    }

    #[test]
    fn the_meaning_of_texts_does_not_depend_on_custom_parameters() {
        let plain = set(&[("work_mem", "1")]);
        assert_eq!(plain.with(b"app.x", Setting::Value(b"1".to_vec())).dialect(), b"");
        let path = plain.with(b"search_path", Setting::Words(b"a".to_vec()));
        assert_ne!(path.dialect(), b"");
        assert_eq!(path.get("search_path"), Some(&b"a"[..]), "others may ask with it");
        assert_eq!(path.without(b"search_path").dialect(), b"");
    }

    #[test]
    fn the_dialect_is_what_changes_the_meaning_of_texts() {
        assert_eq!(set(&[]).dialect(), b"");
        assert_eq!(set(&[("application_name", "x"), ("lock_timeout", "1s")]).dialect(), b"");
        assert_eq!(set(&[("plan_cache_mode", "force_custom_plan")]).dialect(), b"");
        assert_eq!(set(&[("TimeZone", "UTC"), ("a", "b")]).dialect(), b"a\0b\0timezone\0UTC\0");
    }

    #[test]
    fn equal_sets_are_one() {
        let sets = ParamSets::default();
        let a = sets.intern(set(&[("a", "1"), ("b", "2")]));
        let b = sets.intern(set(&[("B", "2"), ("a", "0"), ("a", "1")]));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &sets.intern(set(&[("a", "1")]))));
        assert_eq!(a.get("b"), Some(&b"2"[..]));
    }

    #[test]
    fn sets_that_nobody_uses_are_forgotten() {
        let sets = ParamSets::default();
        for n in 0..10 * SETS_BEFORE_SWEEP {
            let _ = sets.intern(set(&[("a", &n.to_string())]));
        }
        assert!(sets.known.len() <= SETS_BEFORE_SWEEP + 1);
        let used: Vec<_> = (0..4 * SETS_BEFORE_SWEEP)
            .map(|n| sets.intern(set(&[("b", &n.to_string())])))
            .collect();
        drop(used);
        for n in 0..10 * SETS_BEFORE_SWEEP {
            let _ = sets.intern(set(&[("c", &n.to_string())]));
        }
        assert!(sets.known.len() <= 2 * SETS_BEFORE_SWEEP, "{}", sets.known.len());
    }
}
