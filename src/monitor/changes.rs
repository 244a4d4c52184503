//! What is different between two pictures: for the log, and for the loops.

use crate::route::{Health, NodePicture, Picture, PrimaryIs, Topology};

/// One difference, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// It is for the worse.
    pub is_bad: bool,
    pub text: String,
}

fn good(text: String) -> Change {
    Change { is_bad: false, text }
}

fn bad(text: String) -> Change {
    Change { is_bad: true, text }
}

/// Every change of role or health. What only moves on, positions and lags, is none.
pub(super) fn changes(topology: &Topology, before: &Picture, after: &Picture) -> Vec<Change> {
    let mut all = Vec::new();
    let name = |node: usize| topology.nodes[node].host().to_string();
    for (number, (then, now)) in before.nodes.iter().zip(&after.nodes).enumerate() {
        all.extend(of_node(&name(number), then, now));
    }
    if before.primary != after.primary {
        all.extend(of_primary(&name, &before.primary, &after.primary));
    }
    all
}

fn of_node(name: &str, then: &NodePicture, now: &NodePicture) -> Vec<Change> {
    let mut all = Vec::new();
    match (&then.health, &now.health) {
        (Health::Unknown, Health::Up) => all.push(good(format!("{name} answers"))),
        (Health::Down(_), Health::Up) => all.push(good(format!("{name} is up again"))),
        (Health::Unknown | Health::Up, Health::Down(why)) => {
            all.push(bad(format!("{name} is down: {why}")));
        }
        (Health::Unknown | Health::Up | Health::Down(_), _) => {}
    }
    if then.in_recovery != now.in_recovery {
        let role = |is_standby: bool| if is_standby { "a standby" } else { "a primary" };
        all.extend(now.in_recovery.map(|is_standby| {
            let before = then
                .in_recovery
                .map_or(String::new(), |was| format!(", not {} any more", role(was)));
            good(format!("{name} says that it is {}{before}", role(is_standby)))
        }));
    }
    // A node that is down gets none anyway.
    let is_up = now.health == Health::Up && now.in_recovery == Some(true);
    match (then.readable, now.readable) {
        (false, true) => all.push(good(match &*now.why {
            "" => format!("{name} gets reads"),
            why => format!("{name} gets reads: {why}"),
        })),
        (true, false) if is_up => all.push(bad(format!("{name} gets no reads: {}", now.why))),
        (_, _) => {}
    }
    all
}

fn of_primary(
    name: &impl Fn(usize) -> String,
    then: &PrimaryIs,
    now: &PrimaryIs,
) -> Option<Change> {
    let names =
        |nodes: &[usize]| nodes.iter().map(|node| name(*node)).collect::<Vec<_>>().join(" and ");
    Some(match (then, now) {
        // Only in other words.
        (PrimaryIs::Nobody(_), PrimaryIs::Nobody(_)) => return None,
        (PrimaryIs::Node(before), PrimaryIs::Node(node)) => {
            good(format!("{} is the primary, no longer {}", name(*node), name(*before)))
        }
        (PrimaryIs::Several(_), PrimaryIs::Node(node)) => {
            good(format!("{} is the only primary now and gets the writes", name(*node)))
        }
        (PrimaryIs::Nobody(_), PrimaryIs::Node(node)) => {
            good(format!("{} is the primary", name(*node)))
        }
        (_, PrimaryIs::Nobody(why)) => bad(format!("nobody gets the writes: {why}")),
        (_, PrimaryIs::Several(nodes)) => {
            bad(format!("nobody gets the writes: {} may each be the primary", names(nodes)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatabaseConfig, Target};

    #[test]
    fn each_change_is_told_once_and_what_moves_on_is_none() {
        let target = Target::parse("host=a,b port=1,1 dbname=shop").unwrap();
        let topology = Topology::of(&DatabaseConfig::new("shop", target)).unwrap();
        let unknown = Picture::unknown(2);
        let mut first = unknown.clone();
        first.primary = PrimaryIs::Node(0);
        for (node, in_recovery) in [(0, false), (1, true)] {
            first.nodes[node].health = Health::Up;
            first.nodes[node].in_recovery = Some(in_recovery);
        }
        first.nodes[1].readable = true;
        let told = |before: &Picture, after: &Picture| -> Vec<String> {
            let all = changes(&topology, before, after);
            all.into_iter()
                .map(|c| format!("{}{}", if c.is_bad { "!" } else { "" }, c.text))
                .collect()
        };
        assert_eq!(
            told(&unknown, &first),
            [
                "a:1 answers",
                "a:1 says that it is a primary",
                "b:1 answers",
                "b:1 says that it is a standby",
                "b:1 gets reads",
                "a:1 is the primary",
            ]
        );
        let mut later = first.clone();
        (later.nodes[1].lag_ms, later.nodes[1].share) = (Some(50), 500);
        assert_eq!(told(&first, &later), [""; 0]);
        later.nodes[0].health = Health::Down("timed out".into());
        later.nodes[1].in_recovery = Some(false);
        later.nodes[1].readable = false;
        later.primary = PrimaryIs::Node(1);
        assert_eq!(
            told(&first, &later),
            [
                "!a:1 is down: timed out",
                "b:1 says that it is a primary, not a standby any more",
                "b:1 is the primary, no longer a:1",
            ]
        );
        let mut both = later.clone();
        both.primary = PrimaryIs::Several(vec![0, 1]);
        assert_eq!(
            told(&later, &both),
            ["!nobody gets the writes: a:1 and b:1 may each be the primary"]
        );
    }
}
