//! What is known of code in a database that sets parameters: functions and procedures that people
//! wrote there, seen in the catalog. One for all pools of a database.

use std::sync::atomic::{AtomicU8, Ordering};

/// There is such code.
const SETS: u8 = 1;
/// Something was defined since the catalog was read, or it was never read.
const UNREAD: u8 = 2;
/// The catalog is being read.
const READING: u8 = 4;

/// Whether servers must be reset because of code, for all loops. Until it is known: yes.
#[derive(Debug)]
pub struct Code(AtomicU8);

impl Default for Code {
    fn default() -> Self {
        Code(AtomicU8::new(UNREAD))
    }
}

impl Code {
    /// Whether code may have set something on a server.
    #[must_use]
    #[inline]
    pub fn may_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Something was defined.
    pub fn changed(&self) {
        self.0.fetch_or(UNREAD, Ordering::AcqRel);
    }

    /// Whether the caller is to read the catalog now, and to say what it [`found`](Code::found).
    /// What is defined from here on it may miss.
    #[must_use]
    pub fn is_to_be_read(&self) -> bool {
        let claimed = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            (state & (UNREAD | READING) == UNREAD).then_some(state & !UNREAD | READING)
        });
        claimed.is_ok()
    }

    /// The catalog has been read, or could not be: then it is taken to have such code.
    pub fn found(&self, sets: bool) {
        let state = |state: u8| Some(state & UNREAD | if sets { SETS } else { 0 });
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reads_and_what_is_defined_meanwhile_is_read_again() {
        let code = Code::default();
        assert!(code.may_set());
        assert!(code.is_to_be_read() && !code.is_to_be_read() && code.may_set());
        code.found(false);
        assert!(!code.may_set() && !code.is_to_be_read());
        code.changed();
        assert!(code.may_set() && code.is_to_be_read());
        code.changed();
        assert!(!code.is_to_be_read(), "somebody reads");
        code.found(false);
        assert!(code.may_set() && code.is_to_be_read());
        code.found(true);
        assert!(code.may_set() && !code.is_to_be_read());
        code.changed();
        assert!(code.is_to_be_read());
        code.found(false);
        assert!(!code.may_set());
    }
}
