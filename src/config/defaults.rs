//! Every built-in default, in one place. `config/pgweir.toml` shows the recommended values.

use super::auth::AuthConfig;
use super::database::RoutingConfig;
use super::server::{ListenAddress, ServerConfig};
use super::settings::Settings;
use super::size::Rate;
use super::surface::{AdminConfig, HttpConfig, LogConfig};
use super::timeout::Timeout;
use super::words::{
    AuthMethod, CancelReuse, Consistency, LogFormat, PoolMode, QueryText, Reads, Replication,
    ResetOnHandover, Route, SessionStateMode, Strategy, TimeoutAction, TimeoutOverride,
    UnnamedStatements, WhenNoReplica, Writes,
};

/// The port that clients connect to.
pub const DEFAULT_LISTEN_PORT: u16 = 6432;

/// Asks Postgres for a role's verifier; empty for expired passwords and roles that may not log in.
pub const DEFAULT_AUTH_QUERY: &str = "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE \
     rolpassword END FROM pg_catalog.pg_authid WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin";

impl Default for Settings {
    fn default() -> Self {
        Settings {
            pool_mode: PoolMode::Transaction,
            pool_size: 20,
            min_pool_size: 0,
            reserve_pool_size: 5,
            reserve_pool_wait: Timeout::from_secs(3),
            pool_wait_timeout: Timeout::from_secs(10),
            connect_timeout: Timeout::from_secs(5),
            server_idle_timeout: Timeout::from_secs(10 * 60),
            server_lifetime: Timeout::from_secs(60 * 60),
            max_prepared_statements: 500,
            unnamed_statements: UnnamedStatements::Shared,
            session_state: SessionStateMode::Track,
            reset_on_handover: ResetOnHandover::UserCode,
            pin_timeout: Timeout::from_secs(5 * 60),
            statement_timeout: Timeout::Off,
            maintenance_timeout: Timeout::Off,
            transaction_timeout: Timeout::Off,
            idle_in_transaction_timeout: Timeout::Off,
            lock_timeout: Timeout::Off,
            ddl_lock_timeout: Timeout::Off,
            timeout_override: TimeoutOverride::Lower,
            timeout_action: TimeoutAction::Cancel,
            guard: "default".to_owned(),
            replication: Replication::Refuse,
            route: Route::Auto,
            server_role: None,
            server_password: None,
            password: None,
            max_server_connections: 0,
            cancel_reuse: CancelReuse::AfterEof,
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            listen: vec![ListenAddress { host: "127.0.0.1".to_owned(), port: DEFAULT_LISTEN_PORT }],
            unix_socket: None,
            max_client_connections: 5_000,
            login_timeout: Timeout::from_secs(15),
            client_idle_timeout: Timeout::Off,
            drain_timeout: Timeout::from_secs(60),
            max_statement_size: 64 << 20,
            workers: 0,
            peers: Vec::new(),
            tls: None,
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig {
            method: AuthMethod::ScramSha256,
            userlist: None,
            auth_query: None,
            auth_query_role: None,
            auth_query_database: "postgres".to_owned(),
            cache_ttl: Timeout::from_secs(60),
        }
    }
}

impl Default for RoutingConfig {
    fn default() -> Self {
        RoutingConfig {
            reads: Reads::Replica,
            writes: Writes::Primary,
            strategy: Strategy::LeastBusy,
            consistency: Consistency::Session,
            max_lag: Timeout::from_secs(2),
            lag_interval: Timeout::from_millis(100),
            replica_wait: Timeout::Off,
            when_no_replica: WhenNoReplica::Primary,
            replica_safe_functions: Vec::new(),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig {
            database: "pgbouncer".to_owned(),
            admins: Vec::new(),
            viewers: Vec::new(),
            stats_period: Timeout::from_secs(60),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig { listen: None, dashboard: true, pgbouncer_metrics: false }
    }
}

/// Where HTTP listens when `[http]` is there and does not say.
pub const DEFAULT_HTTP_LISTEN: &str = "127.0.0.1:9127";

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            level: "info".to_owned(),
            format: LogFormat::Auto,
            slow_statement: Timeout::from_millis(30),
            log_slow: Timeout::from_secs(1),
            query_text: QueryText::Normalized,
            rate_limit: Rate { count: 20, per_millis: 1_000 },
        }
    }
}
