//! Plays one script to one target and writes down the replies.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use pgweir::cluster::SqlConnection;

use super::mask::masked_line;
use super::script::{Await, Piece, Script, ScriptLogin, Step};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::raw::{Address, Login, RawClient, RawWriter, Reply};

/// Where a script is played, and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// What to call it in reports.
    pub label: String,
    /// Its address.
    pub address: Address,
    /// Role and password; the database is replaced by the lane's.
    pub login: Login,
}

impl Target {
    /// A target for this login.
    pub fn new(label: &str, address: impl Into<Address>, login: Login) -> Self {
        Self { label: label.into(), address: address.into(), login }
    }
}

/// A small reproducible source of numbers (xorshift).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        // Spread, so that neighbouring seeds differ; never zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `limit`, which is not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % limit as u64).expect("below a usize")
    }
}

/// How the bytes of a step are written.
pub enum Writing<'a> {
    /// In one write.
    Whole,
    /// Cut at random positions.
    Split(&'a mut Random),
}

/// How long a reply may take before the script is called stuck.
const PATIENCE: Duration = Duration::from_secs(6);

/// What replaces the replies that never came.
pub const SILENCE: &str = "(nothing comes)";

/// The replies, one line each. `aside` is a direct connection to the same database.
pub fn play(
    script: &Script,
    target: &Target,
    mut writing: Writing<'_>,
    aside: &mut SqlConnection,
) -> Result<Vec<String>, String> {
    let mut player = Player::login(script, target)?;
    for step in &script.steps {
        let alive = match step {
            Step::Write(pieces) => {
                let bytes = pieces.iter().flat_map(|piece| piece_bytes(piece, target)).collect();
                player.write(bytes, &mut writing);
                true
            }
            Step::Await(what) => player.await_(*what),
            Step::Aside(sql) => {
                aside.run(sql).map_err(|error| format!("aside: {error}"))?;
                true
            }
        };
        if !alive {
            return Ok(std::mem::take(&mut player.lines));
        }
    }
    player.write(message::terminate(), &mut Writing::Whole);
    player.await_(Await::Closed);
    Ok(std::mem::take(&mut player.lines))
}

fn piece_bytes(piece: &Piece, target: &Target) -> Vec<u8> {
    match piece {
        Piece::Bytes(bytes) => bytes.clone(),
        Piece::Startup(version, parameters) => {
            let fill = |text: &str| {
                text.replace("{user}", &target.login.user)
                    .replace("{database}", &target.login.database)
            };
            let filled: Vec<(String, String)> =
                parameters.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
            let pairs: Vec<(&str, &str)> =
                filled.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            message::startup(*version, &pairs)
        }
    }
}

/// What a [`Player`] sends.
enum Order {
    Write(Vec<Vec<u8>>),
    HalfClose,
}

struct Player {
    client: RawClient,
    // Set from the first large write on: then every order goes this way, so that none overtakes it.
    writer: Option<Sender<Order>>,
    own_pid: Option<u32>,
    lines: Vec<String>,
}

impl Player {
    fn login(script: &Script, target: &Target) -> Result<Self, String> {
        let failed = |error: io::Error| format!("connecting to {}: {error}", target.label);
        let mut login = target.login.clone();
        if let ScriptLogin::With(parameters) = &script.login {
            login.parameters.extend(parameters.iter().cloned());
        }
        let (mut client, frames) = match script.login {
            ScriptLogin::None => (RawClient::connect(&target.address).map_err(failed)?, Vec::new()),
            ScriptLogin::Plain | ScriptLogin::With(_) => {
                RawClient::try_login(&target.address, &login).map_err(failed)?
            }
        };
        client.set_deadline(PATIENCE);
        let own_pid = frames.iter().find_map(Frame::backend_key).map(|(pid, _)| pid);
        let mut player = Self { client, writer: None, own_pid, lines: Vec::new() };
        match script.login {
            ScriptLogin::None => {}
            ScriptLogin::With(_) => player.note_login(&frames),
            ScriptLogin::Plain if frames.last().and_then(Frame::status).is_some() => {}
            ScriptLogin::Plain => return Err(format!("{} refused: {frames:?}", target.label)),
        }
        Ok(player)
    }

    /// The order of ParameterStatus in a login means nothing, nor does how the password was asked.
    fn note_login(&mut self, frames: &[Frame]) {
        let shown = frames.iter().filter(|frame| frame.tag != b'R');
        let (mut parameters, others): (Vec<_>, Vec<_>) =
            shown.map(|frame| (frame.tag, masked_line(frame, None))).partition(|(t, _)| *t == b'S');
        parameters.sort();
        self.lines.extend(parameters.into_iter().chain(others).map(|(_, line)| line));
    }

    /// A write may fail because the server has already closed; what it said is read later.
    fn write(&mut self, bytes: Vec<u8>, writing: &mut Writing<'_>) {
        const FITS_THE_SOCKET: usize = 32 * 1024;
        let pieces = match writing {
            Writing::Whole => vec![bytes],
            Writing::Split(random) => split(&bytes, random),
        };
        let large = pieces.iter().map(Vec::len).sum::<usize>() > FITS_THE_SOCKET;
        if large && self.writer.is_none() {
            // The server may answer before it has read all: somebody else writes while we read.
            self.writer = self.client.writer().ok().map(writer_thread);
        }
        self.order(Order::Write(pieces));
    }

    fn order(&mut self, order: Order) {
        if let Some(writer) = &self.writer {
            let _ = writer.send(order);
            return;
        }
        let _ = match order {
            Order::Write(pieces) => pieces.iter().try_for_each(|piece| self.client.send(piece)),
            Order::HalfClose => self.client.half_close(),
        };
    }

    /// Whether the connection is still open.
    fn await_(&mut self, what: Await) -> bool {
        match what {
            Await::Cut => return false,
            Await::HalfClose => {
                self.order(Order::HalfClose);
            }
            Await::Byte => {
                let (line, open) = match self.client.byte() {
                    Ok(Some(byte)) => (format!("byte {:?}", char::from(byte)), true),
                    Ok(None) => ("(closed)".into(), false),
                    Err(error) => (format!("{SILENCE} {error}"), false),
                };
                self.lines.push(line);
                return open;
            }
            Await::Ready(_) | Await::Tag(_) | Await::Closed => {}
        }
        let mut ready = 0;
        loop {
            match self.client.reply() {
                Ok(Reply::Frame(frame)) => {
                    if let Some((pid, _)) = frame.backend_key() {
                        self.own_pid = Some(pid);
                    }
                    self.lines.push(masked_line(&frame, self.own_pid));
                    ready += usize::from(frame.tag == b'Z');
                    match what {
                        Await::Ready(count) if frame.tag == b'Z' && ready == count => return true,
                        Await::Tag(tag) if frame.tag == tag => return true,
                        Await::Ready(_) | Await::Tag(_) | Await::Closed => {}
                        Await::Byte | Await::HalfClose | Await::Cut => {}
                    }
                }
                Ok(Reply::Closed(rest)) => {
                    self.lines.push(if rest.is_empty() {
                        "(closed)".into()
                    } else {
                        format!("(closed within a frame: \"{}\")", rest.escape_ascii())
                    });
                    return false;
                }
                Err(error) => {
                    self.lines.push(format!("{SILENCE} {error}"));
                    return false;
                }
            }
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if self.writer.is_some() {
            // A writer that still waits for the server lets go, and with it the last handle.
            let _ = self.client.close();
        }
    }
}

fn writer_thread(mut socket: RawWriter) -> Sender<Order> {
    let (orders, receiver) = channel();
    std::thread::spawn(move || {
        for order in receiver {
            // A server that has closed takes no more; what it said is read by the player.
            let _ = match order {
                Order::Write(pieces) => {
                    pieces.iter().try_for_each(|piece: &Vec<u8>| socket.send(piece))
                }
                Order::HalfClose => socket.half_close(),
            };
        }
    });
    orders
}

/// Cuts bytes: single bytes when they are few and chance wants it, else up to nine pieces.
fn split(bytes: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    if bytes.len() < 400 && random.below(3) == 0 {
        return bytes.iter().map(|byte| vec![*byte]).collect();
    }
    let mut cuts: Vec<usize> =
        (0..=random.below(8)).map(|_| random.below(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}
