//! What the catalog says of relations, for verdicts of the guard: asked on a connection of its own, as the session that
//! waits would ask.

use std::time::Duration;

use tokio::time::timeout;

use super::question::{AnswerError, Row, ask, leave};
use super::{Chain, Connected, Dialler};
use crate::guard::{Answer, Question};
use crate::pool::PoolSpec;
use crate::worker::mail::Asked;

/// How long it may take, the login included. Whoever waits takes the answers that there are by then.
const LIMIT: Duration = Duration::from_secs(3);

/// Gives the connection what the session has, and sees to it that no answer waits long for a lock.
const BE_LIKE: &str = "SELECT pg_catalog.set_config('statement_timeout', '1s', false), \
    pg_catalog.set_config('client_encoding', $1, false), \
    pg_catalog.set_config('search_path', $2, false)";

/// The same where the session has a role of its own.
const BE_LIKE_ROLE: &str = "SELECT pg_catalog.set_config('role', $1, false)";

/// What the connection has of itself.
const SETTINGS: &str = "SELECT pg_catalog.current_setting('client_encoding'), \
    pg_catalog.current_setting('search_path')";

impl Dialler {
    /// Asks; as many answers come back as could be had.
    ///
    /// Cancel safe: dropping it closes the connection.
    pub async fn ask_relations(&self, pool: &PoolSpec, asked: &Asked) -> Vec<Answer> {
        let mut answers = Vec::new();
        let why = match timeout(LIMIT, self.ask_all(pool, asked, &mut answers)).await {
            Ok(Ok(())) => return answers,
            Ok(Err(why)) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(
            database = pool.database,
            role = pool.role,
            "query guard: the catalog cannot be asked, so a statement is judged without it: {why}"
        );
        answers
    }

    async fn ask_all(
        &self,
        pool: &PoolSpec,
        asked: &Asked,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        let (mut connected, _) =
            self.connect_for(pool).await.map_err(|failure| failure.report.message.to_string())?;
        let asking = ask_as(&mut connected, asked, answers).await;
        match asking {
            Ok(()) => {
                leave(connected).await;
                Ok(())
            }
            Err(AnswerError::Dial(error)) => Err(Chain(&error).to_string()),
            Err(AnswerError::Refused(report)) => {
                leave(connected).await;
                Err(report.message.to_string())
            }
        }
    }
}

async fn ask_as(
    connected: &mut Connected,
    asked: &Asked,
    answers: &mut Vec<Answer>,
) -> Result<(), AnswerError> {
    let own = ask(connected, SETTINGS, &[]).await?;
    let setting = |column: usize| own.first()?.get(column)?.clone();
    let encoding = asked.encoding.clone().or_else(|| setting(0)).unwrap_or_default();
    let path = asked.search_path.clone().or_else(|| setting(1)).unwrap_or_default();
    ask(connected, BE_LIKE, &[&encoding, &path]).await?;
    if let Some(role) = &asked.role {
        ask(connected, BE_LIKE_ROLE, &[role]).await?;
    }
    for question in &asked.questions {
        let rows = ask(connected, Question::SQL, &[&question.name()]).await?;
        answers.push(answer(&rows));
    }
    Ok(())
}

fn answer(rows: &[Row]) -> Answer {
    let Some(row) = rows.first() else { return Answer::Missing };
    let is_true =
        |column: usize| row.get(column).is_some_and(|value| value.as_deref() == Some(b"t"));
    Answer::Relation { partitioned: is_true(0), empty: is_true(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_relation_and_none_is_none() {
        let row = |values: [&str; 2]| values.map(|value| Some(value.as_bytes().to_vec())).to_vec();
        assert_eq!(answer(&[]), Answer::Missing);
        let empty = Answer::Relation { partitioned: false, empty: true };
        assert_eq!(answer(&[row(["f", "t"])]), empty);
        let partitioned = Answer::Relation { partitioned: true, empty: false };
        assert_eq!(answer(&[row(["t", "f"])]), partitioned);
        let unknown = vec![Some(b"f".to_vec()), None];
        assert_eq!(answer(&[unknown]), Answer::Relation { partitioned: false, empty: false });
    }
}
