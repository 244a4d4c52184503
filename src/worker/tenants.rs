//! Whose server has which process id, for all loops of a process.

use std::sync::Arc;

use dashmap::DashMap;

use crate::cancel::CancelTarget;
use crate::deadline::Tick;
use crate::dial::ServerAddress;
use crate::server::Tenant;

/// Every server that said its process id, by that and its address. Touched when one is dialled or
/// closed, and for each notification.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    known: DashMap<(ServerAddress, i32), Arc<Tenant>>,
}

impl Tenants {
    /// A server has logged in.
    pub(super) fn enter(&self, target: &CancelTarget, tenant: &Arc<Tenant>) {
        self.known.insert((target.address.clone(), target.pid), tenant.clone());
    }

    /// It is gone.
    pub(super) fn leave(&self, target: &CancelTarget, tenant: &Arc<Tenant>) {
        let key = (target.address.clone(), target.pid);
        // Postgres may have given the process id to another one.
        self.known.remove_if(&key, |_, known| Arc::ptr_eq(known, tenant));
    }

    /// The process id that clients know the sender of a notification by: that of the client whose
    /// server it is, where that is certain, else the backend's own.
    pub(super) fn sender(&self, address: &ServerAddress, pid: i32, now: Tick) -> i32 {
        let tenant = self.known.get(&(address.clone(), pid));
        tenant.and_then(|tenant| tenant.certain(now)).unwrap_or(pid)
    }
}
