//! The words that make a query more than a query: functions that touch the session, `pg_temp`, INTO.
//!
//! Owns the one table of them and a fast way to say that a word is not in it. Deliberately absent: what other
//! functions do. A function of the user's own may do any of this unseen.

use super::effects::EffectSet;

/// What an unqualified name may mean where it is called (or qualifies, or stands as a keyword).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    /// INSERT: the INTO behind it is its own.
    Insert,
    /// MERGE: so is this.
    Merge,
    /// INTO: behind anything else, SELECT INTO.
    Into,
    /// `set_config(…)`
    SetConfig,
    /// `current_setting(…)`
    CurrentSetting,
    /// `pg_temp.…`
    TempSchema,
    /// `pg_settings`: an UPDATE of this view sets parameters.
    Settings,
    /// `pg_prepared_statements`, and the function behind it.
    Prepared,
    /// A function whose call has these effects.
    Call(EffectSet),
    /// A word that says nothing of sessions, but of what the guard has to look at.
    Clause(Clause),
}

/// What a word says to the guard where it is a keyword: what [`is_ordinary`](super::is_ordinary) looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// IN
    In,
    /// UPDATE and DELETE.
    Write,
    /// FOR, KEY and DO: UPDATE and DELETE behind it begin no statement.
    Lock,
    /// `count(…)`
    Count,
    /// OFFSET
    Offset,
}

use EffectSet as E;
use Suspect::Call;
use Suspect::Clause as C;

const SESSION_LOCK: Suspect = Call(E::ADVISORY_LOCK);
const SESSION_UNLOCK: Suspect = Call(E::ADVISORY_UNLOCK);
const XACT_LOCK: Suspect = Call(E::ADVISORY_XACT_LOCK);
const LARGE: Suspect = Call(E::LARGE_OBJECT);
const RUNS_TEXT: Suspect = Call(E::OPAQUE);
/// State of the session that we have no name for: temporary slots, a running backup, a replication origin.
const OTHER_STATE: Suspect = Call(E::UNKNOWN);

const TABLE: &[(&str, Suspect)] = &[
    ("into", Suspect::Into), // First stand those that plain queries hold.
    ("for", C(Clause::Lock)),
    ("update", C(Clause::Write)),
    ("count", C(Clause::Count)),
    ("offset", C(Clause::Offset)),
    ("key", C(Clause::Lock)),
    ("delete", C(Clause::Write)),
    ("insert", Suspect::Insert),
    ("merge", Suspect::Merge),
    ("set_config", Suspect::SetConfig),
    ("current_setting", Suspect::CurrentSetting),
    ("pg_temp", Suspect::TempSchema),
    ("pg_settings", Suspect::Settings),
    ("pg_prepared_statements", Suspect::Prepared),
    ("pg_prepared_statement", Suspect::Prepared),
    ("pg_advisory_lock", SESSION_LOCK),
    ("pg_advisory_lock_shared", SESSION_LOCK),
    ("pg_try_advisory_lock", SESSION_LOCK),
    ("pg_try_advisory_lock_shared", SESSION_LOCK),
    ("pg_advisory_unlock", SESSION_UNLOCK),
    ("pg_advisory_unlock_shared", SESSION_UNLOCK),
    ("pg_advisory_unlock_all", SESSION_UNLOCK),
    ("pg_advisory_xact_lock", XACT_LOCK),
    ("pg_advisory_xact_lock_shared", XACT_LOCK),
    ("pg_try_advisory_xact_lock", XACT_LOCK),
    ("pg_try_advisory_xact_lock_shared", XACT_LOCK),
    ("setseed", Call(E::SETSEED)),
    ("nextval", Call(E::SEQUENCE_MOVE)),
    ("setval", Call(E::SEQUENCE_MOVE)),
    ("currval", Call(E::SEQUENCE_READ)),
    ("lastval", Call(E::SEQUENCE_READ)),
    ("dblink_connect", Call(E::DBLINK)),
    ("dblink_connect_u", Call(E::DBLINK)),
    ("pg_export_snapshot", Call(E::EXPORT_SNAPSHOT)),
    ("pg_notify", Call(E::NOTIFY)),
    ("lo_open", LARGE),
    ("lo_close", LARGE),
    ("loread", LARGE),
    ("lowrite", LARGE),
    ("lo_lseek", LARGE),
    ("lo_lseek64", LARGE),
    ("lo_tell", LARGE),
    ("lo_tell64", LARGE),
    ("lo_truncate", LARGE),
    ("lo_truncate64", LARGE),
    ("lo_creat", LARGE),
    ("lo_create", LARGE),
    ("lo_unlink", LARGE),
    ("lo_import", LARGE),
    ("lo_export", LARGE),
    ("lo_from_bytea", LARGE),
    ("lo_get", LARGE),
    ("lo_put", LARGE),
    ("query_to_xml", RUNS_TEXT),
    ("query_to_xmlschema", RUNS_TEXT),
    ("query_to_xml_and_xmlschema", RUNS_TEXT),
    ("ts_stat", RUNS_TEXT),
    ("ts_rewrite", RUNS_TEXT),
    ("set_limit", Call(E::SET_UNTRACKED)), // pg_trgm
    ("pg_create_logical_replication_slot", OTHER_STATE),
    ("pg_create_physical_replication_slot", OTHER_STATE),
    ("pg_copy_logical_replication_slot", OTHER_STATE),
    ("pg_copy_physical_replication_slot", OTHER_STATE),
    ("pg_replication_origin_session_setup", OTHER_STATE),
    ("pg_backup_start", OTHER_STATE),
    ("pg_start_backup", OTHER_STATE),
];

/// Longest name in the table, and room for `pg_temp_` and a backend's number.
const LONGEST: usize = 35;

/// What `word` may mean; case counts for nothing. None for nearly every word, within a few nanoseconds.
#[inline]
pub(super) fn suspect(word: &[u8]) -> Option<Suspect> {
    let &[first, second, ref rest @ ..] = word else { return None };
    let Some(third) = rest.first() else { return pair(first, second) };
    let shapes = SHAPES.get(usize::from(first & 31))?;
    let known =
        shapes.lengths >> (word.len() & 63) & 1 == 1 && shapes.thirds >> (third & 31) & 1 == 1;
    if known && word.len() <= LONGEST { look_up(word) } else { None }
}

/// The words of two letters.
#[inline]
fn pair(first: u8, second: u8) -> Option<Suspect> {
    match (first | 0x20, second | 0x20) {
        (b'i', b'n') => Some(C(Clause::In)),
        (b'd', b'o') => Some(C(Clause::Lock)),
        _ => None,
    }
}

// Apart, so that the way to None needs no stack.
#[inline(never)]
fn look_up(word: &[u8]) -> Option<Suspect> {
    let known = |(name, _): &&(&str, Suspect)| name.as_bytes().eq_ignore_ascii_case(word);
    TABLE.iter().find(known).map(|(_, suspect)| *suspect).or_else(|| own_temp_schema(word))
}

/// `pg_temp_17`: the same schema by its real name.
fn own_temp_schema(word: &[u8]) -> Option<Suspect> {
    let (prefix, number) = word.split_at_checked("pg_temp_".len())?;
    let named = prefix.eq_ignore_ascii_case(b"pg_temp_") && number.iter().all(u8::is_ascii_digit);
    named.then_some(Suspect::TempSchema)
}

/// Words that are no name unless quoted (RESERVED_KEYWORD and TYPE_FUNC_NAME_KEYWORD of Postgres 18, sorted).
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "binary", "both",
    "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint", "create", "cross",
    "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp",
    "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except", "false", "fetch",
    "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike", "in", "initially", "inner",
    "intersect", "into", "is", "isnull", "join", "lateral", "leading", "left", "like", "limit", "localtime",
    "localtimestamp", "natural", "not", "notnull", "null", "offset", "on", "only", "or", "order", "outer", "overlaps",
    "placing", "primary", "references", "returning", "right", "select", "session_user", "similar", "some",
    "symmetric", "system_user", "table", "tablesample", "then", "to", "trailing", "true", "union", "unique", "user",
    "using", "variadic", "verbose", "when", "where", "window", "with",
];

/// True when the unquoted `word` cannot name a savepoint, a table or a column (ColId in `gram.y`).
pub(super) fn is_reserved(word: &[u8]) -> bool {
    let lower = word.to_ascii_lowercase();
    RESERVED.binary_search_by(|known| known.as_bytes().cmp(&lower)).is_ok()
}

/// True for a list of schemas (a value of `search_path`) that may name the temporary one.
pub fn names_temp_schema(value: &[u8]) -> bool {
    value.windows(b"pg_temp".len()).any(|part| part.eq_ignore_ascii_case(b"pg_temp"))
}

/// What the names in the table that share a first letter look like. A letter counts by its low five bits, whatever
/// its case.
#[derive(Clone, Copy)]
struct Shapes {
    /// Their lengths, as bits; also those of `pg_temp_1` and longer.
    lengths: u64,
    /// Their third letters, as bits.
    thirds: u32,
}

const SHAPES: [Shapes; 32] = shapes();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn shapes() -> [Shapes; 32] {
    let mut shapes = [Shapes { lengths: 0, thirds: 0 }; 32];
    let mut at = 0;
    while at < TABLE.len() {
        let name = TABLE[at].0.as_bytes();
        let first = (name[0] & 31) as usize;
        shapes[first].lengths |= 1 << name.len();
        shapes[first].thirds |= 1 << (name[2] & 31);
        at += 1;
    }
    let mut len = "pg_temp_1".len();
    while len <= LONGEST {
        shapes[(b'p' & 31) as usize].lengths |= 1 << len;
        len += 1;
    }
    shapes
}
