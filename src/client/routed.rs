//! What routing knows of a session whose database has more than one server.

use std::sync::Arc;

use super::Begun;
use crate::deadline::Tick;
use crate::route::Marks;
use crate::session::ParamSet;
use crate::session::changes::is_on;
use crate::sql::{Encoding, LexOptions};
use crate::wire::frontend::tag;

/// What it holds a server for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lease {
    /// Nothing.
    #[default]
    None,
    /// A server of the primary.
    Primary(Touch),
    /// A server of another node, in the node's life of that number.
    Reader {
        /// The node.
        node: usize,
        /// Its life.
        life: u32,
        /// What is sent there.
        what: Sending,
    },
}

/// What a request on the primary may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    /// It neither read nor wrote.
    Nothing,
    /// It read.
    Read,
    /// It may have written.
    Write,
}

/// What a session sends to a node that it reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// One request. What comes behind it finds its own way.
    Request,
    /// A whole transaction.
    Transaction,
}

/// What the parameters of a session mean for its reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `pgweir.route`.
    pub route: Option<Wish>,
    /// Its transactions are of a kind that only the primary serves, or should.
    pub isolated: bool,
    /// Its transactions are READ ONLY unless they say otherwise.
    pub read_only: bool,
    /// Its commits may be acknowledged before they are flushed; `None`: as its server has it.
    pub asynchronous: Option<bool>,
    /// Its texts are read under the usual options, which verdicts are made under.
    pub usual: bool,
}

/// Where a client wants its reads to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To the primary.
    Primary,
    /// To replicas, also what only the client knows to be a read.
    Replica,
}

impl Wish {
    /// As `pgweir.route` or a comment has it.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        if value.eq_ignore_ascii_case(b"primary") {
            Some(Wish::Primary)
        } else if value.eq_ignore_ascii_case(b"replica") {
            Some(Wish::Replica)
        } else {
            None
        }
    }
}

impl Terms {
    /// Those of a session with these parameters.
    #[must_use]
    pub fn of(params: &ParamSet) -> Self {
        let isolation = params.get("default_transaction_isolation");
        let isolated = isolation.is_some_and(|level| {
            !level.eq_ignore_ascii_case(b"read committed")
                && !level.eq_ignore_ascii_case(b"read uncommitted")
        });
        Terms {
            route: params.get("pgweir.route").and_then(Wish::read),
            isolated,
            read_only: params.get("default_transaction_read_only").is_some_and(is_on),
            asynchronous: params.get("synchronous_commit").map(is_asynchronous),
            usual: params.get("standard_conforming_strings").is_none_or(is_on)
                && params
                    .get("client_encoding")
                    .is_none_or(|name| Encoding::from_name(name) == LexOptions::default().encoding),
        }
    }
}

/// Whether a value of `synchronous_commit` acknowledges what has not been flushed.
#[must_use]
pub fn is_asynchronous(value: &[u8]) -> bool {
    const FLUSHES: [&[u8]; 4] = [b"local", b"remote_write", b"remote_apply", b"on"];
    !is_on(value) && !FLUSHES.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// The routing of one session.
#[derive(Debug, Default)]
pub struct Routed {
    /// What it has written and seen.
    pub marks: Marks,
    /// What it holds its server for.
    pub lease: Lease,
    /// Bytes of its request that have not been passed on: 0 where nobody has seen the end of that, all that can be where
    /// it goes on up to its Sync.
    pub left: usize,
    /// Its next request goes to the primary: a replica could not serve it.
    pub to_primary: bool,
    /// Its database takes no writes: the primary serves nothing of it.
    pub never_primary: bool,
    /// The request that a replica is serving, to be run again if it cannot.
    pub request: Vec<u8>,
    /// What the replica has answered, as long as nobody knows whether it can.
    pub replies: Vec<u8>,
    /// The transaction that has begun and has no server yet.
    pub begun: Option<Box<Begun>>,
    /// Since when its request waits for a replica to catch up, and with what: what others write meanwhile is not its
    /// concern.
    pub waits: Option<(Tick, Marks)>,
    terms: Terms,
    /// The parameters that `terms` were read from.
    read_from: Option<Arc<ParamSet>>,
}

impl Routed {
    /// A message of its request has been passed on.
    #[inline]
    pub fn passes(&mut self, message: u8, len: usize) {
        let is_end = matches!(message, tag::SYNC | tag::QUERY | tag::FUNCTION_CALL);
        self.left = match self.left {
            usize::MAX if is_end => 0,
            usize::MAX => usize::MAX,
            left => left.saturating_sub(len),
        };
    }

    /// What its parameters mean for it.
    #[inline]
    pub fn terms(&mut self, params: &Arc<ParamSet>) -> Terms {
        if self.read_from.as_ref().is_none_or(|known| !Arc::ptr_eq(known, params)) {
            self.terms = Terms::of(params);
            self.read_from = Some(params.clone());
        }
        self.terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(settings: &[(&str, &str)]) -> Arc<ParamSet> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Arc::new(ParamSet::new(settings.iter().map(|(name, value)| (bytes(name), bytes(value)))))
    }

    #[test]
    fn parameters_are_read_once_and_again_when_they_change() {
        let mut routed = Routed::default();
        let plain = params(&[("application_name", "x")]);
        assert_eq!(routed.terms(&plain), Terms { usual: true, ..Terms::default() });
        let set = params(&[
            ("pgweir.route", "Primary"),
            ("default_transaction_isolation", "repeatable read"),
            ("default_transaction_read_only", "on"),
            ("synchronous_commit", "off"),
        ]);
        let terms = routed.terms(&set);
        assert_eq!(terms.route, Some(Wish::Primary));
        assert!(terms.isolated && terms.read_only);
        assert_eq!(terms.asynchronous, Some(true));
        assert_eq!(routed.terms(&plain), Terms { usual: true, ..Terms::default() });
        let strange = params(&[("client_encoding", "SJIS")]);
        assert!(!routed.terms(&strange).usual);
        let usual = params(&[("default_transaction_isolation", "READ COMMITTED")]);
        assert!(!routed.terms(&usual).isolated);
    }

    #[test]
    fn only_what_is_not_flushed_is_asynchronous() {
        for value in ["off", "false", "0", "no"] {
            assert!(is_asynchronous(value.as_bytes()), "{value}");
        }
        for value in ["on", "true", "1", "LOCAL", "remote_apply", "remote_write"] {
            assert!(!is_asynchronous(value.as_bytes()), "{value}");
        }
    }
}
