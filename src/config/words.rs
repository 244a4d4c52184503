//! Values that are one word out of a few: one enum each, with the words of the file.

/// A value that the file writes as one of a few words.
pub trait Word: Sized + Copy + PartialEq + 'static {
    /// Every value with its word, in the order in which messages list them.
    const WORDS: &'static [(&'static str, Self)];

    /// The value of a word.
    fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }
}

/// Declares such enums: variants, their words, `as_str` and `Display`.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The word for it in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $name::$variant),)+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

words! {
    /// When a server connection goes back to its pool.
    PoolMode {
        /// After each transaction.
        Transaction = "transaction",
        /// When the client leaves.
        Session = "session",
    }

    /// What becomes of unnamed statements that come again.
    UnnamedStatements {
        /// The server keeps them under a name, for a second at most.
        Shared = "shared",
        /// Sent exactly as the client sent them.
        AsSent = "as_sent",
    }

    /// What happens to session state under transaction pooling.
    SessionStateMode {
        /// Followed, and put on whichever server runs the next transaction.
        Track = "track",
        /// Statements that change it are refused.
        Refuse = "refuse",
        /// Passed on and not followed.
        Ignore = "ignore",
    }

    /// When `RESET ALL` is sent before a server goes to another client.
    ResetOnHandover {
        /// Only after a change that was seen.
        Seen = "seen",
        /// Also where functions or triggers of the database may have set parameters.
        UserCode = "user_code",
        /// Before every other client.
        Always = "always",
    }

    /// What a client may do with `SET statement_timeout` and the other limits.
    TimeoutOverride {
        /// Nothing: the limits stay.
        Never = "never",
        /// Lower them; raising is clamped, with a WARNING.
        Lower = "lower",
        /// Raise and lower them.
        Any = "any",
    }

    /// What happens to a statement beyond its limit.
    TimeoutAction {
        /// It is cancelled; the session lives on.
        Cancel = "cancel",
        /// The client's session is ended.
        Close = "close",
        /// It is only counted and logged.
        Report = "report",
    }

    /// What `replication=` startups get.
    Replication {
        /// An error.
        Refuse = "refuse",
        /// A server connection of their own, never pooled.
        Pass = "pass",
    }

    /// Where a role's statements go.
    Route {
        /// Writes to the primary, proven reads where `[databases.X.routing]` says.
        Auto = "auto",
        /// All to the primary.
        Primary = "primary",
        /// All to replicas.
        Replica = "replica",
    }

    /// When a server connection that a cancel request was sent for may be used again.
    CancelReuse {
        /// Once the cancel connection has ended.
        AfterEof = "after_eof",
        /// Never: it is closed.
        Never = "never",
    }

    /// Where proven reads go.
    Reads {
        /// To replicas; `when_no_replica` decides when none is usable.
        Replica = "replica",
        /// To replicas, silently to the primary when none is usable.
        PreferReplica = "prefer-replica",
        /// To the primary.
        Primary = "primary",
    }

    /// Where writes go.
    Writes {
        /// To the primary.
        Primary = "primary",
        /// Nowhere: they are refused.
        Reject = "reject",
    }

    /// How one of several usable replicas is chosen.
    Strategy {
        /// The less busy one of two taken at random.
        LeastBusy = "least-busy",
        /// In turn, by weight.
        RoundRobin = "round-robin",
        /// At random, by weight.
        Random = "random",
    }

    /// Whose writes a read on a replica must see.
    Consistency {
        /// The session's own.
        Session = "session",
        /// Those of every session of the role.
        Role = "role",
        /// Those of every session of the database.
        Database = "database",
        /// None in particular.
        Eventual = "eventual",
    }

    /// What a read gets when no replica is usable.
    WhenNoReplica {
        /// The primary.
        Primary = "primary",
        /// An error.
        Error = "error",
    }

    /// How clients prove who they are.
    AuthMethod {
        /// SCRAM-SHA-256, with channel binding over TLS.
        ScramSha256 = "scram-sha-256",
        /// An MD5 hash of the password. Outdated.
        Md5 = "md5",
        /// A TLS client certificate whose common name is the role.
        Cert = "cert",
        /// The operating system's user at the other end of a Unix socket.
        Peer = "peer",
        /// Not at all. Only over loopback and Unix sockets.
        Trust = "trust",
    }

    /// Whether clients use TLS.
    TlsMode {
        /// No TLS.
        Off = "off",
        /// If the client asks for it.
        Prefer = "prefer",
        /// Clients without TLS are refused.
        Require = "require",
        /// As `require`, and the client shows a certificate of `client_ca`.
        VerifyFull = "verify-full",
    }

    /// How much TLS protects a connection to Postgres, as in libpq.
    SslMode {
        /// No TLS.
        Disable = "disable",
        /// Only if the server insists.
        Allow = "allow",
        /// If the server has it; anybody in between may take it away.
        Prefer = "prefer",
        /// TLS, whoever answers.
        Require = "require",
        /// TLS with a certificate of a known authority.
        VerifyCa = "verify-ca",
        /// As `verify-ca`, and the certificate names the host.
        VerifyFull = "verify-full",
    }

    /// Which of several hosts is wanted, as in libpq.
    TargetSessionAttrs {
        /// The first that answers.
        Any = "any",
        /// One that takes writes.
        ReadWrite = "read-write",
        /// One that takes no writes.
        ReadOnly = "read-only",
        /// One not in recovery.
        Primary = "primary",
        /// One in recovery.
        Standby = "standby",
        /// One in recovery, else any.
        PreferStandby = "prefer-standby",
    }

    /// How log lines look.
    LogFormat {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One object a line.
        Json = "json",
    }

    /// How much of a statement's text goes into the log.
    QueryText {
        /// None.
        Off = "off",
        /// The text with its literals replaced.
        Normalized = "normalized",
        /// The text as sent. Never its parameters.
        Full = "full",
    }
}

/// The word nearest to `word`, if one is near enough to have been meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long text is no misspelling, and the distance takes quadratic time.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| {
            let plain = candidate.to_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&lower, &plain), candidate)
        })
        .filter(|(distance, candidate)| {
            *distance <= 3 && *distance * 2 <= candidate.len().max(word.len())
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_are_inverse() {
        assert_eq!(PoolMode::parse("session"), Some(PoolMode::Session));
        assert_eq!(PoolMode::parse("Session"), None);
        for (word, value) in Consistency::WORDS {
            assert_eq!(value.as_str(), *word);
        }
    }

    fn check(word: &str, expected: Option<&str>) {
        let known =
            ["pool_size", "min_pool_size", "statement_timeout", "write-without-where", "off"];
        assert_eq!(nearest(word, known), expected, "{word}");
    }

    #[test]
    fn the_nearest_word_is_found() {
        check("pool_sze", Some("pool_size"));
        check("Pool-Size", Some("pool_size"));
        check("statment_timeout", Some("statement_timeout"));
        check("write_without_where", Some("write-without-where"));
        check("of", Some("off"));
        check("wal", None);
        check("colour", None);
        check("", None);
    }
}
