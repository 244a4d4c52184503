//! The values that hold for a database, a role, or one role in one database.
//!
//! They are listed once, below. From the list come [`Settings`] (all of them, plain), [`Effective`]
//! (all of them for one client), and the layers that `[defaults]`, `[databases.X]`, `[roles.Y]` and
//! `[databases.X.roles.Y]` are.

use super::database::DatabaseConfig;
use super::guard::GuardPolicy;
use super::layer::layered;
use super::secret::Secret;
use super::section::{Section, Set};
use super::source::Origin;
use super::timeout::Timeout;
use super::value::Show;
use super::words::{
    CancelReuse, PoolMode, Replication, ResetOnHandover, Route, SessionStateMode, TimeoutAction,
    TimeoutOverride, UnnamedStatements,
};
use crate::rules::BuiltinPolicy;
use std::sync::Arc;

/// One value as it holds for a client, with where it comes from. For `pgweir explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The key; those of `[databases.X.routing]` begin with `routing.`.
    pub key: String,
    /// The value as the file would have it; secrets are `***`.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether anything acts on it today; see [`super::not_yet`].
    pub acted_on: bool,
}

/// Which tables may set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// `[defaults]`, databases, roles, and roles in databases.
    Anywhere,
    /// `[defaults]` and databases: it makes no sense for one role.
    Databases,
    /// Roles, and roles in databases: it makes no sense for everybody.
    Roles,
}

/// Which kind of table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Defaults,
    Database,
    Role,
    DatabaseRole,
}

/// Which tables may set `key`.
fn scope_of(key: &str) -> Scope {
    match key {
        "password" => Scope::Roles,
        "max_server_connections" | "cancel_reuse" => Scope::Databases,
        _ => Scope::Anywhere,
    }
}

impl Level {
    /// Takes the settings that a table of this kind may set.
    pub fn read(self, section: &mut Section<'_>) -> Layer {
        Layer::read(section, |key| match (scope_of(key), self) {
            (Scope::Anywhere, _) => true,
            (Scope::Databases, level) => matches!(level, Level::Defaults | Level::Database),
            (Scope::Roles, level) => matches!(level, Level::Role | Level::DatabaseRole),
        })
    }
}

/// The tables in which a setting may stand, for the message about one that stands elsewhere.
pub(super) fn setting_places(key: &str) -> Option<&'static str> {
    Settings::KEYS.contains(&key).then(|| match scope_of(key) {
        Scope::Anywhere => "[defaults], [databases.X], [roles.Y] or [databases.X.roles.Y]",
        Scope::Databases => "[defaults] or [databases.X]",
        Scope::Roles => "[roles.Y] or [databases.X.roles.Y]",
    })
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        layered! {
            /// Every value that may differ between databases and roles.
            Settings, Layer { $($(#[$doc])* $name: $type,)+ }
        }

        /// Every value as it holds for one role in one database.
        #[derive(Clone, Debug)]
        pub struct Effective {
            /// The database, under the name that the client uses.
            pub database: Arc<DatabaseConfig>,
            /// The role that logged in.
            pub role: String,
            /// The policy that `guard` names.
            pub policy: Arc<GuardPolicy>,
            /// Where the limits in time and the policy come from, for those whom they strike.
            pub limit_origins: Arc<[(&'static str, Origin)]>,
            $($(#[$doc])* pub $name: $type,)+
        }

        impl Effective {
            /// The built-in defaults for a role in a database, without any file.
            pub fn with_defaults(database: Arc<DatabaseConfig>, role: &str) -> Self {
                let policy = Arc::new(GuardPolicy::builtin(BuiltinPolicy::Default));
                Self::new(database, role, policy, Settings::default())
            }

            /// Puts one client's values together.
            pub fn new(database: Arc<DatabaseConfig>, role: &str, policy: Arc<GuardPolicy>, settings: Settings) -> Self {
                let limit_origins = Arc::new([]);
                Effective { database, role: role.to_owned(), policy, limit_origins, $($name: settings.$name,)+ }
            }

            /// Where the policy comes from, in words; empty: nobody set one.
            pub fn policy_origin(&self) -> String {
                let known = self.limit_origins.iter().find(|(key, _)| *key == "guard");
                let set = known.filter(|(_, origin)| *origin != Origin::BuiltIn);
                set.map_or_else(String::new, |(_, origin)| origin.to_string())
            }

            /// Where the value of a limit in time comes from, in words.
            pub fn origin_of(&self, limit: &str) -> String {
                let known = self.limit_origins.iter().find(|(key, _)| *key == limit);
                known.map_or(&Origin::BuiltIn, |(_, origin)| origin).to_string()
            }
        }
    };
}

settings! {
    /// When a server connection goes back to its pool. Default: `transaction`. Reloadable for new sessions.
    pool_mode: PoolMode,
    /// Server connections for each (database, role, server), over all event loops together. At least 1.
    /// Default: 20. Reloadable.
    pool_size: u32,
    /// Server connections kept open when idle. 0: none. Default: 0. Reloadable.
    min_pool_size: u32,
    /// Connections beyond `pool_size` for clients that waited `reserve_pool_wait`. 0: none. Default: 5. Reloadable.
    reserve_pool_size: u32,
    /// How long a client waits before the reserve is used. `off`: the reserve is used at once.
    /// Default: 3s. Reloadable.
    reserve_pool_wait: Timeout,
    /// How long a client may wait for a server before its query fails with 53300. `off`: for ever.
    /// Default: 10s. Reloadable.
    pool_wait_timeout: Timeout,
    /// How long dialling and logging in to Postgres may take. `off`: for ever. Default: 5s. Reloadable.
    connect_timeout: Timeout,
    /// How long a server connection beyond `min_pool_size` may be idle. `off`: for ever. Default: 10min. Reloadable.
    server_idle_timeout: Timeout,
    /// How old a server connection may become, with some jitter. `off`: as old as it likes.
    /// Default: 1h. Reloadable.
    server_lifetime: Timeout,
    /// Prepared statements kept on each server connection. 0: none are shared. Default: 500. Reloadable.
    max_prepared_statements: u32,
    /// Whether unnamed statements that come again are kept on the server, for a second at most.
    /// Default: `shared`. Reloadable.
    unnamed_statements: UnnamedStatements,
    /// What happens to session state under transaction pooling. Default: `track`. Reloadable for new sessions.
    session_state: SessionStateMode,
    /// When `RESET ALL` is sent before the next client. Default: `user_code`. Reloadable.
    reset_on_handover: ResetOnHandover,
    /// How long a pinned session may be idle before it is ended. `off`: for ever. Default: 5min. Reloadable.
    pin_timeout: Timeout,
    /// How long a statement may run on the server. `off`: for ever. Default: off. Reloadable.
    statement_timeout: Timeout,
    /// The limit of concurrent index builds, VALIDATE, VACUUM and ANALYZE in place of `statement_timeout`.
    /// `off`: for ever. Default: off. Reloadable.
    maintenance_timeout: Timeout,
    /// How long a transaction may take from its first statement on. `off`: for ever. Default: off. Reloadable.
    transaction_timeout: Timeout,
    /// How long a client may say nothing inside a transaction. `off`: for ever. Default: off. Reloadable.
    idle_in_transaction_timeout: Timeout,
    /// The server's `lock_timeout`. `off`: the server's own setting. Default: off. Reloadable.
    lock_timeout: Timeout,
    /// The server's `lock_timeout` while DDL runs. `off`: as `lock_timeout`. Default: off. Reloadable.
    ddl_lock_timeout: Timeout,
    /// What a client may do with `SET statement_timeout` and the like. Default: `lower`. Reloadable.
    timeout_override: TimeoutOverride,
    /// What happens to a statement beyond its limit. Default: `cancel`. Reloadable.
    timeout_action: TimeoutAction,
    /// The guard's policy: `off`, `observe`, `default`, `strict`, `restore`, or a `[guard.NAME]`.
    /// Default: `default`. Reloadable.
    guard: String,
    /// What `replication=` startups get. Default: `refuse`. Reloadable for new sessions.
    replication: Replication,
    /// Where statements go. Default: `auto`. Reloadable.
    route: Route,
    /// Log in to Postgres as this role, whoever the client is. Default: the user in the connection string, else
    /// the client's own role. Reloadable for new server connections.
    server_role: Option<String>,
    /// That role's password. Default: the one in the connection string, else the role's own. Reloadable for new
    /// server connections.
    server_password: Option<Secret>,
    /// The role's password or verifier: clients prove it, and it opens server connections. Default: none.
    /// Reloadable for new logins.
    password: Option<Secret>,
    /// A cap on the server connections of all roles together, per server. 0: none. Default: 0. Reloadable.
    max_server_connections: u32,
    /// When a server connection that was cancelled may be used again. Default: `after_eof`. Reloadable.
    cancel_reuse: CancelReuse,
}
