//! SHOW REPLICAS: the servers of each database that has several. A table of pgweir's own.

use super::{INT4, INT8, Sight, TEXT};
use crate::admin::table::{Column, Row, Value};
use crate::route::{Health, NodeFigures, NodePicture, Picture, PrimaryIs, Topology};

pub(super) const REPLICAS: &[Column] = &[
    ("database", TEXT),
    ("node", TEXT),
    ("role", TEXT),
    ("writes", INT4),
    ("reads", INT4),
    ("state", TEXT),
    ("why", TEXT),
    ("lag_bytes", INT8),
    ("lag_ms", INT8),
    ("weight", INT4),
    ("share", INT4),
    ("position", TEXT),
    ("timeline", INT8),
    ("replay_paused", INT4),
    ("probe_us", INT8),
    ("probe_age_ms", INT8),
    ("probes", INT8),
    ("probes_failed", INT8),
];

pub(super) fn replicas(sight: &Sight<'_>) -> Vec<Row> {
    sight.topologies.iter().flat_map(|topology| of_database(topology)).collect()
}

fn of_database(topology: &Topology) -> Vec<Row> {
    let picture = topology.picture();
    let figures = topology.figures().clone();
    let nodes = topology.nodes.iter().zip(&picture.nodes).zip(&figures.nodes).enumerate();
    nodes
        .map(|(number, ((node, stands), figures))| {
            let mut row: Row = vec![
                topology.name.as_str().into(),
                node.host().to_string().into(),
                role(stands).into(),
                (picture.primary == PrimaryIs::Node(number)).into(),
                stands.readable.into(),
                state(&stands.health).into(),
                why(number, &picture),
                stands.lag_bytes.into(),
                stands.lag_ms.into(),
                node.weight.into(),
                stands.share.into(),
            ];
            row.extend(of_probes(stands, figures));
            row
        })
        .collect()
}

fn of_probes(stands: &NodePicture, figures: &NodeFigures) -> Row {
    let position = stands.positions.last().map(|position| position.lsn);
    let (answered, took) = figures.answered.unzip();
    vec![
        position.map(|lsn| format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)).into(),
        figures.timeline.into(),
        figures.is_paused.into(),
        took.map(|took| saturated(took.as_micros())).into(),
        answered.map(|at| saturated(at.elapsed().as_millis())).into(),
        figures.probes.into(),
        figures.failed.into(),
    ]
}

fn saturated(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// What it says of itself.
fn role(node: &NodePicture) -> &'static str {
    match node.in_recovery {
        Some(true) => "standby",
        Some(false) => "primary",
        None => "unknown",
    }
}

fn state(health: &Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Down(_) => "down",
    }
}

/// Why it gets no reads, or only some; NULL where nothing is to be said.
fn why(number: usize, picture: &Picture) -> Value {
    match (&*picture.nodes[number].why, &picture.primary) {
        ("", PrimaryIs::Nobody(why)) => Value::from(&**why),
        ("", PrimaryIs::Node(_) | PrimaryIs::Several(_)) => Value::Null,
        (why, _) => Value::from(why),
    }
}
