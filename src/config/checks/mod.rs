//! What takes more than one value to see. Everything is reported, nothing is changed.

mod access;
mod databases;
mod files;
mod sizes;

use super::Config;
use super::report::Report;
use super::source::Place;

pub(super) use files::check_files;

/// Places of tables and rules, for problems that are about the whole of one.
#[derive(Default)]
pub(super) struct Checked {
    pub server: Option<Place>,
    pub auth: Option<Place>,
    pub databases: Option<Place>,
    /// Where each access rule stands.
    pub access: Vec<Place>,
}

/// Checks everything that needs no file but those read already.
pub(super) fn check(config: &Config, places: &Checked, report: &mut Report) {
    databases::check(config, places, report);
    sizes::check(config, report);
    access::check(config, places, report);
}
