//! `[databases.X]`: where each database is, its replicas, and how statements are spread over them.

use super::layer::layered;
use super::node::{Node, Table, Value, join};
use super::report::Report;
use super::section::{Section, Set};
use super::settings::{Effective, Layer, Level};
use super::source::{Origin, Place};
use super::target::Target;
use super::timeout::Timeout;
use super::value::{FromNode, Show};
use super::words::{Consistency, Reads, Strategy, WhenNoReplica, Writes};
use std::collections::BTreeMap;

/// A database as clients name it.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The name that clients use.
    pub name: String,
    /// The name on the server.
    pub server_database: String,
    /// The `[databases.X]` that says where it is: itself, the one that it is an alias of, or `*`.
    pub table: String,
    /// The `[databases.X]` that it is another name for.
    pub alias_of: Option<String>,
    /// Where the primary is; with several hosts, one of them.
    pub primary: Target,
    /// Its replicas; may be empty.
    pub replicas: Vec<ReplicaConfig>,
    /// How statements are spread over them.
    pub routing: RoutingConfig,
}

impl DatabaseConfig {
    /// Where it is, as one text: the hosts of its primary, and its name there.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self.primary.hosts.iter().map(ToString::to_string).collect();
        format!("{}/{}", hosts.join(","), self.server_database)
    }

    /// Whether no table names it: `[databases."*"]` serves it.
    pub fn is_wildcard(&self) -> bool {
        self.table == super::resolve::ANY_DATABASE
    }

    /// A database of that name on a server, without replicas.
    pub fn new(name: &str, primary: Target) -> Self {
        let server_database = primary.dbname.clone().unwrap_or_else(|| name.to_owned());
        DatabaseConfig {
            name: name.to_owned(),
            server_database,
            table: name.to_owned(),
            alias_of: None,
            primary,
            replicas: Vec::new(),
            routing: RoutingConfig::default(),
        }
    }
}

impl Effective {
    /// The role that logs in to Postgres.
    pub fn logs_in_as(&self) -> &str {
        self.server_role.as_deref().unwrap_or(&self.role)
    }

    /// Whether server connections made under `before` are what these settings would make: the same place, the same
    /// way there, the same login.
    pub fn has_servers_of(&self, before: &Self) -> bool {
        let exposed = |settings: &Self| {
            settings.server_password.as_ref().map(|secret| secret.expose().to_owned())
        };
        self.database.server_database == before.database.server_database
            && self.database.primary.reaches_as(&before.database.primary)
            && self.logs_in_as() == before.logs_in_as()
            && exposed(self) == exposed(before)
    }
}

/// A server that follows the primary.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// Where it is.
    pub target: Target,
    /// Its share of the reads, relative to the others'. At least 1. Default: 1. Reloadable.
    pub weight: u32,
    /// Further behind than this it gets no reads. `off`: it always does. Default: the routing's. Reloadable.
    pub max_lag: Timeout,
}

layered! {
    /// How statements are spread over the primary and its replicas.
    RoutingConfig, RoutingLayer {
        /// Where proven reads go. Default: `replica`. Reloadable.
        reads: Reads,
        /// Where writes go. Default: `primary`. Reloadable.
        writes: Writes,
        /// How one of several usable replicas is chosen. Default: `least-busy`. Reloadable.
        strategy: Strategy,
        /// Whose writes a read must see. Default: `session`. Reloadable.
        consistency: Consistency,
        /// A replica further behind gets no reads. `off`: it always does. Default: 2s. Reloadable.
        max_lag: Timeout,
        /// How often positions are read. Not `off`. Default: 100ms. Reloadable.
        lag_interval: Timeout,
        /// How long a read waits for a replica to catch up before it goes to the primary. `off`: not at all.
        /// Default: off. Reloadable.
        replica_wait: Timeout,
        /// What a read gets when no replica is usable. Default: `primary`. Reloadable.
        when_no_replica: WhenNoReplica,
        /// Functions that are safe on a replica though the catalog calls them volatile. Default: none. Reloadable.
        replica_safe_functions: Vec<String>,
    }
}

impl Show for Vec<String> {
    fn show(&self) -> String {
        format!("[{}]", self.join(", "))
    }
}

/// A `[databases.X]` as the file has it.
#[derive(Debug)]
pub(super) struct DatabaseTable {
    /// Where its header stands.
    pub place: Place,
    pub alias_of: Option<Set<String>>,
    /// Whether there is an `alias_of`, well-formed or not.
    pub is_alias: bool,
    /// Where `primary` stands, well-formed or not.
    pub primary_place: Option<Place>,
    pub primary: Option<Set<Target>>,
    pub replicas: Vec<ReplicaTable>,
    pub replicas_place: Option<Place>,
    pub routing: RoutingLayer,
    pub layer: Layer,
    pub roles: BTreeMap<String, RoleTable>,
}

/// A `[roles.Y]` or `[databases.X.roles.Y]`.
#[derive(Debug)]
pub(super) struct RoleTable {
    pub place: Place,
    pub layer: Layer,
}

/// One element of `replicas`.
#[derive(Clone, Debug)]
pub(super) struct ReplicaTable {
    pub place: Place,
    pub origin: Origin,
    pub target: Target,
    pub weight: u32,
    pub max_lag: Option<Timeout>,
}

impl ReplicaTable {
    /// With the routing's `max_lag` where it has none of its own.
    pub fn settle(&self, routing: &RoutingConfig) -> ReplicaConfig {
        ReplicaConfig {
            target: self.target.clone(),
            weight: self.weight,
            max_lag: self.max_lag.unwrap_or(routing.max_lag),
        }
    }
}

impl FromNode for Target {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = String::from_node(node, path, report)?;
        match Target::parse(&text) {
            Ok(target) => {
                for name in &target.unused {
                    let place = report.sources.find_in(node.place, name);
                    report.warn(place, path, format!("pgweir does not use `{name}`"));
                }
                Some(target)
            }
            Err(error) => {
                // Messages about text from outside the file name no part of it.
                let outside = matches!(node.value, Value::String { outside: true, .. });
                let message = if outside {
                    "the value is no connection string".to_owned()
                } else {
                    error.message
                };
                report.error(node.place, path, message).help = error.help;
                None
            }
        }
    }
}

impl FromNode for ReplicaTable {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let place = node.place;
        let Value::Table(table) = &node.value else {
            let target = Target::from_node(node, path, report)?;
            let origin = report.sources.origin(place);
            return Some(ReplicaTable { place, origin, target, weight: 1, max_lag: None });
        };
        let mut section = Section::new(path, place, table, report);
        let target = section.optional::<Target>("url");
        if section.node("url").is_none() {
            let path = section.key("url");
            section.report.error(place, &path, "a replica needs its `url`");
        }
        let mut weight = 1;
        if let Some(place) = section.update("weight", &mut weight).filter(|_| weight == 0) {
            let path = section.key("weight");
            section.report.error(
                place,
                &path,
                "a weight is at least 1; a replica without reads is left out",
            );
        }
        let max_lag = section.optional("max_lag").map(|set| set.value);
        let origin = section.report.sources.origin(place);
        section.finish();
        Some(ReplicaTable { place, origin, target: target?.value, weight, max_lag })
    }
}

impl DatabaseTable {
    pub fn read(mut section: Section<'_>) -> Self {
        let is_alias = section.node("alias_of").is_some();
        let alias_of = section.optional("alias_of");
        let primary_place = section.node("primary").map(|(node, _)| node.place);
        let primary = section.optional::<Target>("primary");
        let replicas_place = section.node("replicas").map(|(node, _)| node.place);
        let replicas = read_replicas(&mut section);
        let routing = match section.table("routing") {
            Some((table, place)) => {
                let path = section.key("routing");
                read_routing(Section::new(path, place, table, section.report))
            }
            None => RoutingLayer::default(),
        };
        let mut layer = Level::Database.read(&mut section);
        if let Some(primary) = &primary {
            adopt(primary, &mut layer);
        }
        let roles = match section.table("roles") {
            Some((table, place)) => {
                let path = section.key("roles");
                read_roles(Section::new(path, place, table, section.report), Level::DatabaseRole)
            }
            None => BTreeMap::new(),
        };
        let place = section.place;
        section.finish();
        DatabaseTable {
            place,
            alias_of,
            is_alias,
            primary_place,
            primary,
            replicas,
            replicas_place,
            routing,
            layer,
            roles,
        }
    }
}

/// Every replica that is well-formed; the others are reported.
fn read_replicas(section: &mut Section<'_>) -> Vec<ReplicaTable> {
    let path = section.key("replicas");
    match section.node("replicas") {
        Some((Node { value: Value::Array(items), .. }, _)) => {
            let mut replicas = Vec::new();
            for (index, item) in items.iter().enumerate() {
                replicas.extend(ReplicaTable::from_node(
                    item,
                    &format!("{path}[{index}]"),
                    section.report,
                ));
            }
            replicas
        }
        Some((node, _)) => {
            ReplicaTable::from_node(node, &path, section.report).into_iter().collect()
        }
        None => Vec::new(),
    }
}

/// What the connection string says counts as set by the database's table, where the table itself does not.
fn adopt(primary: &Set<Target>, layer: &mut Layer) {
    let Set { value: target, place, origin } = primary;
    fn fill<T>(slot: &mut Option<Set<T>>, value: Option<T>, place: Place, origin: &Origin) {
        if slot.is_none() {
            *slot = value.map(|value| Set { value, place, origin: origin.clone() });
        }
    }
    // The password in the string is that of its user, not of another `server_role`.
    if layer.server_role.is_none() {
        fill(&mut layer.server_password, target.password.clone().map(Some), *place, origin);
    }
    fill(&mut layer.server_role, target.user.clone().map(Some), *place, origin);
    fill(&mut layer.connect_timeout, target.connect_timeout, *place, origin);
}

fn read_routing(mut section: Section<'_>) -> RoutingLayer {
    let layer = RoutingLayer::read(&mut section, |_| true);
    if let Some(set) = layer.lag_interval.as_ref().filter(|set| set.value.is_off()) {
        let path = section.key("lag_interval");
        section.report.error(set.place, &path, "positions must be read at some interval");
    }
    section.finish();
    layer
}

/// The tables below `roles`, by the role's name.
pub(super) fn read_roles(mut section: Section<'_>, level: Level) -> BTreeMap<String, RoleTable> {
    let mut roles = BTreeMap::new();
    for (name, table, place) in section.named_tables() {
        let path = join(&section.path, name);
        let mut role: Section<'_> = Section::new(path, place, table, section.report);
        let layer = level.read(&mut role);
        role.finish();
        roles.insert(name.to_owned(), RoleTable { place, layer });
    }
    roles
}

/// The tables below `databases`, by the database's name.
pub(super) fn read_databases(mut section: Section<'_>) -> BTreeMap<String, DatabaseTable> {
    let mut databases = BTreeMap::new();
    let tables: Vec<(&str, &Table, Place)> = section.named_tables();
    for (name, table, place) in tables {
        let path = join(&section.path, name);
        databases.insert(
            name.to_owned(),
            DatabaseTable::read(Section::new(path, place, table, section.report)),
        );
    }
    databases
}
