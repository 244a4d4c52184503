//! Logins that came to nothing, counted by why.

use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::Refusal;

/// Counts of refused logins. Touched once a login, never on the way of a statement.
#[derive(Debug, Default)]
pub struct LoginTally {
    counts: [AtomicU64; Reason::ALL.len()],
}

/// Why a login came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A wrong password, or a role that is not known.
    Password,
    /// Refused by rule: access, certificates, TLS, not an operator.
    Access,
    /// No such database.
    Database,
    /// No place was free.
    TooManyClients,
    /// pgweir, a database, or what knows the secrets was not available.
    Unavailable,
    /// It took too long.
    Timeout,
    /// It was not the protocol, or the connection ended.
    Protocol,
}

impl Reason {
    /// Every reason, in the order of its number.
    pub const ALL: [Reason; 7] = [
        Reason::Password,
        Reason::Access,
        Reason::Database,
        Reason::TooManyClients,
        Reason::Unavailable,
        Reason::Timeout,
        Reason::Protocol,
    ];

    /// The label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Reason::Password => "password",
            Reason::Access => "access",
            Reason::Database => "database",
            Reason::TooManyClients => "too_many_clients",
            Reason::Unavailable => "unavailable",
            Reason::Timeout => "timeout",
            Reason::Protocol => "protocol",
        }
    }

    fn of(refusal: &Refusal) -> Self {
        match refusal.report().map(crate::wire::Report::sqlstate) {
            Some("28P01") => Reason::Password,
            Some("28000") => Reason::Access,
            Some("3D000") => Reason::Database,
            Some("53300") => Reason::TooManyClients,
            Some("57P03") => Reason::Unavailable,
            Some(_) | None => Reason::Protocol,
        }
    }
}

impl LoginTally {
    fn count(&self, reason: Reason) {
        if let Some(count) = self.counts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        // Port scanners and health checks that come and go are no logins.
        if !matches!(refusal, Refusal::Left) {
            self.count(Reason::of(refusal));
        }
    }

    pub(super) fn too_slow(&self) {
        self.count(Reason::Timeout);
    }

    /// Every reason with its count.
    #[must_use]
    pub fn all(&self) -> [(Reason, u64); Reason::ALL.len()] {
        Reason::ALL.map(|reason| {
            let count = self.counts.get(reason as usize);
            (reason, count.map_or(0, |count| count.load(Ordering::Relaxed)))
        })
    }
}
