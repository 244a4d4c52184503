//! The parameters that a client's startup packet sets, and what must be sent to a server so that
//! it has the same.
//!
//! Sets are interned: equal sets are one allocation, so that "does this server already have what
//! this client wants" is a comparison of two pointers.

use std::sync::Arc;

use dashmap::DashSet;

use crate::wire::build;

/// Parameters by name, as a startup packet gives them; the names in lower case, sorted.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct ParamSet {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    dialect: Vec<u8>,
}

/// Parameters that do not change what a statement means.
const WITHOUT_MEANING: [&[u8]; 6] = [
    b"application_name",
    b"client_min_messages",
    b"idle_in_transaction_session_timeout",
    b"idle_session_timeout",
    b"lock_timeout",
    b"statement_timeout",
];

impl ParamSet {
    /// Sorts the settings of a startup packet; of several for one name the last counts.
    #[must_use]
    pub fn new(settings: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (mut name, value) in settings {
            // Postgres finds parameters by name without regard to ASCII case (guc_name_compare).
            name.make_ascii_lowercase();
            match pairs.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => pairs[at].1 = value,
                Err(at) => pairs.insert(at, (name, value)),
            }
        }
        let mut dialect = Vec::new();
        for (name, value) in pairs.iter().filter(|(n, _)| !WITHOUT_MEANING.contains(&&n[..])) {
            for part in [name, value] {
                dialect.extend_from_slice(part);
                dialect.push(0);
            }
        }
        ParamSet { pairs, dialect }
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

    /// The value of a parameter; the name in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let at = self.pairs.binary_search_by(|(known, _)| known.as_slice().cmp(name.as_bytes()));
        at.ok().map(|at| self.pairs[at].1.as_slice())
    }

    /// Whether a server that has the parameters `from` can be given these without a trace.
    /// A parameter with a dot in its name that Postgres does not know stays known to a backend,
    /// with an empty value, for as long as the backend lives.
    #[must_use]
    pub fn can_replace(&self, from: &ParamSet) -> bool {
        from.pairs.iter().all(|(name, _)| {
            !name.contains(&b'.')
                || self.pairs.binary_search_by(|(known, _)| known.cmp(name)).is_ok()
        })
    }

    /// A Query text that turns a server with the parameters `from` into one with these; `None`
    /// when there is nothing to do. The text is one implicit transaction: all of it or nothing.
    ///
    /// `set_config` takes the value as the startup packet would, lists included; `SET x = 'a, b'`
    /// would make one element of the list.
    #[must_use]
    pub fn statement_from(&self, from: &ParamSet) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        for (name, _) in &from.pairs {
            if self.pairs.binary_search_by(|(known, _)| known.cmp(name)).is_err() {
                text.extend_from_slice(b"RESET ");
                quoted_name(&mut text, name);
                text.push(b';');
            }
        }
        let mut separator: &[u8] = b"SELECT ";
        for (name, value) in &self.pairs {
            let known = from.pairs.binary_search_by(|(known, _)| known.cmp(name));
            if known.is_ok_and(|at| from.pairs[at].1 == *value) {
                continue;
            }
            text.extend_from_slice(separator);
            text.extend_from_slice(b"pg_catalog.set_config(");
            build::literal(&mut text, name);
            text.push(b',');
            build::literal(&mut text, value);
            text.extend_from_slice(b",false)");
            separator = b",";
        }
        (!text.is_empty()).then_some(text)
    }
}

/// A parameter name as RESET takes it: parts between dots, each quoted.
fn quoted_name(text: &mut Vec<u8>, name: &[u8]) {
    for (n, part) in name.split(|&byte| byte == b'.').enumerate() {
        if n > 0 {
            text.push(b'.');
        }
        text.push(b'"');
        for &byte in part {
            if byte == b'"' {
                text.push(b'"');
            }
            text.push(byte);
        }
        text.push(b'"');
    }
}

/// All parameter sets in use, each once.
#[derive(Debug, Default)]
pub struct ParamSets {
    known: DashSet<Arc<ParamSet>>,
}

/// Above this many known sets those that nobody uses are forgotten.
const SETS_BEFORE_SWEEP: usize = 1_024;

impl ParamSets {
    /// The one allocation for this set.
    #[must_use]
    pub fn intern(&self, set: ParamSet) -> Arc<ParamSet> {
        if self.known.len() > SETS_BEFORE_SWEEP {
            // The table itself holds one reference.
            self.known.retain(|set| Arc::strong_count(set) > 1);
        }
        loop {
            if let Some(known) = self.known.get(&set) {
                return known.clone();
            }
            // Whoever enters it first wins; the other finds it on the next turn.
            let (pairs, dialect) = (set.pairs.clone(), set.dialect.clone());
            self.known.insert(Arc::new(ParamSet { pairs, dialect }));
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
    fn a_placeholder_leaves_a_trace() {
        assert!(set(&[]).can_replace(&set(&[("a", "1")])));
        assert!(!set(&[]).can_replace(&set(&[("app.tenant", "1")])));
        assert!(set(&[("app.tenant", "2")]).can_replace(&set(&[("app.tenant", "1")])));
    }

    #[test]
    fn the_dialect_is_what_changes_the_meaning_of_texts() {
        assert_eq!(set(&[]).dialect(), b"");
        assert_eq!(set(&[("application_name", "x"), ("lock_timeout", "1s")]).dialect(), b"");
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
    }
}
