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

            /// The reason as a bit to count by.
            #[must_use]
            pub fn bit(self) -> u32 {
                1 << self as u32
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
    /// To the primary: a replica would do something else.
    OfServer = "of_server";
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
    /// Where it went, in a word.
    #[must_use]
    pub fn target(self) -> &'static str {
        if self.is_replica() { "replica" } else { "primary" }
    }

    /// Whether it went to a replica.
    #[must_use]
    pub fn is_replica(self) -> bool {
        match self {
            Why::Read | Why::ReadOnly | Why::WantsReplica => true,
            Why::WantsPrimary
            | Why::Configured
            | Why::Write
            | Why::Unproven
            | Why::OfServer
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let words: std::collections::HashSet<_> = Why::ALL.iter().map(|why| why.word()).collect();
        assert_eq!(words.len(), Why::ALL.len());
    }
}
