//! Where a Postgres is, and how to speak to it: libpq connection URLs and keyword strings.
//!
//! The rules are those of the manual's "Connection Strings" (libpq, 34.1.1). Name resolution,
//! environment variables (`PGHOST`), service files and password files are deliberately absent.

mod keywords;
#[cfg(test)]
mod tests;
mod url;

use super::secret::Secret;
use super::timeout::Timeout;
use super::words::{SslMode, TargetSessionAttrs, Word, nearest};
use std::net::IpAddr;
use std::path::PathBuf;

/// The port of Postgres.
pub const DEFAULT_PORT: u16 = 5432;

/// A parsed connection URL or keyword string.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it may be, in the order given. Never empty.
    pub hosts: Vec<Host>,
    /// The database's name on the server, if given.
    pub dbname: Option<String>,
    /// The role to log in as, if given.
    pub user: Option<String>,
    /// That role's password, if given.
    pub password: Option<Secret>,
    /// How much TLS protects the connection. `prefer` if not given.
    pub sslmode: SslMode,
    /// Certificates of the authorities to trust; the system's when not given.
    pub sslrootcert: Option<PathBuf>,
    /// Our certificate for the server.
    pub sslcert: Option<PathBuf>,
    /// Its private key.
    pub sslkey: Option<PathBuf>,
    /// What our connections call themselves.
    pub application_name: Option<String>,
    /// How long one attempt may take, if given. libpq writes it in whole seconds.
    pub connect_timeout: Option<Timeout>,
    /// Command-line options for the server's process, as in `-c geqo=off`.
    pub options: Option<String>,
    /// Which of several hosts is wanted.
    pub target_session_attrs: TargetSessionAttrs,
    /// Parameters that libpq knows and pgweir does not use.
    pub unused: Vec<String>,
}

/// One place where a Postgres listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A host name or address.
    Tcp {
        /// Without brackets if it is an IPv6 address.
        name: String,
        /// Never 0.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// The directory of the socket, or `@` and a name in the abstract namespace.
        dir: String,
        /// Never 0.
        port: u16,
    },
}

impl Host {
    /// A directory for a Unix socket, or a name: libpq tells them apart by the first byte.
    fn new(text: &str, port: u16) -> Self {
        if text.starts_with(['/', '@']) {
            Host::Unix { dir: text.to_owned(), port }
        } else {
            Host::Tcp { name: text.to_owned(), port }
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Host::Tcp { port, .. } | Host::Unix { port, .. } => *port,
        }
    }

    /// Whether what is sent there stays on this machine: Unix sockets, `localhost`, loopback addresses.
    pub fn is_local(&self) -> bool {
        match self {
            Host::Unix { .. } => true,
            Host::Tcp { name, .. } => is_loopback_name(name),
        }
    }

    /// The socket's path, for a Unix socket.
    pub fn socket_path(&self) -> Option<PathBuf> {
        match self {
            Host::Tcp { .. } => None,
            Host::Unix { dir, port } => Some(PathBuf::from(format!("{dir}/.s.PGSQL.{port}"))),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Host::Tcp { name, port } | Host::Unix { dir: name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// Whether a host name or address means this machine.
pub(super) fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Why a text is no connection string. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError {
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that can be said.
    pub help: Option<String>,
}

impl TargetError {
    fn new(message: impl Into<String>) -> Self {
        TargetError { message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for TargetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TargetError {}

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Target::parse(text)
    }
}

impl Target {
    /// Whether connections to `other` are like those to this one, whoever logs in.
    pub fn reaches_as(&self, other: &Self) -> bool {
        let parts = |target: &Self| {
            let Target { hosts, sslmode, sslrootcert, sslcert, sslkey, .. } = target.clone();
            let Target { application_name, options, target_session_attrs, .. } = target.clone();
            (
                (hosts, sslmode, sslrootcert, sslcert, sslkey),
                (application_name, options, target_session_attrs),
            )
        };
        parts(self) == parts(other)
    }

    /// A target with nothing but places in it. For tests and programs; the file has text.
    pub fn at(hosts: Vec<Host>) -> Self {
        Target {
            hosts,
            dbname: None,
            user: None,
            password: None,
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            application_name: None,
            connect_timeout: None,
            options: None,
            target_session_attrs: TargetSessionAttrs::Any,
            unused: Vec::new(),
        }
    }

    /// Reads `postgres://…`, `postgresql://…` or `host=… port=… dbname=…`.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        let mut given = Parameters::default();
        if let Some(rest) =
            text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))
        {
            url::read(rest, &mut given)?;
        } else if let Some((scheme, _)) =
            text.split_once("://").filter(|(scheme, _)| !scheme.contains('='))
        {
            return Err(foreign_scheme(scheme));
        } else {
            keywords::read(text, &mut given)?;
        }
        given.into_target()
    }

    /// Whether every host is on this machine.
    pub fn is_local(&self) -> bool {
        self.hosts.iter().all(Host::is_local)
    }
}

fn foreign_scheme(scheme: &str) -> TargetError {
    let error = TargetError::new(format!("`{}://` is no Postgres URL", clip(scheme)));
    // SQLAlchemy names the driver (postgresql+psycopg), JDBC itself (jdbc:postgresql).
    if scheme.contains("postgres") {
        error.help("write `postgres://`, without the driver's name")
    } else {
        error.help("write `postgres://host:5432/database`, or `host=… port=… dbname=…`")
    }
}

/// A piece of the text for a message, short enough to read.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Parameters that libpq knows and pgweir has no use for.
const UNUSED: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "tcp_user_timeout",
];

/// Parameters that we use.
const USED: &[&str] = &[
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "connect_timeout",
    "options",
    "target_session_attrs",
];

/// What a connection string gave, by libpq's names; the last of two wins, as in libpq.
#[derive(Default)]
struct Parameters {
    given: std::collections::BTreeMap<&'static str, String>,
    hostaddr: Option<String>,
    unused: Vec<String>,
}

impl Parameters {
    fn set(&mut self, name: &str, value: String) -> Result<(), TargetError> {
        if value.contains('\0') {
            return Err(TargetError::new(format!(
                "the value of `{}` holds a NUL byte",
                clip(name)
            )));
        }
        // What JDBC writes, and libpq takes in a URL.
        if name == "ssl" && value == "true" {
            self.given.insert("sslmode", "require".to_owned());
        } else if let Some(used) = USED.iter().find(|used| **used == name) {
            self.given.insert(used, value);
        } else if UNUSED.contains(&name) {
            if name == "hostaddr" {
                self.hostaddr = Some(value);
            }
            self.unused.push(name.to_owned());
        } else {
            let error = TargetError::new(format!("libpq knows no parameter `{}`", clip(name)));
            return Err(match nearest(name, USED.iter().chain(UNUSED).copied()) {
                Some(meant) => error.help(format!("did you mean `{meant}`?")),
                None => error,
            });
        }
        Ok(())
    }

    /// A parameter that is not empty: for libpq an empty one is one not given.
    fn take(&mut self, name: &str) -> Option<String> {
        self.given.remove(name).filter(|value| !value.is_empty())
    }

    fn word<W: Word>(&mut self, name: &str, default: W) -> Result<W, TargetError> {
        let Some(value) = self.take(name) else { return Ok(default) };
        W::parse(&value).ok_or_else(|| {
            let words: Vec<_> = W::WORDS.iter().map(|(word, _)| *word).collect();
            TargetError::new(format!("`{}` is no value of `{name}`", clip(&value)))
                .help(format!("one of {}", words.join(", ")))
        })
    }

    fn into_target(mut self) -> Result<Target, TargetError> {
        let hosts = self.take("host");
        let hosts = match (hosts, self.hostaddr.take()) {
            (None, Some(address)) => {
                self.unused.retain(|name| name != "hostaddr");
                Some(address)
            }
            (hosts, _) => hosts,
        };
        let ports = self.take("port");
        let system_roots = self.given.get("sslrootcert").is_some_and(|path| path == "system");
        let sslmode =
            self.word("sslmode", if system_roots { SslMode::VerifyFull } else { SslMode::Prefer })?;
        if system_roots && sslmode != SslMode::VerifyFull {
            return Err(TargetError::new(
                "`sslrootcert=system` needs `sslmode=verify-full`, as in libpq",
            ));
        }
        let connect_timeout =
            self.take("connect_timeout").map(|text| seconds(&text)).transpose()?;
        Ok(Target {
            dbname: self.take("dbname"),
            user: self.take("user"),
            password: self.take("password").map(Secret::new),
            sslmode,
            sslrootcert: self
                .take("sslrootcert")
                .filter(|path| path != "system")
                .map(PathBuf::from),
            sslcert: self.take("sslcert").map(PathBuf::from),
            sslkey: self.take("sslkey").map(PathBuf::from),
            application_name: self.take("application_name"),
            connect_timeout,
            options: self.take("options"),
            target_session_attrs: self.word("target_session_attrs", TargetSessionAttrs::Any)?,
            hosts: pair_hosts(hosts.as_deref(), ports.as_deref())?,
            unused: self.unused,
        })
    }
}

/// libpq's `connect_timeout`: whole seconds, zero or less for none.
fn seconds(text: &str) -> Result<Timeout, TargetError> {
    let count: i32 = text.trim().parse().map_err(|_| {
        TargetError::new("`connect_timeout` in a connection string is a whole number of seconds")
    })?;
    Ok(Timeout::from_secs(u32::try_from(count).unwrap_or(0)))
}

/// Pairs the comma lists of hosts and ports; one port, or none, serves every host.
fn pair_hosts(hosts: Option<&str>, ports: Option<&str>) -> Result<Vec<Host>, TargetError> {
    let Some(hosts) = hosts else {
        return Err(TargetError::new("the connection string names no host")
            .help("write a host name, an address, or a directory for a Unix socket: host=/var/run/postgresql"));
    };
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    let ports: Vec<u16> = match ports {
        None => vec![DEFAULT_PORT],
        Some(ports) => ports.split(',').map(port).collect::<Result<_, _>>()?,
    };
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(TargetError::new(format!("{} ports for {} hosts", ports.len(), hosts.len()))
            .help("give one port for all hosts, or one for each"));
    }
    let mut places = Vec::with_capacity(hosts.len());
    for (index, host) in hosts.iter().enumerate() {
        if host.is_empty() {
            return Err(TargetError::new("a host in the list is empty"));
        }
        if host.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(TargetError::new(format!("`{}` is no host name", clip(host))));
        }
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
        places.push(Host::new(host, port));
    }
    Ok(places)
}

/// A port, or the default for an empty text, as in libpq.
fn port(text: &str) -> Result<u16, TargetError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        // Text that is no number may be a piece of a password.
        _ => Err(TargetError::new(match text.bytes().all(|b| b.is_ascii_digit()) {
            true => format!("`{}` is no port", clip(text)),
            false => "what stands in the port's place is no port".to_owned(),
        })
        .help("ports are numbers from 1 to 65535; a `:`, `@` or `/` in a password is written %3A, %40 or %2F")),
    }
}
