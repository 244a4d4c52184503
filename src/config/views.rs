//! What the console shows of the configuration beyond the values of one client.

use super::Config;
use super::settings::Settings;
use super::words::PoolMode;

/// What `[roles.Y]` itself sets of the sizes that the console shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleSizes {
    /// `pool_size`.
    pub pool_size: Option<u32>,
    /// `reserve_pool_size`.
    pub reserve_pool_size: Option<u32>,
    /// `pool_mode`.
    pub pool_mode: Option<PoolMode>,
}

impl Config {
    /// The built-in defaults alone, without any database: what a file changes is compared with it.
    pub fn built_in() -> Self {
        Config {
            server: super::ServerConfig::default(),
            auth: super::AuthConfig::default(),
            access: None,
            admin: super::AdminConfig::default(),
            http: super::HttpConfig::default(),
            log: super::LogConfig::default(),
            policies: std::collections::BTreeMap::new(),
            files: Vec::new(),
            defaults: super::Layer::default(),
            tables: std::collections::BTreeMap::new(),
            settled: std::collections::BTreeMap::new(),
            roles: std::collections::BTreeMap::new(),
            written: super::diff::Written::default(),
        }
    }

    /// What holds where no database and no role says otherwise.
    pub fn default_settings(&self) -> Settings {
        let mut settings = Settings::default();
        self.defaults.apply(&mut settings);
        settings
    }

    /// Every role with a table in `[roles]`.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// What a role's table in `[roles]` sets itself.
    pub fn role_sizes(&self, role: &str) -> RoleSizes {
        let Some(table) = self.roles.get(role) else { return RoleSizes::default() };
        let layer = &table.layer;
        RoleSizes {
            pool_size: layer.pool_size.as_ref().map(|set| set.value),
            reserve_pool_size: layer.reserve_pool_size.as_ref().map(|set| set.value),
            pool_mode: layer.pool_mode.as_ref().map(|set| set.value),
        }
    }
}
