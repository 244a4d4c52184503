//! The parts of the room that need no server. The servers themselves are proven in `tests/it`.

use std::path::PathBuf;

use super::binaries::{parse_major, parse_version};
use super::process::{Account, account_named, parent_in_stat};
use super::{ClusterError, quote_identifier, quote_literal};

#[test]
fn the_version_is_read_from_what_postgres_prints() {
    let check = |text: &str, expected: Option<(&str, u32)>| {
        let expected = expected.map(|(version, major)| (version.to_owned(), major));
        assert_eq!(parse_version(text), expected, "{text:?}");
    };
    check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(("15.18", 15)));
    check("postgres (PostgreSQL) 18.4\n", Some(("18.4", 18)));
    check("postgres (PostgreSQL) 19beta1\n", Some(("19beta1", 19)));
    check("initdb 15.18", None);
    check("", None);
}

#[test]
fn an_account_is_found_by_its_whole_name() {
    let file = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7::/:\npostgres:x:101:104:,,,:/var:/sh\n";
    assert_eq!(account_named(file, "postgres"), Some(Account { uid: 101, gid: 104 }));
    assert_eq!(account_named(file, "nobody"), None);
}

#[test]
fn the_parent_is_found_behind_any_process_name() {
    assert_eq!(parent_in_stat("42 (a b) S) R 7 42 42 0"), Some(7));
    assert_eq!(parent_in_stat(""), None);
}

#[test]
fn names_and_values_are_quoted() {
    assert_eq!(quote_identifier("we\"ird"), "\"we\"\"ird\"");
    assert_eq!(quote_literal("it's"), "'it''s'");
    assert_eq!(quote_literal("a\\'b"), " E'a\\\\''b'");
}

#[test]
fn a_missing_postgres_names_the_package_and_the_folders() {
    let error =
        ClusterError::NoPostgres { major: Some(17), searched: vec![PathBuf::from("/some/bin")] };
    let text = error.to_string();
    for part in ["no Postgres 17", "/some/bin", "apt-get install postgresql-17", "PGWEIR_PG_BIN"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_major_version_is_a_number_or_an_error_that_names_it() {
    assert_eq!(parse_major("17".as_ref()).ok(), Some(17));
    for odd in ["", "17.10", "seventeen", " 17"] {
        let text = parse_major(odd.as_ref()).err().map(|error| error.to_string());
        assert_eq!(
            text,
            Some(format!("PGWEIR_PG_MAJOR is {odd:?}: write a major version, such as 17"))
        );
    }
}
