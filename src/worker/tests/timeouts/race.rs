//! Everything that races when a limit strikes, in any order: the end of the statement, the look at
//! standbys, the permit, the signal, the end of the cancel connection, and what clients send.
//!
//! A signal hits whatever the server runs when it comes, as Postgres has it.

use std::collections::HashMap;

use super::super::super::mail::CancelOutcome;
use super::super::super::world::{ClientEnd, World, frames, parse, query, sync};
use super::cancelled;
use crate::ids::CancelId;
use crate::wire::Report;

const CLIENTS: usize = 3;
const LIMIT_MS: u64 = 100;

/// Statements that are run: 20,000 unless the environment says otherwise.
fn statements() -> u64 {
    std::env::var("PGWEIR_SIMULATED_TIMEOUTS").map_or(20_000, |n| n.parse().expect("a number"))
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % limit
    }
}

/// What a client waits for.
#[derive(Clone, Debug, Default, PartialEq)]
enum Asked {
    #[default]
    Nothing,
    Statement(String),
    /// BEGIN, COMMIT, ROLLBACK.
    Control(&'static str),
}

#[derive(Default)]
struct Client {
    end: Option<ClientEnd>,
    asked: Asked,
    /// The status of its last ReadyForQuery.
    status: u8,
    rows: Vec<String>,
    errors: Vec<String>,
}

#[derive(Default)]
struct Race {
    sent: u64,
    hit: u64,
    missed: u64,
    ended_first: u64,
    failed: u64,
}

fn is_text(message: u8) -> bool {
    matches!(message, b'Q' | b'P')
}

#[test]
fn whatever_comes_first_no_other_statement_is_hit_and_nothing_is_sent_after_the_decision() {
    let settings = format!("statement_timeout = \"{LIMIT_MS}ms\"\npool_wait_timeout = \"off\"");
    let mut dice = Dice(7);
    let mut race = Race::default();
    while race.sent < statements() {
        // A world remembers every text that it ran.
        let mut world = World::new(1, &settings);
        let until = (race.sent + 2_000).min(statements());
        play(&mut world, &mut dice, &mut race, until);
    }
    let Race { sent, hit, missed, ended_first, failed } = race;
    println!("{sent} statements: {hit} hit, {missed} signals hit nothing, {ended_first} not sent");
    assert!(hit > sent / 100 && missed > sent / 1_000 && ended_first > sent / 1_000, "all ways");
    assert_eq!(hit, failed, "who was hit was told, and nobody else");
}

fn play(world: &mut World, dice: &mut Dice, race: &mut Race, until: u64) {
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|_| Client { end: Some(world.client()), status: b'I', ..Client::default() })
        .collect();
    world.ask(clients[0].end.expect("just made"), "select first");
    world.servers[0].silent = true;
    // The text that the server runs, and that of each order.
    let mut runs = String::new();
    let mut ordered: HashMap<(u64, u64), String> = HashMap::new();
    let mut signals: Vec<(CancelId, bool)> = Vec::new();
    let mut before = Vec::new();
    while race.sent < until || clients.iter().any(|client| client.asked != Asked::Nothing) {
        let late = !world.looks.is_empty() || !world.cancels.is_empty() || !signals.is_empty();
        match dice.below(10) {
            0..3 => {
                let number = usize::try_from(dice.below(CLIENTS as u64)).expect("small");
                let more = race.sent < until;
                ask_next(world, dice, race, &mut clients[number], more);
            }
            3..5 if world.servers[0].front_len().is_some() => world.answer_one(0),
            // Where a strike takes seconds the process is ended, which is another test's matter.
            5..7 => world.advance(dice.below(if late { 10 } else { LIMIT_MS * 2 })),
            7 if !world.looks.is_empty() => {
                let answer = [Some(false), Some(false), None, Some(true)];
                let answer = answer[usize::try_from(dice.below(4)).expect("small")];
                world.looked(answer);
            }
            8 if !world.cancels.is_empty() => {
                let (cancel, permitted) = world.cancel_is_permitted();
                if permitted {
                    signals.push((cancel, false));
                } else {
                    race.ended_first += 1;
                    world.cancel_finished(cancel, CancelOutcome::NotSent);
                }
            }
            9 if !signals.is_empty() => {
                let (cancel, has_come) = signals[0];
                if has_come {
                    signals.remove(0);
                    world.cancel_finished(cancel, CancelOutcome::Delivered);
                } else {
                    signals[0].1 = true;
                    match world.servers[0].front_len() {
                        Some(_) if !world.servers[0].input.starts_with(b"S") => {
                            assert_eq!(runs, ordered[&(cancel.lease, cancel.unit)], "the victim");
                            race.hit += 1;
                            world.front_fails(0, &cancelled());
                        }
                        Some(_) | None => race.missed += 1,
                    }
                }
            }
            _ => {}
        }
        world.run();
        let input = world.servers[0].input.clone();
        let frozen =
            signals.iter().any(|(cancel, _)| ordered.contains_key(&(cancel.lease, cancel.unit)));
        if frozen {
            assert!(before.ends_with(&input), "sent while a signal was under way");
        }
        before.clone_from(&input);
        if input.first().is_some_and(|message| is_text(*message)) {
            runs = String::from_utf8_lossy(&input[..world.servers[0].front_len().unwrap_or(0)])
                .into_owned();
        }
        let orders = world.looks.iter().chain(&world.cancels);
        for (_, cancel) in orders.clone() {
            ordered.entry((cancel.lease, cancel.unit)).or_insert_with(|| runs.clone());
        }
        clients.iter_mut().for_each(|client| hear(world, race, client));
    }
}

/// A client that waits for nothing sends its next message.
fn ask_next(world: &mut World, dice: &mut Dice, race: &mut Race, client: &mut Client, more: bool) {
    if client.asked != Asked::Nothing {
        return;
    }
    let end = client.end.expect("logged in");
    let control = match client.status {
        b'E' => Some("ROLLBACK"),
        b'T' if dice.below(3) == 0 || !more => Some("COMMIT"),
        b'I' if dice.below(2) == 0 && more => Some("BEGIN"),
        _ => None,
    };
    if let Some(control) = control {
        client.asked = Asked::Control(control);
        return world.send(end, &query(control));
    }
    if !more {
        return;
    }
    race.sent += 1;
    let text = format!("select 'n{}'", race.sent);
    let message = if dice.below(2) == 0 {
        query(&text)
    } else {
        [parse(&text), super::super::super::world::bind_execute(), sync()].concat()
    };
    client.asked = Asked::Statement(text);
    world.send(end, &message);
}

/// A client reads what it has got, and finds its own answer in it.
fn hear(world: &mut World, race: &mut Race, client: &mut Client) {
    let received = world.received(client.end.expect("logged in"));
    for (tag, body) in frames(&received) {
        match tag {
            b'D' => client.rows.push(String::from_utf8_lossy(&body[6..]).into_owned()),
            b'E' => client.errors.push(Report::from_server(&body).sqlstate().to_owned()),
            b'Z' => {
                client.status = body[0];
                let rows = std::mem::take(&mut client.rows);
                let errors = std::mem::take(&mut client.errors);
                match std::mem::take(&mut client.asked) {
                    Asked::Statement(text) if errors.is_empty() => assert_eq!(rows, [text]),
                    Asked::Statement(text) => {
                        assert_eq!(errors, ["57014"], "{text}");
                        race.failed += 1;
                    }
                    Asked::Control(_) if errors.is_empty() => {}
                    Asked::Control(control) => {
                        assert_eq!((control, &errors[..]), ("BEGIN", &["57014".to_owned()][..]));
                        race.failed += 1;
                    }
                    Asked::Nothing => panic!("a ReadyForQuery that nobody asked for"),
                }
            }
            _ => {}
        }
    }
}
