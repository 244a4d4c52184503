//! At which levels of a statement's parentheses a SELECT has begun.
//!
//! INSERT and MERGE may be names and labels of a SELECT: `SELECT 1 AS insert INTO t`, `SELECT a insert INTO t`. Where no
//! SELECT has begun at their level they begin a statement of their own, and the INTO behind them is theirs.

/// Levels as bits. What is deeper than these has begun no SELECT: the grammar has no INTO that deep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selects(u64);

impl Selects {
    /// Behind SELECT at `depth`.
    pub(super) fn begin(&mut self, depth: usize) {
        self.0 |= bit(depth);
    }

    /// Behind a parenthesis that opens `depth`.
    pub(super) fn open(&mut self, depth: usize) {
        self.0 &= !bit(depth);
    }

    /// True where a SELECT has begun at `depth`.
    pub(super) fn has(self, depth: usize) -> bool {
        self.0 & bit(depth) != 0
    }
}

fn bit(depth: usize) -> u64 {
    u32::try_from(depth).ok().and_then(|depth| 1_u64.checked_shl(depth)).unwrap_or(0)
}
