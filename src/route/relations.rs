//! Relations that come with Postgres and show what one server has of its own: its sessions, locks, settings, counters.

/// True for a system relation whose rows differ between the servers of one database. Those of extensions that are
/// named like the server's own statistics (`pg_stat_statements`) are among them.
pub fn is_of_one_server(name: &[u8]) -> bool {
    let known = |known: &&[u8]| known.cmp(&name);
    LIST.binary_search_by(known).is_ok()
        || name.starts_with(b"pg_stat_")
        || name.starts_with(b"pg_statio_")
}

/// Sorted.
const LIST: &[&[u8]] = &[
    b"pg_aios",
    b"pg_backend_memory_contexts",
    b"pg_cursors",
    b"pg_dsm_registry_allocations",
    b"pg_file_settings",
    b"pg_hba_file_rules",
    b"pg_ident_file_mappings",
    b"pg_locks",
    b"pg_prepared_statements",
    b"pg_prepared_xacts",
    b"pg_replication_origin_status",
    b"pg_replication_slots",
    b"pg_sequences",
    b"pg_settings",
    b"pg_shmem_allocations",
    b"pg_shmem_allocations_numa",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_the_planner_are_those_of_the_tables() {
        assert!(LIST.is_sorted());
        for name in ["pg_stat_activity", "pg_statio_all_tables", "pg_locks", "pg_settings"] {
            assert!(is_of_one_server(name.as_bytes()), "{name}");
        }
        for name in ["pg_stats", "pg_statistic", "pg_stats_ext", "pg_class", "pg_roles", "orders"] {
            assert!(!is_of_one_server(name.as_bytes()), "{name}");
        }
    }
}
