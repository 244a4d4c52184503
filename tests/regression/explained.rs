//! The differences that are meant, each with its reason: exact, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::comparison::Difference;

/// What `explained.txt` explains.
#[derive(Debug, Default)]
pub struct Explained {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    scripts: Vec<String>,
    majors: RangeInclusive<u32>,
    by_chance: bool,
    goes_on: bool,
    reason: String,
    difference: Difference,
}

impl Entry {
    fn concerns(&self, script: &str, major: u32) -> bool {
        self.majors.contains(&major) && self.scripts.iter().any(|named| named == script)
    }

    fn explains(&self, lines: &[String]) -> bool {
        let known = &self.difference.lines[..];
        if self.goes_on { lines.starts_with(known) } else { lines == known }
    }
}

/// What was found, held against what is explained.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How often each reason came up.
    pub reasons: BTreeMap<String, usize>,
    /// What nothing explains, and what is explained and was not found.
    pub faults: Vec<String>,
}

impl Explained {
    /// The reviewed file.
    pub fn stored() -> Self {
        Self::parse(include_str!("explained.txt")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `[script script 18-] reason`, then the lines of one difference, up to an empty line. The scripts may be of some
    /// major versions of Postgres only (`18-`, `-17`, `15-16`), and a `?` says that the difference comes and goes. `...`
    /// as the last line: whatever follows in the same difference.
    fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        let mut open = false;
        for line in text.lines() {
            match line.chars().next() {
                None => open = false,
                Some('#') if !open => {}
                Some('[') if !open => {
                    all.entries.push(head(line).ok_or_else(|| format!("explained.txt: {line}"))?);
                    open = true;
                }
                Some('-' | '+' | '!') if open => {
                    let entry = all.entries.last_mut().expect("one is open");
                    entry.difference.lines.push(line.trim_end().to_owned());
                }
                Some('.') if open && line == "..." => {
                    all.entries.last_mut().expect("one is open").goes_on = true;
                }
                Some(_) => return Err(format!("explained.txt: {line}")),
            }
        }
        Ok(all)
    }

    /// Whether each of these differences of a script is explained.
    pub fn covers(&self, major: u32, script: &str, found: &[Difference]) -> bool {
        found.iter().all(|difference| self.reason(major, script, difference).is_some())
    }

    /// The entry that explains a difference, by its number.
    fn reason(&self, major: u32, script: &str, difference: &Difference) -> Option<usize> {
        let lines = difference.lines.iter().map(|line| line.trim_end().to_owned());
        let lines: Vec<_> = lines.collect();
        self.entries
            .iter()
            .position(|entry| entry.concerns(script, major) && entry.explains(&lines))
    }

    /// Judges what was found in the scripts that were played.
    pub fn judge(&self, major: u32, found: &BTreeMap<String, Vec<Difference>>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut seen = BTreeSet::new();
        for (script, differences) in found {
            for difference in differences {
                match self.reason(major, script, difference) {
                    Some(number) => {
                        seen.insert((number, script));
                        let reason = self.entries[number].reason.clone();
                        *verdict.reasons.entry(reason).or_default() += 1;
                    }
                    None => verdict.faults.push(format!(
                        "[{script}] not explained:\n{}",
                        difference.lines.join("\n")
                    )),
                }
            }
            for (number, entry) in self.entries.iter().enumerate() {
                let stale = !entry.by_chance && !seen.contains(&(number, script));
                if stale && entry.concerns(script, major) {
                    let lines = entry.difference.lines.join("\n");
                    verdict.faults.push(format!("[{script}] explained, but not found:\n{lines}"));
                }
            }
        }
        verdict
    }
}

fn head(line: &str) -> Option<Entry> {
    let (names, reason) = line.strip_prefix('[')?.split_once("] ")?;
    let mut entry = Entry {
        scripts: Vec::new(),
        majors: 0..=u32::MAX,
        by_chance: false,
        goes_on: false,
        reason: reason.trim().to_owned(),
        difference: Difference { lines: Vec::new() },
    };
    for word in names.split_whitespace() {
        match word.split_once('-') {
            _ if word == "?" => entry.by_chance = true,
            Some((first, last)) => {
                let first = if first.is_empty() { 0 } else { first.parse().ok()? };
                let last = if last.is_empty() { u32::MAX } else { last.parse().ok()? };
                entry.majors = first..=last;
            }
            None => entry.scripts.push(word.to_owned()),
        }
    }
    (!entry.scripts.is_empty() && !entry.reason.is_empty()).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::Explained;
    use crate::comparison::Difference;

    const TEXT: &str =
        "# why\n[guc temp 18-] known\n-1\n+ 2 \n\n[? guc] chance\n-3\n\n[copy] long\n-5\n...\n";

    fn faults(major: u32, script: &str, found: &[&[&str]]) -> Vec<String> {
        let lines = |lines: &&[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let found: Vec<_> = found.iter().map(|found| Difference { lines: lines(found) }).collect();
        let played = [(script.to_owned(), found)].into();
        Explained::parse(TEXT).unwrap().judge(major, &played).faults
    }

    #[test]
    fn what_is_explained_passes_and_what_is_not_fails() {
        assert_eq!(faults(18, "guc", &[&["-1", "+ 2"], &["-3"]]), [""; 0]);
        assert_eq!(faults(18, "guc", &[&["-1", "+ 2"], &["-1", "+ 2"]]), [""; 0]);
        assert_eq!(faults(18, "guc", &[&["-1", "+ 2"], &["-4"]]), ["[guc] not explained:\n-4"]);
        assert_eq!(faults(17, "temp", &[&["-1", "+ 2"]]), ["[temp] not explained:\n-1\n+ 2"]);
        assert_eq!(faults(18, "copy", &[&["-3"], &["-5", "+6"]]), ["[copy] not explained:\n-3"]);
    }

    #[test]
    fn what_no_longer_occurs_fails_where_its_script_was_played() {
        assert_eq!(faults(18, "temp", &[]), ["[temp] explained, but not found:\n-1\n+ 2"]);
        assert_eq!(faults(17, "temp", &[]), [""; 0]);
        assert_eq!(faults(18, "plpgsql", &[]), [""; 0]);
    }

    #[test]
    fn an_entry_without_a_reason_or_a_script_is_refused() {
        for wrong in ["[guc]\n-1", "[guc] \n-1", "[] why", "[18-] why", "-1", "why"] {
            assert!(Explained::parse(wrong).is_err(), "{wrong}");
        }
    }
}
