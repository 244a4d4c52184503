//! The tables of SHOW: columns with the names, types and order of PgBouncer 1.25, one file for
//! each group of them. Readers pick columns by place as well as by name, so none may be added.
//! SHOW PINS, TIMEOUTS, GUARD, GUARD_POLICY, REPLICAS and ROUTE are pgweir's own.

mod config;
mod connections;
mod databases;
mod guard;
mod lists;
mod pins;
mod pools;
mod replicas;
mod route;
mod stats;
mod timeouts;

pub use config::is_own_setting;

use std::sync::Arc;

use super::averages::Since;
use super::gates::Gates;
use super::snapshot::{NoAnswer, Snapshot, list};
use super::table::{Column, Row, Type};
use crate::config::Config;
use crate::login::Loop;
use crate::route::Topology;
use crate::worker::mail::Holds;

const TEXT: Type = Type::Text;
const INT4: Type = Type::Int4;
const INT8: Type = Type::Int8;
const NUMERIC: Type = Type::Numeric;

/// What SHOW VERSION says: first the PgBouncer whose tables these are, for tools that choose a
/// layout by it.
pub const VERSION: &str = concat!("PgBouncer 1.25.0 (pgweir ", env!("CARGO_PKG_VERSION"), ")");

macro_rules! shows {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A table that can be shown.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Show { $($(#[$doc])* $variant,)+ }

        impl Show {
            /// Every one, in the order of SHOW HELP.
            pub const ALL: &[Show] = &[$(Show::$variant,)+];

            /// The table of that name, in lower case.
            #[must_use]
            pub fn named(name: &str) -> Option<Show> {
                match name {
                    $($name => Some(Show::$variant),)+
                    _ => None,
                }
            }

            /// Its name, in lower case.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Show::$variant => $name,)+
                }
            }
        }
    };
}

shows! {
    /// Settings, under PgBouncer's names.
    Config = "config",
    /// Databases and their limits.
    Databases = "databases",
    /// Clients and servers of each database and role, counted.
    Pools = "pools",
    /// Each client.
    Clients = "clients",
    /// Each server.
    Servers = "servers",
    /// Roles.
    Users = "users",
    /// The version.
    Version = "version",
    /// Other pgweir processes that take cancel requests.
    Peers = "peers",
    /// Pools towards them.
    PeerPools = "peer_pools",
    /// Files and secrets; refused.
    Fds = "fds",
    /// Clients and servers with the state of their buffers.
    Sockets = "sockets",
    /// Those of them that are in use.
    ActiveSockets = "active_sockets",
    /// How many of everything there are.
    Lists = "lists",
    /// What takes memory.
    Mem = "mem",
    /// Whether clients are held.
    State = "state",
    /// Names of servers that are kept; pgweir keeps none.
    DnsHosts = "dns_hosts",
    /// Zones of such names.
    DnsZones = "dns_zones",
    /// Totals and averages of each database.
    Stats = "stats",
    /// Totals of each database.
    StatsTotals = "stats_totals",
    /// Averages of each database.
    StatsAverages = "stats_averages",
    /// Totals and averages over all databases.
    Totals = "totals",
    /// Sessions that keep their servers, and why.
    Pins = "pins",
    /// Limits in time that have struck lately.
    Timeouts = "timeouts",
    /// What rules of the guard have found lately.
    Guard = "guard",
    /// The policy that all they have found would have met.
    GuardPolicy = "guard_policy",
    /// The servers of databases that have several.
    Replicas = "replicas",
    /// Where requests went, and why.
    Route = "route",
}

/// What tables are made from: pictures, taken before the first row is written.
pub(super) struct Sight<'a> {
    pub(super) snapshot: Snapshot,
    pub(super) since: Since,
    pub(super) config: &'a Config,
    pub(super) gates: &'a Gates,
    pub(super) holds: Arc<Holds>,
    pub(super) loops: &'a [Arc<dyn Loop>],
    pub(super) sessions: &'a [super::console::SessionLine],
    /// Statements that consoles have run.
    pub(super) console_queries: u64,
    /// Clients that have a place, those that are logging in included.
    pub(super) admitted: u32,
    pub(super) cancel_keys: usize,
    pub(super) topologies: Vec<Arc<Topology>>,
    /// The port that clients connect to.
    pub(super) port: u16,
}

impl Show {
    /// SHOW FDS would show secrets; there are none to be had.
    #[must_use]
    pub fn needs_admin(self) -> bool {
        self == Show::Fds
    }

    /// Its columns.
    #[must_use]
    pub fn columns(self) -> &'static [Column] {
        match self {
            Show::Config => config::CONFIG,
            Show::Databases => databases::DATABASES,
            Show::Users => databases::USERS,
            Show::Pools => pools::POOLS,
            Show::Clients | Show::Servers => connections::CONNECTIONS,
            Show::Sockets | Show::ActiveSockets => connections::SOCKETS,
            Show::Version => &[("version", TEXT)],
            Show::Peers => lists::PEERS,
            Show::PeerPools => lists::PEER_POOLS,
            Show::Fds => &[],
            Show::Lists => lists::LISTS,
            Show::Mem => lists::MEM,
            Show::State => lists::STATE,
            Show::DnsHosts => lists::DNS_HOSTS,
            Show::DnsZones => lists::DNS_ZONES,
            Show::Stats => stats::STATS,
            Show::StatsTotals => stats::STATS_TOTALS,
            Show::StatsAverages => stats::STATS_AVERAGES,
            Show::Totals => stats::TOTALS,
            Show::Pins => pins::PINS,
            Show::Timeouts => timeouts::TIMEOUTS,
            Show::Guard => guard::GUARD,
            Show::GuardPolicy => guard::POLICY,
            Show::Replicas => replicas::REPLICAS,
            Show::Route => route::ROUTE,
        }
    }

    /// Its rows.
    pub(super) async fn rows(self, sight: &Sight<'_>) -> Result<Vec<Row>, NoAnswer> {
        Ok(match self {
            Show::Config => config::config(sight),
            Show::Databases => databases::databases(sight),
            Show::Users => databases::users(sight),
            Show::Pools => pools::pools(sight),
            Show::Clients => connections::clients(sight, &list(sight.loops).await?),
            Show::Servers => connections::servers(sight, &list(sight.loops).await?),
            Show::Sockets => connections::sockets(sight, &list(sight.loops).await?, |_| true),
            Show::ActiveSockets => {
                connections::sockets(sight, &list(sight.loops).await?, |state| state == "active")
            }
            Show::Version => vec![vec![VERSION.into()]],
            Show::Peers => lists::peers(sight),
            Show::PeerPools | Show::DnsHosts | Show::DnsZones | Show::Fds => Vec::new(),
            Show::Lists => lists::lists(sight),
            Show::Mem => lists::mem(sight),
            Show::State => lists::state(sight),
            Show::Stats => stats::stats(sight),
            Show::StatsTotals => stats::stats_totals(sight),
            Show::StatsAverages => stats::stats_averages(sight),
            Show::Totals => stats::totals(sight),
            Show::Pins => pins::pins(sight, &list(sight.loops).await?),
            Show::Timeouts => timeouts::timeouts(&list(sight.loops).await?),
            Show::Guard => guard::found(&list(sight.loops).await?),
            Show::GuardPolicy => guard::policy(sight),
            Show::Replicas => replicas::replicas(sight),
            Show::Route => route::route(sight),
        })
    }
}
