//! A scripted Postgres on a loopback port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::config::Target;
use crate::dial::frame::{Message, next_message};
use crate::net::link::Link;
use crate::wire::backend::tag;
use crate::wire::startup::{self, FirstPacket, StartupPacket};
use crate::wire::{Report, TransactionStatus, build, handshake};

/// A server that plays the same script to everybody.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts it.
    pub(crate) async fn start<F>(script: impl Fn(Conversation) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(script(Conversation { link: Link::new(stream) }));
            }
        });
        Fake { address, connections, task }
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Where it is, with what else a connection string may say.
    pub(crate) fn target(&self, more: &str) -> Target {
        self.url(more).parse().unwrap()
    }

    pub(crate) fn url(&self, more: &str) -> String {
        format!("postgres://{}/shop?{more}", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One client of the fake server.
pub(crate) struct Conversation {
    pub(crate) link: Link<TcpStream>,
}

impl Conversation {
    /// Reads a packet without a tag.
    pub(crate) async fn first_packet(&mut self) -> FirstPacket {
        loop {
            if let Some(len) = startup::packet_len(self.link.unread()).unwrap()
                && let Some(packet) = self.link.unread().get(..len)
            {
                let packet = startup::read(packet).unwrap();
                self.link.consume(len);
                return packet;
            }
            if self.link.fill().await.unwrap_or(0) == 0 {
                // Whoever left plays no further part.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Reads the StartupMessage; answers `N` to a request for TLS.
    pub(crate) async fn startup(&mut self) -> StartupPacket {
        loop {
            match self.first_packet().await {
                FirstPacket::SslRequest => self.send(b"N").await,
                FirstPacket::Startup(packet) => return packet,
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // Clients that found something wrong have gone.
        let _ = self.link.write_all(bytes).await;
    }

    /// An `R` message with this code and data.
    pub(crate) async fn ask(&mut self, code: i32, data: &[u8]) {
        self.send(&authentication(code, data)).await;
    }

    pub(crate) async fn message(&mut self) -> Message {
        match next_message(&mut self.link, |_| 1 << 20).await {
            Ok(message) => message,
            Err(_) => std::future::pending().await,
        }
    }

    /// AuthenticationOk and everything up to ReadyForQuery.
    pub(crate) async fn welcome(&mut self) {
        let mut out = Vec::new();
        handshake::authentication_ok(&mut out);
        greeting(&mut out);
        self.send(&out).await;
    }

    pub(crate) async fn refuse(&mut self, sqlstate: &[u8; 5], message: &str) {
        let report = Report::fatal(sqlstate, message.to_owned());
        self.send(&report.to_bytes()).await;
        let _ = self.link.shutdown().await;
    }

    /// Waits until the client is gone.
    pub(crate) async fn wait_for_the_end(&mut self) {
        while self.link.fill().await.unwrap_or(0) > 0 {
            self.link.consume(usize::MAX);
        }
    }
}

pub(crate) fn authentication(code: i32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let body = [&code.to_be_bytes(), data].concat();
    handshake::message(&mut out, tag::AUTHENTICATION, &body);
    out
}

/// What Postgres says between AuthenticationOk and ReadyForQuery.
pub(crate) fn greeting(out: &mut Vec<u8>) {
    build::parameter_status(out, b"server_version", b"15.4");
    build::parameter_status(out, b"TimeZone", b"UTC");
    build::backend_key_data(out, 4711, &[1, 2, 3, 4]);
    build::ready_for_query(out, TransactionStatus::Idle);
}
