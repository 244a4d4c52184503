//! What rules of the guard have found on a loop lately: for the log, and for SHOW GUARD.
//!
//! Alike findings are one line with a count. What has not been found for longest makes room.

use super::listing::FoundLine;
use crate::guard::Finding;
use crate::pool::PoolSpec;
use crate::rules::Action;
use crate::sql::Fingerprint;

/// So many different ones are remembered by a loop.
const REMEMBERED: usize = 256;

/// So many are logged within a second; of the others, how many there were.
const LOGGED_PER_SECOND: u32 = 50;

/// What has been found lately.
#[derive(Debug, Default)]
pub(super) struct FoundLately {
    found: Vec<Found>,
    /// The second that the next two are about.
    second: u64,
    logged: u32,
    unlogged: u64,
}

#[derive(Debug)]
struct Found {
    pool: u32,
    last_us: u64,
    line: FoundLine,
}

impl FoundLately {
    /// Writes one to the log, and remembers it.
    pub(super) fn record(
        &mut self,
        spec: &PoolSpec,
        now_us: u64,
        finding: &Finding,
        fingerprint: Fingerprint,
    ) {
        self.log(spec, now_us, finding, fingerprint);
        let Finding { rule, action, .. } = *finding;
        let same = |found: &Found| {
            let line = &found.line;
            found.pool == spec.id
                && (line.rule, line.action, line.fingerprint) == (rule, action, fingerprint)
        };
        if let Some(known) = self.found.iter_mut().find(|found| same(found)) {
            known.line.count += 1;
            known.last_us = now_us;
            return;
        }
        if self.found.len() >= REMEMBERED
            && let Some((oldest, _)) =
                self.found.iter().enumerate().min_by_key(|(_, found)| found.last_us)
        {
            self.found.swap_remove(oldest);
        }
        let line = FoundLine {
            database: spec.database.clone(),
            role: spec.role.clone(),
            rule,
            action,
            count: 1,
            age_ms: 0,
            fingerprint,
            message: finding.message.clone(),
        };
        self.found.push(Found { pool: spec.id, last_us: now_us, line });
    }

    fn log(&mut self, spec: &PoolSpec, now_us: u64, finding: &Finding, fingerprint: Fingerprint) {
        let second = now_us / 1_000_000;
        if second != self.second {
            self.second = second;
            self.logged = 0;
            let unlogged = std::mem::take(&mut self.unlogged);
            if unlogged > 0 {
                tracing::info!(unlogged, "query guard: more was found than is logged");
            }
        }
        if self.logged >= LOGGED_PER_SECOND {
            self.unlogged += 1;
            return;
        }
        self.logged += 1;
        let (database, role) = (spec.database.as_str(), spec.role.as_str());
        let (rule, action) = (finding.rule, finding.action.as_str());
        let what = finding.message.as_str();
        match finding.action {
            Action::Off | Action::Log => {
                tracing::info!(database, role, rule, action, %fingerprint, "query guard: {what}");
            }
            Action::Warn | Action::Reject => {
                tracing::warn!(database, role, rule, action, %fingerprint, "query guard: {what}");
            }
        }
    }

    /// All of them.
    pub(super) fn lines(&self, now_us: u64) -> impl Iterator<Item = FoundLine> + '_ {
        self.found.iter().map(move |found| FoundLine {
            age_ms: now_us.saturating_sub(found.last_us) / 1_000,
            ..found.line.clone()
        })
    }
}
