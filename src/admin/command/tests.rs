use super::*;
use crate::admin::chatter::Known;

fn check(text: &str, expected: &Command) {
    assert_eq!(Command::parse(text).as_ref(), Ok(expected), "{text}");
}

fn refused(text: &str) -> (String, String) {
    let report = Command::parse(text).unwrap_err();
    (report.sqlstate().to_owned(), report.message.into_owned())
}

fn database(name: &str) -> Scope {
    Scope::Database(name.to_owned())
}

#[test]
fn every_table_is_shown_by_its_name() {
    for show in Show::ALL {
        for text in [format!("SHOW {}", show.name()), format!(" show\t\"{}\" ;", show.name())] {
            check(&text, &Command::Show(*show));
        }
        check(&format!("select {}", show.name().to_uppercase()), &Command::Show(*show));
    }
    check("SHOW HELP", &Command::Help);
}

#[test]
fn commands_take_a_database_bare_or_quoted() {
    check("PAUSE", &Command::Pause(Scope::All));
    check("pause Shop", &Command::Pause(database("Shop")));
    check("PAUSE \"a \"\"b\"\"\";", &Command::Pause(database("a \"b\"")));
    check("resume 'shop'", &Command::Resume(database("shop")));
    check("KILL shop", &Command::Kill(database("shop")));
    check("KILL_CLIENT 12", &Command::KillClient(12));
    check("disable shop", &Command::Disable("shop".into()));
    check("ENABLE shop", &Command::Enable("shop".into()));
    check("RECONNECT", &Command::Reconnect(Scope::All));
    check("WAIT_CLOSE shop", &Command::WaitClose(database("shop")));
    check("RELOAD;", &Command::Reload);
    check("SHUTDOWN", &Command::Shutdown(ShutdownMode::AtOnce));
    check("shutdown wait_for_clients", &Command::Shutdown(ShutdownMode::WaitForClients));
    check("SHUTDOWN WAIT_FOR_SERVERS", &Command::Shutdown(ShutdownMode::WaitForServers));
}

#[test]
fn what_there_is_not_is_refused_with_the_way_to_the_list() {
    for text in ["nonsense", "SHOW", "SHOW nonsense", "SHUTDOWN now", "PAUSE a b", "SELECT 2"] {
        assert_eq!(refused(text), ("42601".into(), format!("invalid command '{text}'")));
        let hint = Command::parse(text).unwrap_err().hint;
        assert!(hint.is_some_and(|hint| hint.contains("SHOW HELP")), "{text}");
    }
    assert_eq!(refused("DISABLE").1, "a database is required");
    assert_eq!(refused("KILL_CLIENT x").0, "22023");
    assert_eq!(refused("KILL_CLIENT").0, "42601");
}

#[test]
fn what_drivers_say_when_they_connect_is_answered() {
    for text in [
        "SET extra_float_digits = 3",
        "SET client_encoding TO 'UTF8'",
        "set application_name = 'x'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "set transaction_timeout=0",
    ] {
        check(text, &Command::Chat(Chat::Done("SET")));
    }
    check("SET default_pool_size=3", &Command::SetOwn("default_pool_size".into()));
    for (text, tag) in [
        ("BEGIN", "BEGIN"),
        ("START TRANSACTION READ ONLY", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("END", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("RESET ALL", "RESET"),
        ("CLOSE ALL", "CLOSE CURSOR ALL"),
        ("UNLISTEN *", "UNLISTEN"),
        ("DEALLOCATE ALL", "DEALLOCATE"),
        ("SHOW client_encoding", "SHOW"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "SHOW"),
        ("select  1 ", "SELECT 1"),
        ("SELECT pg_catalog.version()", "SELECT 1"),
    ] {
        let command = Command::parse(text).unwrap_or_else(|report| panic!("{text}: {report:?}"));
        assert_eq!((command.tag(), command.needs_admin()), (tag, false), "{text}");
    }
    let Ok(Command::Chat(Chat::Answer { value, .. })) = Command::parse("SHOW TimeZone") else {
        panic!("a value");
    };
    assert_eq!(value, Known::Text("GMT"));
}

#[test]
fn only_looking_needs_no_administrator() {
    for text in ["PAUSE", "RESUME", "KILL a", "KILL_CLIENT 1", "DISABLE a", "ENABLE a", "RELOAD"] {
        assert!(Command::parse(text).unwrap().needs_admin(), "{text}");
    }
    for text in ["RECONNECT", "WAIT_CLOSE", "SHUTDOWN", "SET pool_mode=session", "SHOW FDS"] {
        assert!(Command::parse(text).unwrap().needs_admin(), "{text}");
    }
    for text in ["SHOW POOLS", "SHOW HELP", "SHOW CONFIG", "BEGIN"] {
        assert!(!Command::parse(text).unwrap().needs_admin(), "{text}");
    }
}

#[test]
fn a_text_may_hold_several_statements() {
    assert_eq!(statements(b"SHOW STATS; show version;;"), ["SHOW STATS", "show version"]);
    assert_eq!(statements(b"/* x */ SHOW POOLS -- y"), ["SHOW POOLS"]);
    assert!(statements(b" ; ").is_empty());
    assert_eq!(statements(b"PAUSE \"a;b\""), ["PAUSE \"a;b\""]);
}
