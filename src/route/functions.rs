//! Functions that come with Postgres: which of them never write and mean the same on a standby, and which belong to the
//! primary whatever a catalog says of them.
//!
//! Names are compared without their schemas: a function of the user's own that has such a name is treated alike.

mod table;

/// What happens to a function of the fixed list on a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// The standby refuses it, or it runs SQL that the text does not show.
    Refused,
    /// It runs without an error and means something else: another server's locks, processes, files or positions.
    Differs,
}

/// True when every version of Postgres has this function in its catalogs as one that never writes, or as one whose
/// volatility harms nobody; and for its types, which are called like functions.
pub fn is_harmless(name: &[u8]) -> bool {
    let is_in = |list: &[&str]| list.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok();
    is_in(table::STABLE) || is_in(VOLATILE_BUT_HARMLESS) || is_in(TYPES)
}

/// True for words that stand before a parenthesis where nothing is called, or, as `json_value`, are constructs of some
/// versions. A function of the user's own may still have such a name.
pub fn is_construct(name: &[u8]) -> bool {
    CONSTRUCTS.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

/// True for functions of well-known extensions that are volatile, written in C, and leave nothing behind.
pub fn is_harmless_in_c(name: &[u8]) -> bool {
    HARMLESS_IN_C.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

/// What becomes of a function that always belongs to the primary; None for any other.
pub fn fixed(name: &[u8]) -> Option<Elsewhere> {
    let known = FIXED.binary_search_by(|(known, _)| known.as_bytes().cmp(name)).ok();
    if let Some((_, elsewhere)) = known.and_then(|at| FIXED.get(at)) {
        return Some(*elsewhere);
    }
    let family = FAMILIES.iter().any(|family| name.starts_with(family.as_bytes()));
    family.then_some(Differs)
}

/// True for what runs on a standby without an error and means something else there.
pub fn means_something_else(name: &[u8]) -> bool {
    fixed(name) == Some(Differs)
}

/// What the fixed list looks like to a regular expression of the server's: a function's source that has one of these in
/// it calls, for all we know, what means something else on a standby.
pub const DIFFERS_IN_SOURCE: &str = "pg_(try_)?advisory_|pg_backend_pid|pg_is_in_recovery|pg_(cancel|terminate)_backend|\
    pg_stat_|pg_last_|pg_export_snapshot|pg_reload_conf|pg_locks|pg_replication_slot|inet_server_|dblink";

/// Names that begin so belong to the primary and run on a standby.
const FAMILIES: &[&str] = &[
    "pg_advisory_",
    "pg_try_advisory_",
    "pg_stat_",
    "pg_last_",
    "pg_logical_slot_",
    "pg_replication_",
    "pg_ls_",
    "pg_control_",
    "dblink",
];

use Elsewhere::{Differs, Refused};

/// Sorted by name.
#[rustfmt::skip]
const FIXED: &[(&str, Elsewhere)] = &[
    ("connectby", Refused),
    ("crosstab", Refused),
    ("crosstab2", Refused),
    ("crosstab3", Refused),
    ("crosstab4", Refused),
    ("currval", Differs),
    ("cursor_to_xml", Refused),
    ("cursor_to_xmlschema", Refused),
    ("database_to_xml", Refused),
    ("database_to_xml_and_xmlschema", Refused),
    ("database_to_xmlschema", Refused),
    ("inet_server_addr", Differs),
    ("inet_server_port", Differs),
    ("lastval", Differs),
    ("lo_creat", Refused),
    ("lo_create", Refused),
    ("lo_export", Differs),
    ("lo_from_bytea", Refused),
    ("lo_import", Refused),
    ("lo_put", Refused),
    ("lo_truncate", Refused),
    ("lo_truncate64", Refused),
    ("lo_unlink", Refused),
    ("lowrite", Refused),
    ("nextval", Refused),
    ("pg_backend_pid", Differs),
    ("pg_backup_start", Differs),
    ("pg_backup_start_time", Differs),
    ("pg_backup_stop", Differs),
    ("pg_blocking_pids", Differs),
    ("pg_cancel_backend", Differs),
    ("pg_conf_load_time", Differs),
    ("pg_copy_logical_replication_slot", Differs),
    ("pg_copy_physical_replication_slot", Differs),
    ("pg_create_logical_replication_slot", Differs),
    ("pg_create_physical_replication_slot", Differs),
    ("pg_create_restore_point", Refused),
    ("pg_current_logfile", Differs),
    ("pg_current_snapshot", Differs),
    ("pg_current_wal_flush_lsn", Refused),
    ("pg_current_wal_insert_lsn", Refused),
    ("pg_current_wal_lsn", Refused),
    ("pg_current_xact_id", Refused),
    ("pg_current_xact_id_if_assigned", Differs),
    ("pg_cursor", Differs),
    ("pg_drop_replication_slot", Differs),
    ("pg_export_snapshot", Differs),
    ("pg_get_aios", Differs),
    ("pg_get_backend_memory_contexts", Differs),
    ("pg_get_loaded_modules", Differs),
    ("pg_get_replication_slots", Differs),
    ("pg_get_shmem_allocations", Differs),
    ("pg_get_shmem_allocations_numa", Differs),
    ("pg_get_wal_replay_pause_state", Differs),
    ("pg_get_wal_summarizer_state", Differs),
    ("pg_hba_file_rules", Differs),
    ("pg_ident_file_mappings", Differs),
    ("pg_is_in_backup", Differs),
    ("pg_is_in_recovery", Differs),
    ("pg_is_other_temp_schema", Differs),
    ("pg_is_wal_replay_paused", Differs),
    ("pg_isolation_test_session_is_blocked", Differs),
    ("pg_listening_channels", Differs),
    ("pg_lock_status", Differs),
    ("pg_log_backend_memory_contexts", Differs),
    ("pg_log_standby_snapshot", Refused),
    ("pg_logical_emit_message", Refused),
    ("pg_my_temp_schema", Differs),
    ("pg_notification_queue_usage", Differs),
    ("pg_notify", Refused),
    ("pg_postmaster_start_time", Differs),
    ("pg_prepared_statement", Differs),
    ("pg_prepared_xact", Differs),
    ("pg_promote", Differs),
    ("pg_read_binary_file", Differs),
    ("pg_read_file", Differs),
    ("pg_read_file_old", Differs),
    ("pg_reload_conf", Differs),
    ("pg_rotate_logfile", Differs),
    ("pg_rotate_logfile_old", Differs),
    ("pg_safe_snapshot_blocking_pids", Differs),
    ("pg_show_all_file_settings", Differs),
    ("pg_show_all_settings", Differs),
    ("pg_show_replication_origin_status", Differs),
    ("pg_start_backup", Differs),
    ("pg_stop_backup", Differs),
    ("pg_switch_wal", Refused),
    ("pg_sync_replication_slots", Differs),
    ("pg_terminate_backend", Differs),
    ("pg_wal_replay_pause", Differs),
    ("pg_wal_replay_resume", Differs),
    ("pg_walfile_name", Refused),
    ("pg_walfile_name_offset", Refused),
    ("query_to_xml", Refused),
    ("query_to_xml_and_xmlschema", Refused),
    ("query_to_xmlschema", Refused),
    ("schema_to_xml", Refused),
    ("schema_to_xml_and_xmlschema", Refused),
    ("schema_to_xmlschema", Refused),
    ("set_config", Differs),
    ("setseed", Differs),
    ("setval", Refused),
    ("table_to_xml", Refused),
    ("table_to_xml_and_xmlschema", Refused),
    ("table_to_xmlschema", Refused),
    ("ts_rewrite", Refused),
    ("ts_stat", Refused),
    ("txid_current", Refused),
    ("txid_current_if_assigned", Differs),
    ("txid_current_snapshot", Differs),
    ("xpath_table", Refused),
];

/// Volatile functions of Postgres that leave nothing behind and ask for nothing of the server's own, and those that
/// are volatile in one version alone. Sorted.
pub const VOLATILE_BUT_HARMLESS: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "pg_database_size",
    "pg_indexes_size",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "random",
    "random_normal",
    "timeofday",
    "timezone",
    "uuidv4",
    "uuidv7",
];

/// Types of Postgres that no function is named like: `regtype('int')` is a cast. Sorted.
#[rustfmt::skip]
const TYPES: &[&str] = &[
    "aclitem", "cid", "inet", "int2vector", "jsonb", "jsonpath", "oidvector", "pg_snapshot", "refcursor",
    "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator", "regproc", "regprocedure",
    "regrole", "regtype", "tid", "tsquery", "tsvector", "txid_snapshot", "uuid", "xid8",
];

/// See [`is_harmless_in_c`]. Sorted.
const HARMLESS_IN_C: &[&str] = &[
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
];

/// See [`is_construct`]. Sorted.
#[rustfmt::skip]
const CONSTRUCTS: &[&str] = &[
    "by", "columns", "content", "cube", "document", "escape", "filter", "first", "groups", "ilike", "is", "isnull",
    "join", "json", "json_array", "json_arrayagg", "json_exists", "json_object", "json_objectagg", "json_query",
    "json_scalar", "json_serialize", "json_table", "json_value", "key", "keys", "like", "materialized",
    "merge_action", "name", "next", "notnull", "operator", "over", "overlaps", "passing", "path", "plan", "range",
    "repeatable", "rollup", "second", "sets", "similar", "system_user", "value", "varying", "version", "zone",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_do_not_contradict_each_other() {
        for list in [table::STABLE, VOLATILE_BUT_HARMLESS, TYPES, HARMLESS_IN_C, CONSTRUCTS] {
            assert!(list.is_sorted());
            for name in list {
                assert_eq!(fixed(name.as_bytes()), None, "{name}");
            }
        }
        assert!(FIXED.is_sorted_by_key(|(name, _)| name));
        for (name, _) in FIXED {
            assert!(!is_harmless(name.as_bytes()), "{name}");
        }
    }
}
