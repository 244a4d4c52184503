//! Where the names of servers lead. Every dial looks its name up; servers that are open at an address to which the name
//! has not led for a while are replaced.
//!
//! How long an answer holds is not known: the system's resolver keeps that to itself. So names are looked up at an
//! interval, and what counts is whether an address was in any answer of the last minute: a name that leads to some of
//! many addresses in turn leads to all of them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::Host;
use crate::login::{Loop, Pools};
use crate::pool::PoolSpec;
use crate::worker::mail::Mail;

/// How often names are looked up.
const INTERVAL: Duration = Duration::from_secs(15);
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(10);
/// An address that was in no answer for as long is gone.
const KEPT: Duration = Duration::from_secs(60);
/// So many answers without it are needed: that there are none says nothing.
const ANSWERS: usize = 3;
/// Addresses that were in no answer for as long are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// What was answered for one name.
#[derive(Debug, Default)]
struct Answers {
    seen: HashMap<IpAddr, Instant>,
    /// When the last answers came.
    last: VecDeque<Instant>,
}

impl Answers {
    fn answered(&mut self, addresses: impl IntoIterator<Item = IpAddr>, now: Instant) {
        self.seen.retain(|_, seen| now.saturating_duration_since(*seen) < FORGOTTEN);
        self.seen.extend(addresses.into_iter().map(|address| (address, now)));
        if self.last.len() == ANSWERS {
            self.last.pop_front();
        }
        self.last.push_back(now);
    }

    /// Whether the name leads elsewhere than to an address that was dialled by it at `dialled`, and so was an answer
    /// then.
    fn is_gone(&self, address: IpAddr, dialled: Instant, now: Instant) -> bool {
        let seen = self.seen.get(&address).map_or(dialled, |seen| dialled.max(*seen));
        let answers = self.last.iter().filter(|at| **at > seen).count();
        now.saturating_duration_since(seen) > KEPT && answers >= ANSWERS
    }
}

/// Where all names lead.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Answers>>);

impl Names {
    /// Whether none of these hosts is at an address any more, where one was at `dialled`.
    pub(super) fn is_gone(&self, hosts: &[Host], address: IpAddr, dialled: Instant) -> bool {
        let known = self.known();
        let now = Instant::now();
        hosts.iter().all(|host| {
            let answers = name_of(host).and_then(|name| known.get(name));
            answers.is_some_and(|answers| answers.is_gone(address, dialled, now))
        })
    }

    /// Never locked across an await or beside another lock.
    fn known(&self) -> MutexGuard<'_, HashMap<String, Answers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a host, where it has one that can lead elsewhere.
fn name_of(host: &Host) -> Option<&str> {
    match host {
        Host::Tcp { name, .. } => name.parse::<IpAddr>().is_err().then_some(name),
        Host::Unix { .. } => None,
    }
}

/// Every pool that dials: those of primaries, and those for reads.
fn dialling(pools: &Pools) -> Vec<Arc<PoolSpec>> {
    let mut all = pools.all();
    let readers: Vec<_> = all
        .iter()
        .filter_map(|pool| pool.fleet())
        .flat_map(|fleet| fleet.readers.to_vec())
        .collect();
    all.extend(readers);
    all
}

/// Follows names for as long as the process lives.
pub(super) async fn follow(names: Arc<Names>, pools: Arc<Pools>, loops: Vec<Arc<dyn Loop>>) {
    let mut often = interval(INTERVAL);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        often.tick().await;
        let all = dialling(&pools);
        look_up(&names, &all).await;
        for pool in all {
            tell(&names, &pool, &loops);
        }
    }
}

async fn look_up(names: &Names, pools: &[Arc<PoolSpec>]) {
    let mut wanted: Vec<String> = Vec::new();
    for pool in pools {
        let settings = pool.settings.load();
        wanted
            .extend(settings.database.primary.hosts.iter().filter_map(name_of).map(str::to_owned));
    }
    wanted.sort_unstable();
    wanted.dedup();
    names.known().retain(|name, _| wanted.binary_search(name).is_ok());
    let mut looking = tokio::task::JoinSet::new();
    for name in wanted {
        looking.spawn(async move {
            // Which port does not matter to where a name leads.
            let asked = tokio::net::lookup_host((name.clone(), 0));
            let found: Vec<IpAddr> = match timeout(LIMIT, asked).await {
                Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
                // No answer: what is known holds.
                Ok(Err(_)) | Err(_) => Vec::new(),
            };
            (name, found)
        });
    }
    while let Some(looked) = looking.join_next().await {
        match looked {
            Ok((name, found)) if !found.is_empty() => {
                names.known().entry(name).or_default().answered(found, Instant::now());
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Has the loops replace servers of a pool where its name does not lead any more.
fn tell(names: &Names, pool: &Arc<PoolSpec>, loops: &[Arc<dyn Loop>]) {
    let hosts = pool.settings.load().database.primary.hosts.clone();
    let gone = pool.addresses().gone(|address, at| names.is_gone(&hosts, address, at));
    if gone.is_empty() {
        return;
    }
    let (database, role, server) = (&pool.database, &pool.role, pool.server_name());
    for address in &gone {
        tracing::info!(%database, %role, %server, "its name leads to {address} no more: servers there are replaced");
    }
    let gone: Arc<[IpAddr]> = gone.into();
    for mailbox in loops {
        mailbox.send(Mail::AddressesGone { pool: pool.clone(), gone: gone.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn an_address_is_gone_when_no_answer_of_a_minute_has_it() {
        let start = Instant::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        let mut answers = Answers::default();
        assert!(!answers.is_gone(ip(1), at(0), at(600)), "nobody has looked");
        for n in 0..4 {
            answers.answered([ip(2)], at(15 * n));
        }
        assert!(!answers.is_gone(ip(1), at(0), at(60)));
        assert!(answers.is_gone(ip(1), at(0), at(61)));
        assert!(!answers.is_gone(ip(1), at(30), at(61)), "it was dialled since");
        assert!(!answers.is_gone(ip(2), at(0), at(61)));
        // Without answers nothing new is known.
        assert!(!answers.is_gone(ip(2), at(0), at(3_000)));
        answers.answered([ip(3)], at(3_000));
        assert!(!answers.is_gone(ip(2), at(0), at(3_001)), "one answer may be one of many");
    }

    #[test]
    fn answers_in_turn_close_nothing() {
        let start = Instant::now();
        let mut answers = Answers::default();
        for n in 0..1_000_u64 {
            let now = start + Duration::from_secs(15 * n);
            // Four of eight, and others the next time.
            let first = u8::try_from(n % 2 * 4).unwrap();
            answers.answered((first..first + 4).map(ip), now);
            assert!((0..8).all(|address| !answers.is_gone(ip(address), start, now)));
        }
    }
}
