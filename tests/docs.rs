//! The documents say what the program does.

use std::collections::BTreeSet;

use pgweir::admin::Show;
use pgweir::config::ClockLimit;
use pgweir::config::not_yet::NOT_YET;
use pgweir::errors;
use pgweir::session::{Limit, MaySet};
use pgweir::wire::Report;

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_error_of_a_session_is_explained() {
    let document = read("docs/errors.md");
    let cause = Report::fatal(b"08001", "cannot connect to the database server");
    let queue = errors::Queue { waiting: 3, longest_ms: 4 };
    let all = [
        errors::pool_wait_timeout(1, 2, queue),
        errors::shared_limit_timeout(1, 2, queue),
        errors::limit_stays(Limit::Lock, 63, MaySet::Lower),
        errors::server_unavailable(&cause),
        errors::no_primary(),
        errors::several_primaries(),
        errors::writes_rejected("shop"),
        errors::of_one_server("LOAD"),
        errors::no_replica("shop", None),
        errors::primary_moved(),
        errors::replica_silent("LOAD"),
        errors::server_lost(),
        errors::server_silent(),
        errors::result_type_changed(),
        errors::commit_unknown(),
        errors::transaction_lost(None),
        errors::session_lost(None),
        errors::failed_transaction(),
        errors::cancelled_while_waiting(),
        errors::shutting_down(),
        errors::client_idle(1),
        errors::pin_idle(1, "LOAD"),
        errors::session_state_refused("LOAD"),
        errors::guard_refused("truncate", "LOAD"),
        errors::guard_warned("truncate", "LOAD"),
        errors::statement_too_long(3, 2),
        errors::configuration_gone(),
        errors::listener_lost(&cause),
        errors::listener_moved(),
        errors::too_many_notifications(),
        errors::limit_struck(ClockLimit::Statement, 1, 2, "x"),
        errors::limit_struck_in_vain(
            errors::limit_struck(ClockLimit::Maintenance, 1, 2, "x"),
            false,
        ),
        errors::killed(),
        errors::unknown_message_type(b'?'),
        errors::message_in_copy(b'P'),
        errors::server_protocol_violation(),
        errors::internal(),
    ];
    // One that is added to the table belongs into this test and into the document.
    assert_eq!(read("src/errors.rs").matches("\npub fn ").count(), all.len());
    let others = [ClockLimit::Transaction, ClockLimit::IdleInTransaction];
    let others = others.map(|limit| errors::limit_struck(limit, 1, 2, "x"));
    for report in all.into_iter().chain(others) {
        let message = report
            .message
            .replace(" 63ms", " *n*")
            .replace(" 63", " *n*")
            .replace("lock_timeout", "*limit*")
            .replace("0x50", "*n*")
            .replace("\"shop\"", "\"*name*\"")
            .replace("\"LOAD\"", "\"*name*\"")
            .replace("LOAD", "*reason*");
        let line = format!("| {} | {message} |", String::from_utf8_lossy(&report.sqlstate));
        assert!(document.contains(&line), "docs/errors.md lacks {line}");
    }
}

#[test]
fn the_readme_begins_with_what_it_is_and_the_two_commands() {
    let readme = read("README.md");
    let first_block = readme.lines().position(|line| line.starts_with("```"));
    assert!(first_block.is_some_and(|line| line < 15), "{first_block:?}");
    let targets = read("Makefile");
    let commands = readme.lines().filter_map(|line| line.strip_prefix("make "));
    for target in commands.filter_map(|rest| rest.split_whitespace().next()) {
        assert!(targets.contains(&format!("\n{target}:")), "make {target} does not exist");
    }
}

#[test]
fn what_the_documents_link_to_is_there() {
    for document in [
        "README.md",
        "docs/console.md",
        "docs/metrics.md",
        "docs/routing.md",
        "docs/errors.md",
        "docs/configuration.md",
        "docs/guard.md",
        "docs/lint.md",
        "docs/drivers.md",
        "docs/postgres.md",
        "docs/timeouts.md",
        "docs/django.md",
        "benches/README.md",
    ] {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let path = format!("{}/{folder}/{file}", env!("CARGO_MANIFEST_DIR"));
            assert!(std::path::Path::new(&path).exists(), "{document} links to {link}");
        }
    }
}

#[test]
fn every_table_of_the_console_is_explained() {
    let document = read("docs/console.md");
    for show in Show::ALL {
        let name = show.name().to_uppercase();
        assert!(document.contains(&name), "docs/console.md lacks SHOW {name}");
    }
    for show in [Show::Pools, Show::Clients] {
        for (column, _) in show.columns() {
            assert!(document.contains(&format!("`{column}`")), "docs/console.md lacks {column}");
        }
    }
}

#[test]
fn the_keys_that_do_nothing_yet_are_those_that_the_reference_lists() {
    let document = read("docs/configuration.md");
    let (_, section) = document.split_once("## What does nothing yet").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let rows = section.lines().filter(|line| line.starts_with("| `["));
    let listed: BTreeSet<(&str, &str)> = rows
        .flat_map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            let [tables, keys] = [1, 2].map(|cell| cells[cell].split('`').skip(1).step_by(2));
            let tables: Vec<&str> = tables.collect();
            keys.flat_map(move |key| tables.clone().into_iter().map(move |table| (table, key)))
        })
        .collect();
    for (table, key, _) in NOT_YET {
        assert!(listed.contains(&(table, key)), "docs/configuration.md lacks {key} of {table}");
    }
    let known: BTreeSet<&str> = NOT_YET.iter().map(|(_, key, _)| *key).collect();
    for (_, key) in listed {
        assert!(known.contains(key), "docs/configuration.md says that {key} does nothing yet");
    }
}
