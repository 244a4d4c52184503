//! What a rule is given, and what it gives back.

use super::catalog::{Answer, Question};
use super::context::Context;
use super::history::{Scene, Standing, State};
use crate::sql::commands::{Command, Found, ObjectName, Place};

/// A rule: its name, and how it judges a command. None: it has nothing to say.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) judge: fn(&Case) -> Option<Fault>,
}

/// One command in its place.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) found: &'a Found,
    /// What ran before, this text's own statements included.
    pub(super) state: &'a State,
    pub(super) scene: &'a Scene<'a>,
    pub(super) context: &'a Context<'a>,
    /// The text has no other statement.
    pub(super) alone: bool,
    /// The statement makes relations under names that the text does not show.
    pub(super) makes_unnamed: bool,
}

/// What a rule has found.
#[derive(Debug, Default)]
pub(super) struct Fault {
    /// See [`super::Finding::message`].
    pub(super) message: String,
    /// The lock and on what, or what else is at stake; empty where the message says it all.
    pub(super) lock: &'static str,
    /// See [`super::Finding::hint`].
    pub(super) hint: String,
    /// What the catalog would have to be asked to take it back.
    pub(super) questions: Vec<Question>,
    /// It is rejected wherever blocking index DDL is.
    pub(super) as_index_ddl: bool,
}

impl Fault {
    /// A finding that no answer of the catalog takes back.
    pub(super) fn new(message: String, lock: &'static str, hint: impl Into<String>) -> Self {
        Self { message, lock, hint: hint.into(), ..Self::default() }
    }

    /// One that these answers may take back.
    pub(super) fn unless(self, questions: Vec<Question>) -> Self {
        Self { questions, ..self }
    }
}

/// What in the catalog takes a finding back, beside that there is no such relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lift {
    /// The table is empty.
    Empty,
    /// It is, or it is partitioned: what is done to it alone reads no rows.
    EmptyOrPartitioned,
}

/// Whether others may want a relation.
enum InUse {
    No,
    Yes,
    Ask(Question),
}

impl<'a> Case<'a> {
    pub(super) fn command(&self) -> &'a Command {
        &self.found.command
    }

    /// True where the statement stands in code that the server runs within a transaction.
    pub(super) fn is_in_code(&self) -> bool {
        matches!(self.found.place, Place::Code { .. } | Place::Assembled)
    }

    /// True where the server runs the statement in a transaction with others.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.scene.in_block || !self.alone || self.is_in_code()
    }

    /// None where nobody else can want any of these relations. Else what the catalog would have to be asked to say so;
    /// nothing where it cannot.
    pub(super) fn in_use<'n>(
        &self,
        names: impl IntoIterator<Item = Option<&'n ObjectName>>,
        lift: Lift,
    ) -> Option<Vec<Question>> {
        let mut questions = Vec::new();
        for name in names {
            match name.map_or(InUse::Yes, |name| self.use_of(name, lift)) {
                InUse::No => {}
                InUse::Yes => return Some(Vec::new()),
                InUse::Ask(question) => questions.push(question),
            }
        }
        (!questions.is_empty()).then_some(questions)
    }

    fn use_of(&self, name: &ObjectName, lift: Lift) -> InUse {
        let alone = lift == Lift::EmptyOrPartitioned;
        let before = match self.state.standing(name, self.scene) {
            Standing::New { reaches_existing: false, .. } => return InUse::No,
            Standing::New { partitioned: true, .. } if alone => return InUse::No,
            Standing::New { .. } | Standing::Unclear => return InUse::Yes,
            Standing::Before(before) => before,
        };
        if alone && self.is_listed_as_partitioned(&before) {
            return InUse::No;
        }
        match self.context.catalog.answer(&before) {
            Some(Answer::Missing | Answer::Relation { empty: true, .. }) => InUse::No,
            Some(Answer::Relation { partitioned: true, .. }) if alone => InUse::No,
            Some(Answer::Relation { .. } | Answer::Unknown) => InUse::Yes,
            None => InUse::Ask(Question::new(before)),
        }
    }

    /// True where the catalog, or the policy, says that a table is partitioned.
    pub(super) fn is_partitioned(&self, name: &ObjectName) -> bool {
        match self.state.standing(name, self.scene) {
            Standing::New { partitioned, .. } => partitioned,
            Standing::Before(before) => {
                let partitioned = Answer::Relation { partitioned: true, empty: false };
                self.is_listed_as_partitioned(&before)
                    || self.context.catalog.answer(&before) == Some(partitioned)
            }
            Standing::Unclear => false,
        }
    }

    fn is_listed_as_partitioned(&self, name: &ObjectName) -> bool {
        self.context.policy.partitioned_tables.iter().any(|known| match known.split_once('.') {
            None => name.name == *known.as_str(),
            Some((schema, known)) => {
                name.name == *known && name.schema.as_ref().is_some_and(|it| *it == *schema)
            }
        })
    }

    /// True where a relation is not known to be new.
    pub(super) fn is_existing(&self, name: &ObjectName) -> bool {
        match self.state.standing(name, self.scene) {
            Standing::New { .. } => false,
            Standing::Before(before) => !self.context.catalog.knows_as_made(&before),
            Standing::Unclear => true,
        }
    }

    /// True where one of these relations is not known to be new, or cannot be read.
    pub(super) fn any_existing<'n>(
        &self,
        names: impl IntoIterator<Item = Option<&'n ObjectName>>,
    ) -> bool {
        names.into_iter().any(|name| name.is_none_or(|name| self.is_existing(name)))
    }
}
