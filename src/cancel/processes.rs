//! The questions about server processes, as Postgres is asked them.
//!
//! A process is known by its number, its role and its age: numbers come again, soon where a container has few
//! of them, and whoever has one now must not be taken for the server that had it.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use super::CancelTarget;
use crate::dial::{AnswerError, Connected, DialError, Row, ask_rows};
use crate::worker::mail::StandbyWait;

/// Processes in one question at most.
pub(super) const MOST: usize = 1_000;

/// A process may be younger than it is to be by this much, for its server's clock and ours are two: seconds, and
/// a share of its age.
const MARGIN: f64 = 1.0;
const DRIFT: f64 = 0.001;

/// What those that are asked about are doing. Everything is qualified: the role's `search_path` may begin with anything.
///
/// `SyncRep`: the backend has committed and waits for a standby to confirm (`syncrep.c`).
const LOOK: &str = "\
SELECT asked.n, a.pid IS NOT NULL, a.wait_event OPERATOR(pg_catalog.=) 'SyncRep', \
  pg_catalog.current_setting('synchronous_standby_names') OPERATOR(pg_catalog.=) ''";

/// Anybody may do this to a process of their own role. It does nothing for NULL.
const END: &str = "SELECT asked.n, pg_catalog.pg_terminate_backend(a.pid)";

/// Each with the process that it is, if that is there.
const ASKED: &str = " \
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int4[]), pg_catalog.unnest($2::pg_catalog.float8[])) \
  WITH ORDINALITY AS asked(pid, age, n) \
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) asked.pid \
  AND a.usename OPERATOR(pg_catalog.=) SESSION_USER \
  AND a.backend_start OPERATOR(pg_catalog.<=) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) \
    (asked.age OPERATOR(pg_catalog.*) '1 second'::pg_catalog.interval))";

/// What Postgres says of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) is_there: bool,
    /// Whether it waits for a standby; `None`: it is not there, and could wait if it were.
    pub(super) wait: Option<StandbyWait>,
}

/// Asks what each of them is doing.
pub(super) async fn look_at(
    connected: &mut Connected,
    targets: &[Arc<CancelTarget>],
) -> Result<Vec<Process>, AnswerError> {
    let rows = ask_about(connected, LOOK, targets).await?;
    read(&rows, targets.len(), |row| {
        let is_there = is_true(row, 1);
        let wait = if is_true(row, 2) {
            Some(StandbyWait::Waits)
        } else if is_true(row, 3) {
            Some(StandbyWait::Never)
        } else {
            is_there.then_some(StandbyWait::NotNow)
        };
        Process { is_there, wait }
    })
}

/// Ends them. For each, whether it was there.
pub(super) async fn end(
    connected: &mut Connected,
    targets: &[Arc<CancelTarget>],
) -> Result<Vec<bool>, AnswerError> {
    let rows = ask_about(connected, END, targets).await?;
    read(&rows, targets.len(), |row| is_true(row, 1))
}

async fn ask_about(
    connected: &mut Connected,
    columns: &str,
    targets: &[Arc<CancelTarget>],
) -> Result<Vec<Row>, AnswerError> {
    let pids = array(targets.iter().map(|target| target.pid));
    let ages = array(targets.iter().map(|target| least_age(target.since.elapsed())));
    let text = [columns, ASKED].concat();
    let limit = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    ask_rows(connected, &text, &[pids.as_bytes(), ages.as_bytes()], limit).await
}

/// How old a process is at least that was there so long ago, in seconds of its server's clock.
fn least_age(known_for: Duration) -> f64 {
    known_for.as_secs_f64() * (1.0 - DRIFT) - MARGIN
}

/// As Postgres writes it.
fn array(values: impl Iterator<Item = impl Display>) -> String {
    let mut text = String::from("{");
    for (n, value) in values.enumerate() {
        let comma = if n == 0 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(text, "{comma}{value}");
    }
    text.push('}');
    text
}

/// The rows in the order of what was asked; each says its number.
fn read<T: Clone + Default>(
    rows: &[Row],
    count: usize,
    meaning: impl Fn(&Row) -> T,
) -> Result<Vec<T>, AnswerError> {
    let mut answers = vec![T::default(); count];
    for row in rows {
        let number = row.first().and_then(|column| column.as_deref());
        let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
        let answer = number.and_then(|number| answers.get_mut(number.checked_sub(1)?));
        *answer.ok_or(DialError::Protocol("an answer to no question"))? = meaning(row);
    }
    Ok(answers)
}

fn is_true(row: &Row, column: usize) -> bool {
    row.get(column).is_some_and(|value| value.as_deref() == Some(b"t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_put_to_their_questions_whatever_their_order() {
        let row = |columns: &[&str]| -> Row {
            columns.iter().map(|text| Some(text.as_bytes().to_vec())).collect()
        };
        let read = |rows: &[Row]| read(rows, 2, |row| is_true(row, 1));
        assert_eq!(read(&[row(&["2", "t"]), row(&["1", "f"])]).unwrap(), [false, true]);
        assert_eq!(read(&[row(&["2", "t"])]).unwrap(), [false, true]);
        for wrong in [row(&["0", "t"]), row(&["3", "t"]), row(&["", "t"]), row(&[])] {
            assert!(read(&[wrong]).is_err());
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert!(least_age(Duration::ZERO) < 0.0);
        assert!((least_age(Duration::from_secs(10_000)) - 9_989.0).abs() < 1e-6);
    }
}
