//! What a session listens to through the one connection that listens for its pool.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::session::changes::Channels;
use crate::sql::Name;
use crate::wire::build;
use crate::wire::frame::{split_cstr, split_i32};

/// Bytes of notifications that may wait for one client, while it is in a transaction or does not
/// read. Their memory is shared between the clients that they wait for.
pub const WAITING_MAX: usize = 8 * 1024 * 1024;

/// A NotificationResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The backend that sent it.
    pub pid: i32,
    /// Where.
    pub channel: Name,
    /// What; empty for none.
    pub payload: Box<[u8]>,
}

impl Notification {
    /// Reads the body of a NotificationResponse.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let (pid, rest) = split_i32(body)?;
        let (channel, rest) = split_cstr(rest)?;
        let (payload, rest) = split_cstr(rest)?;
        let payload = payload.into();
        rest.is_empty().then(|| Notification { pid, channel: Name::new(channel), payload })
    }

    /// Writes it as coming from `pid`.
    pub fn write(&self, out: &mut Vec<u8>, pid: i32) {
        build::notification(out, pid, self.channel.as_bytes(), &self.payload);
    }

    /// Bytes that count against [`WAITING_MAX`].
    fn size(&self) -> usize {
        size_of::<Self>() + self.channel.as_bytes().len() + self.payload.len()
    }
}

/// A session that listens, or is about to.
#[derive(Debug, Default)]
pub struct Listening {
    /// The channels of which it is told: what its committed transactions have left.
    pub channels: Arc<Channels>,
    /// Channels that the loop keeps up for it: these, and those of a LISTEN that has not been
    /// committed.
    pub kept: BTreeSet<Name>,
    /// A LISTEN of its waits until the pool's connection has confirmed the channels.
    pub awaits: bool,
    /// The pool's connection cannot listen for it: its next LISTEN goes to a server that it keeps.
    pub alone: bool,
    waiting: VecDeque<(Arc<Notification>, i32)>,
    waiting_len: usize,
}

impl Listening {
    /// Notes a notification from the process id that the client is to be told. False: too much
    /// waits already.
    #[must_use]
    pub fn queue(&mut self, notification: &Arc<Notification>, pid: i32) -> bool {
        self.waiting_len += notification.size();
        self.waiting.push_back((notification.clone(), pid));
        self.waiting_len <= WAITING_MAX
    }

    /// The next that the session is to be told; what it does not listen to (any more) is dropped.
    pub fn take(&mut self) -> Option<(Arc<Notification>, i32)> {
        while let Some((notification, pid)) = self.waiting.pop_front() {
            self.waiting_len -= notification.size();
            if self.channels.contains(&notification.channel) {
                return Some((notification, pid));
            }
        }
        // A burst's room is not kept.
        self.waiting = VecDeque::new();
        None
    }

    /// Whether nothing of it is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.channels.is_empty() && self.kept.is_empty() && !self.awaits && !self.alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(channel: &[u8], len: usize) -> Arc<Notification> {
        let payload = vec![b'x'; len].into();
        Arc::new(Notification { pid: 7, channel: Name::new(channel), payload })
    }

    #[test]
    fn a_notification_is_read_as_it_was_written() {
        let mut out = Vec::new();
        notification(b"news", 3).write(&mut out, 9);
        let read = Notification::read(&out[5..]).unwrap();
        assert_eq!((read.pid, &*read.payload), (9, &b"xxx"[..]));
        assert_eq!(read.channel, *"news");
        for cut in 5..out.len() {
            assert_eq!(Notification::read(&out[5..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_is_no_longer_listened_to_is_dropped() {
        let mut listening = Listening::default();
        for channel in [&b"a"[..], b"b", b"a"] {
            assert!(listening.queue(&notification(channel, 1), 1));
        }
        listening.channels = Arc::new([Name::new(b"b")].into());
        assert_eq!(listening.take().map(|(n, _)| n.channel.clone()), Some(Name::new(b"b")));
        assert_eq!(listening.take(), None);
        assert_eq!(listening.waiting_len, 0);
    }

    #[test]
    fn no_more_than_so_many_bytes_wait() {
        let mut listening = Listening::default();
        let long = notification(b"a", 7_000);
        let fit = (0..).take_while(|_| listening.queue(&long, 1)).count();
        assert_eq!(fit, WAITING_MAX / long.size());
    }
}
