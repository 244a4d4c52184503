//! ACCT: after a test, nothing is lost and nothing is left over.
//!
//! ```ignore
//! let accounts = Accounting::of(&pgweir, &[cluster.primary()]);   // the baseline
//! …                                                               // whatever the test does
//! accounts.assert_balanced();                                     // at any moment
//! accounts.assert_settled(secs(5));                               // in the end
//! ```
//!
//! Balanced: in each pool `idle + leased + login + cancel + zombie + moving = open`. Settled: besides, nobody
//! is leased, logging in, being cancelled or waiting, `open` and the connections that listen equal what
//! `pg_stat_activity` shows, and the process has no more files open (servers apart) and no more memory than at the baseline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pgweir::cluster::{Node, quote_literal};
use serde_json::Value;

use super::http;
use super::pgweir_process::Pgweir;

/// How much more anonymous memory than at the baseline still counts as none.
const MEMORY_SLACK_KB: u64 = 8 * 1024;

/// One pool, as `/api/state` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolState {
    /// Database as clients name it.
    pub database: String,
    /// Role as clients name it.
    pub role: String,
    /// The server, by its address.
    pub server: String,
    /// Servers that nobody uses.
    pub idle: u64,
    /// Servers that a client holds.
    pub leased: u64,
    /// Servers being logged in to.
    pub login: u64,
    /// Servers held for a cancel in flight.
    pub cancel: u64,
    /// Servers that may still run although given up.
    pub zombie: u64,
    /// Servers on their way from one event loop to another.
    pub moving: u64,
    /// All of the above.
    pub open: u64,
    /// Clients that wait for a server.
    pub waiting: u64,
    /// Clients of this pool.
    pub clients: u64,
    /// Clients that keep their servers.
    pub pinned: u64,
    /// Connections that listen for its clients, beside its servers.
    pub listeners: u64,
}

impl PoolState {
    /// What is wrong with its sum, if anything.
    fn imbalance(&self) -> Option<String> {
        let sum = self.idle + self.leased + self.login + self.cancel + self.zombie + self.moving;
        (sum != self.open).then(|| format!("the parts are {sum}, open is {}: {self:?}", self.open))
    }

    fn is_quiet(&self) -> bool {
        self.leased + self.login + self.cancel + self.zombie + self.moving + self.waiting == 0
    }
}

/// What `/api/state` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessState {
    /// Every pool.
    pub pools: Vec<PoolState>,
    /// All clients.
    pub clients: u64,
}

impl ProcessState {
    /// Reads the JSON; the error names what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let pools = json["pools"].as_array().ok_or("no array \"pools\"")?;
        let pools = pools.iter().map(parse_pool).collect::<Result<_, _>>()?;
        Ok(Self { pools, clients: number(&json, "clients")? })
    }
}

fn parse_pool(json: &Value) -> Result<PoolState, String> {
    let word = |key: &str| {
        let word = json[key].as_str().map(str::to_owned);
        word.ok_or_else(|| format!("no text {key:?} in {json}"))
    };
    Ok(PoolState {
        database: word("database")?,
        role: word("role")?,
        server: word("server")?,
        idle: number(json, "idle")?,
        leased: number(json, "leased")?,
        login: number(json, "login")?,
        cancel: number(json, "cancel")?,
        zombie: number(json, "zombie")?,
        moving: number(json, "moving")?,
        open: number(json, "open")?,
        waiting: number(json, "waiting")?,
        clients: number(json, "clients")?,
        pinned: number(json, "pinned")?,
        listeners: number(json, "listeners")?,
    })
}

fn number(json: &Value, key: &str) -> Result<u64, String> {
    json[key].as_u64().ok_or_else(|| format!("no number {key:?} in {json}"))
}

/// The books of one pgweir process and the servers behind it.
pub struct Accounting<'a> {
    http: SocketAddr,
    pid: u32,
    nodes: Vec<&'a Node>,
    server_roles: Vec<(String, String)>,
    server_databases: Vec<(String, String)>,
    base_files: i64,
    base_memory_kb: u64,
    memory_slack_kb: u64,
}

impl<'a> Accounting<'a> {
    /// Takes the baseline of a running pgweir: call it once the process is warm.
    pub fn of(pgweir: &Pgweir, nodes: &[&'a Node]) -> Self {
        Self::new(pgweir.http(), pgweir.pid(), nodes)
    }

    /// As [`Accounting::of`], from the parts.
    pub fn new(http: SocketAddr, pid: u32, nodes: &[&'a Node]) -> Self {
        let mut accounts = Self {
            http,
            pid,
            nodes: nodes.to_vec(),
            server_roles: Vec::new(),
            server_databases: Vec::new(),
            base_files: 0,
            base_memory_kb: 0,
            memory_slack_kb: MEMORY_SLACK_KB,
        };
        accounts.rebase();
        accounts
    }

    /// A client role whose servers are logged in to as another role.
    pub fn server_role(mut self, role: &str, server_role: &str) -> Self {
        self.server_roles.push((role.into(), server_role.into()));
        self
    }

    /// A database whose servers are logged in to under another name.
    pub fn server_database(mut self, database: &str, server_database: &str) -> Self {
        self.server_databases.push((database.into(), server_database.into()));
        self
    }

    /// How many kilobytes above the baseline are still forgiven; 8 MB unless set.
    pub fn memory_slack_kb(mut self, slack: u64) -> Self {
        self.memory_slack_kb = slack;
        self
    }

    /// Takes the baseline anew.
    pub fn rebase(&mut self) {
        self.base_files = self.files_but_servers(&self.state());
        self.base_memory_kb = memory_kb(self.pid);
    }

    /// What the process says of itself now.
    pub fn state(&self) -> ProcessState {
        let text = http::get(self.http, "/api/state");
        ProcessState::parse(&text).unwrap_or_else(|error| panic!("/api/state: {error}\n{text}"))
    }

    /// Panics unless each pool's parts add up, whatever goes on.
    pub fn assert_balanced(&self) {
        let wrong: Vec<String> =
            self.state().pools.iter().filter_map(PoolState::imbalance).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Waits until everything is settled; panics with all that is not after `limit`. An imbalance
    /// is never waited for.
    pub fn assert_settled(&self, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            self.assert_balanced();
            let complaints = self.complaints();
            if complaints.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "not settled after {limit:?}:\n{complaints}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything that is not settled now, a line each.
    pub fn complaints(&self) -> String {
        let state = self.state();
        let mut text = String::new();
        for pool in state.pools.iter().filter(|pool| !pool.is_quiet()) {
            let _ = writeln!(text, "not quiet: {pool:?}");
        }
        for ((port, database, role), open) in self.servers_by_login(&state) {
            let there = activity(self.node_at(port), &database, &role);
            if open != there {
                let _ = writeln!(
                    text,
                    "{database}/{role} on {port}: open is {open}, pg_stat_activity shows {there}"
                );
            }
        }
        let files = self.files_but_servers(&state);
        if files > self.base_files {
            let _ = writeln!(text, "open files but servers: {files}, were {}", self.base_files);
        }
        let (memory, most) = (memory_kb(self.pid), self.base_memory_kb + self.memory_slack_kb);
        if memory > most {
            let _ = writeln!(text, "RssAnon is {memory} kB, was {} kB", self.base_memory_kb);
        }
        text
    }

    /// Open servers by port, database and role as the servers know them: several pools may share
    /// a login there.
    fn servers_by_login(&self, state: &ProcessState) -> BTreeMap<(u16, String, String), u64> {
        let mut servers = BTreeMap::new();
        for pool in &state.pools {
            let port = self.node_of(pool).port();
            let database = renamed(&self.server_databases, &pool.database);
            let role = renamed(&self.server_roles, &pool.role);
            *servers.entry((port, database, role)).or_default() += pool.open + pool.listeners;
        }
        servers
    }

    /// The node whose port stands in the pool's server; the only node when there is one.
    fn node_of(&self, pool: &PoolState) -> &'a Node {
        if let [only] = self.nodes.as_slice() {
            return only;
        }
        let port = |node: &&&Node| pool.server.contains(&format!(":{}", node.port()));
        self.nodes.iter().find(port).unwrap_or_else(|| panic!("whose server is {pool:?}?"))
    }

    fn node_at(&self, port: u16) -> &'a Node {
        self.nodes.iter().find(|node| node.port() == port).expect("a port of our nodes")
    }

    fn files_but_servers(&self, state: &ProcessState) -> i64 {
        let servers: u64 = state.pools.iter().map(|pool| pool.open + pool.listeners).sum();
        let files = i64::try_from(open_files(self.pid)).expect("few files");
        files - i64::try_from(servers).expect("few servers")
    }
}

fn renamed(names: &[(String, String)], name: &str) -> String {
    let other = names.iter().find(|(known, _)| known == name);
    other.map_or(name, |(_, server)| server).to_owned()
}

/// Sessions that a server has of this role in this database, the checker's own apart.
pub fn activity(node: &Node, database: &str, role: &str) -> u64 {
    let question = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
         AND datname = {} AND usename = {} AND pid <> pg_backend_pid()",
        quote_literal(database),
        quote_literal(role)
    );
    let rows = node.sql("postgres", &question).expect("a look into pg_stat_activity");
    rows[0][0].as_deref().and_then(|text| text.parse().ok()).expect("a count")
}

/// Open files of a process.
pub fn open_files(pid: u32) -> usize {
    let folder = format!("/proc/{pid}/fd");
    fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")).count()
}

/// Anonymous resident memory of a process, in kilobytes.
pub fn memory_kb(pid: u32) -> u64 {
    status_kb(pid, "RssAnon:")
}

/// The most memory that a process has ever had resident, in kilobytes.
pub fn peak_memory_kb(pid: u32) -> u64 {
    status_kb(pid, "VmHWM:")
}

fn status_kb(pid: u32, name: &str) -> u64 {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {file}"))
}
