//! The lists of Postgres' own functions against those of the server.

use pgweir::cluster::Cluster;
use pgweir::route::functions::{VOLATILE_BUT_HARMLESS, fixed, is_construct, is_harmless};
use pgweir::route::relations::is_of_one_server;

/// Name, whether an overload is volatile, whether one can be called by a query.
const FUNCTIONS: &str = "select p.proname::text, bool_or(p.provolatile = 'v')::text, \
    bool_or(not exists (select from pg_type t where (t.oid = any (p.proargtypes) or t.oid = p.prorettype) \
        and t.typname in ('internal', 'cstring', '_cstring', 'trigger', 'event_trigger', 'language_handler', \
            'fdw_handler', 'index_am_handler', 'tsm_handler', 'table_am_handler')))::text \
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
    where n.nspname in ('pg_catalog', 'information_schema') and p.oid < 16384 group by 1 order by 1";

/// What the lists were made from.
const KNOWN_MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

#[test]
fn no_function_of_the_server_is_said_to_be_harmless_and_writes() {
    let cluster = Cluster::start().unwrap();
    let known = KNOWN_MAJORS.contains(&cluster.primary().binaries().major());
    let rows = cluster.primary().sql("postgres", FUNCTIONS).unwrap();
    assert!(rows.len() > 2_000);
    let mut harmless = 0;
    for row in rows {
        let [Some(name), Some(volatile), Some(callable)] = &row[..] else { panic!("{row:?}") };
        let (volatile, callable) = (volatile == "true", callable == "true");
        let said = is_harmless(name.as_bytes());
        harmless += usize::from(said);
        let excused = VOLATILE_BUT_HARMLESS.contains(&name.as_str());
        assert!(!said || !volatile || excused, "{name} is volatile");
        assert!(
            !said || fixed(name.as_bytes()).is_none(),
            "{name} is of the primary, and harmless"
        );
        let listed = said || fixed(name.as_bytes()).is_some();
        assert!(listed || volatile || !callable || !known, "{name} is on no list");
        assert!(!is_construct(name.as_bytes()) || !volatile, "{name} is volatile, and a construct");
    }
    assert!(harmless > 1_600, "{harmless}");
}

/// A view of Postgres' own is for one server where it calls what is.
#[test]
fn system_views_that_show_one_server_are_on_the_list() {
    let cluster = Cluster::start().unwrap();
    let calls = "select distinct c.relname::text, p.proname::text from pg_rewrite r join pg_class c on c.oid = r.ev_class, \
        regexp_matches(r.ev_action::text, ':funcid ([1-9][0-9]*)', 'g') as found \
        join pg_proc p on p.oid = found[1]::oid where c.relnamespace = 'pg_catalog'::regnamespace";
    let rows = cluster.primary().sql("postgres", calls).unwrap();
    assert!(rows.len() > 100);
    for row in rows {
        let [Some(view), Some(function)] = &row[..] else { panic!("{row:?}") };
        let differs = fixed(function.as_bytes()).is_some();
        assert!(!differs || is_of_one_server(view.as_bytes()), "{view} calls {function}");
    }
}
