//! A small blocking connection over the cluster's own Unix socket: simple queries, text rows.
//!
//! The cluster trusts this socket, which only its owner can reach. Deliberately absent: passwords,
//! TLS, parameters, COPY.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::error::{ClusterError, Doing};

/// One row: the text of each column, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// A connection as superuser `postgres`.
#[derive(Debug)]
pub struct SqlConnection {
    stream: UnixStream,
}

impl SqlConnection {
    /// Logs in to `database` through the socket file at `socket`.
    pub fn open(socket: &Path, database: &str) -> Result<Self, ClusterError> {
        let stream =
            UnixStream::connect(socket).doing(|| format!("connecting to {}", socket.display()))?;
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .doing(|| "setting a deadline".into())?;
        let mut connection = Self { stream };
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", "postgres", "database", database, "application_name", "cluster"] {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        body.push(0);
        let mut packet = length_word(body.len());
        packet.extend_from_slice(&body);
        connection.write(&packet)?;
        connection.rows_until_ready("(login)")?;
        Ok(connection)
    }

    /// Runs a string of one or more statements; gives the rows of all of them, one after another.
    pub fn run(&mut self, statement: &str) -> Result<Vec<Row>, ClusterError> {
        let mut packet = vec![b'Q'];
        packet.extend_from_slice(&length_word(statement.len() + 1));
        packet.extend_from_slice(statement.as_bytes());
        packet.push(0);
        self.write(&packet)?;
        self.rows_until_ready(statement)
    }

    fn rows_until_ready(&mut self, statement: &str) -> Result<Vec<Row>, ClusterError> {
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            let (tag, body) = self.message().map_err(|e| refused.take().unwrap_or(e))?;
            match tag {
                b'D' => rows.push(read_row(&body)?),
                b'E' => refused = Some(read_error(&body, statement)),
                b'Z' => break,
                b'R' if !body.starts_with(&[0, 0, 0, 0]) => {
                    return Err(ClusterError::Protocol("it wants a password on its socket".into()));
                }
                b'G' | b'H' | b'W' => {
                    return Err(ClusterError::Protocol("COPY is not for this connection".into()));
                }
                _ => {}
            }
        }
        refused.map_or(Ok(rows), Err)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ClusterError> {
        self.stream.write_all(bytes).doing(|| "writing to Postgres".into())
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>), ClusterError> {
        let mut header = [0; 5];
        self.stream.read_exact(&mut header).doing(|| "reading from Postgres".into())?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let length = length.ok_or_else(|| ClusterError::Protocol("a length below four".into()))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).doing(|| "reading from Postgres".into())?;
        Ok((header[0], body))
    }
}

fn length_word(body_len: usize) -> Vec<u8> {
    u32::try_from(body_len + 4).unwrap_or(u32::MAX).to_be_bytes().to_vec()
}

fn read_row(body: &[u8]) -> Result<Row, ClusterError> {
    let short = || ClusterError::Protocol("a DataRow that ends too early".into());
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(short)?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        rest = after;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            row.push(None);
            continue;
        };
        let (value, after) = rest.split_at_checked(length).ok_or_else(short)?;
        rest = after;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
    }
    Ok(row)
}

fn read_error(body: &[u8], statement: &str) -> ClusterError {
    let field = |wanted: u8| {
        body.split(|byte| *byte == 0)
            .find_map(|field| field.strip_prefix(&[wanted]))
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    };
    ClusterError::Refused {
        sqlstate: field(b'C'),
        message: field(b'M'),
        statement: statement.to_owned(),
    }
}
