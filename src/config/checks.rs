//! What takes more than one value to see.

use super::Config;
use super::report::Report;
use super::source::Place;

/// Places of tables and rules, for problems that are about the whole of one.
#[derive(Default)]
pub(super) struct Checked {
    pub server: Option<Place>,
    pub auth: Option<Place>,
    pub admin: Option<Place>,
    pub databases: Option<Place>,
    pub access: Vec<Place>,
}

pub(super) fn check(_config: &Config, _checked: &Checked, _report: &mut Report) {}
pub(super) fn check_files(_config: &Config, _checked: &Checked, _report: &mut Report) {}
