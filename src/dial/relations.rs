//! What the catalog says of relations, for verdicts of the guard: asked on a connection of its own, as the session that
//! waits would ask.

use std::time::Duration;

use tokio::sync::Semaphore;
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
    /// Asks; as many answers come back as could be had. `places` bounds how many ask at a time.
    ///
    /// Cancel safe: dropping it closes the connection.
    pub async fn ask_relations(
        &self,
        pool: &PoolSpec,
        asked: &Asked,
        places: &Semaphore,
    ) -> Vec<Answer> {
        let mut answers = Vec::new();
        let asking = async {
            let _place = places.acquire().await.map_err(|_| "pgweir is stopping".to_owned())?;
            self.ask_all(pool, asked, &mut answers).await
        };
        let why = match timeout(LIMIT, asking).await {
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
        let answer = ask_relation(connected, question, asked.path_is_known).await?;
        // What the client has sent and the server has not done may bring it about.
        let early = asked.is_early && answer == Answer::Missing;
        answers.push(if early { Answer::Unknown } else { answer });
    }
    Ok(())
}

/// Asks about one relation. `path_is_known`: the connection has the `search_path` of the session that it asks for;
/// otherwise a name without a schema is only believed where there is one relation of that name.
///
/// Not cancel safe: give the connection up.
///
/// # Errors
/// As [`ask`].
pub async fn ask_relation(
    connected: &mut Connected,
    question: &Question,
    path_is_known: bool,
) -> Result<Answer, AnswerError> {
    if path_is_known || !question.needs_search_path() {
        let there = answer(&ask(connected, Question::SQL, &[&question.name()]).await?);
        if there != Answer::Missing || !question.needs_search_path() {
            return Ok(there);
        }
        // ALTER ROLE or a function may have changed the path unseen: then it may be found elsewhere. Nobody misses a
        // table that is not there; an index, whoever drops it IF EXISTS.
        let tables = ask(connected, Question::TABLES_ANYWHERE, &[question.bare_name()]).await?;
        return Ok(if tables.is_empty() { Answer::Missing } else { Answer::Unknown });
    }
    let anywhere = ask(connected, Question::SQL_ANYWHERE, &[question.bare_name()]).await?;
    Ok(if anywhere.len() > 1 { Answer::Unknown } else { answer(&anywhere) })
}

fn answer(rows: &[Row]) -> Answer {
    let Some(row) = rows.first() else { return Answer::Missing };
    let is_true = |column: usize| Some(row.get(column)?.as_deref()? == b"t");
    match (is_true(0), is_true(1)) {
        (Some(partitioned), Some(empty)) => Answer::Relation { partitioned, empty },
        _ => Answer::Unknown,
    }
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
        assert_eq!(answer(&[unknown]), Answer::Unknown);
    }
}
