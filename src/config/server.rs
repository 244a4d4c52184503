//! `[server]` and `[server.tls]`: how clients reach pgweir.

use super::defaults::DEFAULT_LISTEN_PORT;
use super::node::Node;
use super::report::Report;
use super::section::Section;
use super::target::is_loopback_name;
use super::timeout::Timeout;
use super::value::{FromNode, Size};
use super::words::TlsMode;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Most event loops.
pub const MOST_LOOPS: usize = 64;

/// How clients reach pgweir, and what the process as a whole may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses to listen at; IPv6 sockets take IPv6 only. Empty: only the Unix socket.
    /// Default: `127.0.0.1:6432`. Reloadable: new addresses are bound before old ones are closed.
    pub listen: Vec<ListenAddress>,
    /// The directory of the Unix socket. Default: none. Not reloadable.
    pub unix_socket: Option<PathBuf>,
    /// Clients beyond this are refused with 53300. At least 1. Default: 5000. Reloadable.
    pub max_client_connections: u32,
    /// How long a client may take to log in, TLS included. `off`: for ever. Default: 15s. Reloadable.
    pub login_timeout: Timeout,
    /// How long a client may be idle outside a transaction. `off`: for ever. Default: off. Reloadable.
    pub client_idle_timeout: Timeout,
    /// How long transactions may go on after SIGTERM. `off`: until they end. Default: 60s. Reloadable.
    pub drain_timeout: Timeout,
    /// The longest Query or Parse text, in bytes. At least 64 kB. Default: 64MB. Reloadable.
    pub max_statement_size: usize,
    /// Event loops. 0: one for each core. Default: 0. Not reloadable.
    pub workers: usize,
    /// Other pgweir processes, `host:port`, that get the cancel requests which are not ours.
    /// Default: none. Reloadable.
    pub peers: Vec<String>,
    /// TLS towards clients. `None`: they are told that there is none. Default: none. Re-read on reload.
    pub tls: Option<ClientTls>,
}

/// TLS between clients and pgweir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Never [`TlsMode::Off`]: then there is no `ClientTls`. Default: `prefer`.
    pub mode: TlsMode,
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
    /// Authorities of client certificates, PEM. Needed by `verify-full` and the method `cert`.
    pub client_ca: Option<PathBuf>,
}

/// A host and port to listen at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenAddress {
    /// An address or a name; an IPv6 address has no brackets.
    pub host: String,
    /// The port. 0 lets the system choose.
    pub port: u16,
}

impl ListenAddress {
    /// Reads `host:port`, `[::1]:port`, or a host alone. An error says what is wrong.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let no_port = |rest: &str| rest.is_empty().then_some(default_port);
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (host, rest) = bracketed.split_once(']').ok_or("`[` without `]`")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("`{host}` is no IPv6 address"));
            }
            (host, no_port(rest).or_else(|| rest.strip_prefix(':')?.parse().ok()))
        } else {
            match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => {
                    return Err(format!(
                        "write an IPv6 address in brackets: \"[{text}]:{default_port}\""
                    ));
                }
                Some((host, rest)) => (host, rest.parse().ok()),
                None => (text, Some(default_port)),
            }
        };
        let well_formed = !host.is_empty()
            && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
        match port {
            Some(port) if well_formed => Ok(ListenAddress { host: host.to_owned(), port }),
            _ => Err(format!("not an address; write as in \"127.0.0.1:{default_port}\"")),
        }
    }

    /// The addresses to bind. `*` is every IPv4 and every IPv6 address; a name is looked up, which may block.
    pub fn socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if self.host == "*" {
            let every: [IpAddr; 2] =
                [std::net::Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()];
            return Ok(every.map(|address| SocketAddr::new(address, self.port)).to_vec());
        }
        (self.host.as_str(), self.port).to_socket_addrs().map(Iterator::collect)
    }

    /// Whether only this machine can connect to it.
    pub fn is_loopback(&self) -> bool {
        is_loopback_name(&self.host)
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromNode for ListenAddress {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = String::from_node(node, path, report)?;
        Self::parse(&text, DEFAULT_LISTEN_PORT)
            .map_err(|message| report.error(node.place, path, message))
            .ok()
    }
}

impl ServerConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut server = ServerConfig::default();
        section.update("listen", &mut server.listen);
        section.update("unix_socket", &mut server.unix_socket);
        let clients = section.update("max_client_connections", &mut server.max_client_connections);
        section.update("login_timeout", &mut server.login_timeout);
        section.update("client_idle_timeout", &mut server.client_idle_timeout);
        section.update("drain_timeout", &mut server.drain_timeout);
        let mut size = Size(server.max_statement_size as u64);
        let size_place = section.update("max_statement_size", &mut size);
        let workers = section.update("workers", &mut server.workers);
        if let Some(place) = workers.filter(|_| server.workers > MOST_LOOPS) {
            let path = section.key("workers");
            section.report.error(place, &path, format!("{MOST_LOOPS} at most"));
        }
        let peers = section.optional::<Vec<Peer>>("peers");
        server.peers =
            peers.map(|set| set.value.into_iter().map(|peer| peer.0).collect()).unwrap_or_default();

        if let Some(place) = clients.filter(|_| server.max_client_connections == 0) {
            let path = section.key("max_client_connections");
            section.report.error(place, &path, "with 0 no client could connect");
        }
        match usize::try_from(size.0) {
            // 1 GB - 1 is the longest message that Postgres takes.
            Ok(bytes) if (64 << 10..1 << 30).contains(&bytes) => server.max_statement_size = bytes,
            _ => {
                let path = section.key("max_statement_size");
                if let Some(place) = size_place {
                    section.report.error(
                        place,
                        &path,
                        "from 64kB to just below 1GB, Postgres' own limit",
                    );
                }
            }
        }
        if let Some((table, place)) = section.table("tls") {
            let path = section.key("tls");
            server.tls = ClientTls::read(Section::new(path, place, table, section.report));
        }
        server.check_sockets(&mut section);
        section.finish();
        server
    }

    fn check_sockets(&self, section: &mut Section<'_>) {
        let path = section.key("unix_socket");
        if let Some((node, _)) = section.node("unix_socket")
            && self.unix_socket_path().is_some_and(|socket| socket.as_os_str().len() > 107)
        {
            let message =
                "the path of a Unix socket has at most 107 bytes, `/.s.PGSQL.6432` included";
            section.report.error(node.place, &path, message);
        }
        if self.listen.is_empty() && self.unix_socket.is_none() {
            let message = "neither `listen` nor `unix_socket`: no client could connect";
            section.report.error(section.place, "server.listen", message);
        }
    }

    /// The Unix socket's path, named after the first port as libpq wants it.
    pub fn unix_socket_path(&self) -> Option<PathBuf> {
        let port = self.listen.first().map_or(DEFAULT_LISTEN_PORT, |address| address.port);
        self.unix_socket.as_deref().map(|dir: &Path| dir.join(format!(".s.PGSQL.{port}")))
    }

    /// Whether clients of other machines can connect.
    pub fn is_exposed(&self) -> bool {
        self.listen.iter().any(|address| !address.is_loopback())
    }
}

/// Another pgweir process; checked as an address, kept as text, for its name may move.
struct Peer(String);

impl FromNode for Peer {
    fn from_node(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        ListenAddress::from_node(node, path, report).map(|address| Peer(address.to_string()))
    }
}

impl ClientTls {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let mut mode = TlsMode::Prefer;
        section.update("mode", &mut mode);
        let certificate = section.optional::<PathBuf>("certificate");
        let private_key = section.optional::<PathBuf>("private_key");
        let client_ca = section.optional::<PathBuf>("client_ca");
        if mode != TlsMode::Off {
            for (key, present) in
                [("certificate", certificate.is_some()), ("private_key", private_key.is_some())]
            {
                let path = section.key(key);
                if !present && section.node(key).is_none() {
                    section.report.error(
                        section.place,
                        &path,
                        format!("TLS with clients needs `{key}`"),
                    );
                }
            }
        }
        if mode == TlsMode::VerifyFull && client_ca.is_none() && section.node("client_ca").is_none()
        {
            let path = section.key("client_ca");
            section.report.error(section.place, &path, "`verify-full` needs `client_ca`");
        }
        section.finish();
        match (mode, certificate, private_key) {
            (TlsMode::Off, _, _) => None,
            (mode, Some(certificate), Some(private_key)) => Some(ClientTls {
                mode,
                certificate: certificate.value,
                private_key: private_key.value,
                client_ca: client_ca.map(|set| set.value),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Option<(&str, u16)>) {
        let parsed = ListenAddress::parse(input, 6432).ok();
        assert_eq!(
            parsed.as_ref().map(|address| (address.host.as_str(), address.port)),
            expected,
            "{input}"
        );
    }

    #[test]
    fn addresses() {
        check("0.0.0.0:6432", Some(("0.0.0.0", 6432)));
        check("[::]:5432", Some(("::", 5432)));
        check("[::1]", Some(("::1", 6432)));
        check("localhost", Some(("localhost", 6432)));
        check("*:6432", Some(("*", 6432)));
        check("127.0.0.1:0", Some(("127.0.0.1", 0)));
        check("::1", None);
        check("[::1]x", None);
        check("[nonsense]:1", None);
        check("host:port", None);
        check("host:70000", None);
        check(":6432", None);
        check("", None);
        check("/run/pgweir", None);
    }

    #[test]
    fn a_star_is_every_address() {
        let address = ListenAddress::parse("*:6432", 6432).unwrap();
        assert_eq!(address.socket_addrs().unwrap().len(), 2);
        assert!(!address.is_loopback());
    }
}
