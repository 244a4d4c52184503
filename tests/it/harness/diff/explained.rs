//! The list of differences that are meant, and its check: it must be exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Script names with the reason why their replies differ.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    reasons: BTreeMap<String, String>,
    by_chance: BTreeSet<String>,
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

    /// One `name reason …` a line; `#` begins a comment. A `?` before the name: the replies may
    /// differ, by chance of which server answers.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reasons = BTreeMap::new();
        let mut by_chance = BTreeSet::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, reason) = line.split_once(' ').unwrap_or((line, ""));
            let name = match name.strip_prefix('?') {
                Some(name) => {
                    by_chance.insert(name.to_owned());
                    name
                }
                None => name,
            };
            if reason.trim().is_empty() {
                return Err(format!("{name} is explained without a reason"));
            }
            if reasons.insert(name.to_owned(), reason.trim().to_owned()).is_some() {
                return Err(format!("{name} is explained twice"));
            }
        }
        Ok(Self { reasons, by_chance })
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
            .filter(|name| !self.by_chance.contains(*name))
            .filter(|name| played.contains(*name) && !differed.contains(*name))
            .map(String::as_str)
    }

    /// Entries that name no script.
    pub fn unknown<'a>(&'a self, known: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        self.reasons.keys().filter(|name| !known.contains(*name)).map(String::as_str)
    }
}
