//! DROP of anything but an index.
//!
//! Owns the heads (DropStmt, DropdbStmt, DropOwnedStmt in `gram.y`).

use super::reader::{ObjectList, Reader};
use super::{Command, Commands, ObjectKind, index};

/// `DROP kind [IF EXISTS] name, … [CASCADE | RESTRICT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// What is dropped.
    pub kind: ObjectKind,
    /// IF EXISTS.
    pub if_exists: bool,
    /// The names; not read where the kind is [`ObjectKind::Other`], and the roles where it is
    /// [`ObjectKind::Owned`].
    pub names: ObjectList,
    /// CASCADE.
    pub cascade: bool,
}

const KINDS: [(&[&str], ObjectKind); 10] = [
    (&["table"], ObjectKind::Table),
    (&["foreign", "table"], ObjectKind::ForeignTable),
    (&["view"], ObjectKind::View),
    (&["materialized", "view"], ObjectKind::MaterializedView),
    (&["sequence"], ObjectKind::Sequence),
    (&["schema"], ObjectKind::Schema),
    (&["database"], ObjectKind::Database),
    (&["type"], ObjectKind::Type),
    (&["domain"], ObjectKind::Domain),
    (&["owned", "by"], ObjectKind::Owned),
];

/// Behind DROP.
pub(super) fn read(mut at: Reader, out: &mut Commands) {
    if at.eat("index") {
        return index::drop(at, out);
    }
    let found = KINDS.into_iter().find(|(words, _)| at.eat_all(words));
    let Some((_, kind)) = found else {
        let cascade = ends_in_cascade(at);
        let found = Drop {
            kind: ObjectKind::Other,
            if_exists: false,
            names: ObjectList::default(),
            cascade,
        };
        return out.add(&at, Command::Drop(found));
    };
    let if_exists = at.if_exists();
    let names = at.objects();
    let cascade = ends_in_cascade(at);
    out.add(&at, Command::Drop(Drop { kind, if_exists, names, cascade }));
}

/// True where CASCADE is the statement's last word.
fn ends_in_cascade(mut at: Reader) -> bool {
    let mut last = false;
    while !at.at_end() {
        last = at.at("cascade");
        at.bump();
    }
    last
}
