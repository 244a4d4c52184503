//! What a verdict depends on beside the text and the session's history.

use super::catalog::Catalog;
use crate::config::GuardPolicy;
use crate::sql::LexOptions;
use crate::wire::TransactionStatus;

/// Where and for whom a text is judged.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What each rule does.
    pub policy: &'a GuardPolicy,
    /// The line of the configuration that gave the session this policy; empty: nobody did.
    pub origin: &'a str,
    /// How the server reads texts.
    pub options: LexOptions,
    /// The session's transaction when the text comes, as the last ReadyForQuery said, a BEGIN sent since included.
    pub status: TransactionStatus,
    /// The server goes to other clients between this session's transactions.
    pub shared_server: bool,
    /// The session's `search_path`, as far as it is known; None: the server's own.
    pub search_path: Option<&'a [u8]>,
    /// The limit that would cut a concurrent index build (`maintenance_timeout`); milliseconds, 0 for none.
    pub maintenance_timeout_ms: u32,
    /// `lock_timeout` that DDL of this session would have (`ddl_lock_timeout` included), but for what the open
    /// transaction has set; milliseconds, 0 for none.
    pub lock_timeout_ms: u32,
    /// Above what the session may not raise its own limits.
    pub limits: Limits,
    /// What the catalog has said so far.
    pub catalog: &'a Catalog,
}

/// Limits in milliseconds; 0 is none, and then nothing can be above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `statement_timeout`.
    pub statement_ms: u32,
    /// `lock_timeout`.
    pub lock_ms: u32,
    /// `idle_in_transaction_timeout`.
    pub idle_in_transaction_ms: u32,
    /// `transaction_timeout`.
    pub transaction_ms: u32,
}
