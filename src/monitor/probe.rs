//! One connection that asks a server about itself.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::Target;
use crate::dial::error::Step;
use crate::dial::frame::{Message, next_message};
use crate::dial::{AnswerError, Connected, DialError, Dialler, ServerAddress};
use crate::pool::PoolSpec;
use crate::wire::backend::{ErrorFields, tag};
use crate::wire::{Report, build, handshake};

use super::state::Answer;

/// What the connection is called.
const NAME: &str = "pgweir probe";
/// The statement's.
const STATEMENT: &[u8] = b"pgweir_probe";
/// Length word of an answer's messages at most.
const ANSWER_LIMIT: u32 = 64 * 1024;

/// Limits that must not end it: it is idle for as long as nobody wants to know anything. Not all majors know all.
const SETUP: &[u8] = b"SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
    WHERE name IN ('idle_session_timeout', 'statement_timeout', 'lock_timeout', 'transaction_timeout')";

/// Nothing of it needs a privilege; without one of `pg_read_all_stats` a standby's timeline is NULL. The first column is
/// found once for all: a server may be promoted at any moment.
const QUESTION: &[u8] = b"SELECT s.r, \
    CASE WHEN s.r THEN pg_catalog.pg_last_wal_replay_lsn() \
         ELSE pg_catalog.pg_current_wal_flush_lsn() END, \
    CASE WHEN NOT s.r THEN pg_catalog.pg_current_wal_insert_lsn() END, \
    CASE WHEN NOT s.r THEN pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END, \
    CASE WHEN s.r THEN (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver LIMIT 1) END, \
    (EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::pg_catalog.int8, \
    CASE WHEN s.r THEN pg_catalog.pg_is_wal_replay_paused() END \
    FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) AS s";

/// A connection that can ask.
#[derive(Debug)]
pub(super) struct Prober {
    connected: Connected,
    since: Instant,
}

impl Prober {
    /// Logs in as the role of a pool, to this database; `None`: to the pool's own.
    ///
    /// Cancel safe: dropping it closes what was opened.
    pub(super) async fn open(
        dialler: &Dialler,
        pool: &PoolSpec,
        target: &Target,
        database: Option<&str>,
        limit: Duration,
    ) -> Result<Self, AnswerError> {
        let connected = dialler.dial_beside(pool, target, database, NAME, limit).await?;
        let mut prober = Prober { connected, since: Instant::now() };
        let mut request = Vec::new();
        build::query(&mut request, SETUP);
        let mut text_and_types = QUESTION.to_vec();
        // End of the text, and no types.
        text_and_types.extend_from_slice(&[0, 0, 0]);
        build::parse(&mut request, STATEMENT, &text_and_types);
        build::sync(&mut request);
        prober.connected.link.write_all(&request).await.map_err(DialError::Write)?;
        for _ in 0..2 {
            prober.until_ready().await?;
        }
        Ok(prober)
    }

    /// Where it leads, and since when.
    pub(super) fn place(&self) -> Option<(IpAddr, Instant)> {
        match &self.connected.address {
            ServerAddress::Tcp(address) => Some((address.ip(), self.since)),
            ServerAddress::Unix(_) => None,
        }
    }

    /// Asks. `begin` is called right before the first byte is written and gives the probe's number.
    ///
    /// Not cancel safe: give the connection up. It is of no use after an error either.
    pub(super) async fn ask(
        &mut self,
        begin: impl FnOnce() -> u64,
    ) -> Result<(u64, Answer), AnswerError> {
        let mut request = Vec::with_capacity(64);
        handshake::bind_named(&mut request, STATEMENT);
        handshake::execute(&mut request, 0);
        build::sync(&mut request);
        let probe = begin();
        self.connected.link.write_all(&request).await.map_err(DialError::Write)?;
        let row =
            self.until_ready().await?.ok_or(DialError::Protocol("no row where one is due"))?;
        let answer = read(&row).ok_or(DialError::Protocol("a row that is none"))?;
        Ok((probe, answer))
    }

    /// Waits for the connection's end while nothing is asked. Cancel safe.
    pub(super) async fn ended(&mut self) -> DialError {
        loop {
            match self.next().await {
                Ok(message) if message.tag == tag::ERROR_RESPONSE => {
                    return DialError::Server(Report::from_server(&message.body));
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// Says goodbye and waits for the connection's end.
    pub(super) async fn close(self) {
        let mut connected = self.connected;
        // Whether it hears us does not matter: the end comes either way.
        let _ = connected.link.write_all(&build::TERMINATE).await;
        let _ = connected.link.shutdown().await;
        while matches!(connected.link.fill().await, Ok(read) if read > 0) {
            connected.link.consume(usize::MAX);
        }
    }

    async fn next(&mut self) -> Result<Message, DialError> {
        let message = next_message(&mut self.connected.link, |_| ANSWER_LIMIT).await;
        message.map_err(|source| DialError::Read { doing: Step::Asking, source })
    }

    /// Reads until the server is ready; gives the body of the last row.
    async fn until_ready(&mut self) -> Result<Option<Vec<u8>>, AnswerError> {
        let (mut row, mut refused) = (None, None);
        loop {
            let message = self.next().await?;
            match message.tag {
                tag::DATA_ROW => row = Some(message.body),
                tag::ERROR_RESPONSE => {
                    let report = Report::from_server(&message.body);
                    if ErrorFields::read(&message.body).is_fatal() {
                        return Err(DialError::Server(report).into());
                    }
                    refused.get_or_insert(report);
                }
                tag::READY_FOR_QUERY => {
                    return refused.map_or(Ok(row), |report| Err(AnswerError::Refused(report)));
                }
                _ => {}
            }
        }
    }
}

/// The columns of [`QUESTION`].
fn read(body: &[u8]) -> Option<Answer> {
    let row = handshake::data_row(body)?;
    let text = |column: usize| row.get(column)?.and_then(|text| std::str::from_utf8(text).ok());
    let in_recovery = text(0)? == "t";
    // A standby that has replayed nothing yet has no position.
    let lsn = text(1).map_or(Some(0), read_lsn)?;
    let end = if in_recovery { lsn } else { read_lsn(text(2)?)? };
    let timeline = if in_recovery {
        text(4).and_then(|text| text.parse().ok())
    } else {
        text(3).and_then(|text| u32::from_str_radix(text, 16).ok())
    };
    let started = text(5)?.parse().ok()?;
    Some(Answer { in_recovery, lsn, end, timeline, started, paused: text(6) == Some("t") })
}

/// A position as Postgres writes it: two halves in hexadecimal digits.
fn read_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u32::from_str_radix(high, 16).ok()?;
    let low = u32::from_str_radix(low, 16).ok()?;
    Some(u64::from(high) << 32 | u64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[Option<&str>]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for column in columns {
            match column {
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(text) => {
                    body.extend_from_slice(&i32::try_from(text.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
            }
        }
        body
    }

    #[test]
    fn an_answer_is_read_as_postgres_writes_it() {
        let primary = [
            Some("f"),
            Some("16/B374D848"),
            Some("16/B374D900"),
            Some("0000001F"),
            None,
            Some("1795286828123456"),
            None,
        ];
        let lsn = 0x16_B374_D848;
        let expected = Answer {
            in_recovery: false,
            lsn,
            end: lsn + 0xb8,
            timeline: Some(31),
            started: 1_795_286_828_123_456,
            paused: false,
        };
        assert_eq!(read(&row(&primary)), Some(expected));
        let standby = [Some("t"), Some("0/3000028"), None, None, Some("2"), Some("5"), Some("t")];
        let (lsn, timeline) = (0x300_0028, Some(2));
        let expected =
            Answer { in_recovery: true, lsn, end: lsn, timeline, started: 5, paused: true };
        assert_eq!(read(&row(&standby)), Some(expected));
        let mut unknown = standby;
        (unknown[1], unknown[4]) = (None, None);
        let read_unknown = read(&row(&unknown)).unwrap();
        assert_eq!((read_unknown.lsn, read_unknown.timeline), (0, None));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for columns in [
            &[Some("f"), Some("0/1"), None, None, None, Some("5"), None][..],
            &[Some("t"), Some("1"), None, None, None, Some("5"), None],
            &[Some("t"), Some("0/123456789"), None, None, None, Some("5"), None],
            &[None, Some("0/1"), None, None, None, Some("5"), None],
            &[Some("t")],
            &[],
        ] {
            assert_eq!(read(&row(columns)), None, "{columns:?}");
        }
        assert_eq!(read(b"\0"), None);
    }
}
