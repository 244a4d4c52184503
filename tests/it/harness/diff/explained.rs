//! The list of differences that are meant, and its check: it must be exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Script names with the reason why their replies differ.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    reasons: BTreeMap<String, String>,
}

impl Explained {
    /// The list in `tests/it/scripts/explained.txt`.
    pub fn stored() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/scripts/explained.txt");
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        Self::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// An empty list: nothing may differ.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One `name reason …` a line; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reasons = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, reason) = line.split_once(' ').unwrap_or((line, ""));
            if reason.trim().is_empty() {
                return Err(format!("{name} is explained without a reason"));
            }
            if reasons.insert(name.to_owned(), reason.trim().to_owned()).is_some() {
                return Err(format!("{name} is explained twice"));
            }
        }
        Ok(Self { reasons })
    }

    /// Whether this script may differ.
    pub fn covers(&self, script: &str) -> bool {
        self.reasons.contains_key(script)
    }

    /// Entries whose script was played and did not differ.
    pub fn stale<'a>(
        &'a self,
        played: &'a BTreeSet<String>,
        differed: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = &'a str> {
        self.reasons
            .keys()
            .filter(|name| played.contains(*name) && !differed.contains(*name))
            .map(String::as_str)
    }

    /// Entries that name no script.
    pub fn unknown<'a>(&'a self, known: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        self.reasons.keys().filter(|name| !known.contains(*name)).map(String::as_str)
    }
}
