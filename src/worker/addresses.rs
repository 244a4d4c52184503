//! Servers at addresses to which their name does not lead any more.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use super::driver::Driver;
use crate::deadline::Deadline;
use crate::dial::ServerAddress;
use crate::ids::PoolId;
use crate::pool::PoolSpec;

impl<D: Driver> Engine<D> {
    /// Replaces a pool's servers at these addresses, each as soon as nobody uses it.
    pub(super) fn addresses_gone(&mut self, spec: &Arc<PoolSpec>, gone: &[IpAddr]) {
        let is_it = |id: &PoolId| Arc::ptr_eq(&self.pools[id.0 as usize].spec, spec);
        let Some(pool) = self.all_pools().into_iter().find(is_it) else { return };
        let now = Deadline::after(self.now, Some(0));
        for server in self.servers.ids_where(|entry| entry.pool == pool) {
            let Some(entry) = self.servers.get_mut(server) else { continue };
            let address = entry.server.cancel_target.as_ref().map(|target| &target.address);
            let is_there = match address {
                Some(ServerAddress::Tcp(address)) => gone.contains(&address.ip()),
                Some(ServerAddress::Unix(_)) | None => false,
            };
            if is_there {
                entry.server.retire_at = now;
            }
        }
        self.check_idle_servers(pool);
    }
}

#[cfg(test)]
mod tests {
    use super::super::mail::Mail;
    use super::super::world::{SERVER_ADDRESS, World};

    #[test]
    fn servers_where_the_name_does_not_lead_any_more_go_as_they_come_free() {
        let mut world = World::new(2, "");
        let (a, b) = (world.client(), world.client());
        assert_eq!(world.ask(a, "BEGIN"), "DCZ");
        assert_eq!(world.ask(b, "select 1"), "DCZ");
        let pool = world.spec("app", "app");
        let alive = |world: &World| world.servers.iter().filter(|s| !s.terminated).count();
        let tell = |world: &mut World, gone: &str| {
            let gone = [gone.parse().unwrap()].into();
            world.mail_to(0, Mail::AddressesGone { pool: pool.clone(), gone });
            world.run();
        };
        tell(&mut world, "192.0.2.7");
        assert_eq!(alive(&world), 2);
        tell(&mut world, &SERVER_ADDRESS.ip().to_string());
        assert_eq!(alive(&world), 1, "the idle one");
        assert_eq!(world.ask(a, "COMMIT"), "DCZ");
        assert_eq!(alive(&world), 0);
        assert_eq!(world.ask(a, "select 2"), "DCZ");
        world.check_accounts();
    }
}
