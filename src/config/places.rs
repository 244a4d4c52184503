//! Where each key stands, for problems that are found after the file was read.

use super::node::{Table, Value, join};
use super::problem::Location;
use super::source::{Place, SourceMap};
use std::collections::BTreeMap;

/// Where the keys of a configuration stand.
#[derive(Debug, Default)]
pub struct Places {
    sources: SourceMap,
    keys: BTreeMap<String, Place>,
}

impl Places {
    /// Those of merged files.
    pub(super) fn of(root: &Table, sources: SourceMap) -> Self {
        let mut places = Places { sources, keys: BTreeMap::new() };
        places.add(root, "");
        places
    }

    fn add(&mut self, table: &Table, path: &str) {
        for (key, entry) in &table.entries {
            let path = join(path, key);
            if let Value::Table(inner) = &entry.node.value {
                self.add(inner, &path);
            }
            self.keys.insert(path, entry.key);
        }
    }

    /// Where a key stands, as in `server.listen`; where it does not, the table that it would stand
    /// in. `None`: no file has either.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Location> {
        let mut path = key;
        loop {
            if let Some(place) = self.keys.get(path) {
                return self.sources.locate(*place);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}
