//! What the guard refuses, when it is judged, and what becomes of the rest.

use super::super::world::{ClientEnd, World, bind_execute, frames, parse, query, sync};
use crate::guard::Answer;
use crate::wire::{Report, build};

const INDEX: &str = "create index i on t (a)";
const SAFE: &str = "create index concurrently i on t (a)";
const TABLE: &str = "create table t (a int)";

const FULL: Answer = Answer::Relation { partitioned: false, empty: false };
const EMPTY: Answer = Answer::Relation { partitioned: false, empty: true };

fn world() -> World {
    World::new(1, "guard = \"default\"")
}

fn ran(world: &World, text: &str) -> bool {
    world.servers.iter().any(|server| server.ran.iter().any(|ran| ran.contains(text)))
}

/// The tags of what came back, ReadyForQuery as its status, and the errors' SQLSTATEs.
fn told(bytes: Vec<u8>) -> (String, Vec<String>) {
    let frames = frames(&bytes);
    let errors = frames.iter().filter(|(tag, _)| *tag == b'E');
    let errors = errors.map(|(_, body)| Report::from_server(body).sqlstate().to_owned()).collect();
    let status = |tag: u8, body: &[u8]| if tag == b'Z' { body[0] } else { tag };
    (frames.iter().map(|(tag, body)| char::from(status(*tag, body))).collect(), errors)
}

/// Sends this; the catalog, where it is asked, says this of everything.
fn outcome(
    world: &mut World,
    client: ClientEnd,
    bytes: &[u8],
    says: Answer,
) -> (String, Vec<String>) {
    world.send(client, bytes);
    world.run();
    while let Some((_, asked)) = world.catalog_asked.first() {
        let answers = vec![says; asked.questions.len()];
        world.catalog_answers(&answers);
    }
    told(world.received(client))
}

#[track_caller]
fn expect(found: &(String, Vec<String>), tags: &str, errors: &[&str]) {
    let sqlstates: Vec<_> = found.1.iter().map(String::as_str).collect();
    assert_eq!((found.0.as_str(), sqlstates), (tags, errors.to_vec()));
}

#[track_caller]
fn check(world: &mut World, client: ClientEnd, bytes: &[u8], tags: &str, errors: &[&str]) {
    expect(&outcome(world, client, bytes, FULL), tags, errors);
}

#[test]
fn without_a_server_it_is_refused_here() {
    let mut world = world();
    let client = world.client();
    world.ask(client, "select 1");
    let before = world.servers[0].ran.len();
    check(&mut world, client, &query(INDEX), "EI", &["42501"]);
    check(&mut world, client, &[parse(INDEX), bind_execute(), sync()].concat(), "EI", &["42501"]);
    check(&mut world, client, &query(&format!("select 2; {INDEX}")), "EI", &["42501"]);
    assert_eq!(world.servers[0].ran.len(), before);
    assert_eq!(world.ask(client, "select 2"), "DCZ");
    world.check_accounts();
}

#[test]
fn who_waits_for_a_server_is_told_without_one() {
    let mut world = world();
    let (holder, client) = (world.client(), world.client());
    assert_eq!(world.ask(holder, "BEGIN"), "DCZ");
    check(&mut world, client, &query(INDEX), "EI", &["42501"]);
    check(&mut world, client, &query("drop index i"), "EI", &["42501"]);
    check(&mut world, client, &query("reindex table t"), "EI", &["42501"]);
}

#[test]
fn in_a_transaction_it_fails_the_transaction() {
    let mut world = world();
    let client = world.client();
    check(&mut world, client, &query("BEGIN"), "DCT", &[]);
    check(&mut world, client, &query(INDEX), "EE", &["42501"]);
    check(&mut world, client, &query(INDEX), "EE", &["25P02"]);
    check(&mut world, client, &query("select 1"), "EE", &["25P02"]);
    check(&mut world, client, &query(&format!("ROLLBACK; {INDEX}")), "EE", &["42501"]);
    check(&mut world, client, &query("ROLLBACK"), "DCI", &[]);
    world.check_accounts();
}

#[test]
fn what_the_transaction_has_made_may_have_its_index() {
    let mut world = world();
    let client = world.client();
    for (text, tags, errors) in [
        ("BEGIN", "DCT", &[][..]),
        (TABLE, "DCT", &[]),
        (INDEX, "DCT", &[]),
        ("COMMIT", "DCI", &[]),
        (INDEX, "EI", &["42501"]),
        ("BEGIN", "DCT", &[]),
        (TABLE, "DCT", &[]),
        ("ROLLBACK", "DCI", &[]),
        (INDEX, "EI", &["42501"]),
        // All of it is one transaction.
        ("create table t (a int); create index i on t (a)", "DCDCI", &[]),
    ] {
        expect(&outcome(&mut world, client, &query(text), FULL), tags, errors);
    }
    assert!(world.catalog_asked.is_empty());
}

#[test]
fn a_pipeline_waits_for_what_its_verdict_depends_on() {
    let mut world = world();
    let client = world.client();
    let pipeline = ["BEGIN", TABLE, INDEX, "COMMIT", INDEX].map(query).concat();
    check(&mut world, client, &pipeline, "DCTDCTDCTDCIEI", &["42501"]);
    // The table is not made after all.
    let pipeline = ["BEGIN", "ERROR", TABLE, "ROLLBACK", INDEX].map(query).concat();
    check(&mut world, client, &pipeline, "DCTEEEEDCIEI", &["XX001", "25P02", "42501"]);
}

#[test]
fn in_a_batch_what_follows_is_skipped() {
    let mut world = world();
    let client = world.client();
    let batch = [
        parse("select 1"),
        bind_execute(),
        parse(INDEX),
        bind_execute(),
        parse("select 2"),
        sync(),
    ];
    check(&mut world, client, &batch.concat(), "12DCEI", &["42501"]);
    assert!(!ran(&world, "select 2") && !ran(&world, INDEX));
    let batch = [parse(TABLE), bind_execute(), parse(INDEX), bind_execute(), sync()].concat();
    check(&mut world, client, &batch, "12DC12DCI", &[]);
    world.check_accounts();
}

#[test]
fn a_statement_that_was_allowed_is_judged_again_where_it_is_bound() {
    let mut world = world();
    let client = world.client();
    check(&mut world, client, &query("BEGIN"), "DCT", &[]);
    check(&mut world, client, &query(TABLE), "DCT", &[]);
    let mut prepare = Vec::new();
    build::parse(&mut prepare, b"s", &[INDEX.as_bytes(), b"\0\0\0"].concat());
    check(&mut world, client, &[prepare, sync()].concat(), "1T", &[]);
    let mut bound = bind_execute();
    // The name of the statement behind that of the portal.
    bound.splice(6..6, *b"s");
    bound[4] += 1;
    let run = [bound, sync()].concat();
    check(&mut world, client, &run, "2DCT", &[]);
    check(&mut world, client, &query("COMMIT"), "DCI", &[]);
    check(&mut world, client, &run, "EI", &["42501"]);
    check(&mut world, client, &query("select 1"), "DCI", &[]);
    world.check_accounts();
}

#[test]
fn the_catalog_is_asked_where_it_may_take_a_refusal_back() {
    let mut world = world();
    let client = world.client();
    world.send(client, &[query(INDEX), query("select 2")].concat());
    world.run();
    assert_eq!(world.catalog_asked.len(), 1);
    assert!(!world.has_received(client));
    world.advance(10_000);
    world.catalog_answers(&[EMPTY]);
    expect(&told(world.received(client)), "NDCIDCI", &[]);
    assert!(ran(&world, INDEX));
    // It may have been filled since.
    expect(&outcome(&mut world, client, &query(INDEX), FULL), "EI", &["42501"]);
    // Nobody could say.
    expect(&outcome(&mut world, client, &query(INDEX), Answer::Unknown), "EI", &["42501"]);
    assert_eq!(world.live_servers().len(), 1);
}

#[test]
fn a_client_may_leave_while_the_catalog_is_asked() {
    let mut world = world();
    let client = world.client();
    world.send(client, &query(INDEX));
    world.run();
    world.hang_up(client);
    world.run();
    world.catalog_answers(&[EMPTY]);
    assert!(!ran(&world, INDEX) || world.is_closed(client));
    let other = world.client();
    assert_eq!(world.ask(other, "select 1"), "DCZ");
    world.check_accounts();
}

#[test]
fn a_warning_comes_once_before_the_answer() {
    let mut world = World::new(1, "guard = \"default\"");
    let client = world.client();
    let text = query("drop table t");
    let first = outcome(&mut world, client, &text, FULL);
    assert!(first.0.starts_with('N') && first.0.ends_with("DCI"), "{first:?}");
    check(&mut world, client, &text, "DCI", &[]);
    let quiet = world.client_with(&[("client_min_messages", "warning")]);
    check(&mut world, quiet, &text, "DCI", &[]);
    let other = world.client();
    assert_eq!(outcome(&mut world, other, &text, FULL).0, first.0);
}

#[test]
fn findings_are_counted_once_for_a_statement_that_waits() {
    let mut world = World::new(1, "guard = \"default\"");
    let (holder, client) = (world.client(), world.client());
    assert_eq!(world.ask(holder, "BEGIN"), "DCZ");
    world.send(client, &query("truncate t"));
    world.run();
    assert_eq!(world.ask(holder, "COMMIT"), "DCZ");
    world.run();
    assert!(ran(&world, "truncate t"));
    assert_eq!(counted(&mut world, "truncate"), 1);
    world.received(client);
    world.ask(client, "truncate t");
    assert_eq!(counted(&mut world, "truncate"), 2);
    let lines = world.list().found;
    let line = lines.iter().find(|line| line.rule == "truncate").expect("a line");
    assert_eq!((line.count, line.role.as_str()), (2, "app"));
}

#[test]
fn off_judges_nothing_and_a_reload_decides() {
    let mut world = World::new(1, "guard = \"off\"");
    let client = world.client();
    check(&mut world, client, &query(INDEX), "DCI", &[]);
    world.reload("guard = \"default\"");
    check(&mut world, client, &query(INDEX), "EI", &["42501"]);
    check(&mut world, client, &query(SAFE), "DCI", &[]);
    world.reload("guard = \"observe\"");
    check(&mut world, client, &query(INDEX), "DCI", &[]);
}

#[test]
fn what_the_server_reads_otherwise_is_judged_as_the_server_reads_it() {
    let mut world = world();
    let client = world.client();
    let on = query("select 'a\\'; create index i on t (a); --'");
    let off = query("select 'a\\''; create index i on t (a); --'");
    let refused = |world: &mut World, client, text: &[u8]| outcome(world, client, text, FULL).1;
    assert_eq!(refused(&mut world, client, &on), ["42501"]);
    assert_eq!(refused(&mut world, client, &off), [""; 0]);
    let client = world.client_with(&[("standard_conforming_strings", "off")]);
    assert_eq!(refused(&mut world, client, &off), ["42501"]);
    assert_eq!(refused(&mut world, client, &on), [""; 0]);
    // What has run in a batch may have changed how the server reads the rest of it.
    let client = world.client();
    let hidden = parse("do 'select \\'x\\'; create index i on t (a); --'");
    let batch = [parse("select f()"), bind_execute(), hidden, bind_execute(), sync()].concat();
    check(&mut world, client, &batch, "12DCEI", &["42501"]);
}

#[test]
fn too_long_a_text_is_refused() {
    let mut world = world();
    let client = world.client();
    let long = |tag: u8| {
        let mut out = vec![tag];
        build::sized(&mut out, |out| {
            if tag == b'P' {
                out.push(0);
            }
            out.extend_from_slice(b"select 1 /*");
            out.resize(2_000_000, b'x');
            out.extend_from_slice(b"*/\0");
            if tag == b'P' {
                out.extend_from_slice(&[0, 0]);
            }
        });
        out
    };
    check(&mut world, client, &long(b'Q'), "EI", &["54000"]);
    let batch = [long(b'P'), bind_execute(), sync()].concat();
    check(&mut world, client, &batch, "EI", &["54000"]);
    check(&mut world, client, &query("BEGIN"), "DCT", &[]);
    check(&mut world, client, &long(b'Q'), "EE", &["54000"]);
    check(&mut world, client, &query("ROLLBACK"), "DCI", &[]);
}

#[test]
fn a_function_called_by_its_number_is_told_of_or_refused() {
    let call = |oid: i32| {
        let mut out = vec![b'F'];
        build::sized(&mut out, |out| {
            out.extend_from_slice(&oid.to_be_bytes());
            out.extend_from_slice(&[0; 6]);
        });
        out
    };
    let mut world = World::of(
        "[defaults]\npool_size = 1\nguard = \"mine\"\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n\
         [roles.app]\npassword = \"x\"\n\
         [guard.mine]\nopaque-code = \"reject\"\n",
    );
    let client = world.client();
    check(&mut world, client, &call(1_598), "EI", &["42501"]);
    world.ask(client, "BEGIN");
    check(&mut world, client, &call(1_598), "EE", &["42501"]);
}

fn counted(world: &mut World, rule: &str) -> u64 {
    let pools = world.inspect().pools;
    let found = pools.iter().flat_map(|pool| pool.counters.guard.sorted());
    found.filter(|((known, _), _)| *known == rule).map(|(_, count)| count).sum()
}

#[test]
fn silence_is_told_of_once_where_others_would_wait_for_it() {
    let mut world = world();
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "alter table t add b int");
    world.advance(4_000);
    world.ask(client, "select 1");
    world.advance(4_000);
    assert_eq!(counted(&mut world, "idle-after-exclusive-lock"), 0);
    world.advance(1_500);
    assert_eq!(counted(&mut world, "idle-after-exclusive-lock"), 1);
    world.advance(60_000);
    world.ask(client, "COMMIT");
    world.advance(60_000);
    assert_eq!(counted(&mut world, "idle-after-exclusive-lock"), 1);
    assert_eq!(counted(&mut world, "uncommitted-ddl"), 0);
    // What nobody waits for.
    world.ask(client, "BEGIN");
    world.ask(client, "create table t (a int)");
    world.advance(60_000);
    assert_eq!(counted(&mut world, "idle-after-exclusive-lock"), 1);
}

#[test]
fn ddl_that_is_left_uncommitted_is_told_of() {
    let mut world = world();
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "create table t (a int)");
    world.hang_up(client);
    world.run();
    world.advance(10_000);
    assert_eq!(counted(&mut world, "uncommitted-ddl"), 1);
    let other = world.client();
    world.ask(other, "BEGIN");
    world.ask(other, "create table t (a int)");
    world.ask(other, "ROLLBACK");
    world.hang_up(other);
    world.run();
    assert_eq!(counted(&mut world, "uncommitted-ddl"), 1);
    world.check_accounts();
}

#[test]
fn a_policy_that_looks_closely_sees_ordinary_texts() {
    let mut world = World::of(
        "[defaults]\npool_size = 1\nguard = \"mine\"\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n\
         [roles.app]\npassword = \"x\"\n\
         [guard.mine]\nselect-without-limit = \"reject\"\n",
    );
    let client = world.client();
    check(&mut world, client, &query("select * from t"), "EI", &["42501"]);
    check(&mut world, client, &query("select * from t where a = 1"), "DCI", &[]);
    let batch = |text: &str| [parse(text), bind_execute(), sync()].concat();
    for _ in 0..3 {
        check(&mut world, client, &batch("select * from t"), "EI", &["42501"]);
        check(&mut world, client, &batch("select 1"), "12DCI", &[]);
    }
}

#[test]
fn a_cancelled_question_fails_its_statement() {
    let mut world = world();
    let client = world.client();
    world.send(client, &query(INDEX));
    world.run();
    world.client_cancels(client);
    world.run();
    expect(&told(world.received(client)), "EI", &["57014"]);
    world.catalog_answers(&[EMPTY]);
    assert!(!ran(&world, INDEX));
    world.ask(client, "BEGIN");
    world.send(client, &query(INDEX));
    world.run();
    world.client_cancels(client);
    world.run();
    expect(&told(world.received(client)), "EE", &["57014"]);
    world.catalog_answers(&[EMPTY]);
    world.ask(client, "ROLLBACK");
    assert!(!ran(&world, INDEX));
    world.check_accounts();
}

#[test]
fn a_portal_is_judged_again_when_it_runs() {
    let mut world = world();
    let client = world.client();
    check(&mut world, client, &query("BEGIN"), "DCT", &[]);
    check(&mut world, client, &query(TABLE), "DCT", &[]);
    let batch = bind_execute();
    let bind_len = 1 + u32::from_be_bytes(batch[1..5].try_into().expect("a length")) as usize;
    let (bind, execute) = batch.split_at(bind_len);
    check(&mut world, client, &[&parse(INDEX)[..], bind, &sync()].concat(), "12T", &[]);
    check(&mut world, client, &query("alter table t rename to u"), "DCT", &[]);
    check(&mut world, client, &[execute, &sync()].concat(), "EE", &["42501"]);
}
