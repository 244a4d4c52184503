//! What is known of the servers of databases that have several.

use std::sync::Arc;

use crate::metrics::text::{Kind, Page};
use crate::route::{Health, NodeFigures, NodePicture, PrimaryIs, Topology};

/// One server: its labels, how it stands, what has been counted of it.
struct Server {
    database: String,
    name: String,
    is_primary: bool,
    stands: NodePicture,
    figures: NodeFigures,
}

impl Server {
    fn labels(&self) -> [(&'static str, &str); 2] {
        [("database", &self.database), ("server", &self.name)]
    }
}

fn servers_of(topology: &Topology) -> Vec<Server> {
    let picture = topology.picture();
    let figures = topology.figures().clone();
    let nodes = topology.nodes.iter().zip(&picture.nodes).zip(&figures.nodes).enumerate();
    nodes
        .map(|(number, ((node, stands), figures))| Server {
            database: topology.name.clone(),
            name: node.host().to_string(),
            is_primary: picture.primary == PrimaryIs::Node(number),
            stands: stands.clone(),
            figures: figures.clone(),
        })
        .collect()
}

/// Adds all of it.
pub(super) fn add(page: &mut Page, topologies: &[Arc<Topology>]) {
    let servers: Vec<Server> = topologies.iter().flat_map(|of| servers_of(of)).collect();
    type Figure = fn(&Server) -> u64;
    let gauges: [(&str, &str, Figure); 5] = [
        ("pgweir_node_up", "1 while a server answers its probes.", |server| {
            u64::from(server.stands.health == Health::Up)
        }),
        ("pgweir_node_primary", "1 for the server that gets the writes.", |server| {
            u64::from(server.is_primary)
        }),
        ("pgweir_node_in_recovery", "1 while a server says that it is a standby.", |server| {
            u64::from(server.stands.in_recovery == Some(true))
        }),
        ("pgweir_node_readable", "1 while a server may be given reads.", |server| {
            u64::from(server.stands.readable)
        }),
        ("pgweir_node_replay_paused", "1 while the replay of a standby is paused.", |server| {
            u64::from(server.figures.is_paused)
        }),
    ];
    for (name, help, figure) in gauges {
        page.family(name, Kind::Gauge, help);
        for server in &servers {
            page.sample(name, &server.labels(), figure(server));
        }
    }
    type Fraction = fn(&Server) -> Option<f64>;
    let fractions: [(&str, &str, Fraction); 4] = [
        (
            "pgweir_node_share",
            "How much of its weight a server is given: less for a while after it has come back.",
            |server| Some(f64::from(server.stands.share) / 1e3),
        ),
        ("pgweir_node_lag_bytes", "How far a standby is behind the primary.", |server| {
            server.stands.lag_bytes.map(|bytes| bytes as f64)
        }),
        ("pgweir_node_lag_seconds", "For how long the primary has been ahead of it.", |server| {
            server.stands.lag_ms.map(|millis| millis as f64 / 1e3)
        }),
        ("pgweir_node_probe_seconds", "How long the last probe took.", |server| {
            server.figures.answered.map(|(_, took)| took.as_secs_f64())
        }),
    ];
    for (name, help, figure) in fractions {
        page.family(name, Kind::Gauge, help);
        for server in &servers {
            if let Some(value) = figure(server) {
                page.fraction(name, &server.labels(), value);
            }
        }
    }
    let name = "pgweir_node_probes_total";
    page.family(name, Kind::Counter, "Probes of a server by what became of them.");
    for server in &servers {
        let results = [("answered", server.figures.probes), ("failed", server.figures.failed)];
        for (result, count) in results {
            let [database, server] = server.labels();
            page.sample(name, &[database, server, ("result", result)], count);
        }
    }
    totals(page, topologies);
}

fn totals(page: &mut Page, topologies: &[Arc<Topology>]) {
    let all: Vec<_> = topologies.iter().map(|of| (of.name.as_str(), of.figures().totals)).collect();
    let name = "pgweir_primaries_found_total";
    page.family(name, Kind::Counter, "Times that it was found out who the primary is.");
    for (database, totals) in &all {
        page.sample(name, &[("database", *database)], totals.found);
    }
    let name = "pgweir_promotions_total";
    page.family(name, Kind::Counter, "Times that another server had become the primary.");
    for (database, totals) in &all {
        page.sample(name, &[("database", *database)], totals.promotions);
    }
    let name = "pgweir_several_primaries_seconds_total";
    let help =
        "For how long several servers said that they were the primary, so that none got writes.";
    page.family(name, Kind::Counter, help);
    for (database, totals) in &all {
        page.fraction(name, &[("database", *database)], totals.several_ms as f64 / 1e3);
    }
}
