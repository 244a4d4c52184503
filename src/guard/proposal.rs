//! The policy that observed traffic would have met: learning what an application does before it is guarded.
//!
//! Under `observe` everything is found and nothing refused. What nobody did in that time can be refused from now on;
//! what somebody did is logged, with the names of who, so that the operator decides.

use std::collections::BTreeMap;

use crate::rules::{Action, RULES};

/// So many of those who did it are named.
const NAMED: usize = 3;

/// What was found of a rule: by whom, and how often.
type Doers<'a> = BTreeMap<(&'a str, &'a str), u64>;

/// The lines of a `[guard.learned]` for what was found: rule, database, role, and how often.
pub fn proposal<'a>(
    found: impl IntoIterator<Item = (&'a str, &'a str, &'a str, u64)>,
) -> Vec<String> {
    let mut seen: BTreeMap<&str, Doers> = BTreeMap::new();
    for (rule, database, role, count) in found {
        *seen.entry(rule).or_default().entry((database, role)).or_default() += count;
    }
    let mut lines = vec![
        "# Strict, but for what has been found since pgweir started: that is only logged."
            .to_owned(),
        "[guard.learned]".to_owned(),
        "base = \"strict\"".to_owned(),
    ];
    let exceptions = RULES.iter().filter(|rule| rule.strict > Action::Log);
    for rule in exceptions {
        if let Some(doers) = seen.get(rule.name) {
            lines.push(format!("{} = \"log\"  # {}", rule.name, in_words(doers)));
        }
    }
    lines
}

fn in_words(doers: &Doers) -> String {
    let total: u64 = doers.values().sum();
    let mut most: Vec<_> = doers.iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let names = most.iter().take(NAMED).map(|((database, role), _)| shown(database, role));
    let names: Vec<_> = names.collect();
    let more = match most.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{total} by {}{more}", names.join(", "))
}

/// In a comment of TOML, on one line.
fn shown(database: &str, role: &str) -> String {
    format!("{role} in {database}").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn lines(found: &[(&'static str, &'static str, &'static str, u64)]) -> String {
        proposal(found.iter().copied()).join("\n")
    }

    #[test]
    fn what_nobody_did_is_refused_and_what_somebody_did_is_logged() {
        let text = lines(&[
            ("drop-column", "shop", "migrate", 3),
            ("drop-column", "shop", "a\nb", 1),
            ("unbounded-count", "shop", "web", 9),
        ]);
        assert!(
            text.contains("\ndrop-column = \"log\"  # 4 by migrate in shop, ab in shop"),
            "{text}"
        );
        assert!(text.contains("\nunbounded-count = \"log\"  # 9 by web in shop"), "{text}");
        let file = format!(
            "{text}\n[databases.a]\nprimary = \"postgres://h/a\"\nguard = \"learned\"\n[roles.b]\n"
        );
        let config = Config::parse(&file, "learned.toml").unwrap_or_else(|p| panic!("{p}")).config;
        let policy = config.resolve("a", "b").expect("a role").policy.clone();
        assert_eq!(policy.action("drop-column"), Action::Log);
        assert_eq!(policy.action("drop-table"), Action::Reject);
    }

    #[test]
    fn only_some_of_many_are_named() {
        let by = |role| ("truncate", "d", role, 1);
        let text = lines(&[by("a"), by("b"), by("c"), by("d"), by("e")]);
        assert!(text.ends_with("5 by a in d, b in d, c in d and 2 more"), "{text}");
    }
}
