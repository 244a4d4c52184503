//! What holds for every text: reading never panics, and each problem names a place that is there.

use super::*;
use proptest::prelude::*;
use proptest::strategy::Strategy;

/// Pieces that a file is made of, right and wrong.
const PIECES: &[&str] = &[
    "\n",
    " ",
    "=",
    " = ",
    ".",
    ",",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "\\",
    "$",
    "${",
    "}",
    "${SECRET}",
    "${NONE}",
    "${NONE:-5}",
    "${file:/run/secrets/reports_db}",
    "${file:/none}",
    "é",
    "\u{feff}",
    "\r\n",
    "0",
    "1",
    "-1",
    "1e400",
    "99999999999999999999",
    "nan",
    "true",
    "1979-05-27",
    "\"off\"",
    "\"15s\"",
    "\"15\"",
    "\"64MB\"",
    "\"20/s\"",
    "[]",
    "[databases.shop]\n",
    "[databases.\"*\"]\n",
    "[roles.web]\n",
    "[defaults]\n",
    "[server]\n",
    "[server.tls]\n",
    "[auth]\n",
    "[[access]]\n",
    "[guard.ours]\n",
    "[log]\n",
    "[http]\n",
    "[admin]\n",
    "[databases.shop.routing]\n",
    "[databases.shop.roles.web]\n",
    "[databases.a]\n",
    "alias_of = \"a\"\n",
    "alias_of = \"shop\"\n",
    "base = \"ours\"\n",
    "guard = \"ours\"\n",
    "truncate = \"reject\"\n",
    "primary = \"postgres://u:p@h:1,[::1]:2/d?sslmode=require\"\n",
    "primary = \"host=a port=x\"\n",
    "primary = \"host='a\\\\\"\n",
    "replicas = [\"host=a\", { url = \"host=b\", weight = 0 }]\n",
    "pool_sze = 5\n",
    "pool_size = 5\n",
    "default_pool_size = 5\n",
    "min_pool_size = 9\n",
    "config_version = 2\n",
    "include = []\n",
    "from = [\"10.0.0.0/33\", \"unix\"]\n",
    "method = \"trust\"\n",
    "listen = [\"*:x\", \"[::1]:1\"]\n",
    "password = \"x\"\n",
];

/// What is on this machine's disk must not matter.
fn keys_without_include() -> Vec<&'static str> {
    keys::all().into_iter().filter(|key| *key != "include").collect()
}

/// Text that looks like a configuration more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => prop::sample::select(keys_without_include()).prop_map(|key| format!("{key} = ")),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// The reference with a few of its lines gone, doubled, cut, or with something else in them.
fn broken_reference() -> impl Strategy<Value = String> {
    let change =
        (any::<prop::sample::Index>(), 0..5_u8, prop::sample::select(PIECES.to_vec()), 0..80_usize);
    prop::collection::vec(change, 1..6).prop_map(|changes| {
        let text = read_reference().replace("include = [\"conf.d/*.toml\"]", "");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (index, kind, piece, at) in changes {
            let at_line = index.index(lines.len());
            let line = lines[at_line].clone();
            let (before, after) = line.split_at(line.floor_char_boundary(at.min(line.len())));
            match kind {
                0 => lines[at_line].clear(),
                1 => lines.insert(at_line, line.clone()),
                2 => lines[at_line] = before.to_owned(),
                3 => lines[at_line] = format!("{before}{piece}{after}"),
                _ => lines[at_line] = line.replacen('=', &format!("= {piece} #"), 1),
            }
        }
        lines.join("\n")
    })
}

/// Reads a text, and looks at every problem that it has.
fn read_and_look(text: &str) {
    let outcome = load(text);
    let problems = match &outcome {
        Ok(loaded) => loaded.warnings.iter().chain(&loaded.not_yet).collect::<Vec<_>>(),
        Err(refused) => {
            assert!(refused.count(Severity::Error) > 0, "refused without an error:\n{text}");
            assert!(refused.to_string().contains("error"));
            refused.problems.iter().collect()
        }
    };
    for problem in problems {
        assert!(!problem.message.is_empty() && !problem.to_string().is_empty());
        let also = problem.also.iter().map(|(_, location)| location);
        also.chain(&problem.location).for_each(|location| look(location, text, problem));
        // What is not there stands nowhere, but its key says where it belongs.
        assert!(problem.location.is_some() || problem.key.is_some(), "no place: {problem}\n{text}");
    }
    if let Ok(Loaded { config, .. }) = outcome {
        for database in config.databases().map(|database| database.name.clone()).collect::<Vec<_>>()
        {
            for role in config.roles_of(&database).into_iter().chain([""]) {
                let settings = config.resolve(&database, role);
                assert!(settings.is_some() || database == "*", "{database} {role}\n{text}");
                assert_eq!(config.explain(&database, role).is_some(), settings.is_some(), "{text}");
            }
        }
        assert!(config.changes_since(&config).is_empty());
        config.budget();
    }
}

/// The place lies in the text, and what is underlined in the line.
fn look(location: &Location, text: &str, problem: &Problem) {
    let lines = text.split('\n').count();
    let Location { file, line, column, excerpt, underline_start, underline_len } = location;
    assert_eq!(&**file, "pgweir.toml");
    assert!((1..=lines).contains(&(*line as usize)), "line {line} of {lines}: {problem}\n{text}");
    assert!(*column >= 1 && *underline_len >= 1, "{problem}\n{text}");
    // Blanks at the end of a line are not shown.
    let shown = excerpt.chars().count().max(*column as usize);
    assert!(*underline_start <= shown, "{problem}\n{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_a_panic_and_each_problem_has_a_place(text in text()) {
        read_and_look(&text);
    }

    #[test]
    fn so_is_the_reference_with_mistakes_in_it(text in broken_reference()) {
        read_and_look(&text);
    }

    #[test]
    fn an_unknown_key_is_named_where_it_stands(
        key in "[a-z]{3,9}_zz",
        table in prop::sample::select(vec!["defaults", "server", "log", "roles.web", "databases.shop"]),
        before in 0..5_usize,
    ) {
        let text = format!("{}{table}.{key} = 1\n{}", "\n".repeat(before), with_database(""));
        let refused = load(&text).unwrap_err();
        let found = refused.problems.iter().find(|problem| problem.message.contains(&key));
        let at = found.and_then(|problem| problem.location.clone()).expect("its place");
        prop_assert_eq!((at.line as usize, at.column as usize), (before + 1, table.len() + 2));
    }

    #[test]
    fn no_problem_shows_a_secret(text in broken_reference()) {
        // The variables' values of `fake`, which no file contains.
        let shown = match load(&text) {
            Ok(loaded) => loaded.warnings.iter().chain(&loaded.not_yet).map(ToString::to_string).collect::<String>(),
            Err(refused) => refused.to_string(),
        };
        // Those of variables and files that hold secrets; HOST and POOL_SIZE do not.
        for secret in ["app's", "web's", "migrator's", "reports'", "hunter2"] {
            prop_assert!(!shown.contains(secret), "{}", shown);
        }
    }
}
