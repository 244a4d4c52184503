//! Whole files: what they become, and every kind of problem as it is shown.

use super::interpolate::tests::Fake;
use super::load::{Files, read};
use super::*;
use proptest::prelude::*;
use std::path::Path;

/// The surroundings that the reference file expects.
fn fake() -> Fake {
    Fake {
        variables: vec![
            ("SHOP_APP_PASSWORD", "sp"),
            ("WEB_DB_PASSWORD", "wp"),
            ("MIGRATOR_DB_PASSWORD", "mp"),
        ],
        files: vec![("/run/secrets/reports_db", "rp\n")],
    }
}

fn load(text: &str) -> Result<Loaded, ConfigProblems> {
    read(text, "pgweir.toml", &fake(), Files::Ignore)
}

fn reference() -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/pgweir.toml");
    let text = std::fs::read_to_string(path).unwrap();
    load(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_reference_file_loads() {
    let loaded = reference();
    for warning in &loaded.warnings {
        println!("{warning}");
    }
}
