//! Which databases are held and which are closed to new clients.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::worker::mail::{Holds, Scope};

/// What administrators have ordered of databases; lasts as long as the process.
#[derive(Debug, Default)]
pub struct Gates {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    holds: Arc<Holds>,
    disabled: BTreeSet<String>,
}

impl Gates {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose clients are held now.
    pub fn holds(&self) -> Arc<Holds> {
        self.with(|state| state.holds.clone())
    }

    /// Holds the clients of a scope; whether they were not held in the same way before.
    pub fn hold(&self, scope: &Scope) -> bool {
        self.with(|state| {
            let holds = Arc::make_mut(&mut state.holds);
            match scope {
                Scope::All => !std::mem::replace(&mut holds.all, true),
                Scope::Database(name) => holds.databases.insert(name.clone()),
            }
        })
    }

    /// Lets the clients of a scope go on; whether they had been held in that way.
    pub fn release(&self, scope: &Scope) -> bool {
        self.with(|state| {
            let holds = Arc::make_mut(&mut state.holds);
            match scope {
                Scope::All => {
                    let named = !holds.databases.is_empty();
                    holds.databases.clear();
                    std::mem::take(&mut holds.all) || named
                }
                Scope::Database(name) => holds.databases.remove(name),
            }
        })
    }

    /// Whether a database is held or closed under its own name.
    pub fn names(&self, database: &str) -> bool {
        self.with(|state| {
            state.holds.databases.contains(database) || state.disabled.contains(database)
        })
    }

    /// Closes a database to new clients, or opens it again.
    pub fn set_disabled(&self, database: &str, disabled: bool) {
        self.with(|state| {
            if disabled {
                state.disabled.insert(database.to_owned());
            } else {
                state.disabled.remove(database);
            }
        });
    }

    /// Whether new clients of a database are refused.
    pub fn is_disabled(&self, database: &str) -> bool {
        self.with(|state| state.disabled.contains(database))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resume_undoes_every_hold() {
        let gates = Gates::default();
        let shop = Scope::Database("shop".into());
        assert!(gates.hold(&shop) && !gates.hold(&shop));
        assert!(gates.holds().hold("shop") && !gates.holds().hold("other"));
        assert!(gates.hold(&Scope::All) && gates.holds().hold("other"));
        assert!(gates.release(&Scope::All) && !gates.release(&Scope::All));
        assert!(!gates.holds().hold("shop") && !gates.release(&shop));
        gates.set_disabled("shop", true);
        assert!(gates.is_disabled("shop") && !gates.is_disabled("other"));
        assert!(gates.names("shop") && !gates.names("other"));
    }
}
