//! What the catalog is asked where a verdict needs it, and what it has said.
//!
//! Owns the question as SQL. It is asked on a connection of pgweir's own, so it sees what is committed: a relation that
//! is missing there is this transaction's own, or nobody's. That connection needs the session's role, `search_path` and
//! `client_encoding`, for a schema that a role may not use is skipped as if it were not there, and a short
//! `statement_timeout`: the size of a table that somebody has locked cannot be had. Whatever goes wrong is
//! [`Answer::Unknown`].

use super::history::Made;
use crate::sql::commands::ObjectName;

/// What a relation is: asked with [`Question::SQL`] and [`Question::name`] as its only parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    object: ObjectName,
}

/// What the catalog says of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is none of that name.
    Missing,
    /// There is one.
    Relation {
        /// It is a partitioned table, or an index of one.
        partitioned: bool,
        /// Its table has no page and no partition. False where that cannot be said.
        empty: bool,
    },
    /// The catalog could not be asked.
    Unknown,
}

/// The columns of an answer, for the relations that a condition is true of.
macro_rules! question {
    ($condition:literal) => {
        concat!(
            "\
             SELECT r.relkind IN ('p', 'I') AS partitioned, \
             CASE WHEN t.relkind = 'p' THEN NOT EXISTS \
             (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent OPERATOR(pg_catalog.=) t.oid) \
             WHEN t.relkind NOT IN ('r', 'm') THEN false \
             WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l \
             WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation OPERATOR(pg_catalog.=) t.oid \
             AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock') THEN \
             (SELECT COALESCE(pg_catalog.bool_or(CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l \
             WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation OPERATOR(pg_catalog.=) x.indexrelid \
             AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock') THEN false \
             ELSE pg_catalog.pg_relation_size(x.indexrelid) OPERATOR(pg_catalog.<=) \
             CAST(pg_catalog.current_setting('block_size') AS pg_catalog.int8) END), false) \
             FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) x.indexrelid \
             JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) c.relam \
             WHERE x.indrelid OPERATOR(pg_catalog.=) t.oid AND x.indisvalid AND x.indisready AND x.indpred IS NULL \
             AND c.relkind OPERATOR(pg_catalog.=) 'i' AND a.amname OPERATOR(pg_catalog.=) 'btree') \
             ELSE pg_catalog.pg_relation_size(t.oid) OPERATOR(pg_catalog.=) 0 END AS empty \
             FROM pg_catalog.pg_class r \
             LEFT JOIN pg_catalog.pg_index i ON i.indexrelid OPERATOR(pg_catalog.=) r.oid \
             JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) COALESCE(i.indrelid, r.oid) WHERE ",
            $condition
        )
    };
}

impl Question {
    /// One row with `partitioned` and `empty`, both boolean; no row where the relation is missing. `$1` is text.
    ///
    /// An index stands for its table. The size of a table under ACCESS EXCLUSIVE is not asked for, since that would
    /// wait for whoever holds it, perhaps the very transaction that waits for this answer: migrations alter a table and
    /// index it in one transaction. There an index of it speaks for it, if that has an entry for every row and is not
    /// locked, too: of a B-tree without an entry there is one page.
    pub const SQL: &'static str =
        question!("r.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)");

    /// The same about every relation of a name, whatever its schema: `$1` is [`Question::bare_name`]. No more than one row may
    /// be believed.
    pub const SQL_ANYWHERE: &'static str = question!(
        "r.relname OPERATOR(pg_catalog.=) CAST($1 AS pg_catalog.name) AND r.relkind IN ('r', 'p', 'm', 'i', 'I')"
    );

    pub(super) fn new(object: ObjectName) -> Self {
        Self { object }
    }

    /// The relation's name as `to_regclass` takes it, each part in quotes; in the client's encoding.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        let ObjectName { schema, name, .. } = &self.object;
        let mut out = Vec::new();
        for part in schema.iter().chain([name]) {
            if !out.is_empty() {
                out.push(b'.');
            }
            out.push(b'"');
            for byte in part.as_bytes() {
                out.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
            }
            out.push(b'"');
        }
        out
    }

    /// The relation's own name, as it is kept in `pg_class`.
    #[must_use]
    pub fn bare_name(&self) -> &[u8] {
        self.object.name.as_bytes()
    }

    /// Whether there is a table of a name in any schema: a row for each. `$1` is [`Question::bare_name`].
    pub const TABLES_ANYWHERE: &'static str = "SELECT FROM pg_catalog.pg_class r \
        WHERE r.relname OPERATOR(pg_catalog.=) CAST($1 AS pg_catalog.name) AND r.relkind IN ('r', 'p', 'm')";

    /// True where the answer depends on the session's `search_path`.
    #[must_use]
    pub fn needs_search_path(&self) -> bool {
        self.object.schema.is_none()
    }
}

/// What the catalog has said for one text; for a session that is rehearsed, what it would say.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    answers: Vec<(Question, Answer)>,
    made: Option<Made>,
}

impl Catalog {
    /// Nothing asked yet.
    pub const EMPTY: &'static Self = &Self { answers: Vec::new(), made: None };

    /// Keeps an answer.
    pub fn tell(&mut self, question: Question, answer: Answer) {
        self.answers.push((question, answer));
    }

    /// Nobody is asked: it is known what the session itself has made.
    pub(super) fn rehearsed() -> Self {
        Self { answers: Vec::new(), made: Some(Made::default()) }
    }

    /// What the session that is rehearsed has made.
    pub(super) fn made_mut(&mut self) -> &mut Made {
        self.made.get_or_insert_default()
    }

    /// True for what an earlier transaction of a session that is rehearsed has made.
    pub(super) fn knows_as_made(&self, object: &ObjectName) -> bool {
        self.made.as_ref().is_some_and(|made| made.has(object))
    }

    pub(super) fn answer(&self, object: &ObjectName) -> Option<Answer> {
        let mut answers = self.answers.iter();
        let told = answers.find(|(question, _)| question.object == *object);
        let made = || self.made.as_ref()?.answer(object);
        told.map(|(_, answer)| *answer).or_else(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Name;

    #[test]
    fn a_name_is_quoted_part_by_part() {
        let name = |name: &str| Name::new(name.as_bytes());
        let plain = Question::new(ObjectName::unqualified(name("Or\"ders")));
        assert_eq!(plain.name(), b"\"Or\"\"ders\"");
        assert!(plain.needs_search_path());
        let schema = Some(name("s.x"));
        let whole = Question::new(ObjectName { database: None, schema, name: name("t") });
        assert_eq!(whole.name(), b"\"s.x\".\"t\"");
        assert!(!whole.needs_search_path());
    }
}
