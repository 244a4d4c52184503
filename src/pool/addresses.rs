//! Where the servers of a pool have been dialled, for whoever finds out that a name leads elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Addresses kept: a name that leads to more is not followed beyond them.
const KEPT: usize = 1_024;

/// How often it is said that an address is gone: a server may have been on its way from one loop to another.
const TOLD: u8 = 3;

#[derive(Clone, Copy, Debug)]
struct Dialled {
    at: Instant,
    told: u8,
}

/// The addresses at which servers of a pool have logged in.
#[derive(Debug, Default)]
pub struct Addresses(Mutex<HashMap<IpAddr, Dialled>>);

impl Addresses {
    /// A server has logged in there.
    pub fn dialled(&self, address: IpAddr) {
        let mut known = self.known();
        if known.len() < KEPT || known.contains_key(&address) {
            known.insert(address, Dialled { at: Instant::now(), told: 0 });
        }
    }

    /// Those of which `is_gone` says so, by when a server was dialled there last. Each is forgotten after a few times.
    pub fn gone(&self, is_gone: impl Fn(IpAddr, Instant) -> bool) -> Vec<IpAddr> {
        let mut gone = Vec::new();
        self.known().retain(|address, dialled| {
            if !is_gone(*address, dialled.at) {
                return true;
            }
            gone.push(*address);
            dialled.told += 1;
            dialled.told < TOLD
        });
        gone
    }

    /// Never locked across an await or beside another lock.
    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, Dialled>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_told_a_few_times_unless_it_is_dialled_again() {
        let [a, b]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let addresses = Addresses::default();
        addresses.dialled(a);
        addresses.dialled(b);
        let gone = |addresses: &Addresses| addresses.gone(|address, _| address == a);
        assert_eq!(gone(&addresses), [a]);
        addresses.dialled(a);
        for _ in 0..TOLD {
            assert_eq!(gone(&addresses), [a]);
        }
        assert_eq!(gone(&addresses), [] as [IpAddr; 0]);
        assert_eq!(addresses.gone(|_, _| true), [b]);
    }
}
