//! Tables of cases, one file per family, each through one check function.

mod code;
mod commands;
mod commands_of_code;
mod commands_of_queries;
mod fingerprint;
mod lexer;
mod parameters;
mod properties;
mod reads;
mod script;
mod split;
mod state;
mod transaction;
mod upkeep;
mod vacated;

use super::{LexOptions, TextFacts, facts};

/// The facts of `text` with the server's usual settings.
fn facts_of(text: &str) -> TextFacts {
    facts(text.as_bytes(), LexOptions::default())
}

/// The names of all effects of `text`, in order, with blanks between.
fn effects_of(text: &str) -> String {
    let listed = format!("{:?}", facts_of(text).effects());
    listed.trim_matches(['{', '}']).replace(['"', ','], "")
}

/// Checks the effects of each text.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&effects_of(text), expected, "{text}");
    }
}
