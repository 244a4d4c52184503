//! The files that the configuration names: whether they can be read, and who else can read them.
//!
//! What stands in them is looked at by those who use it, at start, on reload and in `pgweir check` alike.

use super::super::Config;
use super::super::report::Report;
use super::super::settings::Layer;
use super::super::source::Place;
use super::super::words::SslMode;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Checks certificates, keys, password files, and the configuration's own files.
pub(in super::super) fn check_files(config: &Config, report: &mut Report) {
    for (key, path, place) in report.paths.clone() {
        match key.as_str() {
            "auth.userlist" => check_file(&path, place, &key, Reader::Group, report),
            // With mode = "off" nobody opens them.
            _ if key.starts_with("server.tls.") && config.server.tls.is_none() => {}
            "server.tls.private_key" => check_file(&path, place, &key, Reader::Owner, report),
            "server.tls.certificate" | "server.tls.client_ca" => {
                check_file(&path, place, &key, Reader::Anybody, report);
            }
            // The file was read, or that was reported.
            "file" => check_mode(&path, place, "", Reader::Group, report),
            _ => {}
        }
    }
    for (place, target) in config.tables.values().flat_map(|table| {
        let primary = table.primary.as_ref().map(|set| (set.place, &set.value));
        primary
            .into_iter()
            .chain(table.replicas.iter().map(|replica| (replica.place, &replica.target)))
    }) {
        if target.sslmode == SslMode::Disable {
            continue;
        }
        for (path, reader) in [
            (&target.sslrootcert, Reader::Anybody),
            (&target.sslcert, Reader::Anybody),
            (&target.sslkey, Reader::Owner),
        ] {
            if let Some(path) = path {
                check_file(path, place, "", reader, report);
            }
        }
    }
    check_own_files(config, report);
}

/// Who may read a file without a warning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Anybody,
    Group,
    /// As Postgres has it for private keys: the group too, when root owns the file.
    Owner,
}

fn check_file(path: &Path, place: Place, key: &str, reader: Reader, report: &mut Report) {
    match std::fs::File::open(path) {
        Ok(_) => check_mode(path, place, key, reader, report),
        Err(error) => {
            report.error(place, key, format!("cannot read {}: {error}", path.display()));
        }
    }
}

fn check_mode(path: &Path, place: Place, key: &str, reader: Reader, report: &mut Report) {
    let Ok(meta) = std::fs::metadata(path) else { return };
    let beyond = match reader {
        Reader::Anybody => 0,
        Reader::Group => 0o007,
        Reader::Owner if meta.uid() == 0 => 0o037,
        Reader::Owner => 0o077,
    };
    if meta.is_file() && meta.mode() & beyond != 0 {
        let message = format!(
            "others can read or change {} (mode {:03o})",
            path.display(),
            meta.mode() & 0o777
        );
        let wanted = if reader == Reader::Owner { "600" } else { "640" };
        report.warn(place, key, message).help = Some(format!("chmod {wanted} {}", path.display()));
    }
}

/// A configuration that holds passwords itself is a password file.
fn check_own_files(config: &Config, report: &mut Report) {
    let mut secrets: Vec<Place> = Vec::new();
    let layer = |layer: &Layer, secrets: &mut Vec<Place>| {
        secrets.extend(layer.password.as_ref().map(|set| set.place));
        secrets.extend(layer.server_password.as_ref().map(|set| set.place));
    };
    layer(&config.defaults, &mut secrets);
    for table in config.tables.values() {
        layer(&table.layer, &mut secrets);
        table.roles.values().for_each(|role| layer(&role.layer, &mut secrets));
        let primary = table.primary.as_ref().map(|set| (set.place, &set.value));
        let replicas = table.replicas.iter().map(|replica| (replica.place, &replica.target));
        let with_password =
            primary.into_iter().chain(replicas).filter(|(_, target)| target.password.is_some());
        secrets.extend(with_password.map(|(place, _)| place));
    }
    config.roles.values().for_each(|role| layer(&role.layer, &mut secrets));

    let mut told = BTreeSet::new();
    for place in secrets {
        // A reference keeps the secret elsewhere.
        if !report.sources.slice(place).contains("${") && told.insert(place.file) {
            let path = report.sources.path(place.file);
            check_mode(&path, place, "", Reader::Group, report);
        }
    }
}
