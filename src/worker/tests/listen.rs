//! LISTEN: what a session is told, when, and what it costs the others.

use std::collections::BTreeSet;

use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::sqlstates;
use crate::client::Notification;
use crate::client::listening::WAITING_MAX;

const FILE: &str = "[defaults]\nreserve_pool_size = 0\npool_size = 4\n\
     unnamed_statements = \"as_sent\"\n\
     [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n[roles.app]\npassword = \"x\"\n";

/// What a client has been told, as `channel:payload`.
fn told(world: &mut World, client: ClientEnd) -> Vec<String> {
    world
        .frames(client)
        .iter()
        .filter(|(tag, _)| *tag == b'A')
        .map(|(_, body)| {
            let told = Notification::read(body).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            format!("{}:{}", text(told.channel.as_bytes()), text(&told.payload))
        })
        .collect()
}

fn execute(text: &str) -> Vec<u8> {
    [parse(text), bind_execute(), sync()].concat()
}

/// Nothing that a session listened to is left on a server that nobody keeps.
fn check_servers(world: &mut World) {
    for n in world.live_servers() {
        assert!(world.servers[n].listening.is_empty(), "server {n}");
    }
    world.check_accounts();
}

#[test]
fn a_session_that_listens_shares_its_server_and_is_told() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "LISTEN news"), "DCZ");
    assert_eq!(world.servers[0].ran.last().unwrap(), "UNLISTEN *");
    assert_eq!(world.ask(b, "select b"), "DCZ");
    world.notify_from(77, "news", "one");
    world.notify_from(77, "other", "two");
    world.notify_from(77, "news", "three");
    assert_eq!(told(&mut world, a), ["news:one", "news:three"]);
    assert_eq!(told(&mut world, b), [""; 0]);
    assert_eq!(world.dials, 1);
    check_servers(&mut world);
}

#[test]
fn listen_waits_until_the_pool_listens_and_others_go_on() {
    for (message, in_batch) in [(query("LISTEN news"), false), (execute("LISTEN news"), true)] {
        let mut world = World::new(1, "");
        let (a, b) = (world.client(), world.client());
        world.listens_held = true;
        world.send(a, &[message, query("select 1")].concat());
        world.run();
        assert_eq!(world.tags(a), if in_batch { "12" } else { "" });
        let ran = |world: &World, text: &str| world.servers[0].ran.iter().any(|ran| ran == text);
        assert!(!ran(&world, "LISTEN news"));
        // In the middle of a batch it keeps its server.
        assert_eq!(world.ask(b, "select b"), if in_batch { "" } else { "DCZ" });
        // Nothing counts before the LISTEN itself.
        world.notify_from(77, "news", "early");
        let asked = world.listens[0].clone();
        world.listen_answered(&asked, true);
        world.run();
        assert!(ran(&world, "LISTEN news"));
        let tags = world.tags(a);
        assert_eq!(tags, "DCZDCZ");
        world.notify_from(77, "news", "late");
        assert_eq!(told(&mut world, a), ["news:late"]);
        check_servers(&mut world);
    }
}

#[test]
fn what_comes_while_the_commit_is_under_way_is_told_if_it_succeeds() {
    for (end, expected) in [("COMMIT", vec!["news:now"]), ("ROLLBACK", vec![])] {
        let mut world = World::new(1, "");
        let a = world.client();
        world.ask(a, "BEGIN");
        world.ask(a, "LISTEN news");
        world.notify_from(77, "news", "before it was sent");
        world.servers[0].silent = true;
        world.send(a, &query(end));
        world.run();
        world.notify_from(77, "news", "now");
        assert_eq!(told(&mut world, a), [""; 0], "not before the answer");
        world.servers[0].silent = false;
        world.run();
        assert_eq!(told(&mut world, a), expected, "{end}");
        assert_eq!(world.listens.len(), expected.len(), "{end}");
        check_servers(&mut world);
    }
}

#[test]
fn what_was_rolled_back_is_not_listened_to() {
    let check = |texts: &[&str], channels: &[&str]| {
        let mut world = World::new(1, "");
        let (a, b) = (world.client(), world.client());
        world.ask(a, "LISTEN old");
        for text in texts {
            world.ask(a, text);
        }
        for channel in ["old", "a", "b"] {
            world.notify_from(77, channel, "");
        }
        let expected: Vec<String> = channels.iter().map(|channel| format!("{channel}:")).collect();
        assert_eq!(told(&mut world, a), expected, "{texts:?}");
        let kept: Vec<_> = world.listens.iter().map(|one| format!("{:?}:", one.channel)).collect();
        assert_eq!(kept.len(), expected.len(), "{texts:?}: {kept:?}");
        assert_eq!(world.ask(b, "select b"), "DCZ");
        check_servers(&mut world);
    };
    check(&["BEGIN", "LISTEN a", "COMMIT"], &["old", "a"]);
    check(&["BEGIN", "LISTEN a", "ROLLBACK"], &["old"]);
    check(&["BEGIN", "UNLISTEN old", "ROLLBACK"], &["old"]);
    check(&["BEGIN", "UNLISTEN old", "COMMIT"], &[]);
    check(&["BEGIN", "LISTEN a", "ERROR", "COMMIT"], &["old"]);
    check(&["LISTEN a; ERROR"], &["old"]);
    check(&["LISTEN a; LISTEN b"], &["old", "a", "b"]);
    check(&["LISTEN a", "UNLISTEN *"], &[]);
    check(&["LISTEN a", "UNLISTEN old"], &["a"]);
    check(&["LISTEN a", "DISCARD ALL"], &[]);
    let savepoint = ["BEGIN", "LISTEN a", "SAVEPOINT s", "LISTEN b", "UNLISTEN old"];
    check(&[&savepoint[..], &["ROLLBACK TO s", "COMMIT"]].concat(), &["old", "a"]);
    check(&[&savepoint[..], &["RELEASE s", "COMMIT"]].concat(), &["a", "b"]);
    check(&[&savepoint[..], &["ROLLBACK"]].concat(), &["old"]);
}

#[test]
fn a_session_is_told_between_its_transactions_only() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.ask(a, "LISTEN news");
    world.ask(a, "BEGIN");
    world.notify_from(77, "news", "one");
    assert_eq!(world.ask(a, "select 1"), "DCZ");
    world.notify_from(77, "news", "two");
    assert_eq!(told(&mut world, a), [""; 0]);
    assert_eq!(world.ask(a, "COMMIT"), "DCZAA");
    // While a statement runs outside a transaction: behind its end.
    world.servers[0].silent = true;
    world.send(a, &query("select 2"));
    world.run();
    world.notify_from(77, "news", "three");
    assert_eq!(world.tags(a), "");
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(a), "DCZA");
    // Between two units that were sent together.
    world.servers[0].silent = true;
    world.send(a, &[query("select 3"), query("select 4")].concat());
    world.run();
    world.notify_from(77, "news", "four");
    world.answer_one(0);
    assert_eq!(world.tags(a), "DCZA");
    world.answer_one(0);
    assert_eq!(world.tags(a), "DCZ");
}

#[test]
fn a_client_that_does_not_read_gets_everything_when_it_does() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.ask(a, "LISTEN news");
    world.set_room(a, 100);
    for n in 0..50 {
        world.notify_from(77, "news", &format!("number {n}"));
    }
    let mut bytes = Vec::new();
    for _ in 0..100 {
        bytes.extend(world.received(a));
        world.run();
    }
    let frames = super::super::world::frames(&bytes);
    let payloads: Vec<_> =
        frames.iter().map(|(_, body)| Notification::read(body).unwrap().payload).collect();
    assert_eq!(payloads.len(), 50);
    for (n, payload) in payloads.iter().enumerate() {
        assert_eq!(**payload, *format!("number {n}").as_bytes());
    }
}

#[test]
fn too_much_that_waits_closes_the_client_and_nobody_else() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    for client in [a, b] {
        world.ask(client, "LISTEN news");
    }
    world.ask(a, "BEGIN");
    let payload = "x".repeat(7_999);
    for _ in 0..=WAITING_MAX / payload.len() {
        world.notify_from(77, "news", &payload);
        world.received(b);
    }
    assert_eq!(sqlstates(&mut world, a), ["54000"]);
    assert!(world.is_closed(a));
    assert!(!world.is_closed(b));
    assert_eq!(world.listens.len(), 1);
    assert_eq!(world.ask(b, "select 1"), "DCZ");
    world.check_accounts();
}

#[test]
fn when_the_listener_is_lost_those_who_listen_are_closed() {
    let mut world = World::new(2, "");
    let (a, b, c) = (world.client(), world.client(), world.client());
    world.ask(a, "LISTEN news");
    world.ask(b, "BEGIN");
    world.ask(b, "LISTEN news");
    world.listener_lost();
    assert_eq!(sqlstates(&mut world, a), ["57P01"]);
    assert_eq!(sqlstates(&mut world, b), ["57P01"]);
    assert!(world.is_closed(a) && world.is_closed(b));
    assert_eq!(world.ask(c, "LISTEN news"), "DCZ");
    world.notify_from(77, "news", "again");
    assert_eq!(told(&mut world, c), ["news:again"]);
    check_servers(&mut world);
}

#[test]
fn where_nobody_can_listen_for_it_a_session_keeps_its_server() {
    let mut world = World::new(2, "");
    world.listens_held = true;
    let a = world.client();
    world.send(a, &query("LISTEN news"));
    world.run();
    let asked = world.listens.remove(0);
    world.listen_answered(&asked, false);
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    assert_eq!(world.inspect().pools[0].pinned, 1);
    assert_eq!(world.servers[0].listening, ["news"]);
    let mut notification = Vec::new();
    crate::wire::build::notification(&mut notification, 77, b"news", b"own");
    world.server_says(0, &notification);
    world.run();
    assert_eq!(told(&mut world, a), ["news:own"]);
    // It tries again for another one.
    assert!(world.listens.is_empty());
}

#[test]
fn a_session_that_keeps_its_server_later_is_told_of_each_once() {
    let mut world = World::new(2, "");
    let a = world.client();
    world.ask(a, "LISTEN tracked");
    world.ask(a, "LOAD 'x'");
    assert_eq!(world.inspect().pools[0].pinned, 1);
    world.ask(a, "LISTEN own");
    world.ask(a, "LISTEN tracked");
    let from_server = |world: &mut World, channel: &str| {
        let mut notification = Vec::new();
        crate::wire::build::notification(&mut notification, 77, channel.as_bytes(), b"");
        world.server_says(0, &notification);
        world.run();
    };
    for channel in ["own", "tracked"] {
        from_server(&mut world, channel);
    }
    world.notify_from(77, "tracked", "once");
    assert_eq!(told(&mut world, a), ["own:", "tracked:once"]);
    world.ask(a, "UNLISTEN tracked");
    assert!(world.listens.is_empty());
    assert_eq!(world.servers[0].listening, ["own"]);
    world.ask(a, "UNLISTEN *");
    assert!(world.servers[0].listening.is_empty());
}

#[test]
fn what_comes_while_its_server_is_asked_what_pins_it_is_told_after_the_answer() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.ask(a, "LISTEN c");
    world.servers[0].left = Some([false, true, false]);
    world.ask(a, "select pg_advisory_lock(1)");
    world.servers[0].silent = true;
    world.send(a, &query("select pg_advisory_unlock(1)"));
    world.run();
    world.answer_one(0);
    world.tags(a);
    world.notify_from(77, "c", "meanwhile");
    assert!(!world.has_received(a), "it is being asked");
    world.servers[0].silent = false;
    world.run();
    assert_eq!(told(&mut world, a), ["c:meanwhile"]);
    assert_eq!(world.inspect().pools[0].pinned, 1);
}

#[test]
fn a_client_that_vanishes_while_it_waits_leaves_nothing() {
    for text in ["LISTEN news", "BEGIN; LISTEN news"] {
        let mut world = World::new(1, "");
        let (a, b) = (world.client(), world.client());
        world.listens_held = true;
        world.send(a, &query(text));
        world.run();
        world.hang_up(a);
        world.run();
        world.advance(60_000);
        if let Some(asked) = world.listens.first().cloned() {
            world.listen_answered(&asked, true);
        }
        world.run();
        world.advance(60_000);
        assert!(world.listens.is_empty(), "{text}");
        assert_eq!(world.ask(b, "select b"), "DCZ");
        check_servers(&mut world);
    }
}

#[test]
fn the_sender_is_known_by_the_process_id_that_its_client_has() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "LISTEN news");
    let pids = |world: &mut World| -> Vec<i32> {
        let frames = world.frames(a).into_iter().filter(|(tag, _)| *tag == b'A');
        frames.map(|(_, body)| Notification::read(&body).unwrap().pid).collect()
    };
    // Fake servers have their numbers as process ids, from 1.
    world.advance(2_000);
    world.notify_from(1, "news", "");
    assert_eq!(pids(&mut world), [a.pid]);
    world.ask(b, "select b");
    world.notify_from(1, "news", "");
    assert_eq!(pids(&mut world), [1], "it may still be the other's");
    world.advance(2_000);
    world.notify_from(1, "news", "");
    assert_eq!(pids(&mut world), [b.pid]);
    world.notify_from(4_711, "news", "");
    assert_eq!(pids(&mut world), [4_711], "nobody's here");
}

#[test]
fn a_reload_that_moves_the_server_closes_those_who_listen() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "LISTEN news");
    world.move_server("pool_size = 1");
    assert_eq!(sqlstates(&mut world, a), ["57P01"]);
    assert!(world.listens.is_empty());
    assert_eq!(world.ask(b, "LISTEN news"), "DCZ");
    assert_eq!(world.listens[0].place, 1);
}

#[test]
fn each_loop_gives_a_channel_up_with_its_last_client() {
    let mut world = World::over(2, FILE, 7);
    let clients: Vec<_> = (0..6).map(|_| world.client()).collect();
    for &client in &clients {
        assert_eq!(world.ask(client, "LISTEN news"), "DCZ");
    }
    assert_eq!(world.listens.len(), 2, "{:?}", world.listens);
    world.notify_from(77, "news", "all");
    for &client in &clients {
        assert_eq!(told(&mut world, client), ["news:all"]);
    }
    for &client in &clients[1..] {
        assert_eq!(world.ask(client, "UNLISTEN news"), "DCZ");
    }
    assert_eq!(world.listens.len(), 1);
    world.hang_up(clients[0]);
    world.run();
    assert!(world.listens.is_empty());
    check_servers(&mut world);
}

const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// What a session of its own would listen to.
#[derive(Clone, Default)]
struct Model {
    committed: BTreeSet<&'static str>,
    open: Option<Open>,
}

#[derive(Clone, Default)]
struct Open {
    now: BTreeSet<&'static str>,
    savepoint: Option<BTreeSet<&'static str>>,
    failed: bool,
}

impl Model {
    fn now(&mut self) -> Option<&mut BTreeSet<&'static str>> {
        match &mut self.open {
            None => Some(&mut self.committed),
            Some(open) => (!open.failed).then_some(&mut open.now),
        }
    }

    /// Something that a session does next; the text, after which the model has changed.
    fn step(&mut self, world: &mut World) -> String {
        let channel = CHANNELS[world.throw(3)];
        let in_block = self.open.is_some();
        match world.throw(11) {
            0..=2 => {
                if let Some(now) = self.now() {
                    now.insert(channel);
                }
                format!("LISTEN {channel}")
            }
            3 => {
                if let Some(now) = self.now() {
                    now.remove(channel);
                }
                format!("UNLISTEN {channel}")
            }
            4 => {
                if let Some(now) = self.now() {
                    now.clear();
                }
                "UNLISTEN *".to_owned()
            }
            5 if !in_block => {
                let now = self.committed.clone();
                self.open = Some(Open { now, ..Open::default() });
                "BEGIN".to_owned()
            }
            5 | 6 if in_block => self.end(world),
            7 if in_block => {
                if let Some(open) = self.open.as_mut().filter(|open| !open.failed) {
                    open.savepoint = Some(open.now.clone());
                }
                "SAVEPOINT s".to_owned()
            }
            8 if in_block => {
                let open = self.open.as_mut().expect("a block");
                match &open.savepoint {
                    Some(saved) => (open.now, open.failed) = (saved.clone(), false),
                    None => open.failed = true,
                }
                "ROLLBACK TO s".to_owned()
            }
            9 => {
                if let Some(open) = &mut self.open {
                    open.failed = true;
                }
                ["ERROR".to_owned(), format!("LISTEN {channel}; ERROR")][world.throw(2)].clone()
            }
            _ => "select 1".to_owned(),
        }
    }

    fn end(&mut self, world: &mut World) -> String {
        let open = self.open.take().expect("a block");
        if world.throw(3) == 0 {
            return "ROLLBACK".to_owned();
        }
        if !open.failed {
            self.committed = open.now;
        }
        "COMMIT".to_owned()
    }
}

#[test]
fn whatever_sessions_do_each_is_told_what_it_has_committed_to_hear() {
    for seed in 0..80 {
        let mut world = World::over(1 + seed as usize % 2, FILE, seed);
        let mut clients: Vec<_> = (0..6).map(|_| (world.client(), Model::default())).collect();
        world.listens_held = true;
        for round in 0..12 {
            for (client, model) in &mut clients {
                let mut texts: Vec<String> =
                    (0..=world.throw(6)).map(|_| model.step(&mut world)).collect();
                if model.open.is_some() {
                    texts.push(model.end(&mut world));
                }
                let at_once = world.throw(2) == 0;
                for text in texts {
                    let batch = world.throw(3) == 0 && !text.contains(';');
                    world.send(*client, &if batch { execute(&text) } else { query(&text) });
                    if at_once {
                        continue;
                    }
                    world.turn();
                    let waiting = world.unanswered.len();
                    if waiting > 0 && world.throw(2) == 0 {
                        let one = world.throw(waiting);
                        let asked = world.unanswered.remove(one);
                        world.listen_answered(&asked, true);
                    }
                }
            }
            world.run();
            // Channels that some do not listen to yet: nothing that the test can tell.
            world.notify_from(77, CHANNELS[round % 3], "noise");
            while !world.unanswered.is_empty() {
                let asked = world.unanswered.remove(0);
                world.listen_answered(&asked, true);
                world.run();
            }
            for (client, _) in &clients {
                world.received(*client);
            }
            for channel in CHANNELS {
                world.notify_from(77, channel, "");
            }
            for (n, (client, model)) in clients.iter().enumerate() {
                let expected: Vec<String> =
                    model.committed.iter().map(|channel| format!("{channel}:")).collect();
                let told = told(&mut world, *client);
                assert_eq!(told, expected, "seed {seed}, round {round}, client {n}");
            }
            let wanted: BTreeSet<&str> =
                clients.iter().flat_map(|(_, model)| model.committed.iter().copied()).collect();
            let kept: Vec<(usize, Vec<u8>)> = world
                .listens
                .iter()
                .map(|one| (one.seat, one.channel.as_bytes().to_vec()))
                .collect();
            let kept: BTreeSet<&str> =
                kept.iter().map(|(_, name)| std::str::from_utf8(name).unwrap()).collect();
            assert_eq!(kept, wanted, "seed {seed}, round {round}");
        }
        check_servers(&mut world);
        assert_eq!(world.inspect().pools[0].pinned, 0);
    }
}
