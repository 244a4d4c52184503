//! Operators arriving from the login hall.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::console::{Console, SessionLine};
use super::session::Session;
use crate::login::{ConsoleDoor, Shown, Visitor};
use crate::net::link::Link;
use crate::net::socket::{Peer, Stream};

impl ConsoleDoor for Console {
    fn receive(
        &self,
        link: Link<Stream>,
        peer: Peer,
        visitor: Visitor,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.serve(link, peer, visitor))
    }

    fn is_disabled(&self, database: &str) -> bool {
        self.gates().is_disabled(database)
    }
}

impl Console {
    async fn serve(&self, link: Link<Stream>, peer: Peer, visitor: Visitor) {
        // Only for its process id, which tells sessions apart; there is nothing to cancel.
        let registration = match self.hall().registry().register(0, 4) {
            Ok(registration) => registration,
            Err(error) => {
                tracing::error!(%peer, "cannot draw a cancel key: {error}");
                return;
            }
        };
        let role = visitor.role.clone();
        let tls = link.tls().map(|tls| tls.version().unwrap_or("on"));
        tracing::info!(
            %peer,
            role = %Shown(&role),
            rank = ?visitor.rank,
            method = visitor.method,
            "console session begins"
        );
        let name = visitor.params.get("application_name").unwrap_or_default();
        let now = Instant::now();
        let killed = Arc::new(Notify::new());
        let line = SessionLine {
            id: registration.pid(),
            role: role.clone(),
            peer: match peer {
                Peer::Tcp(address) => Some(address),
                Peer::Unix { .. } => None,
            },
            since: now,
            asked: now,
            tls,
            application_name: String::from_utf8_lossy(name).into_owned(),
            killed: killed.clone(),
        };
        let id = line.id;
        self.sessions(|sessions| sessions.insert(id, line));
        let _present = Present { console: self, id };
        let ended = Session::new(self, visitor, registration).run(link, &killed).await;
        tracing::info!(%peer, role = %Shown(&role), reason = %ended, "console session ends");
    }
}

/// Takes a session out of the list when it ends, however it does.
struct Present<'a> {
    console: &'a Console,
    id: i32,
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.console.sessions(|sessions| sessions.remove(&self.id));
    }
}
