//! What the configuration says of a client's statements, in one word that a loop reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{Consistency, Effective, Reads, Route, Strategy, WhenNoReplica, Writes};

/// Where a client's statements go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where proven reads go.
    pub reads: Reads,
    /// Writes are refused, and all else goes to replicas.
    pub rejects_writes: bool,
    /// Everything that is not known to write goes to replicas.
    pub all_to_replicas: bool,
    /// How one of several replicas is chosen.
    pub strategy: Strategy,
    /// Whose writes a read must see.
    pub consistency: Consistency,
    /// Without a replica that may be read a read fails, rather than going to the primary.
    pub fails_without_replica: bool,
    /// How long a read waits for a replica to catch up, in milliseconds.
    pub wait_ms: u32,
}

impl Policy {
    /// That of a client with these settings.
    #[must_use]
    pub fn of(settings: &Effective) -> Self {
        let routing = &settings.database.routing;
        let rejects_writes = routing.writes == Writes::Reject;
        let reads = match settings.route {
            Route::Auto => routing.reads,
            Route::Primary => Reads::Primary,
            // `prefer-replica` says more than `replica`.
            Route::Replica if routing.reads == Reads::PreferReplica => Reads::PreferReplica,
            Route::Replica => Reads::Replica,
        };
        Policy {
            reads: if rejects_writes && reads == Reads::Primary { Reads::Replica } else { reads },
            rejects_writes,
            all_to_replicas: rejects_writes || settings.route == Route::Replica,
            strategy: routing.strategy,
            consistency: routing.consistency,
            fails_without_replica: reads == Reads::Replica
                && routing.when_no_replica == WhenNoReplica::Error,
            wait_ms: routing
                .replica_wait
                .as_millis()
                .map_or(0, |ms| u32::try_from(ms).unwrap_or(u32::MAX)),
        }
    }
}

/// A policy that a reload may replace while loops read it.
#[derive(Debug)]
pub struct SharedPolicy(AtomicU64);

impl SharedPolicy {
    /// One that says this.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        SharedPolicy(AtomicU64::new(packed(policy)))
    }

    /// From now on it says this.
    pub fn store(&self, policy: Policy) {
        self.0.store(packed(policy), Ordering::Relaxed);
    }

    /// What it says.
    #[must_use]
    #[inline]
    pub fn load(&self) -> Policy {
        unpacked(self.0.load(Ordering::Relaxed))
    }
}

fn packed(policy: Policy) -> u64 {
    let reads = match policy.reads {
        Reads::Replica => 0,
        Reads::PreferReplica => 1,
        Reads::Primary => 2,
    };
    let strategy = match policy.strategy {
        Strategy::LeastBusy => 0,
        Strategy::RoundRobin => 1,
        Strategy::Random => 2,
    };
    let consistency = match policy.consistency {
        Consistency::Session => 0,
        Consistency::Role => 1,
        Consistency::Database => 2,
        Consistency::Eventual => 3,
    };
    let flags = u64::from(policy.rejects_writes)
        | u64::from(policy.all_to_replicas) << 1
        | u64::from(policy.fails_without_replica) << 2;
    reads | strategy << 2 | consistency << 4 | flags << 6 | u64::from(policy.wait_ms) << 32
}

fn unpacked(word: u64) -> Policy {
    Policy {
        reads: match word & 3 {
            0 => Reads::Replica,
            1 => Reads::PreferReplica,
            _ => Reads::Primary,
        },
        strategy: match word >> 2 & 3 {
            0 => Strategy::LeastBusy,
            1 => Strategy::RoundRobin,
            _ => Strategy::Random,
        },
        consistency: match word >> 4 & 3 {
            0 => Consistency::Session,
            1 => Consistency::Role,
            2 => Consistency::Database,
            _ => Consistency::Eventual,
        },
        rejects_writes: word >> 6 & 1 == 1,
        all_to_replicas: word >> 7 & 1 == 1,
        fails_without_replica: word >> 8 & 1 == 1,
        wait_ms: (word >> 32) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_comes_out_as_it_went_in() {
        for reads in [Reads::Replica, Reads::PreferReplica, Reads::Primary] {
            for strategy in [Strategy::LeastBusy, Strategy::RoundRobin, Strategy::Random] {
                for (n, consistency) in [
                    Consistency::Session,
                    Consistency::Role,
                    Consistency::Database,
                    Consistency::Eventual,
                ]
                .into_iter()
                .enumerate()
                {
                    let policy = Policy {
                        reads,
                        strategy,
                        consistency,
                        rejects_writes: n % 2 == 0,
                        all_to_replicas: n / 2 == 0,
                        fails_without_replica: n == 3,
                        wait_ms: [0, 20, u32::MAX, 5][n],
                    };
                    assert_eq!(SharedPolicy::new(policy).load(), policy);
                }
            }
        }
    }
}
