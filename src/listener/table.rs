//! Which loops want which channels, and what the server has confirmed.

use std::collections::HashMap;

use crate::sql::Name;

/// Who is to be told that a channel is listened to: a loop, and the number that it gave its order.
pub(super) type Asker = (usize, u64);

/// What is to be sent to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Send {
    /// LISTEN. The number is brought back with the answer.
    Listen(Name, u64),
    /// UNLISTEN.
    Unlisten(Name),
}

/// One channel.
#[derive(Debug, Default)]
struct Channel {
    /// Loops with clients of it, as bits.
    seats: u64,
    /// Somebody has been told that it is listened to.
    confirmed: bool,
    /// Those who wait to be told, and for which LISTEN.
    askers: Vec<(u64, Asker)>,
}

/// All channels of one connection.
#[derive(Debug, Default)]
pub(super) struct Table {
    channels: HashMap<Name, Channel>,
    numbers: u64,
}

fn bit(seat: usize) -> u64 {
    1 << seat
}

fn seats(bits: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |seat| bits & bit(*seat) != 0)
}

impl Table {
    /// A loop wants a channel. Each gets a LISTEN of its own, for what was notified before that
    /// comes before its answer.
    pub(super) fn listen(&mut self, asker: Asker, channel: Name) -> Send {
        self.numbers += 1;
        let known = self.channels.entry(channel.clone()).or_default();
        known.seats |= bit(asker.0);
        known.askers.push((self.numbers, asker));
        Send::Listen(channel, self.numbers)
    }

    /// A loop wants a channel no more.
    pub(super) fn unlisten(&mut self, seat: usize, channel: Name) -> Option<Send> {
        let known = self.channels.get_mut(&channel)?;
        known.seats &= !bit(seat);
        known.askers.retain(|(_, (asker, _))| *asker != seat);
        if known.seats != 0 {
            return None;
        }
        self.channels.remove(&channel);
        Some(Send::Unlisten(channel))
    }

    /// The server has answered LISTEN number `number`: who is told so. A channel that it refuses is
    /// forgotten.
    pub(super) fn answered(&mut self, channel: &Name, number: u64, confirmed: bool) -> Vec<Asker> {
        let Some(known) = self.channels.get_mut(channel) else { return Vec::new() };
        let answered = |(asked, _): &mut (u64, Asker)| *asked <= number || !confirmed;
        let askers: Vec<Asker> =
            known.askers.extract_if(.., answered).map(|(_, asker)| asker).collect();
        known.confirmed |= confirmed && !askers.is_empty();
        if !confirmed {
            self.channels.remove(channel);
        }
        askers
    }

    /// Whether loops have been told that a channel is listened to.
    pub(super) fn is_confirmed(&self, channel: &Name) -> bool {
        self.channels.get(channel).is_some_and(|known| known.confirmed)
    }

    /// Another connection begins: everything is to be asked for again.
    pub(super) fn begin_again(&mut self) -> Vec<Send> {
        let mut all = Vec::new();
        for name in self.channels.keys() {
            self.numbers += 1;
            all.push(Send::Listen(name.clone(), self.numbers));
        }
        all
    }

    /// The connection is gone: loops that were told of channels, and those who still wait.
    pub(super) fn lost(&mut self) -> (Vec<usize>, Vec<(Name, Asker)>) {
        let (mut told, mut waiting) = (0, Vec::new());
        for (name, channel) in self.channels.drain() {
            if channel.confirmed {
                told |= channel.seats;
            }
            waiting.extend(channel.askers.into_iter().map(|(_, asker)| (name.clone(), asker)));
        }
        (seats(told).collect(), waiting)
    }

    /// Loops with clients of a channel.
    pub(super) fn wanting(&self, channel: &Name) -> impl Iterator<Item = usize> + use<> {
        seats(self.channels.get(channel).map_or(0, |known| known.seats))
    }

    /// How many channels there are.
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether nobody listens.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::new(name.as_bytes())
    }

    fn wanting(table: &Table, channel: &str) -> Vec<usize> {
        table.wanting(&name(channel)).collect()
    }

    fn listen(channel: &str, number: u64) -> Send {
        Send::Listen(name(channel), number)
    }

    #[test]
    fn each_asker_is_answered_by_its_own_listen_and_the_last_gives_it_up() {
        let mut table = Table::default();
        assert_eq!(table.listen((0, 1), name("a")), listen("a", 1));
        assert_eq!(table.listen((1, 1), name("a")), listen("a", 2));
        assert_eq!(table.answered(&name("a"), 1, true), [(0, 1)]);
        assert_eq!(table.answered(&name("a"), 2, true), [(1, 1)]);
        assert_eq!(table.listen((63, 7), name("a")), listen("a", 3));
        assert_eq!(wanting(&table, "a"), [0, 1, 63]);
        assert_eq!(table.unlisten(0, name("a")), None);
        assert_eq!(table.unlisten(63, name("a")), None);
        assert_eq!(table.answered(&name("a"), 3, true), []);
        assert_eq!(table.unlisten(2, name("b")), None);
        assert_eq!(table.unlisten(1, name("a")), Some(Send::Unlisten(name("a"))));
        assert!(table.is_empty());
        assert_eq!(wanting(&table, "a"), [0; 0]);
    }

    #[test]
    fn an_answer_to_a_listen_that_was_taken_back_confirms_nothing() {
        let mut table = Table::default();
        table.listen((0, 1), name("a"));
        table.unlisten(0, name("a"));
        assert_eq!(table.listen((0, 2), name("a")), listen("a", 2));
        assert_eq!(table.answered(&name("a"), 1, true), []);
        assert!(!table.is_confirmed(&name("a")));
        assert_eq!(table.answered(&name("a"), 2, true), [(0, 2)]);
        assert!(table.is_confirmed(&name("a")));
    }

    #[test]
    fn who_was_told_hears_that_it_is_lost_and_who_waits_that_it_never_comes() {
        let mut table = Table::default();
        table.listen((0, 1), name("a"));
        table.answered(&name("a"), 1, true);
        table.listen((1, 4), name("b"));
        assert_eq!(table.begin_again().len(), 2);
        assert_eq!(table.lost(), (vec![0], vec![(name("b"), (1, 4))]));
        assert!(table.is_empty());
    }

    #[test]
    fn another_connection_answers_those_who_wait_as_well() {
        let mut table = Table::default();
        table.listen((0, 1), name("a"));
        let again = table.begin_again();
        assert_eq!(again, [listen("a", 2)]);
        assert_eq!(table.answered(&name("a"), 2, true), [(0, 1)]);
    }

    #[test]
    fn what_the_server_refuses_is_forgotten() {
        let mut table = Table::default();
        table.listen((0, 1), name("a"));
        table.listen((1, 1), name("a"));
        assert_eq!(table.answered(&name("a"), 1, false), [(0, 1), (1, 1)]);
        assert!(table.is_empty());
    }
}
