//! `[guard.NAME]`: policies, each with an action for every rule of `rules`.

use super::node::{Table, Value, join};
use super::report::Report;
use super::section::Section;
use super::source::{Origin, Place};
use super::words::nearest;
use crate::rules::{Action, BuiltinPolicy, RULES, RuleEntry};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the guard does, rule by rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardPolicy {
    /// Its name: of a shipped policy, or of a `[guard.NAME]`.
    pub name: String,
    /// The shipped policy that it starts from, perhaps over other `[guard.NAME]`s.
    pub base: BuiltinPolicy,
    /// The action of every rule, by the rule's name. Default: the base's. Reloadable.
    pub rules: BTreeMap<&'static str, Action>,
    /// A page named in hints. Default: none. Reloadable.
    pub hint_url: Option<String>,
    /// Tables known to be partitioned, where the catalog may not be asked. Default: none. Reloadable.
    pub partitioned_tables: Vec<String>,
    /// Where a rule's action was set, for rules that the file sets.
    origins: BTreeMap<&'static str, Origin>,
}

impl GuardPolicy {
    /// A shipped policy.
    pub fn builtin(policy: BuiltinPolicy) -> Self {
        GuardPolicy {
            name: policy.name().to_owned(),
            base: policy,
            rules: RULES.iter().map(|rule| (rule.name, policy.action(rule))).collect(),
            hint_url: None,
            partitioned_tables: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// What to do when the rule of that name finds a statement; `Off` for a name that is no rule's.
    pub fn action(&self, rule: &str) -> Action {
        self.rules.get(rule).copied().unwrap_or(Action::Off)
    }

    /// Where a rule's action comes from.
    pub fn origin(&self, rule: &str) -> Origin {
        self.origins.get(rule).cloned().unwrap_or(Origin::BuiltIn)
    }

    /// Whether any rule rejects.
    pub fn rejects(&self) -> bool {
        self.rules.values().any(|action| *action == Action::Reject)
    }

    /// Whether no rule has anything to do, so that statements need not be looked at.
    pub fn is_off(&self) -> bool {
        self.rules.values().all(|action| *action == Action::Off)
    }
}

/// A `[guard.NAME]` as the file has it.
struct Draft {
    base: Option<(String, Place)>,
    rules: Vec<(&'static RuleEntry, Action, Origin)>,
    hint_url: Option<String>,
    partitioned_tables: Option<Vec<String>>,
}

impl Draft {
    fn read(mut section: Section<'_>) -> Self {
        let base = section.optional::<String>("base").map(|set| (set.value, set.place));
        let hint_url = section.optional("hint_url").map(|set| set.value);
        let partitioned_tables = section.optional("partitioned_tables").map(|set| set.value);
        let mut rules = Vec::new();
        for (key, node, key_place) in section.remaining() {
            let path = section.key(key);
            section.accept(key);
            let Some(rule) = crate::rules::find(key) else {
                report_unknown_rule(key, &path, key_place, section.report);
                continue;
            };
            let word = match &node.value {
                Value::String { text, .. } => text.as_str(),
                Value::Boolean(false) => "off",
                Value::Broken => continue,
                _ => "",
            };
            match Action::parse(word) {
                Some(action) => {
                    rules.push((rule, action, section.report.sources.origin(node.place)));
                }
                None => {
                    let words = Action::ALL.map(Action::as_str);
                    let message = format!("a rule's action is one of {}", words.join(", "));
                    let help =
                        nearest(word, words).map(|meant| format!("did you mean \"{meant}\"?"));
                    section.report.error(node.place, &path, message).help = help;
                }
            }
        }
        section.finish();
        Draft { base, rules, hint_url, partitioned_tables }
    }
}

fn report_unknown_rule(key: &str, path: &str, place: Place, report: &mut Report) {
    let names =
        RULES.iter().map(|rule| rule.name).chain(["base", "hint_url", "partitioned_tables"]);
    let help = match nearest(key, names.clone()) {
        Some(meant) => Some(format!("did you mean `{meant}`?")),
        // A part of a name finds its rules: `where`, `index`, `not-null`.
        None => {
            let near: Vec<_> = names.filter(|name| key.len() > 3 && name.contains(key)).collect();
            (!near.is_empty()).then(|| format!("there are {}", near.join(", ")))
        }
    };
    report.error(place, path, format!("the guard has no rule `{key}`")).help = help;
}

/// Every policy: the shipped ones and those of the file.
pub(super) fn read_policies(section: Option<Section<'_>>) -> BTreeMap<String, Arc<GuardPolicy>> {
    let mut policies: BTreeMap<String, Arc<GuardPolicy>> = BuiltinPolicy::ALL
        .iter()
        .map(|policy| (policy.name().to_owned(), Arc::new(GuardPolicy::builtin(*policy))))
        .collect();
    let Some(mut section) = section else { return policies };
    let drafts = read_drafts(&mut section);
    let report = &mut *section.report;
    for name in drafts.keys() {
        let policy = settle(name, &drafts, &policies, report);
        policies.insert(name.clone(), Arc::new(policy));
    }
    policies
}

fn read_drafts(section: &mut Section<'_>) -> BTreeMap<String, Draft> {
    let mut drafts = BTreeMap::new();
    for (name, node, place) in section.remaining() {
        if crate::rules::find(name).is_some() && !matches!(node.value, Value::Table(_)) {
            section.accept(name);
            let message = "a rule's action stands in a policy, not in [guard] itself";
            section.report.error(place, &join("guard", name), message).help = Some(format!(
                "write [guard.NAME] with base = \"default\" and {name} below, and guard = \"NAME\" under [defaults]"
            ));
            continue;
        }
        let Some((table, _)): Option<(&Table, Place)> = section.table(name) else { continue };
        let path = join("guard", name);
        if BuiltinPolicy::parse(name).is_some() {
            let message = format!("the policy `{name}` ships with pgweir and stays as it is");
            section.report.error(place, &path, message).help =
                Some(format!("write [guard.my-{name}] with base = \"{name}\", and name that one"));
        }
        drafts
            .insert(name.to_owned(), Draft::read(Section::new(path, place, table, section.report)));
    }
    drafts
}

/// Follows the bases down to a shipped policy, then applies each draft on the way back.
fn settle(
    name: &str,
    drafts: &BTreeMap<String, Draft>,
    shipped: &BTreeMap<String, Arc<GuardPolicy>>,
    report: &mut Report,
) -> GuardPolicy {
    let mut chain = Vec::new();
    let mut current = name.to_owned();
    let mut base = BuiltinPolicy::Default;
    while let Some(draft) = drafts.get(&current) {
        if chain.iter().any(|(seen, _)| *seen == current) {
            // Each policy of the loop reports its own `base`, and only that.
            if let Some((_, place)) =
                drafts.get(name).and_then(|draft| draft.base.as_ref()).filter(|_| current == name)
            {
                report.error(
                    *place,
                    &format!("{}.base", join("guard", name)),
                    "the policies base on each other in a circle",
                );
            }
            break;
        }
        chain.push((current.clone(), draft));
        let Some((next, place)) = &draft.base else { break };
        if let Some(found) = BuiltinPolicy::parse(next) {
            base = found;
            break;
        }
        if !drafts.contains_key(next) {
            if current == name {
                let known = shipped.keys().chain(drafts.keys()).map(String::as_str);
                let help = nearest(next, known).map(|meant| format!("did you mean \"{meant}\"?"));
                let path = format!("{}.base", join("guard", name));
                report.error(*place, &path, format!("there is no policy `{next}`")).help = help;
            }
            break;
        }
        current.clone_from(next);
    }
    let mut policy = GuardPolicy { name: name.to_owned(), ..GuardPolicy::builtin(base) };
    for (_, draft) in chain.iter().rev() {
        for (rule, action, origin) in &draft.rules {
            policy.rules.insert(rule.name, *action);
            policy.origins.insert(rule.name, origin.clone());
        }
        if draft.hint_url.is_some() {
            policy.hint_url.clone_from(&draft.hint_url);
        }
        if let Some(tables) = &draft.partitioned_tables {
            policy.partitioned_tables.clone_from(tables);
        }
    }
    policy
}
