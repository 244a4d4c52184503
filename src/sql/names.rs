//! The words that make a query more than a query: functions that touch the session, `pg_temp`, INTO.
//!
//! Owns the one table of them and a fast way to say that a word is not in it. Deliberately absent: what other
//! functions do. A function of the user's own may do any of this unseen.

use super::effects::EffectSet;

/// What an unqualified name may mean where it is called (or qualifies, or stands as a keyword).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    /// INSERT or MERGE: the INTO behind it is theirs.
    Insert,
    /// INTO: behind anything else, SELECT INTO.
    Into,
    /// `set_config(…)`
    SetConfig,
    /// `current_setting(…)`
    CurrentSetting,
    /// `pg_temp.…`
    TempSchema,
    /// A function whose call has these effects.
    Call(EffectSet),
}

use EffectSet as E;
use Suspect::Call;

const SESSION_LOCK: Suspect = Call(E::ADVISORY_LOCK);
const SESSION_UNLOCK: Suspect = Call(E::ADVISORY_UNLOCK);
const XACT_LOCK: Suspect = Call(E::ADVISORY_XACT_LOCK);
const LARGE: Suspect = Call(E::LARGE_OBJECT);
const RUNS_TEXT: Suspect = Call(E::OPAQUE);
/// State of the session that we have no name for: temporary slots, a running backup, a replication origin.
const OTHER_STATE: Suspect = Call(E::UNKNOWN);

const TABLE: &[(&str, Suspect)] = &[
    ("insert", Suspect::Insert),
    ("merge", Suspect::Insert),
    ("into", Suspect::Into),
    ("set_config", Suspect::SetConfig),
    ("current_setting", Suspect::CurrentSetting),
    ("pg_temp", Suspect::TempSchema),
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
    let mut at = slot(word);
    while let Some(found) = SLOTS.get(at).copied().filter(|index| *index != EMPTY) {
        match TABLE.get(usize::from(found)) {
            Some((name, suspect)) if name.as_bytes().eq_ignore_ascii_case(word) => {
                return Some(*suspect);
            }
            _ => at = (at + 1) % SLOT_COUNT,
        }
    }
    own_temp_schema(word)
}

/// `pg_temp_17`: the same schema by its real name.
fn own_temp_schema(word: &[u8]) -> Option<Suspect> {
    if !matches!(word, [b'p' | b'P', b'g' | b'G', b'_', b't' | b'T', ..]) || word.len() > LONGEST {
        return None;
    }
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

const SLOT_COUNT: usize = 512;
const EMPTY: u8 = u8::MAX;
const SLOTS: [u8; SLOT_COUNT] = slots();

/// Where a word's search begins: its length, first, third and last byte tell most words apart.
#[inline]
const fn slot(word: &[u8]) -> usize {
    let len = word.len();
    if len < 3 {
        return SLOT_COUNT;
    }
    // Bit 5 is the case of a letter; setting it folds both.
    #[allow(clippy::indexing_slicing, reason = "len >= 3")]
    let (first, third, last) = (word[0] | 32, word[2] | 32, word[len - 1] | 32);
    (len * 37 + first as usize * 101 + third as usize * 17 + last as usize * 5) % SLOT_COUNT
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut index = 0;
    while index < TABLE.len() {
        let mut at = slot(TABLE[index].0.as_bytes());
        while slots[at] != EMPTY {
            at = (at + 1) % SLOT_COUNT;
        }
        slots[at] = index as u8;
        index += 1;
    }
    slots
}
