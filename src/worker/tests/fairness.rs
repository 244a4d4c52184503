//! Random demand, random deaths: limits hold at every moment, nobody starves while a server could
//! be had, queues are served in order, and shares settle where max-min fairness puts them.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::mail::PoolInspection;
use super::super::world::{ClientEnd, World, query};
use super::refused;
use crate::pool::board::PATIENCE_MS;

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A client that is idle begins a transaction, one that has a transaction ends it.
    Step(usize),
    /// A client vanishes, and another one comes in its place.
    Leave(usize),
    /// A server dies.
    Die(usize),
    /// The next dial fails.
    FailDial,
    /// Time passes.
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => any::<usize>().prop_map(Event::Step),
        2 => any::<usize>().prop_map(Event::Leave),
        2 => any::<usize>().prop_map(Event::Die),
        1 => Just(Event::FailDial),
        3 => (1_u64..400).prop_map(Event::Wait),
    ]
}

/// One role: its pool's size and its clients.
#[derive(Clone, Copy, Debug)]
struct Role {
    size: u32,
    clients: usize,
}

fn roles() -> impl Strategy<Value = Vec<Role>> {
    let role = (1_u32..8, 1_usize..9).prop_map(|(size, clients)| Role { size, clients });
    prop::collection::vec(role, 1..5)
}

fn name(role: usize) -> String {
    format!("r{role}")
}

fn world(limit: u32, roles: &[Role], reserve: u32, (loops, seed): (usize, u64)) -> World {
    let tables: String = roles
        .iter()
        .enumerate()
        .map(|(n, role)| {
            format!("[roles.{}]\npassword = \"x\"\npool_size = {}\n", name(n), role.size)
        })
        .collect();
    let text = format!(
        "[defaults]\nreserve_pool_size = {reserve}\nreserve_pool_wait = \"1s\"\n\
         pool_wait_timeout = \"off\"\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n\
         max_server_connections = {limit}\n{tables}"
    );
    World::over(loops, &text, seed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// It waits for its greeting, for which it may need no server.
    New,
    Idle,
    Asked,
    InTransaction,
}

/// Clients as the test sees them.
struct Crowd {
    world: World,
    ends: Vec<(usize, ClientEnd, Stand)>,
    /// When each client asked last.
    asked_at: Vec<u64>,
    /// How much later than others a client may have asked that is served before them.
    patience: u64,
    /// Clients of each role that have asked and not been answered, by their places in `ends`.
    queues: Vec<VecDeque<usize>>,
    limit: usize,
    roles: Vec<Role>,
    reserve: u32,
}

impl Crowd {
    fn new(limit: u32, roles: &[Role], reserve: u32, loops: (usize, u64)) -> Self {
        let mut crowd = Crowd {
            world: world(limit, roles, reserve, loops),
            ends: Vec::new(),
            asked_at: Vec::new(),
            patience: if loops.0 == 1 { 0 } else { PATIENCE_MS },
            queues: vec![VecDeque::new(); roles.len()],
            limit: limit as usize,
            roles: roles.to_vec(),
            reserve,
        };
        crowd.look();
        crowd
    }

    /// The clients of a role come.
    fn join(&mut self, role: usize) {
        for _ in 0..self.roles[role].clients {
            let end = self.world.arriving_at("app", &name(role), &[]);
            self.ends.push((role, end, Stand::New));
            self.asked_at.push(0);
        }
        self.look();
    }

    /// Everybody who is here always wants a server: who has been served asks again.
    fn press(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for n in 0..self.ends.len() {
                self.happen(Event::Step(n));
                if self.ends[n].2 == Stand::Idle {
                    self.happen(Event::Step(n));
                }
            }
            self.happen(Event::Wait(20));
        }
    }

    /// Lets everything happen, and checks it.
    fn look(&mut self) {
        self.world.run();
        for n in 0..self.ends.len() {
            let (role, end, stand) = self.ends[n];
            let answer = self.world.tags(end);
            if !answer.ends_with('Z') {
                continue;
            }
            let failed = answer.contains('E');
            self.ends[n].2 = match stand {
                Stand::Asked if !failed => Stand::InTransaction,
                Stand::New | Stand::Asked | Stand::Idle | Stand::InTransaction => Stand::Idle,
            };
            if stand == Stand::Asked {
                let place = self.queues[role].iter().position(|&other| other == n).unwrap();
                self.queues[role].remove(place);
                // Those who asked later were served no earlier: at this moment all who stand
                // before it have been answered too.
                let before: Vec<usize> = self.queues[role].iter().take(place).copied().collect();
                let late = |&other: &usize| {
                    must_come_later(self.asked_at[n], self.asked_at[other], self.patience)
                };
                let overtaken = |other: &usize| late(other) && !self.peek(*other);
                assert!(!before.iter().any(overtaken), "{n} of {} overtook {before:?}", name(role));
            }
        }
        self.world.check_accounts();
        let most = self.world.most_backends;
        assert!(most <= self.limit, "{most} servers of {}", self.limit);
        for pool in self.world.inspect().pools {
            let role: usize = pool.role[1..].parse().unwrap();
            let allowed = (self.roles[role].size + self.reserve) as usize;
            assert!(pool.open <= allowed, "{pool:?}");
        }
    }

    /// Whether a client has been answered.
    fn peek(&self, n: usize) -> bool {
        self.world.has_received(self.ends[n].1)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(n) => {
                let n = n % self.ends.len();
                let (role, end, stand) = self.ends[n];
                match stand {
                    Stand::New | Stand::Asked => {}
                    Stand::Idle => {
                        self.world.send(end, &query("BEGIN"));
                        self.ends[n].2 = Stand::Asked;
                        self.asked_at[n] = self.world.now();
                        self.queues[role].push_back(n);
                    }
                    Stand::InTransaction => self.world.send(end, &query("COMMIT")),
                }
            }
            Event::Leave(n) => {
                let n = n % self.ends.len();
                let (role, end, stand) = self.ends[n];
                if matches!(stand, Stand::New | Stand::Asked) {
                    // A client that waits to be greeted is not watched for its end.
                    return;
                }
                self.world.hang_up(end);
                self.world.run();
                let end = self.world.arriving_at("app", &name(role), &[]);
                self.ends[n] = (role, end, Stand::New);
            }
            Event::Die(n) => {
                let live: Vec<usize> = self.world.live_servers();
                if let Some(&server) = live.get(n % live.len().max(1)) {
                    self.world.kill_server(server, Some("terminated"));
                }
            }
            Event::FailDial => self.world.dial_failures.push_back(refused()),
            Event::Wait(millis) => self.world.advance(millis),
        }
        self.look();
    }

    /// Nobody waits while a server could be had.
    fn check_nobody_starves(&mut self) {
        self.world.dial_failures.clear();
        for _ in 0..15 {
            self.world.advance(200);
            self.look();
        }
        let pools = self.world.inspect().pools;
        let open: usize = pools.iter().map(|pool| pool.open).sum();
        let idle: usize = pools.iter().map(|pool| pool.idle).sum();
        for pool in pools.iter().filter(|pool| pool.waiting > 0) {
            let role: usize = pool.role[1..].parse().unwrap();
            let full = pool.open >= (self.roles[role].size + self.reserve) as usize;
            let all: Vec<_> = pools.iter().map(Figures::of).collect();
            assert!(full || (open == self.limit && idle == 0), "{} of {all:?}", pool.role);
            assert_eq!(pool.idle, 0);
        }
    }
}

/// What counts of a picture.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Figures<'a> {
    role: &'a str,
    open: usize,
    idle: usize,
    leased: usize,
    waiting: usize,
    size: u32,
}

impl<'a> Figures<'a> {
    fn of(pool: &'a PoolInspection) -> Self {
        let PoolInspection { open, idle, leased, waiting, size, .. } = *pool;
        Figures { role: &pool.role, open, idle, leased, waiting, size }
    }
}

/// Whether somebody who asked at `later` must not be served before one who asked at `earlier`.
fn must_come_later(later: u64, earlier: u64, patience: u64) -> bool {
    patience == 0 || later > earlier + patience
}

/// What each of these demands gets of `limit`, in max-min fairness, as far as whole servers go:
/// the least and the most.
fn ideal(limit: u32, demands: &[u32]) -> Vec<(u32, u32)> {
    let mut level = 0;
    while demands.iter().map(|&demand| demand.min(level + 1)).sum::<u32>() <= limit
        && demands.iter().any(|&demand| demand > level)
    {
        level += 1;
    }
    demands.iter().map(|&demand| (demand.min(level), demand.min(level + 1))).collect()
}

#[test]
fn the_ideal_is_what_it_should_be() {
    assert_eq!(ideal(6, &[9, 9]), [(3, 4), (3, 4)]);
    assert_eq!(ideal(7, &[1, 9, 9]), [(1, 1), (3, 4), (3, 4)]);
    assert_eq!(ideal(20, &[4, 5]), [(4, 5), (5, 5)].map(|(a, _)| (a, a)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_bounds_hold_and_nobody_starves(
        limit in 1_u32..12,
        roles in roles(),
        reserve in 0_u32..2,
        loops in (1_usize..4, any::<u64>()),
        events in prop::collection::vec(event(), 1..150),
    ) {
        let mut crowd = Crowd::new(limit, &roles, reserve, loops);
        for role in 0..roles.len() {
            crowd.join(role);
        }
        for event in events {
            crowd.happen(event);
        }
        crowd.check_nobody_starves();
    }

    #[test]
    fn shares_settle_at_the_ideal(
        limit in 1_u32..12,
        roles in roles(),
        loops in (1_usize..4, any::<u64>()),
        deaths in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let mut crowd = Crowd::new(limit, &roles, 0, loops);
        // One after the other, and each has what it wants before the next one comes.
        for role in 0..roles.len() {
            crowd.join(role);
            crowd.press(5);
            if let Some(&death) = deaths.get(role) {
                crowd.happen(Event::Die(death));
            }
        }
        crowd.press(60);
        let demands: Vec<u32> = roles
            .iter()
            .map(|role| role.size.min(u32::try_from(role.clients).unwrap()))
            .collect();
        for (n, (least, most)) in ideal(limit, &demands).into_iter().enumerate() {
            let has = crowd.world.backends(None, Some(&name(n)));
            let has = u32::try_from(has).unwrap();
            prop_assert!((least..=most).contains(&has), "{} has {has} of {limit}: {roles:?}", name(n));
        }
    }
}
