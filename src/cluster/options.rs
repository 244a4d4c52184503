//! What a cluster should look like before it starts.

use std::path::PathBuf;

use super::binaries::Binaries;
use super::error::ClusterError;
use super::{Cluster, folders, node::Node, template};
use crate::cluster::process::Account;

/// How Postgres checks the passwords of everybody but the cluster's own superuser socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// No password.
    Trust,
    /// The password as it is.
    Password,
    /// MD5 with a salt.
    Md5,
    /// SCRAM-SHA-256, with channel binding over TLS.
    ScramSha256,
}

impl AuthMethod {
    /// The word in `pg_hba.conf`.
    fn word(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::ScramSha256 => "scram-sha-256",
        }
    }

    fn password_encryption(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Trust | Self::Password | Self::ScramSha256 => "scram-sha-256",
        }
    }
}

/// Options of a cluster; see [`Cluster::options`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClusterOptions {
    binaries: Option<Binaries>,
    major: Option<u32>,
    replicas: usize,
    conf: Vec<String>,
    hba: Vec<String>,
    auth: AuthMethod,
    tls: Option<Tls>,
    max_connections: u32,
    roles: Vec<(String, String)>,
    databases: Vec<String>,
    initdb: Vec<String>,
    data: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Tls {
    certificate_pem: String,
    key_pem: String,
    client_ca_pem: Option<String>,
}

impl ClusterOptions {
    pub(super) fn new() -> Self {
        Self {
            binaries: None,
            major: None,
            replicas: 0,
            conf: Vec::new(),
            hba: Vec::new(),
            auth: AuthMethod::Trust,
            tls: None,
            max_connections: 100,
            roles: Vec::new(),
            databases: Vec::new(),
            initdb: Vec::new(),
            data: None,
        }
    }

    /// Uses this installation.
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Uses an installation of this major version. Default: the first one found.
    pub fn major(mut self, major: u32) -> Self {
        self.major = Some(major);
        self
    }

    /// Streaming replicas beside the primary. Default: none.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// A line for `postgresql.conf`; it wins over the built-in ones.
    pub fn conf(mut self, line: impl Into<String>) -> Self {
        self.conf.push(line.into());
        self
    }

    /// A line for `pg_hba.conf`, put before the general ones.
    pub fn hba(mut self, line: impl Into<String>) -> Self {
        self.hba.push(line.into());
        self
    }

    /// How roles log in over TCP and the Unix socket. Default: trust.
    pub fn auth(mut self, method: AuthMethod) -> Self {
        self.auth = method;
        self
    }

    /// Turns TLS on with this certificate (chain) and key, both PEM.
    pub fn tls(mut self, certificate_pem: &str, key_pem: &str) -> Self {
        self.tls = Some(Tls {
            certificate_pem: certificate_pem.to_owned(),
            key_pem: key_pem.to_owned(),
            client_ca_pem: None,
        });
        self
    }

    /// The authority whose client certificates are accepted. Ignored unless TLS is on.
    pub fn client_ca(mut self, ca_pem: &str) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.client_ca_pem = Some(ca_pem.to_owned());
        }
        self
    }

    /// Default: 100.
    pub fn max_connections(mut self, count: u32) -> Self {
        self.max_connections = count;
        self
    }

    /// Logs every statement, so that a test can read in [`Node::log`] what arrived.
    pub fn log_statements(self) -> Self {
        self.conf("log_statement = all")
    }

    /// A login role with a password. Role `postgres` gets a password in the same way.
    pub fn role(mut self, name: &str, password: &str) -> Self {
        self.roles.push((name.to_owned(), password.to_owned()));
        self
    }

    /// A database beside `postgres`.
    pub fn database(mut self, name: &str) -> Self {
        self.databases.push(name.to_owned());
        self
    }

    /// A further option for `initdb`, such as `--locale=en_US.UTF-8`.
    pub fn initdb(mut self, option: impl Into<String>) -> Self {
        self.initdb.push(option.into());
        self
    }

    /// A copy of this data folder, of a server that was stopped, instead of a fresh one: the same
    /// databases, roles and settings, and the same numbers handed out next.
    pub fn copy_of(mut self, data_folder: impl Into<PathBuf>) -> Self {
        self.data = Some(data_folder.into());
        self
    }

    /// Builds and starts the cluster; returns once every replica answers and has caught up.
    pub fn start(self) -> Result<Cluster, ClusterError> {
        let binaries = match (&self.binaries, self.major) {
            (Some(given), _) => given.clone(),
            (None, Some(major)) => Binaries::find_major(major)?,
            (None, None) => Binaries::find()?,
        };
        let template = match &self.data {
            Some(stopped) => stopped.clone(),
            None => template::data_folder(&binaries, &self.initdb)?,
        };
        let folder = folders::ClusterFolder::create()?;
        let account = Account::for_postgres();
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..=self.replicas {
            let name = if number == 0 { "primary".into() } else { format!("replica{number}") };
            let home = folder.path().join(&name);
            folders::create_private(&home, account)?;
            let node = Node::new(binaries.clone(), home)?;
            template::copy(&template, &node.data_folder())?;
            folders::create_private(&node.socket_folder(), account)?;
            self.configure(&node)?;
            if let Some(primary) = nodes.first() {
                node.follow(primary)?;
            }
            nodes.push(node);
        }
        // Nodes are dropped, and so stopped, before their folder is removed.
        let cluster = Cluster { nodes, folder };
        cluster.primary().start()?;
        self.populate(cluster.primary())?;
        for replica in cluster.replicas() {
            replica.start()?;
        }
        cluster.wait_until_replayed()?;
        Ok(cluster)
    }

    fn configure(&self, node: &Node) -> Result<(), ClusterError> {
        let account = Account::for_postgres();
        let data = node.data_folder();
        let mut conf = vec![
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("port = {}", node.port()),
            format!("unix_socket_directories = '{}'", node.socket_folder().display()),
            format!("max_connections = {}", self.max_connections),
            format!("password_encryption = {}", self.auth.password_encryption()),
            "fsync = off".into(),
            "full_page_writes = off".into(),
            "synchronous_commit = off".into(),
            "shared_buffers = 32MB".into(),
            // In the data folder, so that a server that is killed leaves nothing elsewhere.
            "dynamic_shared_memory_type = mmap".into(),
            "wal_level = replica".into(),
            "wal_keep_size = 64MB".into(),
            "max_wal_senders = 10".into(),
            "hot_standby_feedback = on".into(),
            // Replicas ask for what is new at once instead of every five seconds.
            "wal_retrieve_retry_interval = 100ms".into(),
            "log_line_prefix = '%m [%p] %u@%d %a '".into(),
            "timezone = UTC".into(),
            "log_timezone = UTC".into(),
        ];
        if let Some(tls) = &self.tls {
            folders::write_private(&data.join("server.crt"), &tls.certificate_pem, account)?;
            folders::write_private(&data.join("server.key"), &tls.key_pem, account)?;
            conf.push("ssl = on".into());
            if let Some(ca) = &tls.client_ca_pem {
                folders::write_private(&data.join("clients-ca.crt"), ca, account)?;
                conf.push("ssl_ca_file = 'clients-ca.crt'".into());
            }
        }
        conf.extend(self.conf.iter().cloned());
        node.add_conf(&conf.join("\n"))?;
        let method = self.auth.word();
        let general = [
            format!("local all all {method}"),
            format!("host all,replication all 127.0.0.1/32 {method}"),
        ];
        let hba: Vec<&str> = self.hba.iter().chain(&general).map(String::as_str).collect();
        node.replace_hba(&hba)
    }

    fn populate(&self, primary: &Node) -> Result<(), ClusterError> {
        let mut sql = primary.open_sql("postgres")?;
        for (role, password) in &self.roles {
            let (role_name, password) = (quote_identifier(role), quote_literal(password));
            if role != "postgres" {
                sql.run(&format!("CREATE ROLE {role_name} LOGIN"))?;
            }
            sql.run(&format!("ALTER ROLE {role_name} PASSWORD {password}"))?;
        }
        for database in &self.databases {
            sql.run(&format!("CREATE DATABASE {}", quote_identifier(database)))?;
        }
        Ok(())
    }
}

/// `a"b` as `"a""b"`.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `it's` as `'it''s'`, whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        return format!(" E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}
