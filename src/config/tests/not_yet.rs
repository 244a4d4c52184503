//! Keys that nothing acts on yet are told, wherever they stand.

use super::super::not_yet::NOT_YET;
use super::*;

fn told(text: &str) -> Vec<String> {
    let loaded = load(&with_database(text)).unwrap_or_else(|problems| panic!("{problems}"));
    loaded.not_yet.iter().map(Problem::in_one_line).collect()
}

#[test]
fn what_is_set_and_does_nothing_is_told_with_its_line() {
    let text = "[defaults]\nstatement_timeout = \"15s\"\nquery_timeout = \"1s\"\n";
    assert!(load(&with_database(text)).is_err(), "one setting under two names");
    assert_eq!(
        told(
            "[defaults]\nquery_timeout = \"15s\"\npool_size = 3\n[databases.a]\nprimary = \"host=localhost\"\n\
             replicas = [\"host=localhost\"]\nrouting.max_lag = \"5s\"\nroles.x.guard = \"ours\"\n\
             [roles.y]\nroute = \"replica\"\nreplication = \"pass\"\n[guard.ours]\nslow-statement = \"reject\"\n[server]\npeers = [\"127.0.0.1:6433\"]\n"
        ),
        [
            "pgweir.toml:11: `roles.y.replication` does nothing yet: it is always refuse",
            "pgweir.toml:13: `guard.ours.slow-statement` does nothing yet",
            "pgweir.toml:15: `server.peers` does nothing yet",
        ]
    );
}

#[test]
fn attributes_are_told_that_ask_for_another_than_the_primary_or_that_nobody_looks_at() {
    let attributes = |hosts: &str, attributes: &str| {
        told(&format!(
            "[databases.a]\nprimary = \"postgres://{hosts}/?target_session_attrs={attributes}\"\n"
        ))
    };
    let nothing: [&str; 0] = [];
    let several = "localhost,127.0.0.1";
    for (hosts, words) in
        [(several, "read-write"), (several, "primary"), (several, "any"), ("localhost", "any")]
    {
        assert_eq!(attributes(hosts, words), nothing, "{words}");
    }
    for (hosts, words) in
        [(several, "standby"), (several, "prefer-standby"), ("localhost", "read-write")]
    {
        let expected =
            "pgweir.toml:2: `databases.a.primary` has target_session_attrs, which does nothing yet";
        assert_eq!(attributes(hosts, words), [expected], "{words}");
    }
}

#[test]
fn a_value_that_asks_for_what_happens_anyway_is_not_told() {
    let nothing: [&str; 0] = [];
    assert_eq!(
        told(
            "[defaults]\nstatement_timeout = \"off\"\nlock_timeout = 0\npin_timeout = \"0\"\nguard = \"off\"\n\
             replication = \"refuse\"\nreset_on_handover = \"always\"\nmax_prepared_statements = 0\n[server]\nworkers = 1\npeers = []\n\
             [http]\ndashboard = false\n[log]\nrate_limit = \"off\"\n"
        ),
        nothing
    );
}

#[test]
fn the_list_names_keys_that_there_are() {
    for (table, key, _) in NOT_YET {
        let keys = keys::TABLES.iter().find(|(known, _)| known == table).map(|(_, keys)| *keys);
        let keys = if *table == "[defaults]" { Some(Settings::KEYS) } else { keys };
        let is_rule = *table == "[guard.NAME]" && crate::rules::find(key).is_some();
        assert!(is_rule || keys.is_some_and(|keys| keys.contains(key)), "{key} in {table}");
    }
}

#[test]
fn explain_says_of_each_value_whether_it_is_acted_on() {
    let config = good(&with_database("[defaults]\nstatement_timeout = \"1s\"\n"));
    for value in config.explain("shop", "web").unwrap() {
        let known =
            NOT_YET.iter().find(|(table, key, _)| (*table, *key) == ("[defaults]", &value.key));
        let expected = known.is_none_or(|(_, _, today)| *today == value.value);
        assert_eq!(value.acted_on, expected, "{}", value.key);
    }
}
