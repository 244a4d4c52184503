//! Many statements: what replicas get is reads alone, and of what they could serve they get nearly all.
//!
//! 20,000 statements; as many as `PGWEIR_ROUTE` says where it is set (`make test-route`: 1,000,000).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{fleet, in_front, login, wait_for_reads};
use crate::harness::diff::Random;
use crate::harness::message::{bind, execute, parse, query, sync};

/// Who may run a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum May {
    /// Any server, with the same result.
    Anyone,
    /// The primary: a standby refuses it.
    Primary,
    /// The primary: a standby would run it, and something else would come of it.
    PrimaryAlone,
}

use May::{Anyone, Primary, PrimaryAlone};

/// `$` is a number, `@` the mark of the statement.
const TEMPLATES: &[(May, &str)] = &[
    (Anyone, "SELECT @ v FROM t WHERE id = $"),
    (Anyone, "SELECT @ count(*), max(v) FROM t WHERE id BETWEEN $ AND $ + 10"),
    (
        Anyone,
        "SELECT @ t.id, u.v FROM t JOIN public.u ON u.id = t.id WHERE t.id < $ ORDER BY 1 LIMIT 5",
    ),
    (
        Anyone,
        "SELECT @ * FROM t, LATERAL (SELECT v AS w FROM u WHERE u.id = t.id) AS l WHERE t.id = $",
    ),
    (
        Anyone,
        "WITH c AS (SELECT * FROM t WHERE id = $) SELECT @ * FROM c UNION ALL SELECT * FROM c",
    ),
    (
        Anyone,
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT @ n + $ FROM r",
    ),
    (Anyone, "(SELECT @ 1) UNION (SELECT $) EXCEPT SELECT 3"),
    (Anyone, "VALUES (1 @, $), (2, 3)"),
    (Anyone, "SELECT @ now(), current_date, clock_timestamp(), random(), $"),
    (
        Anyone,
        "SELECT @ extract(year FROM now()), substring('abc' FROM 2 FOR 1), trim(both 'x' from 'xax'), $",
    ),
    (Anyone, "SELECT @ v IS DISTINCT FROM $ FROM t LIMIT 1"),
    (Anyone, "SELECT @ lower(upper('a')), coalesce(NULL, $), greatest(1, $), nullif(1, 2)"),
    (Anyone, "SELECT @ row_number() OVER (PARTITION BY v ORDER BY id) FROM t LIMIT 3 OFFSET $ % 3"),
    (Anyone, "SELECT @ array_agg(id ORDER BY id) FILTER (WHERE id < $) FROM t"),
    (Anyone, "SELECT @ good(id) FROM t WHERE id = $"),
    (Anyone, "SELECT @ * FROM good_view WHERE id = $"),
    (Anyone, "SELECT @ * FROM parts WHERE id = $"),
    (Anyone, "SELECT @ * FROM generate_series(1, 3) AS g(n), unnest(ARRAY[1, $]) AS a(m)"),
    (Anyone, "SELECT @ EXISTS (SELECT 1 FROM t WHERE id = $), (SELECT max(v) FROM u)"),
    (Anyone, "SELECT @ '{\"a\": 1}'::jsonb -> 'a', to_tsvector('english', 'a cat'), $"),
    (Anyone, "TABLE @ u"),
    (Anyone, "EXPLAIN SELECT @ * FROM t WHERE id = $"),
    (Anyone, "EXPLAIN (COSTS OFF) UPDATE @ t SET v = $"),
    (Anyone, "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) SELECT @ * FROM t WHERE id = $"),
    (Anyone, "COPY (SELECT @ * FROM t WHERE id = $) TO STDOUT"),
    (Anyone, "COPY @ u TO STDOUT"),
    (Anyone, "SELECT @ relname FROM pg_class WHERE oid = $"),
    (Anyone, "SELECT @ CASE WHEN id > $ THEN 'a' ELSE 'b' END FROM t FETCH FIRST 2 ROWS ONLY"),
    (Anyone, "SELECT @ 1; SELECT $"),
    (Anyone, "/* an ORM says */ SELECT @ v FROM t WHERE id = $ -- trailing"),
    (Anyone, "SELECT @ \"v\" FROM \"public\".\"t\" WHERE \"t\".\"id\" = $"),
    (Anyone, "SELECT @ 'insert into t', $"),
    (Anyone, "SELECT @ id AS update, v AS share FROM t WHERE id = $"),
    (Primary, "INSERT INTO w (v) VALUES ($) @"),
    (Primary, "INSERT INTO w (v) SELECT @ $ RETURNING id"),
    (Primary, "UPDATE w SET v = $ @ WHERE id = $"),
    (Primary, "DELETE FROM w @ WHERE id = $ + 1000000"),
    (
        Primary,
        "MERGE INTO w USING (SELECT @ $ AS i) AS s ON w.id = s.i WHEN MATCHED THEN UPDATE SET v = 1",
    ),
    (Primary, "WITH c AS (UPDATE w SET v = $ WHERE id = $ RETURNING *) SELECT @ * FROM c"),
    (
        Primary,
        "WITH c AS (INSERT INTO w (v) VALUES ($) RETURNING *) SELECT @ (SELECT count(*) FROM c)",
    ),
    (Primary, "SELECT @ * FROM t WHERE id = $ FOR UPDATE"),
    (Primary, "SELECT @ * FROM t WHERE id = $ FOR NO KEY UPDATE SKIP LOCKED"),
    (Primary, "SELECT @ * FROM (SELECT * FROM t WHERE id = $ FOR SHARE) AS s"),
    (Primary, "SELECT @ * FROM t WHERE id IN (SELECT id FROM u WHERE id = $ FOR KEY SHARE)"),
    (Primary, "SELECT @ nextval('q'), $"),
    (Primary, "SELECT @ writes($)"),
    (Primary, "SELECT @ hides($)"),
    (Primary, "SELECT @ * FROM bad_view WHERE n <> $"),
    (Primary, "SELECT @ count(*) + $ FROM unlogged_one"),
    (Primary, "SELECT @ $; UPDATE w SET v = $ WHERE id = 1"),
    (Primary, "EXPLAIN (ANALYZE) UPDATE @ w SET v = $ WHERE id = 1"),
    (Primary, "COPY (UPDATE w SET v = $ @ WHERE id = 1 RETURNING *) TO STDOUT"),
    (Primary, "/*x*/ insert into w (v) values ($) @"),
    (PrimaryAlone, "SELECT @ pg_advisory_xact_lock($)"),
    (PrimaryAlone, "SELECT @ pg_try_advisory_xact_lock($) FROM t LIMIT 1"),
    (PrimaryAlone, "SELECT @ * FROM locking_view WHERE n <> $"),
    (PrimaryAlone, "SELECT @ pg_is_in_recovery(), $"),
    (PrimaryAlone, "SELECT @ pg_backend_pid() <> $"),
    (PrimaryAlone, "SELECT @ count(*) + $ FROM pg_stat_activity"),
    (PrimaryAlone, "SELECT @ count(*) + $ FROM pg_locks"),
    (PrimaryAlone, "SELECT @ current_setting('transaction_read_only'), $"),
    (PrimaryAlone, "SELECT @ dup($)"),
];

const SCHEMA: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 200) n;
    CREATE TABLE u (id int PRIMARY KEY, v int); INSERT INTO u SELECT n, n FROM generate_series(1, 20) n;
    CREATE TABLE w (id serial PRIMARY KEY, v int); INSERT INTO w (v) SELECT n FROM generate_series(1, 200) n;
    CREATE TABLE parts (id int, v int) PARTITION BY RANGE (id);
    CREATE TABLE part_one PARTITION OF parts FOR VALUES FROM (0) TO (1000000);
    CREATE UNLOGGED TABLE unlogged_one (a int);
    CREATE SEQUENCE q;
    CREATE FUNCTION good(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT v FROM public.t WHERE id = $1';
    CREATE FUNCTION writes(int) RETURNS bigint LANGUAGE sql AS 'UPDATE public.w SET v = $1 WHERE id = 1; SELECT 1::bigint';
    CREATE FUNCTION hides(int) RETURNS bigint VOLATILE LANGUAGE plpgsql AS $$BEGIN RETURN nextval('public.q') + $1; END$$;
    CREATE SCHEMA other;
    CREATE FUNCTION dup(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION other.dup(text) RETURNS bool VOLATILE LANGUAGE sql AS 'SELECT pg_try_advisory_xact_lock(1)';
    CREATE VIEW good_view AS SELECT * FROM t WHERE v > 0;
    CREATE VIEW bad_view AS SELECT nextval('public.q') AS n;
    CREATE VIEW lock_below AS SELECT pg_try_advisory_xact_lock(7) AS got, 1 AS n;
    CREATE VIEW locking_view AS SELECT * FROM lock_below;
";

fn mark(template: usize) -> String {
    format!("/*T{template:03}*/")
}

/// The marks of the statements that a server has been given, counted.
fn marks(log: &str) -> BTreeMap<usize, u64> {
    let mut found = BTreeMap::new();
    for piece in log.split("/*T").skip(1) {
        if let Some(number) = piece.get(..3).and_then(|digits| digits.parse().ok()) {
            *found.entry(number).or_insert(0) += 1;
        }
    }
    found
}

#[test]
fn replicas_get_reads_alone_and_nearly_all_of_them() {
    const CLIENTS: u64 = 8;
    let all: u64 = std::env::var("PGWEIR_ROUTE").map_or(20_000, |n| n.parse().unwrap());
    let cluster = fleet();
    cluster.primary().sql("shop", SCHEMA).unwrap();
    cluster.wait_until_replayed().unwrap();
    let pgweir = in_front(&cluster, &["consistency = \"eventual\""]).start();
    wait_for_reads(&pgweir, &mut pgweir.client(&login()), "SELECT v FROM t WHERE id = 1");
    let sent: Vec<AtomicU64> = TEMPLATES.iter().map(|_| AtomicU64::new(0)).collect();
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (pgweir, sent, failed) = (&pgweir, &sent, &failed);
            scope.spawn(move || {
                let mut random = Random::new(number + 1);
                let mut client = pgweir.client(&login());
                for _ in 0..all / CLIENTS {
                    let chosen = random.below(TEMPLATES.len());
                    let value = random.below(200).to_string();
                    let text = TEMPLATES[chosen].1.replace('$', &value).replace('@', &mark(chosen));
                    let single = !text.contains(';') || TEMPLATES[chosen].1.starts_with("/*x");
                    let request = if single && !text.contains("COPY") && random.below(2) == 0 {
                        [parse("", &text, &[]), bind("", "", &[]), execute("", 0), sync()].concat()
                    } else {
                        query(&text)
                    };
                    sent[chosen].fetch_add(1, Ordering::Relaxed);
                    client.send(&request).unwrap();
                    let answer = client.until_ready();
                    if let Some(error) =
                        answer.iter().find_map(crate::harness::frame::Frame::sqlstate)
                    {
                        failed.fetch_add(1, Ordering::Relaxed);
                        panic!("{text}: {error}");
                    }
                }
            });
        }
    });
    let at_replicas: Vec<BTreeMap<usize, u64>> =
        cluster.replicas().iter().map(|node| marks(&node.log())).collect();
    let at = |template: usize| -> u64 {
        at_replicas.iter().map(|marks| marks.get(&template).copied().unwrap_or(0)).sum()
    };
    let (mut servable, mut offloaded, mut astray) = (0, 0, Vec::new());
    for (template, (may, text)) in TEMPLATES.iter().enumerate() {
        let there = at(template);
        if *may == Anyone {
            servable += sent[template].load(Ordering::Relaxed);
            offloaded += there;
        } else if there > 0 {
            astray.push((there, *may, *text));
        }
    }
    assert_eq!(failed.into_inner(), 0);
    assert!(astray.is_empty(), "at a replica: {astray:#?}");
    let missed: Vec<_> = TEMPLATES
        .iter()
        .enumerate()
        .filter(|(n, (may, _))| *may == Anyone && at(*n) * 2 < sent[*n].load(Ordering::Relaxed))
        .map(|(_, (_, text))| text)
        .collect();
    let share = offloaded as f64 / servable as f64;
    println!(
        "{all} statements, {servable} that a replica can serve, {:.2} % of them offloaded",
        share * 100.0
    );
    assert!(share >= 0.95, "{share:.3} of {servable}; never: {missed:#?}");
}
