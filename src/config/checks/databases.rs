//! Names, connection strings, replicas.

use super::super::Config;
use super::super::database::{DatabaseConfig, DatabaseTable};
use super::super::node::join;
use super::super::report::Report;
use super::super::resolve::ANY_DATABASE;
use super::super::source::Place;
use super::super::target::Target;
use super::super::words::{Reads, SslMode};
use super::Checked;

/// The longest name that Postgres keeps, in bytes.
const NAME_MAX: usize = 63;

pub(super) fn check(config: &Config, places: &Checked, report: &mut Report) {
    if config.tables.is_empty() {
        let help = "write at the top of the file: databases.shop.primary = \"postgres://localhost:5432/shop\"";
        let problem = match places.databases {
            Some(place) => report.error(place, "databases", "no database is configured"),
            None => report.error_without_place("databases", "no database is configured"),
        };
        problem.help = Some(help.to_owned());
    }
    for (name, table) in &config.tables {
        let path = join("databases", name);
        check_database_name(config, name, &path, table.place, report);
        check_targets(&path, table, report);
        for (role, table) in &table.roles {
            check_role_name(role, &join(&format!("{path}.roles"), role), table.place, report);
        }
    }
    for (role, table) in &config.roles {
        check_role_name(role, &join("roles", role), table.place, report);
    }
    for database in config.databases() {
        check_replicas(config, database, report);
    }
}

fn check_database_name(config: &Config, name: &str, path: &str, place: Place, report: &mut Report) {
    if config.admin.serves(name) || name == "pgbouncer" {
        let message = format!("`{name}` is the console's name, not a database's");
        report.error(place, path, message).help = Some(if name == config.admin.database {
            "give this database an alias, or the console another name: [admin] database = \"…\""
                .to_owned()
        } else {
            "clients look for the console under this name; give the database another".to_owned()
        });
    }
    check_name(name, path, place, report);
}

fn check_role_name(role: &str, path: &str, place: Place, report: &mut Report) {
    if role == "*" {
        report.error(place, path, "values for every role stand in [defaults] or [databases.X]");
    }
    check_name(role, path, place, report);
}

fn check_name(name: &str, path: &str, place: Place, report: &mut Report) {
    if name.is_empty() || name.contains('\0') {
        report.error(place, path, "no name of Postgres is empty or holds a NUL byte");
    } else if name.len() > NAME_MAX {
        let message =
            format!("Postgres cuts names after {NAME_MAX} bytes; this one has {}", name.len());
        report.warn(place, path, message);
    }
}

fn check_targets(path: &str, table: &DatabaseTable, report: &mut Report) {
    let Some(primary) = &table.primary else { return };
    let key = join(path, "primary");
    warn_of_plain_text(&primary.value, primary.place, &key, report);
    if let Some(dbname) =
        primary.value.dbname.as_ref().filter(|_| path == join("databases", ANY_DATABASE))
    {
        let message =
            format!("every database not named otherwise would be `{dbname}` on the server");
        report.warn(primary.place, &key, message).help = Some(
            "without a database in the connection string, each is served by its own name"
                .to_owned(),
        );
    }
    for (index, replica) in table.replicas.iter().enumerate() {
        let key = format!("{path}.replicas[{index}]");
        warn_of_plain_text(&replica.target, replica.place, &key, report);
        if replica.target.user.is_some() && replica.target.user != primary.value.user {
            let message = "the user in a replica's connection string is not used: roles log in alike everywhere";
            report.warn(replica.place, &key, message).help = Some("see `server_role`".to_owned());
        }
        if replica.target.dbname.is_some()
            && primary.value.dbname.is_some()
            && replica.target.dbname != primary.value.dbname
        {
            report.warn(replica.place, &key, "the replica's database is not the primary's");
        }
    }
}

/// libpq's default takes TLS when the server has it, and goes on without when anybody in between says that it has not.
fn warn_of_plain_text(target: &Target, place: Place, key: &str, report: &mut Report) {
    let weak = matches!(target.sslmode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
    let Some(host) = target.hosts.iter().find(|host| !host.is_local()).filter(|_| weak) else {
        return;
    };
    let message = match target.sslmode {
        SslMode::Disable => format!("passwords and rows travel to {host} in clear text"),
        mode => format!("`sslmode={mode}` lets anybody between here and {host} switch TLS off"),
    };
    report.warn(place, key, message).help =
        Some("add sslmode=verify-full, or at least sslmode=require".to_owned());
}

fn check_replicas(config: &Config, database: &DatabaseConfig, report: &mut Report) {
    let Some(table) = config.tables.get(&database.name) else { return };
    let path = join("databases", &database.name);
    let wants_replicas = table.routing.reads.as_ref().filter(|set| set.value != Reads::Primary);
    if let (true, Some(set)) = (database.replicas.is_empty(), wants_replicas) {
        let message = format!("reads are to go to replicas, and `{}` has none", database.name);
        report.warn(set.place, &join(&path, "routing.reads").replace('"', ""), message);
    }
    // An alias has its replicas from elsewhere, where they are checked.
    for (index, (replica, settled)) in table.replicas.iter().zip(&database.replicas).enumerate() {
        let key = format!("{path}.replicas[{index}]");
        match (settled.max_lag.as_millis(), database.routing.lag_interval.as_millis()) {
            (None, _) => {
                let message = "without `max_lag` this replica gets reads however far it is behind";
                report.warn(replica.place, &key, message);
            }
            (Some(lag), Some(interval)) if lag < interval => {
                let message =
                    "`max_lag` is shorter than `lag_interval`, so it can never be known to hold";
                report.error(replica.place, &key, message);
            }
            (Some(_), _) => {}
        }
    }
}
