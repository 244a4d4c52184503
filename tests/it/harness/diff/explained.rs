//! The list of differences that are meant, and its check: it must be exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;

/// Script names with the reason why their replies differ.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    reasons: BTreeMap<String, String>,
    by_chance: BTreeSet<String>,
    /// Those of other major versions too.
    named: BTreeSet<String>,
}

impl Explained {
    /// What `tests/it/scripts/explained.txt` has for this major version of Postgres.
    pub fn stored(major: u32) -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/scripts/explained.txt");
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        Self::parse(&text, major).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// An empty list: nothing may differ.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One `name reason …` a line; `#` begins a comment. A `?` before the name: the replies may
    /// differ, by chance of which server answers. `[-17]`, `[18-]` or `[15-16]` before the reason:
    /// only on these major versions.
    pub fn parse(text: &str, major: u32) -> Result<Self, String> {
        let mut all = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (name, by_chance) = match name.strip_prefix('?') {
                Some(name) => (name, true),
                None => (name, false),
            };
            let (majors, reason) =
                majors(rest).ok_or_else(|| format!("{name} is explained for odd versions"))?;
            if reason.is_empty() {
                return Err(format!("{name} is explained without a reason"));
            }
            all.named.insert(name.to_owned());
            if !majors.contains(&major) {
                continue;
            }
            if all.reasons.insert(name.to_owned(), reason.to_owned()).is_some() {
                return Err(format!("{name} is explained twice"));
            }
            if by_chance {
                all.by_chance.insert(name.to_owned());
            }
        }
        Ok(all)
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

    /// Entries that name no script, those of other major versions too.
    pub fn unknown<'a>(&'a self, known: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        self.named.iter().filter(|name| !known.contains(*name)).map(String::as_str)
    }
}

/// Reads what stands behind a name: the major versions, all when none are named, and the reason.
fn majors(text: &str) -> Option<(RangeInclusive<u32>, &str)> {
    let Some(listed) = text.trim().strip_prefix('[') else {
        return Some((0..=u32::MAX, text.trim()));
    };
    let (listed, reason) = listed.split_once(']')?;
    let (first, last) = listed.split_once('-')?;
    let number =
        |text: &str, open: u32| if text.is_empty() { Some(open) } else { text.parse().ok() };
    let majors = number(first, 0)?..=number(last, u32::MAX)?;
    (!majors.is_empty()).then_some((majors, reason.trim()))
}
