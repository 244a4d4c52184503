//! One console session: messages in, answers out, over the simple and the extended protocol.
//!
//! PgBouncer's console refuses the extended protocol; drivers that know no other cannot read it
//! (psycopg, asyncpg, Npgsql). Here a statement is a command, and a portal a command with the rows
//! that have not been sent.

use std::collections::HashMap;
use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::chatter::REPORTED;
use super::command::{Command, statements};
use super::console::{Answer, Asker, Console, columns};
use super::table::{Format, Row, data_row, row_description};
use crate::cancel::Registration;
use crate::dial::frame::{Message, ReadError, next_message};
use crate::errors;
use crate::login::{Rank, Visitor};
use crate::net::link::Link;
use crate::wire::backend::tag as reply;
use crate::wire::frontend::{ExecuteView, Named, ParseView, query_text, tag};
use crate::wire::{Report, Severity, TransactionStatus, build};

/// Length word of a message at most: commands are short.
const MESSAGE_LIMIT: u32 = 64 * 1024;
/// Statements and portals of one session at most.
const NAMES_KEPT: usize = 1_000;

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client said Terminate, or closed the connection.
    Left,
    /// The connection failed, or a message was too long.
    Broken(ReadError),
    /// What it sent is not the protocol.
    Protocol,
    /// An administrator closed it.
    Killed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Left => f.write_str("the client left"),
            End::Broken(error) => error.fmt(f),
            End::Protocol => f.write_str("the client broke the protocol"),
            End::Killed => f.write_str("an administrator closed it"),
        }
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => End::Left,
            other => End::Broken(other),
        }
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        End::Broken(ReadError::Io(error))
    }
}

/// A bound statement.
struct Portal {
    /// `None`: the empty statement.
    command: Option<Command>,
    formats: Vec<Format>,
    /// What has not been sent of its result; `None` before it has run.
    rest: Option<std::vec::IntoIter<Row>>,
}

/// One console session.
pub(super) struct Session<'a> {
    console: &'a Console,
    visitor: Visitor,
    registration: Registration,
    status: TransactionStatus,
    statements: HashMap<Vec<u8>, Option<Command>>,
    portals: HashMap<Vec<u8>, Portal>,
    /// A batch failed: everything up to Sync is dropped.
    skipping: bool,
    out: Vec<u8>,
}

impl<'a> Session<'a> {
    pub(super) fn new(console: &'a Console, visitor: Visitor, registration: Registration) -> Self {
        Session {
            console,
            visitor,
            registration,
            status: TransactionStatus::Idle,
            statements: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
            out: Vec::new(),
        }
    }

    /// Serves the client until one of both has had enough.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        mut link: Link<S>,
        killed: &Notify,
    ) -> End {
        self.greet();
        let end = tokio::select! {
            end = self.converse(&mut link) => end,
            () = killed.notified() => End::Killed,
        };
        let last = match &end {
            End::Killed => Some(errors::killed()),
            End::Broken(ReadError::Frame(error)) => {
                Some(Report::fatal(b"08P01", error.to_string()))
            }
            End::Protocol | End::Left | End::Broken(_) => None,
        };
        if let Some(report) = last {
            report.write(&mut self.out);
        }
        let out = std::mem::take(&mut self.out);
        // Whoever is gone hears nothing more.
        let _ = link.write_all(&out).await;
        crate::login::say_goodbye(&mut link, None).await;
        end
    }

    fn greet(&mut self) {
        self.out = std::mem::take(&mut self.visitor.unsent);
        for (name, value) in REPORTED {
            build::parameter_status(&mut self.out, name.as_bytes(), value.as_bytes());
        }
        if let Some(name) = self.visitor.params.get("application_name") {
            build::parameter_status(&mut self.out, b"application_name", name);
        }
        let pid = self.registration.pid();
        self.registration.with_secret(|key| build::backend_key_data(&mut self.out, pid, key));
        build::ready_for_query(&mut self.out, self.status);
    }

    /// Reads messages and answers them until the end.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, link: &mut Link<S>) -> End {
        loop {
            let out = std::mem::take(&mut self.out);
            if let Err(error) = link.write_all(&out).await {
                return error.into();
            }
            let message = match next_message(link, |_| MESSAGE_LIMIT).await {
                Ok(message) => message,
                Err(error) => return error.into(),
            };
            let id = self.registration.pid();
            self.console.sessions(|sessions| {
                if let Some(line) = sessions.get_mut(&id) {
                    line.asked = Instant::now();
                }
            });
            let answered = tokio::select! {
                answered = self.answer(&message) => answered,
                end = hang_up(link) => Err(end),
            };
            if let Err(end) = answered {
                return end;
            }
        }
    }

    async fn answer(&mut self, message: &Message) -> Result<(), End> {
        let body = message.body.as_slice();
        match message.tag {
            tag::TERMINATE => return Err(End::Left),
            tag::SYNC => {
                self.skipping = false;
                if self.status == TransactionStatus::Idle {
                    self.portals.clear();
                }
                build::ready_for_query(&mut self.out, self.status);
            }
            tag::QUERY => {
                self.skipping = false;
                self.query(body).await;
                build::ready_for_query(&mut self.out, self.status);
            }
            tag::FUNCTION_CALL => {
                Report::error(b"0A000", "there are no functions here").write(&mut self.out);
                build::ready_for_query(&mut self.out, self.status);
            }
            tag::FLUSH | tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => {}
            _ if self.skipping => {}
            tag::PARSE | tag::BIND | tag::DESCRIBE | tag::EXECUTE | tag::CLOSE => {
                if let Err(report) = self.extended(message.tag, body).await {
                    report.write(&mut self.out);
                    self.skipping = true;
                }
            }
            unknown => {
                errors::unknown_message_type(unknown).write(&mut self.out);
                return Err(End::Protocol);
            }
        }
        Ok(())
    }

    /// A Query: its statements one after the other, until one fails.
    async fn query(&mut self, body: &[u8]) {
        let Some(text) = query_text(body) else {
            return Report::error(b"08P01", "invalid message format").write(&mut self.out);
        };
        let statements = statements(text);
        if statements.is_empty() {
            build::empty(&mut self.out, reply::EMPTY_QUERY_RESPONSE);
        }
        for statement in statements {
            if let Err(report) = self.statement(&statement).await {
                return report.write(&mut self.out);
            }
        }
    }

    async fn statement(&mut self, text: &str) -> Result<(), Report> {
        let command = Command::parse(text)?;
        let answer = self.carry_out(&command).await?;
        if let Some(columns) = columns(&command) {
            row_description(&mut self.out, columns, |_| Format::Text);
            for row in &answer.rows {
                data_row(&mut self.out, columns, row, |_| Format::Text);
            }
        }
        build::command_complete(&mut self.out, command.tag());
        Ok(())
    }

    async fn carry_out(&mut self, command: &Command) -> Result<Answer, Report> {
        if command.needs_admin() && self.visitor.rank != Rank::Admin {
            return Err(Report::error(b"42501", "admin access needed"));
        }
        let asker = Asker { role: &self.visitor.role, database: &self.visitor.database };
        let answer = self.console.carry_out(command, &asker).await?;
        for notice in &answer.notices {
            debug_assert!(matches!(notice.severity, Severity::Notice | Severity::Warning));
            notice.write(&mut self.out);
        }
        self.status = answer.status.unwrap_or(self.status);
        Ok(answer)
    }

    async fn extended(&mut self, kind: u8, body: &[u8]) -> Result<(), Report> {
        match kind {
            tag::PARSE => self.parse(body),
            tag::BIND => self.bind(body),
            tag::DESCRIBE => self.describe(body),
            tag::EXECUTE => self.execute(body).await,
            _ => self.close(body),
        }
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), Report> {
        let parse = ParseView::read(body).ok_or_else(malformed)?;
        let mut statements = statements(parse.query);
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Report::error(b"42601", message));
        }
        let command = statements.pop().map(|text| Command::parse(&text)).transpose()?;
        if self.statements.len() >= NAMES_KEPT && !self.statements.contains_key(parse.statement) {
            return Err(Report::error(b"53000", "too many prepared statements"));
        }
        self.statements.insert(parse.statement.to_vec(), command);
        build::empty(&mut self.out, reply::PARSE_COMPLETE);
        Ok(())
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), Report> {
        let bind = super::bind::Bind::read(body).ok_or_else(malformed)?;
        let command = self.statements.get(bind.statement).cloned().ok_or_else(|| {
            let name = String::from_utf8_lossy(bind.statement);
            Report::error(b"26000", format!("prepared statement \"{name}\" does not exist"))
        })?;
        if bind.parameters > 0 {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement requires 0",
                bind.parameters
            );
            return Err(Report::error(b"08P01", message));
        }
        let wide = command.as_ref().and_then(columns).map_or(0, <[_]>::len);
        let formats = bind.formats(wide)?;
        if self.portals.len() >= NAMES_KEPT && !self.portals.contains_key(bind.portal) {
            return Err(Report::error(b"53000", "too many portals"));
        }
        self.portals.insert(bind.portal.to_vec(), Portal { command, formats, rest: None });
        build::empty(&mut self.out, reply::BIND_COMPLETE);
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), Report> {
        let (command, formats) = match Named::read(body).ok_or_else(malformed)? {
            Named::Statement(name) => {
                let command = self.statements.get(name).ok_or_else(|| {
                    let name = String::from_utf8_lossy(name);
                    Report::error(b"26000", format!("prepared statement \"{name}\" does not exist"))
                })?;
                build::parameter_description(&mut self.out);
                (command, [].as_slice())
            }
            Named::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (&portal.command, portal.formats.as_slice())
            }
        };
        match command.as_ref().and_then(columns) {
            Some(columns) => row_description(&mut self.out, columns, format_in(formats)),
            None => build::empty(&mut self.out, reply::NO_DATA),
        }
        Ok(())
    }

    async fn execute(&mut self, body: &[u8]) -> Result<(), Report> {
        let execute = ExecuteView::read(body).ok_or_else(malformed)?;
        let portal = self.portals.remove(execute.portal);
        let mut portal = portal.ok_or_else(|| no_portal(execute.portal))?;
        let Some(command) = portal.command.clone() else {
            build::empty(&mut self.out, reply::EMPTY_QUERY_RESPONSE);
            self.portals.insert(execute.portal.to_vec(), portal);
            return Ok(());
        };
        let mut rows = match portal.rest.take() {
            Some(rest) => rest,
            None => self.carry_out(&command).await?.rows.into_iter(),
        };
        let most = usize::try_from(execute.max_rows).ok().filter(|&most| most > 0);
        if let Some(columns) = columns(&command) {
            for row in rows.by_ref().take(most.unwrap_or(usize::MAX)) {
                data_row(&mut self.out, columns, &row, format_in(&portal.formats));
            }
        }
        if rows.len() > 0 {
            build::empty(&mut self.out, reply::PORTAL_SUSPENDED);
        } else {
            build::command_complete(&mut self.out, command.tag());
        }
        portal.rest = Some(rows);
        self.portals.insert(execute.portal.to_vec(), portal);
        Ok(())
    }

    fn close(&mut self, body: &[u8]) -> Result<(), Report> {
        match Named::read(body).ok_or_else(malformed)? {
            Named::Statement(name) => drop(self.statements.remove(name)),
            Named::Portal(name) => drop(self.portals.remove(name)),
        }
        build::empty(&mut self.out, reply::CLOSE_COMPLETE);
        Ok(())
    }
}

/// Formats by column: one for all, one for each, or text.
fn format_in(formats: &[Format]) -> impl Fn(usize) -> Format + '_ {
    move |index| match formats {
        [one] => *one,
        _ => formats.get(index).copied().unwrap_or_default(),
    }
}

fn malformed() -> Report {
    Report::error(b"08P01", "invalid message format")
}

fn no_portal(name: &[u8]) -> Report {
    let name = String::from_utf8_lossy(name);
    Report::error(b"34000", format!("portal \"{name}\" does not exist"))
}

/// Waits for the end of the client's stream while a command runs; what it sends meanwhile is kept.
async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> End {
    loop {
        match link.fill().await {
            Ok(0) => return End::Left,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}
