//! Databases with several servers.

use std::sync::Arc;

use super::World;
use crate::pool::{Fleet, PoolSpec};
use crate::route::catalog::{Catalog, Rows};
use crate::route::picture::next_version;
use crate::route::{Health, Picture, Position, PrimaryIs, Topology};
use crate::worker::mail::Mail;

impl World {
    /// A pool of `size` servers on a primary and as many on each of so many replicas, with these settings of its
    /// routing.
    pub(in crate::worker) fn with_replicas(size: u32, replicas: usize, routing: &str) -> Self {
        World::of(&Self::fleet_file(size, replicas, routing))
    }

    /// The configuration of such a world.
    pub(in crate::worker) fn fleet_file(size: u32, replicas: usize, routing: &str) -> String {
        let hosts: Vec<String> =
            (1..=replicas).map(|n| format!("\"postgres://127.0.0.1:{}/app\"", n + 1)).collect();
        format!(
            "[defaults]\nreserve_pool_size = 0\npool_size = {size}\n\
             [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\nreplicas = [{}]\n\
             [databases.app.routing]\n{routing}\n[roles.app]\npassword = \"x\"\n",
            hosts.join(", ")
        )
    }

    /// Gives a pool the servers of its database, where there are several: the first is the primary, the others have
    /// replayed all there is.
    pub(super) fn give_fleet(&mut self, spec: &Arc<PoolSpec>) {
        let settings = spec.settings.load_full();
        let known = self.topologies.get(&settings.database.table).cloned();
        let Some(topology) = known.or_else(|| {
            let topology = Arc::new(Topology::of(&settings.database)?);
            let mut picture = Picture::unknown(topology.nodes.len());
            picture.primary = PrimaryIs::Node(0);
            for (n, node) in picture.nodes.iter_mut().enumerate() {
                node.health = Health::Up;
                node.in_recovery = Some(n > 0);
                node.readable = n > 0;
            }
            topology.show(picture);
            Some(topology)
        }) else {
            return;
        };
        self.topologies.insert(settings.database.table.clone(), topology.clone());
        let shelf = topology.shelf(&settings.database.server_database);
        shelf.put(Some(Catalog::new(Rows::default(), &[])));
        let first = 1_000 * (spec.id + 1);
        let next = std::cell::Cell::new(first);
        let new_id = || next.replace(next.get() + 1);
        let fleet = Arc::new(Fleet::new(topology, spec, &settings, new_id));
        spec.set_fleet(Some(fleet.clone()));
        fleet.follow(spec, &settings);
        if !self.topologies[&settings.database.table].picture().primary_positions.is_empty() {
            return;
        }
        self.probe(&settings.database.table, |picture| {
            picture.primary_positions = [Position::default()].into();
        });
    }

    /// All servers of a database are asked where they are, and answer: the primary by one, the replicas by as much as the
    /// primary had said before, or as `change` makes of it.
    pub(in crate::worker) fn probe(&mut self, table: &str, change: impl FnOnce(&mut Picture)) {
        let topology = self.topologies[table].clone();
        let mut picture = Picture::clone(&topology.picture());
        picture.version = next_version();
        let number = topology.begin_probe();
        let end = picture.primary_positions.last().map_or(0, |position| position.end);
        let mut primary = picture.primary_positions.to_vec();
        primary.push(Position { probe: number, lsn: end + 10, end: end + 10 });
        picture.primary_positions = primary.into();
        for node in &mut picture.nodes {
            let mut positions = node.positions.to_vec();
            let lsn = if node.in_recovery == Some(false) { end + 10 } else { end };
            positions.push(Position { probe: number, lsn, end: lsn });
            node.positions = positions.into();
        }
        change(&mut picture);
        topology.show(picture);
    }

    /// Roles or health have changed: pools follow, and loops are told.
    pub(in crate::worker) fn fleet_changes(
        &mut self,
        table: &str,
        change: impl FnOnce(&mut Picture),
    ) {
        self.probe(table, change);
        let specs: Vec<_> = self.specs.values().cloned().collect();
        for spec in specs {
            let Some(settings) = self.config.resolve(&spec.database, &spec.role) else { continue };
            if let Some(fleet) = spec.fleet() {
                fleet.follow(&spec, &settings);
            }
        }
        for seat in 0..self.engines.len() {
            self.mail_to(seat, Mail::Fleet(self.topologies[table].clone()));
        }
        self.run();
    }

    /// Where a text was run, by the node; the primary is 0, whoever that is. Each time.
    pub(in crate::worker) fn ran_at(&self, text: &str) -> Vec<usize> {
        let ran = |server: &super::FakeServer| server.ran.iter().filter(|ran| *ran == text).count();
        let times = |server: &super::FakeServer| vec![server.node.unwrap_or_default(); ran(server)];
        self.servers.iter().flat_map(times).collect()
    }
}
