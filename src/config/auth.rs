//! `[auth]` and `[[access]]`: who may come in, from where, and how they prove it.

use super::defaults::DEFAULT_AUTH_QUERY;
use super::node::{Node, Value};
use super::report::Report;
use super::section::Section;
use super::source::{Origin, Place};
use super::timeout::Timeout;
use super::value::FromNode;
use super::words::AuthMethod;
use std::net::IpAddr;
use std::path::PathBuf;

/// How clients prove who they are, and where their secrets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// The method where no access rule names another. Default: `scram-sha-256`. Reloadable.
    pub method: AuthMethod,
    /// A file of roles and secrets in PgBouncer's format. Default: none. Re-read on reload.
    pub userlist: Option<PathBuf>,
    /// The query that asks Postgres for a role's secret; `$1` is the role. Default: one that honours
    /// `rolvaliduntil`, where `auth_query_role` is set. Reloadable.
    pub auth_query: Option<String>,
    /// The role that runs `auth_query`. Default: none. Reloadable.
    pub auth_query_role: Option<String>,
    /// The database that it runs in. Default: `postgres`. Reloadable.
    pub auth_query_database: String,
    /// How long an answer is good for, at most 60s. `off`: every login asks. Default: 60s. Reloadable.
    pub cache_ttl: Timeout,
}

/// One rule of `[[access]]`: the first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Databases that it is about; empty: every one.
    pub databases: Vec<String>,
    /// Roles that it is about; empty: every one.
    pub roles: Vec<String>,
    /// Where clients may come from; empty: anywhere.
    pub from: Vec<Network>,
    /// Whether it takes clients with TLS only.
    pub tls: bool,
    /// How these clients prove who they are; `None`: as `[auth]` says.
    pub method: Option<AuthMethod>,
    /// Where the rule stands, for the log.
    pub origin: Origin,
}

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The Unix socket.
    Unix,
    /// Addresses that share the first `prefix` bits with `address`.
    Range {
        /// With all bits after the prefix zero.
        address: IpAddr,
        /// At most 32 or 128.
        prefix: u8,
    },
}

impl Network {
    /// Reads `10.0.0.0/8`, `10.0.0.1`, `2001:db8::/32`, or `unix`. An error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(Network::Unix);
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            "not a network; write as in \"10.0.0.0/8\", \"10.0.0.1\", or \"unix\"".to_owned()
        })?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => widest,
            Some(prefix) => match prefix.parse::<u8>() {
                Ok(prefix) if prefix <= widest => prefix,
                _ => return Err(format!("the part after `/` is a number up to {widest}")),
            },
        };
        let masked = mask(address, prefix);
        if masked != address {
            return Err(format!(
                "bits are set beyond the first {prefix}; write \"{masked}/{prefix}\""
            ));
        }
        // Clients whose IPv4 address an IPv6 socket reports count as IPv4, so their networks do.
        match address.to_canonical() {
            IpAddr::V4(v4) if address.is_ipv6() && prefix >= 96 => {
                Ok(Network::Range { address: v4.into(), prefix: prefix - 96 })
            }
            _ => Ok(Network::Range { address, prefix }),
        }
    }

    /// Whether a client at `peer` (`None`: the Unix socket) comes from here.
    ///
    /// An IPv4 address that an IPv6 socket reports counts as IPv4.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        match (self, peer.map(|address| address.to_canonical())) {
            (Network::Unix, None) => true,
            (Network::Range { address, prefix }, Some(peer)) => {
                address.is_ipv4() == peer.is_ipv4() && mask(peer, *prefix) == *address
            }
            (Network::Unix, Some(_)) | (Network::Range { .. }, None) => false,
        }
    }

    /// Whether only this machine is in it.
    pub fn is_local(&self) -> bool {
        match self {
            Network::Unix => true,
            Network::Range { address: IpAddr::V4(address), prefix } => {
                address.is_loopback() && *prefix >= 8
            }
            Network::Range { address: IpAddr::V6(address), prefix } => {
                address.is_loopback() && *prefix == 128
            }
        }
    }
}

/// The address with every bit after the first `prefix` zero.
fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & keep).into())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & keep).into())
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Network::Unix => f.write_str("unix"),
            Network::Range { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

impl FromNode for Network {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = String::from_node(node, path, report)?;
        Network::parse(&text).map_err(|message| report.error(node.place, path, message)).ok()
    }
}

impl AccessRule {
    /// Whether it is about this client. `peer` is `None` for the Unix socket, which counts as encrypted.
    pub fn matches(&self, database: &str, role: &str, peer: Option<IpAddr>, tls: bool) -> bool {
        self.names(database, role)
            && (self.from.is_empty() || self.from.iter().any(|network| network.contains(peer)))
            && (!self.tls || tls || peer.is_none())
    }

    /// Whether it is about this role in this database, for some client.
    pub fn names(&self, database: &str, role: &str) -> bool {
        let named = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|known| known == name)
        };
        named(&self.databases, database) && named(&self.roles, role)
    }

    fn read(mut section: Section<'_>) -> Self {
        let rule = AccessRule {
            databases: names(&mut section, "database"),
            roles: names(&mut section, "role"),
            from: networks(&mut section),
            tls: section.optional("tls").is_some_and(|set| set.value),
            method: section.optional("method").map(|set| set.value),
            origin: section.report.sources.origin(section.place),
        };
        section.finish();
        rule
    }
}

/// A name or a list of them; `*` among them stands for every name.
fn names(section: &mut Section<'_>, key: &str) -> Vec<String> {
    let Some(set) = section.optional::<Vec<String>>(key) else { return Vec::new() };
    if set.value.is_empty() {
        let path = section.key(key);
        section.report.error(
            set.place,
            &path,
            "an empty list matches nobody; write \"*\" for every name",
        );
    }
    if set.value.iter().any(|name| name == "*") { Vec::new() } else { set.value }
}

fn networks(section: &mut Section<'_>) -> Vec<Network> {
    // "*" and "all" are what pg_hba.conf and firewalls write for everywhere.
    let is_everywhere = |node: &Node| matches!(&node.value, Value::String { text, .. } if text == "*" || text == "all");
    match section.node("from") {
        Some((node, _)) if is_everywhere(node) => return Vec::new(),
        Some((Node { value: Value::Array(items), .. }, _)) if items.iter().any(is_everywhere) => {
            return Vec::new();
        }
        _ => {}
    }
    let Some(set) = section.optional::<Vec<Network>>("from") else { return Vec::new() };
    if set.value.is_empty() {
        let path = section.key("from");
        section.report.error(
            set.place,
            &path,
            "an empty list matches nobody; leave the key out for everywhere",
        );
    }
    set.value
}

/// Reads the list under `access`, and where each rule stands.
pub(super) fn read_access(nodes: &[Node], report: &mut Report) -> Vec<(AccessRule, Place)> {
    let mut rules = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("access[{index}]");
        match &node.value {
            Value::Table(table) => {
                let section = Section::new(path, node.place, table, report);
                rules.push((AccessRule::read(section), node.place));
            }
            other => {
                let message = format!("a rule is a table, not {}", other.kind());
                report.error(node.place, &path, message).help =
                    Some("write [[access]] and its keys below".to_owned());
            }
        }
    }
    rules
}

impl AuthConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut auth = AuthConfig::default();
        section.update("method", &mut auth.method);
        section.update("userlist", &mut auth.userlist);
        let query_place = section.update("auth_query", &mut auth.auth_query);
        let role_place = section.update("auth_query_role", &mut auth.auth_query_role);
        let database_place = section.update("auth_query_database", &mut auth.auth_query_database);
        let ttl_place = section.update("cache_ttl", &mut auth.cache_ttl);

        match (&auth.auth_query, &auth.auth_query_role) {
            (Some(query), role) => {
                if let (None, Some(place)) = (role, query_place) {
                    let path = section.key("auth_query_role");
                    let message = "`auth_query` needs `auth_query_role`, the role that runs it";
                    section.report.error(place, &path, message);
                }
                if let (false, Some(place)) = (query.contains("$1"), query_place) {
                    let path = section.key("auth_query");
                    section.report.error(
                        place,
                        &path,
                        "the query has no `$1`, where the role's name goes",
                    );
                }
            }
            (None, Some(_)) => auth.auth_query = Some(DEFAULT_AUTH_QUERY.to_owned()),
            (None, None) => {
                if let Some(place) = database_place {
                    let path = section.key("auth_query_database");
                    section.report.warn(
                        place,
                        &path,
                        "`auth_query_database` does nothing without `auth_query_role`",
                    );
                }
            }
        }
        if let Some(place) = role_place.filter(|_| auth.auth_query_role.as_deref() == Some("")) {
            let path = section.key("auth_query_role");
            section.report.error(place, &path, "the role's name is empty");
        }
        if let Some(place) =
            ttl_place.filter(|_| auth.cache_ttl.as_millis().is_some_and(|millis| millis > 60_000))
        {
            let path = section.key("cache_ttl");
            let message = "at most 60s: a role that was locked out must not get in for longer";
            section.report.error(place, &path, message);
        }
        section.finish();
        auth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: &str, peer: &str, expected: bool) {
        let network = Network::parse(network).unwrap();
        let peer = (peer != "unix").then(|| peer.parse().unwrap());
        assert_eq!(network.contains(peer), expected, "{network} {peer:?}");
    }

    #[test]
    fn networks_contain_addresses() {
        check("10.0.9.0/24", "10.0.9.7", true);
        check("10.0.9.0/24", "10.0.8.7", false);
        check("10.0.9.7", "10.0.9.7", true);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "2001:db8::1", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("::ffff:10.0.0.0/104", "10.1.2.3", true);
        check("::ffff:10.0.0.0/104", "::ffff:11.1.2.3", false);
        check("::ffff:0:0/96", "1.2.3.4", true);
        check("10.0.9.0/25", "10.0.9.127", true);
        check("10.0.9.0/25", "10.0.9.128", false);
        check("10.0.9.128/25", "10.0.9.128", true);
        check("10.0.9.128/25", "10.0.9.127", false);
        check("10.0.9.7/32", "10.0.9.7", true);
        check("10.0.9.7/32", "10.0.9.6", false);
        check("10.0.9.6/31", "10.0.9.7", true);
        check("128.0.0.0/1", "127.255.255.255", false);
        check("128.0.0.0/1", "255.255.255.255", true);
        check("2001:db8::/33", "2001:db8:7fff:ffff::1", true);
        check("2001:db8::/33", "2001:db8:8000::", false);
        check("2001:db8::/127", "2001:db8::1", true);
        check("2001:db8::/127", "2001:db8::2", false);
        check("2001:db8::1", "2001:db8::1", true);
        check("::1", "127.0.0.1", false);
        check("::/0", "1.2.3.4", false);
        check("unix", "unix", true);
        check("unix", "127.0.0.1", false);
        check("0.0.0.0/0", "unix", false);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.1/8", "db1", "10.0.0.0/x", "10.0.0.0/"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        let error = Network::parse("10.0.9.7/24").unwrap_err();
        assert_eq!(error, "bits are set beyond the first 24; write \"10.0.9.0/24\"");
    }
}
