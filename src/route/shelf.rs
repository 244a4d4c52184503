//! Where the catalog of a database stands for those who route by it, and who is to read it anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::catalog::Catalog;

/// The catalog of one database, for all of its pools. Whoever reads it from the database puts it here.
#[derive(Debug, Default)]
pub struct Shelf {
    current: ArcSwapOption<Catalog>,
    /// The version of that; 0: there is none.
    version: AtomicU64,
    /// DDL has been seen since it was read.
    stale: AtomicBool,
    /// Of that, something that no error would tell.
    hidden: AtomicBool,
    /// It is being read.
    reading: AtomicBool,
}

impl Shelf {
    /// What verdicts were judged by that hold now; 0: by the text alone.
    #[must_use]
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        self.current.load_full()
    }

    /// Something has been defined anew. `hidden`: code or a view may do something else now, which no error would tell, so
    /// nothing that is known is believed until it has been read again.
    pub fn changed(&self, hidden: bool) {
        self.stale.store(true, Ordering::Release);
        if hidden {
            self.hidden.store(true, Ordering::Release);
            self.version.store(0, Ordering::Release);
            self.current.store(None);
        }
    }

    /// Whether DDL has been seen since the catalog was read, or nobody has read it.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire) || self.version() == 0
    }

    /// Whether the caller is to read it now, and to [put](Shelf::put) what it has found here. What is defined from here
    /// on it may miss.
    #[must_use]
    pub fn claim(&self) -> bool {
        if self.reading.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.stale.store(false, Ordering::Release);
        self.hidden.store(false, Ordering::Release);
        true
    }

    /// It has been read, or could not be: then nothing is known of names.
    pub fn put(&self, catalog: Option<Catalog>) {
        let catalog = catalog.filter(|_| !self.hidden.load(Ordering::Acquire)).map(Arc::new);
        let version = catalog.as_ref().map_or(0, |catalog| catalog.version());
        self.current.store(catalog);
        self.version.store(version, Ordering::Release);
        self.reading.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Rows;
    use super::*;

    #[test]
    fn what_was_read_while_something_changed_is_read_again() {
        let shelf = Shelf::default();
        assert!(shelf.is_stale() && shelf.claim() && !shelf.claim());
        shelf.put(Some(Catalog::new(Rows::default(), &[])));
        assert!(!shelf.is_stale() && shelf.version() != 0 && shelf.catalog().is_some());
        shelf.changed(false);
        assert!(shelf.is_stale() && shelf.catalog().is_some());
        shelf.changed(true);
        assert_eq!((shelf.version(), shelf.catalog().is_some()), (0, false));
        assert!(shelf.claim());
        shelf.changed(true);
        shelf.put(Some(Catalog::new(Rows::default(), &[])));
        assert!(shelf.is_stale() && shelf.catalog().is_none());
        // Tables that come and go all the time keep nobody from knowing the others.
        assert!(shelf.claim());
        shelf.changed(false);
        shelf.put(Some(Catalog::new(Rows::default(), &[])));
        assert!(shelf.is_stale() && shelf.catalog().is_some());
    }
}
