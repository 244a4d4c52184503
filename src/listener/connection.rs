//! One connection that listens, from the first LISTEN to the last UNLISTEN.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::table::{Asker, Send, Table};
use super::{Ask, Listeners};
use crate::client::Notification;
use crate::dial::frame::{Message, next_message};
use crate::dial::{Connected, ServerAddress};
use crate::net::socket::Socket;
use crate::pool::{ListenerLine, PoolSpec};
use crate::sql::Name;
use crate::wire::backend::{ErrorFields, parameter_status, tag};
use crate::wire::{Report, build};
use crate::worker::mail::{Listened, Mail, Notified};

/// Length word of what the server may send at most: payloads have up to 8,000 bytes in the
/// database's encoding.
const MESSAGE_LIMIT: u32 = 64 * 1024;

/// Statements that may be unanswered at a time: few enough that server and pgweir never wait for
/// each other with full buffers.
const UNANSWERED_MAX: usize = 64;

/// Notifications that the loops have been sent and not looked at.
const IN_FLIGHT_MAX: usize = 4_096;

/// How long the server may take to close its end.
const GOODBYE_LIMIT: Duration = Duration::from_secs(5);

/// How often it is looked whether a statement is over that wants the database to itself.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the connection is called, and limits that must not end it: it is idle for as long as nobody
/// notifies. Not all majors of Postgres know all of them.
const SETUP: &[u8] = b"SET application_name = 'pgweir listener'; \
    SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
    WHERE name IN ('idle_session_timeout', 'statement_timeout', 'lock_timeout')";

/// A statement that was sent and has not been answered.
#[derive(Debug)]
enum Unanswered {
    Setup,
    Listen { channel: Name, number: u64, failed: Option<Report> },
    Unlisten,
}

/// How a connection ends.
enum End {
    /// Nobody listens any more.
    Unused,
    /// The server is gone, or was never reached.
    Lost(Report),
}

pub(super) struct Connection {
    hub: Arc<Listeners>,
    pool: Arc<PoolSpec>,
    place: u64,
    asks: UnboundedReceiver<Ask>,
    table: Table,
    link: Option<Link>,
}

/// The connection while it is up.
struct Link {
    connected: Box<Connected>,
    address: Arc<ServerAddress>,
    to_send: VecDeque<Send>,
    unanswered: VecDeque<Unanswered>,
    /// `client_encoding`, as the server reports it.
    encoding: Option<Arc<[u8]>>,
    in_flight: Arc<Semaphore>,
}

impl Connection {
    pub(super) fn new(
        hub: Arc<Listeners>,
        pool: Arc<PoolSpec>,
        place: u64,
        asks: UnboundedReceiver<Ask>,
    ) -> Self {
        Connection { hub, pool, place, asks, table: Table::default(), link: None }
    }

    /// Listens until nobody wants it to.
    pub(super) async fn run(mut self) {
        loop {
            match self.serve().await {
                End::Unused => {
                    self.close().await;
                    match self.hub.end((self.pool.id, self.place), &mut self.asks) {
                        Ok(()) => return,
                        Err(ask) => self.take(ask).await,
                    }
                }
                End::Lost(report) => {
                    if let Some(link) = self.link.take() {
                        drop(link);
                        self.pool.listener().closed();
                    }
                    if self.give_up(&report).await {
                        return;
                    }
                }
            }
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            self.pool.listener().set_channels(self.table.len());
            if self.table.is_empty() {
                // Whoever asks next is served by the same connection, if it comes soon enough.
                match self.asks.try_recv() {
                    Ok(ask) => self.take(ask).await,
                    Err(_) => return End::Unused,
                }
                continue;
            }
            if self.link.is_none() && self.hub.is_vacated(&self.pool) {
                // What comes meanwhile is heard: the next statement may want the same and waits
                // until it knows that nobody listens here.
                match timeout(LOOK_AGAIN, self.asks.recv()).await {
                    Ok(Some(ask)) => self.take(ask).await,
                    Ok(None) => return End::Unused,
                    Err(_) => {}
                }
                continue;
            }
            if self.link.is_none()
                && let Err(report) = self.connect().await
            {
                return End::Lost(report);
            }
            let Some(link) = &mut self.link else { continue };
            if let Err(report) = link.send().await {
                return End::Lost(report);
            }
            let next = tokio::select! {
                ask = self.asks.recv() => Ok(ask),
                message = next_message(&mut link.connected.link, |_| MESSAGE_LIMIT) => Err(message),
            };
            match next {
                Ok(Some(ask)) => self.take(ask).await,
                // The hub holds the other end for as long as this runs.
                Ok(None) => return End::Unused,
                Err(Ok(message)) => {
                    if let Err(report) = self.read(&message).await {
                        return End::Lost(report);
                    }
                }
                Err(Err(error)) => return End::Lost(broken(&error)),
            }
        }
    }

    /// Dials, and asks for all channels.
    async fn connect(&mut self) -> Result<(), Report> {
        if self.pool.place() != self.place {
            return Err(Report::error(b"57P01", "the configuration has moved the server"));
        }
        self.pool.listener().opened();
        let dialled = Box::pin(self.hub.dialler.connect_for(&self.pool)).await;
        let connected = match dialled {
            Ok((connected, place)) if place == self.place => Box::new(connected),
            Ok(_) => {
                self.pool.listener().closed();
                return Err(Report::error(b"57P01", "the configuration has moved the server"));
            }
            Err(failure) => {
                self.pool.listener().closed();
                return Err(failure.report);
            }
        };
        let peer = match &connected.address {
            ServerAddress::Tcp(address) => Some(*address),
            ServerAddress::Unix(_) => None,
        };
        self.pool.listener().logged_in(ListenerLine {
            pid: connected.login.key.as_ref().map_or(0, |(pid, _)| *pid),
            peer,
            since: Instant::now(),
            tls: connected.link.tls().map(|tls| tls.version().unwrap_or("on")),
        });
        let named = |(name, _): &&(Vec<u8>, Vec<u8>)| name == b"client_encoding";
        let encoding = connected.login.statuses.iter().find(named);
        let mut link = Link {
            address: Arc::new(connected.address.clone()),
            encoding: encoding.map(|(_, value)| value.as_slice().into()),
            connected,
            to_send: self.table.begin_again().into(),
            unanswered: VecDeque::new(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
        };
        let setup = link.write(SETUP).await;
        link.unanswered.push_back(Unanswered::Setup);
        self.link = Some(link);
        setup
    }

    async fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Listen { seat, channel, ticket } => {
                let send = self.table.listen((seat, ticket), channel);
                self.will_send(Some(send));
            }
            Ask::Unlisten { seat, channel } => {
                let send = self.table.unlisten(seat, channel);
                self.will_send(send);
            }
            Ask::Vacate(vacancy) => {
                self.close().await;
                vacancy.listeners.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    fn will_send(&mut self, send: Option<Send>) {
        // Without a connection everything in the table is asked for when it is up.
        if let Some(link) = &mut self.link {
            link.to_send.extend(send);
        }
    }

    fn answer(&self, channel: &Name, (seat, ticket): Asker, confirmed: bool) {
        let encoding = self.link.as_ref().and_then(|link| link.encoding.clone());
        let (pool, channel) = (self.pool.clone(), channel.clone());
        let listened = confirmed.then_some(Listened { encoding });
        self.mail(seat, Mail::Listening { pool, channel, ticket, listened });
    }

    fn mail(&self, seat: usize, mail: Mail<Socket>) {
        if let Some(mailbox) = self.hub.loops.get(seat) {
            mailbox.send(mail);
        }
    }

    async fn read(&mut self, message: &Message) -> Result<(), Report> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match message.tag {
            tag::NOTIFICATION_RESPONSE => self.pass_on(&message.body).await,
            tag::ERROR_RESPONSE => {
                let report = Report::from_server(&message.body);
                match link.unanswered.front_mut() {
                    _ if ErrorFields::read(&message.body).is_fatal() => return Err(report),
                    None => return Err(report),
                    Some(Unanswered::Listen { failed, .. }) => *failed = Some(report.clone()),
                    Some(Unanswered::Setup | Unanswered::Unlisten) => {}
                }
                tracing::warn!(database = self.pool.database, "listening: {}", report.message);
            }
            tag::PARAMETER_STATUS => {
                if let Some((b"client_encoding", value)) = parameter_status(&message.body) {
                    link.encoding = Some(value.into());
                }
            }
            tag::READY_FOR_QUERY => {
                if let Some(Unanswered::Listen { channel, number, failed }) =
                    link.unanswered.pop_front()
                {
                    if let Some(report) =
                        failed.clone().filter(|_| self.table.is_confirmed(&channel))
                    {
                        // Clients rely on it, and the connection that confirmed it is gone.
                        return Err(report);
                    }
                    let confirmed = failed.is_none();
                    for asker in self.table.answered(&channel, number, confirmed) {
                        self.answer(&channel, asker, confirmed);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells the loops of a notification. Waits while they have more of them than they look at.
    async fn pass_on(&self, body: &[u8]) {
        let (Some(link), Some(notification)) = (&self.link, Notification::read(body)) else {
            return;
        };
        let Ok(permit) = link.in_flight.clone().acquire_owned().await else { return };
        let notified = Arc::new(Notified {
            pool: self.pool.clone(),
            place: self.place,
            address: link.address.clone(),
            notification: Arc::new(notification),
            in_flight: Some(permit),
        });
        for seat in self.table.wanting(&notified.notification.channel) {
            self.mail(seat, Mail::Notified(notified.clone()));
        }
    }

    /// Closes the connection and sees its end.
    async fn close(&mut self) {
        let Some(link) = self.link.take() else { return };
        let mut connected = link.connected;
        let goodbye = async {
            // Whether it hears us does not matter: the end comes either way.
            let _ = connected.link.write_all(&build::TERMINATE).await;
            let _ = connected.link.shutdown().await;
            while matches!(connected.link.fill().await, Ok(read) if read > 0) {
                connected.link.consume(usize::MAX);
            }
        };
        if timeout(GOODBYE_LIMIT, goodbye).await.is_err() {
            tracing::warn!("a connection that listened does not end");
        }
        self.pool.listener().closed();
    }

    /// Tells everybody that the server is gone. Whether this is the end: nobody has asked for
    /// anything since.
    async fn give_up(&mut self, report: &Report) -> bool {
        let (database, role) = (&self.pool.database, &self.pool.role);
        tracing::warn!(%database, %role, "nobody listens any more: {}", report.message);
        let (told, waiting) = self.table.lost();
        self.pool.listener().set_channels(0);
        for seat in told {
            let (pool, place, report) = (self.pool.clone(), self.place, report.clone());
            self.mail(seat, Mail::ListenerLost { pool, place, report });
        }
        for (channel, asker) in waiting {
            self.answer(&channel, asker, false);
        }
        while let Err(ask) = self.hub.end((self.pool.id, self.place), &mut self.asks) {
            match ask {
                // Whoever asks from now on gets another try.
                Ask::Listen { .. } => {
                    self.take(ask).await;
                    return false;
                }
                Ask::Unlisten { .. } | Ask::Vacate(_) => self.take(ask).await,
            }
        }
        true
    }
}

impl Link {
    async fn write(&mut self, text: &[u8]) -> Result<(), Report> {
        let mut message = Vec::with_capacity(text.len() + 6);
        build::query(&mut message, text);
        self.connected.link.write_all(&message).await.map_err(|error| broken(&error))
    }

    /// Sends what may be sent now, each as a Query of its own.
    async fn send(&mut self) -> Result<(), Report> {
        let mut bytes = Vec::new();
        while self.unanswered.len() < UNANSWERED_MAX
            && let Some(send) = self.to_send.pop_front()
        {
            let (mut text, channel) = match &send {
                Send::Listen(channel, _) => (b"LISTEN ".to_vec(), channel),
                Send::Unlisten(channel) => (b"UNLISTEN ".to_vec(), channel),
            };
            build::quoted_name(&mut text, channel.as_bytes());
            build::query(&mut bytes, &text);
            self.unanswered.push_back(match send {
                Send::Listen(channel, number) => {
                    Unanswered::Listen { channel, number, failed: None }
                }
                Send::Unlisten(_) => Unanswered::Unlisten,
            });
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.connected.link.write_all(&bytes).await.map_err(|error| broken(&error))
    }
}

fn broken(error: &dyn std::fmt::Display) -> Report {
    tracing::debug!("a connection that listened broke: {error}");
    Report::error(b"08006", "the server closed the connection that listened")
}
