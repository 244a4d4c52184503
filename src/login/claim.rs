//! What a StartupMessage claims: who, where, with which settings. Nothing of it is proved yet.

use crate::session::ParamSet;
use crate::wire::Report;
use crate::wire::handshake::negotiate_protocol_version;
use crate::wire::startup::{self, NEWEST_MINOR, OptionsError, StartupPacket};

/// A StartupMessage, understood.
#[derive(Debug)]
pub struct Claim {
    /// The role.
    pub role: String,
    /// The database; the role's name where none was given.
    pub database: String,
    /// The minor version of protocol 3 that both speak.
    pub minor: u16,
    /// What it sets, or what is wrong with that, which is told after authentication as Postgres
    /// does.
    pub params: Result<ParamSet, Report>,
    /// NegotiateProtocolVersion, or nothing.
    pub negotiation: Vec<u8>,
}

/// Parameters that are for pgweir, not for the session.
const NOT_SETTINGS: [&[u8]; 4] = [b"user", b"database", b"options", b"replication"];

/// Prefix of parameters that are about the protocol.
const PROTOCOL_PREFIX: &[u8] = b"_pq_.";

impl Claim {
    /// Reads a StartupMessage.
    ///
    /// # Errors
    /// No role is named, a name is no text, or replication is asked for.
    pub fn read(packet: &StartupPacket) -> Result<Self, Report> {
        let minor = packet.minor.min(NEWEST_MINOR);
        let mut unknown = Vec::new();
        for (name, _) in &packet.parameters {
            if name.starts_with(PROTOCOL_PREFIX) && !unknown.contains(&name.as_slice()) {
                unknown.push(name.as_slice());
            }
        }
        let mut negotiation = Vec::new();
        if packet.minor > NEWEST_MINOR || !unknown.is_empty() {
            negotiate_protocol_version(&mut negotiation, minor, &unknown);
        }
        refuse_replication(packet.parameter("replication"))?;
        let role = match packet.parameter("user") {
            None | Some(b"") => {
                let message = "no PostgreSQL user name specified in startup packet";
                return Err(Report::fatal(b"28000", message));
            }
            Some(role) => text(role)?,
        };
        let database = match packet.parameter("database") {
            None | Some(b"") => role.clone(),
            Some(database) => text(database)?,
        };
        Ok(Claim { role, database, minor, params: params(packet), negotiation })
    }
}

/// Names are compared with names in the configuration, which are UTF-8.
fn text(name: &[u8]) -> Result<String, Report> {
    String::from_utf8(name.to_vec())
        .map_err(|_| Report::fatal(b"22021", "invalid byte sequence for encoding \"UTF8\""))
}

/// Settings in `options` first, then the others: the later wins, as in
/// `process_startup_options`.
fn params(packet: &StartupPacket) -> Result<ParamSet, Report> {
    let options = packet.parameter("options").unwrap_or_default();
    let mut settings = startup::options(options).map_err(|error| {
        let hint = "Only settings are taken: \"-c name=value\" or \"--name=value\".";
        match error {
            OptionsError::NoValue(_) => Report::fatal(b"42601", error.to_string()),
            OptionsError::Switch(_) => Report::fatal(b"42601", error.to_string()).hint(hint),
        }
    })?;
    let named = packet.parameters.iter().filter(|(name, _)| {
        !NOT_SETTINGS.contains(&name.as_slice()) && !name.starts_with(PROTOCOL_PREFIX)
    });
    settings.extend(named.cloned());
    if settings.iter().any(|(name, _)| name.is_empty()) {
        return Err(Report::fatal(b"22023", "invalid configuration parameter name \"\""));
    }
    Ok(ParamSet::new(settings))
}

fn refuse_replication(value: Option<&[u8]>) -> Result<(), Report> {
    let wanted = match value {
        None => Some(false),
        // Logical replication, as `ProcessStartupPacket` takes it.
        Some(b"database") => Some(true),
        Some(value) => parse_bool(value),
    };
    match wanted {
        Some(false) => Ok(()),
        Some(true) => Err(Report::fatal(b"0A000", "replication connections are not passed on")
            .detail("The configuration says replication = \"refuse\" for this database and role.")
            .hint("Connect to Postgres itself for replication.")),
        None => {
            let value = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            let message = format!("invalid value for parameter \"replication\": \"{value}\"");
            Err(Report::fatal(b"22023", message)
                .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."))
        }
    }
}

/// As `parse_bool_with_len` in Postgres: words and their unambiguous beginnings.
fn parse_bool(value: &[u8]) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &[u8], at_least: usize| value.len() >= at_least && word.starts_with(&value);
    if value == b"1" || begins(b"true", 1) || begins(b"yes", 1) || begins(b"on", 2) {
        Some(true)
    } else if value == b"0" || begins(b"false", 1) || begins(b"no", 1) || begins(b"off", 2) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(minor: u16, parameters: &[(&str, &str)]) -> StartupPacket {
        let bytes = |text: &str| text.as_bytes().to_vec();
        StartupPacket {
            minor,
            parameters: parameters.iter().map(|(a, b)| (bytes(a), bytes(b))).collect(),
        }
    }

    fn refused(parameters: &[(&str, &str)]) -> (String, String) {
        let report = Claim::read(&packet(0, parameters)).unwrap_err();
        (report.sqlstate().to_owned(), report.message.into_owned())
    }

    #[test]
    fn a_database_that_is_not_named_is_the_roles() {
        let claim = Claim::read(&packet(0, &[("user", "app")])).unwrap();
        assert_eq!((claim.role.as_str(), claim.database.as_str()), ("app", "app"));
        let claim = Claim::read(&packet(0, &[("database", "shop"), ("user", "app")])).unwrap();
        assert_eq!((claim.role.as_str(), claim.database.as_str()), ("app", "shop"));
        let claim = Claim::read(&packet(0, &[("database", ""), ("user", "app")])).unwrap();
        assert_eq!(claim.database, "app");
    }

    #[test]
    fn a_role_must_be_named() {
        let expected =
            ("28000".to_owned(), "no PostgreSQL user name specified in startup packet".to_owned());
        assert_eq!(refused(&[]), expected);
        assert_eq!(refused(&[("user", ""), ("database", "x")]), expected);
    }

    #[test]
    fn replication_is_refused_unless_it_is_false() {
        for yes in ["1", "true", "t", "YES", "on", "database"] {
            assert_eq!(refused(&[("user", "a"), ("replication", yes)]).0, "0A000", "{yes}");
        }
        for no in ["0", "false", "F", "no", "off", "of"] {
            assert!(Claim::read(&packet(0, &[("user", "a"), ("replication", no)])).is_ok(), "{no}");
        }
        for neither in ["", "o", "maybe", "10"] {
            assert_eq!(refused(&[("user", "a"), ("replication", neither)]).0, "22023");
        }
    }

    #[test]
    fn settings_leave_out_what_is_for_pgweir() {
        let claim = Claim::read(&packet(
            0,
            &[
                ("user", "a"),
                ("database", "b"),
                ("options", "-c geqo=off -cTimeZone=UTC"),
                ("TimeZone", "Europe/Berlin"),
                ("_pq_.x", "1"),
                ("application_name", "psql"),
            ],
        ))
        .unwrap();
        let params = claim.params.unwrap();
        assert_eq!(params.get("geqo"), Some(&b"off"[..]));
        assert_eq!(params.get("timezone"), Some(&b"Europe/Berlin"[..]));
        assert_eq!(params.get("application_name"), Some(&b"psql"[..]));
        for absent in ["user", "database", "options", "_pq_.x"] {
            assert_eq!(params.get(absent), None, "{absent}");
        }
    }

    #[test]
    fn options_that_are_no_settings_are_refused() {
        for (options, sqlstate) in [("-B 100", "42601"), ("-c a", "42601"), ("-c=x", "22023")] {
            let claim = Claim::read(&packet(0, &[("user", "a"), ("options", options)])).unwrap();
            assert_eq!(claim.params.unwrap_err().sqlstate(), sqlstate, "{options}");
        }
    }

    #[test]
    fn newer_versions_and_unknown_protocol_parameters_are_answered_once() {
        let negotiation = |minor, parameters: &[(&str, &str)]| {
            let claim = Claim::read(&packet(minor, parameters)).unwrap();
            (claim.minor, claim.negotiation)
        };
        for minor in 0..=2 {
            assert_eq!(negotiation(minor, &[("user", "a")]), (minor, vec![]));
        }
        assert_eq!(
            negotiation(9999, &[("user", "a"), ("_pq_.grease", "1")]),
            (2, b"v\0\0\0\x18\0\x03\0\x02\0\0\0\x01_pq_.grease\0".to_vec())
        );
        assert_eq!(
            negotiation(0, &[("user", "a"), ("_pq_.x", "1"), ("_pq_.x", "2")]),
            (0, b"v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.x\0".to_vec())
        );
    }
}
