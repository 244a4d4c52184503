//! Why a request went where it went, to be counted by.

macro_rules! whys {
    ($($(#[$doc:meta])* $name:ident = $word:expr;)*) => {
        /// Why a request went where it went.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Why { $($(#[$doc])* $name,)* }

        impl Why {
            /// Every reason.
            pub const ALL: [Why; [$(Why::$name),*].len()] = [$(Why::$name),*];

            /// The reason in a word, as metrics have it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Why::$name => $word,)* }
            }
        }
    };
}

whys! {
    /// To a replica: it is proven to be a read.
    Read = "read";
    /// To a replica: a transaction that is READ ONLY, or all of a role or database.
    ReadOnly = "read_only";
    /// To a replica: its client says so.
    WantsReplica = "wants_replica";
    /// To the primary: its client says so.
    WantsPrimary = "wants_primary";
    /// To the primary: so says the configuration.
    Configured = "configured";
    /// To the primary: it writes or locks.
    Write = "write";
    /// To the primary: it is not proven to be a read.
    Unproven = "unproven";
    /// To the primary: it begins or is in a transaction that may write.
    Transaction = "transaction";
    /// To the primary: it touches no data.
    Session = "session";
    /// To the primary: the session's transactions have a level of isolation that replicas do not serve.
    Isolation = "isolation";
    /// To the primary: nobody has seen the end of its batch.
    OpenBatch = "open_batch";
    /// To the primary: no replica has all that the session has written or seen.
    NotFresh = "not_fresh";
    /// To the primary: no replica may be read.
    NoReplica = "no_replica";
    /// To the primary: a replica could not serve it.
    Again = "again";
}

impl Why {
    /// Whether it went to a replica.
    #[must_use]
    pub fn is_replica(self) -> bool {
        match self {
            Why::Read | Why::ReadOnly | Why::WantsReplica => true,
            Why::WantsPrimary
            | Why::Configured
            | Why::Write
            | Why::Unproven
            | Why::Transaction
            | Why::Session
            | Why::Isolation
            | Why::OpenBatch
            | Why::NotFresh
            | Why::NoReplica
            | Why::Again => false,
        }
    }
}

/// How many requests went where they went, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhyCounts([u64; Why::ALL.len()]);

impl WhyCounts {
    /// One more.
    #[inline]
    pub fn count(&mut self, why: Why) {
        self.0[why as usize] += 1;
    }

    /// How many.
    #[must_use]
    pub fn of(&self, why: Why) -> u64 {
        self.0[why as usize]
    }

    /// Those of another loop as well.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own += other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_for_itself() {
        let mut counts = WhyCounts::default();
        counts.count(Why::Read);
        counts.count(Why::Again);
        counts.add(&counts.clone());
        assert_eq!((counts.of(Why::Read), counts.of(Why::Again), counts.of(Why::Write)), (2, 2, 0));
        let words: std::collections::HashSet<_> = Why::ALL.iter().map(|why| why.word()).collect();
        assert_eq!(words.len(), Why::ALL.len());
    }
}
