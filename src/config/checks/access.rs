//! Who gets in: methods that would open the door, and doors that nobody can open.

use super::super::Config;
use super::super::auth::Network;
use super::super::report::Report;
use super::super::resolve::ANY_DATABASE;
use super::super::source::Place;
use super::super::words::{AuthMethod, nearest};
use super::Checked;

pub(super) fn check(config: &Config, places: &Checked, report: &mut Report) {
    check_sockets(config, places, report);
    match &config.access {
        None => check_method(config, config.auth.method, &[], places.auth, "auth.method", report),
        Some(rules) => {
            if rules.is_empty() {
                report.warn(
                    None,
                    "access",
                    "the list of access rules is empty: every client is refused",
                );
            }
            for (index, (rule, place)) in rules.iter().zip(&places.access).enumerate() {
                let key = format!("access[{index}]");
                let method = rule.method.unwrap_or(config.auth.method);
                check_method(config, method, &rule.from, Some(*place), &key, report);
                if rule.tls && config.server.tls.is_none() {
                    report.warn(
                        *place,
                        &key,
                        "the rule asks for TLS, and there is no [server.tls]: it matches nobody",
                    );
                }
                check_databases(config, &rule.databases, *place, &key, report);
            }
        }
    }
    // A secret whose reference is broken is missing, but not forgotten.
    if !report.has_errors() {
        check_secrets(config, places, report);
    }
    if config.admin.serves(&config.auth.auth_query_database) {
        let message = "the console's database has no roles to ask for";
        let problem = match places.auth {
            Some(place) => report.error(place, "auth.auth_query_database", message),
            None => report.error_without_place("auth.auth_query_database", message),
        };
        problem.help = Some("write auth_query_database = \"postgres\"".to_owned());
    }
}

fn check_sockets(config: &Config, places: &Checked, report: &mut Report) {
    let Some(place) = places.server else { return };
    let listen = &config.server.listen;
    for (index, address) in listen.iter().enumerate() {
        if address.port != 0 && listen[..index].contains(address) {
            report.error(place, "server.listen", format!("{address} is listed twice"));
        }
    }
    if let Some(http) =
        config.http.listen.as_ref().filter(|http| http.port != 0 && listen.contains(http))
    {
        report.error(place, "http.listen", format!("{http} is taken by [server].listen"));
    }
}

/// Whether clients with this method, from these networks (none: anywhere), can be told from strangers.
fn check_method(
    config: &Config,
    method: AuthMethod,
    from: &[Network],
    place: Option<Place>,
    key: &str,
    report: &mut Report,
) {
    let only = |fits: fn(&Network) -> bool| !from.is_empty() && from.iter().all(fits);
    let (message, help) = match method {
        AuthMethod::Trust if config.server.is_exposed() && !only(Network::is_local) => (
            "with `trust` anybody who reaches this port is whoever they say they are",
            "listen at 127.0.0.1 only, or write an [[access]] rule with from = [\"127.0.0.1\", \"unix\"]",
        ),
        AuthMethod::Peer
            if !config.server.listen.is_empty() && !only(|network| *network == Network::Unix) =>
        {
            (
                "`peer` knows only clients of the Unix socket",
                "write an [[access]] rule with method = \"peer\" and from = [\"unix\"]",
            )
        }
        AuthMethod::Cert
            if config.server.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none()) =>
        {
            (
                "`cert` needs the authority of the clients' certificates",
                "write client_ca = \"…\" under [server.tls]",
            )
        }
        AuthMethod::ScramSha256
        | AuthMethod::Md5
        | AuthMethod::Cert
        | AuthMethod::Peer
        | AuthMethod::Trust => return,
    };
    let problem = match place {
        Some(place) => report.error(place, key, message),
        None => report.error_without_place(key, message),
    };
    problem.help = Some(help.to_owned());
}

fn check_databases(
    config: &Config,
    databases: &[String],
    place: Place,
    key: &str,
    report: &mut Report,
) {
    if config.tables.contains_key(ANY_DATABASE) {
        return;
    }
    for name in databases {
        let known =
            config.tables.contains_key(name) || config.admin.serves(name) || name == "replication";
        if !known {
            let help = nearest(name, config.tables.keys().map(String::as_str));
            let help = help.map(|meant| format!("did you mean \"{meant}\"?"));
            report
                .warn(
                    place,
                    key,
                    format!("the rule is about a database `{name}`, which is not configured"),
                )
                .help = help;
        }
    }
}

/// Whether there is any secret that a client could know.
fn check_secrets(config: &Config, places: &Checked, report: &mut Report) {
    let auth = &config.auth;
    let has_password = |role: &str| config.role_password(role).is_some();
    if let Some(role) = auth.auth_query_role.as_deref()
        && auth.userlist.is_none()
        && !has_password(role)
    {
        let message = format!("`auth_query_role` is `{role}`, whose password is not known");
        report.warn(places.auth, "auth.auth_query_role", message).help =
            Some(format!("write [roles.{role}] with its password"));
    }
    let asks = |method: AuthMethod| matches!(method, AuthMethod::ScramSha256 | AuthMethod::Md5);
    let password_needed = match &config.access {
        None => asks(auth.method),
        Some(rules) => rules.iter().any(|rule| asks(rule.method.unwrap_or(auth.method))),
    };
    let in_tables = config.tables.values().any(|table| {
        let own = table.roles.values().any(|role| role.layer.password.is_some());
        own || table.primary.as_ref().is_some_and(|set| set.value.password.is_some())
    });
    let any = auth.userlist.is_some()
        || auth.auth_query_role.is_some()
        || config.roles.values().any(|role| role.layer.password.is_some())
        || in_tables;
    if password_needed && !any && !config.tables.is_empty() {
        let message = "no client can log in: no role's password is known";
        report.warn(places.auth, "auth", message).help = Some(
            "write [roles.NAME] with password = \"${…}\", or set `userlist` or `auth_query_role` under [auth]".to_owned(),
        );
    }
}
