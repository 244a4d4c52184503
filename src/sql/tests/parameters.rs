//! SET, RESET, SHOW, `set_config`.

use super::{check, facts_of};
use crate::sql::{Action, ParameterUse, Target};

/// Every use of a parameter in `text`, as `target action scope[ ?]`; `?` stands for uncertain.
fn uses(text: &str) -> String {
    let show = |used: &ParameterUse| {
        let target = match &used.target {
            Target::Named(name) => String::from_utf8_lossy(name.as_bytes()).into_owned(),
            other => format!("{other:?}"),
        };
        let action = match &used.action {
            Action::Tokens(span) => format!("={}", &text[span.start..span.end]),
            Action::Value(value) => format!("'{}'", String::from_utf8_lossy(value)),
            other => format!("{other:?}"),
        };
        let doubt = if used.certain { "" } else { " ?" };
        format!("{target} {action} {:?}{doubt}", used.scope)
    };
    let facts = facts_of(text);
    let all: Vec<_> =
        facts.statements().iter().flat_map(|s| s.parameters.iter().map(show)).collect();
    all.join(" | ")
}

fn check_uses(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&uses(text), expected, "{text}");
    }
}

#[test]
fn set() {
    check_uses(&[
        ("SET search_path TO a, \"B\" , 'c'", "search_path =a, \"B\" , 'c' Session"),
        ("set x.Y = 1", "x.y =1 Session"),
        ("set \"DateStyle\" = iso", "datestyle =iso Session"),
        ("set local x = -1.5", "x =-1.5 Local"),
        ("set session x to default", "x Default Session"),
        ("set x = on; set y = off", "x =on Session | y =off Session"),
        ("set time zone 'UTC'", "timezone ='UTC' Session"),
        (
            "set local time zone interval '1' hour to minute",
            "timezone =interval '1' hour to minute Local",
        ),
        ("set time zone local", "timezone Default Session"),
        ("set time zone default", "timezone Default Session"),
        ("set names 'utf8'", "client_encoding ='utf8' Session"),
        ("set names", "client_encoding Default Session"),
        ("set role none", "role =none Session"),
        ("set role to x", "role =x Session"),
        ("set local role \"X\"", "role =\"X\" Local"),
        ("set session authorization x", "session_authorization =x Session"),
        ("set session session authorization default", "session_authorization Default Session"),
        ("set local session authorization x", "session_authorization =x Local"),
        ("set schema 'x'", "search_path ='x' Session"),
        ("set xml option document", "xmloption =document Session"),
        ("set x from current", "x Current Session"),
        ("set session.x = 1", "session.x =1 Session"),
        ("set session = 1", "session =1 Session"),
        ("set session characteristics = 1", "characteristics =1 Session"),
        ("set local to 1", "local =1 Session"),
        ("set U&\"\\0078\" = 1", "x =1 Session"),
        (
            "set session characteristics as transaction read only, isolation level serializable",
            "default_transaction_isolation 'serializable' Session | default_transaction_read_only 'on' Session",
        ),
        ("set constraints all deferred", ""),
        ("set constraints.x = 1", "constraints.x =1 Session"),
    ]);
}

#[test]
fn reset_and_show() {
    check_uses(&[
        ("RESET ALL", "All Default Session"),
        ("reset x.y", "x.y Default Session"),
        ("reset role", "role Default Session"),
        ("reset session authorization", "session_authorization Default Session"),
        ("reset time zone", "timezone Default Session"),
        ("show all", "All Read Session"),
        ("show transaction isolation level", "transaction_isolation Read Session"),
        ("SHOW Search_Path", "search_path Read Session"),
        ("select current_setting('App.x', true)", "app.x Read Session"),
        ("select current_setting($1)", "Param(1) Read Session"),
        ("select current_setting('a' || b)", "Expression Read Session"),
    ]);
}

#[test]
fn set_config() {
    check_uses(&[
        ("select set_config('A', 'b', false)", "a 'b' Session"),
        ("SELECT pg_catalog.set_config('search_path', '', false);", "search_path '' Session"),
        ("select \"pg_catalog\" . \"set_config\"('a','b',true)", "a 'b' Local"),
        ("select U&\"set_c!006fnfig\" uescape '!' ('a','b',false)", "a 'b' Session"),
        ("select set_config($1, $2, $3)", "Param(1) Param(2) Param(3)"),
        ("select set_config($1::text, $2::text, 'f'::bool)", "Param(1) Param(2) Session"),
        ("select set_config('a', null, false)", "a Null Session"),
        (
            "select set_config('a', 'b', false) as x, set_config('c', $$d$$, true) y",
            "a 'b' Session | c 'd' Local",
        ),
        ("select 1, set_config('a', E'\\x41', false)::text", "a 'A' Session"),
        ("select set_config('a', current_user, false)", "a Expression Session"),
        (
            "select set_config(setting_name => 'a', new_value => 'b', is_local => false)",
            "Expression Expression Expression",
        ),
        ("select set_config('a', 'b', false) from t", "a 'b' Session ?"),
        ("select set_config('a', 'b', false) where false", "a 'b' Session ?"),
        ("select set_config('a', 'b', false) || 'x'", "a 'b' Session ?"),
        ("select case when x then set_config('a', 'b', false) end", "a 'b' Session ?"),
        ("select * from set_config('a', 'b', false)", "a 'b' Session ?"),
        ("select (set_config('a', 'b', false))", "a 'b' Session ?"),
        ("select set_config from t", ""),
        ("insert into t values (set_config('a', 'b', not true))", "a 'b' Expression ?"),
    ]);
}

#[test]
fn effects_of_parameters() {
    check(&[
        ("set x = 1", "SET"),
        ("set local x = 1", "SET_LOCAL"),
        ("reset all", "SET"),
        ("show x", "READS_PARAMETER"),
        ("select set_config('a', $1, false)", "SET"),
        ("select set_config($1, $2, $3)", "SET"),
        ("select set_config('a', b, false)", "SET_UNTRACKED"),
        ("select set_config('a', b, true)", "SET_LOCAL"),
        ("select set_config('a', 'b', false) from t", "SET_UNTRACKED"),
        ("select set_config('a', 'b', true) from t", "SET_LOCAL"),
        ("select set_limit(0.3)", "SET_UNTRACKED"),
        ("set search_path = PG_temp, x", "SET TEMP"),
        ("set search_path = U&\"pg_t!0065mp\" uescape '!'", "SET TEMP"),
        ("select set_config('search_path', 'pg_temp', true)", "SET_LOCAL TEMP"),
        ("set x = 'pg_temp'", "SET"),
        ("set", "UNKNOWN"),
        ("set x", "UNKNOWN"),
        ("set x =", "UNKNOWN"),
        ("reset all x", "UNKNOWN"),
    ]);
}

#[test]
fn questions_about_a_parameter() {
    let role = b"role";
    assert!(facts_of("select 1; set role x").reads_or_sets(role));
    assert!(facts_of("reset all").reads_or_sets(role));
    assert!(facts_of("discard all").reads_or_sets(role));
    assert!(facts_of("select current_setting($1)").reads_or_sets(role));
    assert!(facts_of("do $$ begin perform 1; end $$").reads_or_sets(role));
    assert!(!facts_of("set search_path = role").reads_or_sets(role));
    assert!(!facts_of("select role from set_role").reads_or_sets(role));
}

#[test]
fn calls_nested_in_calls_are_read_once() {
    let deep = format!("select {}", "set_config(".repeat(100_000));
    assert!(facts_of(&deep).pins().contains(crate::sql::PinReason::Set));
}
