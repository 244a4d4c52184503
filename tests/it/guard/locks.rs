//! Locks that keep writers out, as another session sees them in `pg_locks`.

use pgweir::cluster::Node;

/// `relation MODE`, sorted, of those that `which` (on `pg_locks l`) chooses: SHARE and above, on relations that others
/// can see. Toast tables go with their table.
pub fn strong_locks(node: &Node, which: &str) -> String {
    let sql = format!(
        "select distinct l.relation::regclass::text || ' ' || case l.mode when 'ShareLock' then 'SHARE' \
         when 'AccessExclusiveLock' then 'ACCESS EXCLUSIVE' else l.mode end as lock \
         from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace \
         where l.locktype = 'relation' and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', \
         'AccessExclusiveLock') and n.nspname <> 'pg_toast' and {which} order by 1"
    );
    let rows = node.sql("shop", &sql).unwrap().into_iter();
    let mut locks: Vec<String> = rows.filter_map(|mut row| row.swap_remove(0)).collect();
    locks.sort();
    locks.join(", ")
}
