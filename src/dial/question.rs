//! One question of pgweir's own to a server, with parameters, over the extended protocol.

use std::fmt;

use super::Connected;
use super::error::{Chain, DialError, Step};
use super::frame::next_message;
use crate::wire::Report;
use crate::wire::backend::tag;
use crate::wire::build;
use crate::wire::handshake;

/// Length word of an answer's messages at most.
const ANSWER_LIMIT: u32 = 64 * 1024;
/// Rows that an answer may have: whoever asks for one wants to know when there are two.
const ROWS_LIMIT: u32 = 2;

/// Why a question has no answer.
#[derive(Debug)]
pub enum AnswerError {
    /// The connection failed.
    Dial(DialError),
    /// The server answered with an error.
    Refused(Report),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerError::Dial(error) => write!(f, "{}", Chain(error)),
            AnswerError::Refused(report) => {
                write!(f, "{} ({})", report.message, report.sqlstate())
            }
        }
    }
}

impl std::error::Error for AnswerError {}

impl From<DialError> for AnswerError {
    fn from(error: DialError) -> Self {
        AnswerError::Dial(error)
    }
}

/// A row: its columns as text, `None` for NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// Asks `text` with `values` as its parameters, sent apart from the text so that no value can
/// become SQL. At most two rows come back.
///
/// Not cancel safe: give the connection up. It is of no use after an error either.
///
/// # Errors
/// The connection failed, or the server answered with an error.
pub async fn ask(
    connected: &mut Connected,
    text: &str,
    values: &[&[u8]],
) -> Result<Vec<Row>, AnswerError> {
    ask_rows(connected, text, values, ROWS_LIMIT).await
}

/// The same with at most `limit` rows.
///
/// Not cancel safe: give the connection up.
///
/// # Errors
/// As [`ask`].
pub async fn ask_rows(
    connected: &mut Connected,
    text: &str,
    values: &[&[u8]],
    limit: u32,
) -> Result<Vec<Row>, AnswerError> {
    let mut rows = Vec::new();
    let keep = |row: &[Option<&[u8]>]| {
        rows.push(row.iter().map(|column| column.map(<[u8]>::to_vec)).collect());
        Ok(())
    };
    ask_each(connected, text, values, limit, keep).await?;
    Ok(rows)
}

/// The same with each row given to `each` as it comes, so that many need not be kept.
///
/// Not cancel safe: give the connection up. It is of no use after an error either.
///
/// # Errors
/// As [`ask`], and what `each` returns.
pub async fn ask_each(
    connected: &mut Connected,
    text: &str,
    values: &[&[u8]],
    limit: u32,
    mut each: impl FnMut(&[Option<&[u8]>]) -> Result<(), DialError>,
) -> Result<(), AnswerError> {
    let mut request = Vec::new();
    let mut text_and_types = text.as_bytes().to_vec();
    // End of the text, and no types: the server infers them.
    text_and_types.extend_from_slice(&[0, 0, 0]);
    build::parse(&mut request, b"", &text_and_types);
    handshake::bind_texts(&mut request, values);
    handshake::execute(&mut request, limit);
    build::sync(&mut request);
    let link = &mut connected.link;
    link.write_all(&request).await.map_err(DialError::Write)?;
    let mut count = 0;
    let mut refused = None;
    loop {
        let message = next_message(link, |_| ANSWER_LIMIT)
            .await
            .map_err(|source| DialError::Read { doing: Step::Asking, source })?;
        match message.tag {
            tag::DATA_ROW if count < limit => {
                let row = handshake::data_row(&message.body)
                    .ok_or(DialError::Protocol("a row that is none"))?;
                each(&row)?;
                count += 1;
            }
            tag::ERROR_RESPONSE => {
                refused.get_or_insert(Report::from_server(&message.body));
            }
            tag::READY_FOR_QUERY => {
                return match refused {
                    Some(report) => Err(AnswerError::Refused(report)),
                    None => Ok(()),
                };
            }
            tag::PARSE_COMPLETE
            | tag::BIND_COMPLETE
            | tag::COMMAND_COMPLETE
            | tag::PORTAL_SUSPENDED
            | tag::EMPTY_QUERY_RESPONSE
            | tag::NOTICE_RESPONSE
            | tag::NOTIFICATION_RESPONSE
            | tag::PARAMETER_STATUS => {}
            _ => return Err(DialError::Protocol("an answer out of place").into()),
        }
    }
}

/// Says goodbye, so that the server's log shows no lost connection.
pub async fn leave(mut connected: Connected) {
    // Whether it hears us does not matter any more.
    let _ = connected.link.write_all(&build::TERMINATE).await;
    let _ = connected.link.shutdown().await;
}
