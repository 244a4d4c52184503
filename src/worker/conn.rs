//! One connection's bytes: what was read ahead, what could not be written yet, TLS between.
//!
//! Invariant: an idle connection owns no buffer; `stash` and `unsent` give their memory back as
//! soon as they are empty.

use std::io::{self, ErrorKind};

use super::driver::{Driver, Token};
use super::mail::Handed;
use crate::net::socket::Ends;
use crate::net::tls::TlsSession;

/// Bytes that one read asks for, and the size of a loop's scratch buffer.
pub(super) const SCRATCH_LEN: usize = 64 * 1024;

/// A stash larger than this is read into directly instead of being copied in front of each read.
const LARGE_STASH: usize = SCRATCH_LEN / 2;

/// Reads in a turn from a connection of which nothing is wanted but its end.
const READS_OF_THE_DEAD: usize = 16;

/// What becomes of the rest of a message whose beginning has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It goes where the beginning went.
    Forward,
    /// Nobody gets it.
    Drop,
}

/// TLS of one connection with the bytes that it has not decrypted yet.
#[derive(Debug)]
struct Secured {
    session: TlsSession,
    undecrypted: Vec<u8>,
}

/// A loop's buffers, shared by all its connections.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Bytes as they came from a socket.
    raw: Box<[u8]>,
    /// Decrypted bytes.
    plain: Vec<u8>,
    /// Encrypted bytes on their way out.
    sealed: Vec<u8>,
}

/// Where the bytes of a read lie.
#[derive(Debug)]
pub(super) enum Input {
    /// In the first so many bytes of the scratch buffer.
    Raw(usize),
    /// In the scratch buffer for decrypted bytes.
    Decrypted,
    /// In a buffer of their own: the stash of a large message.
    Own(Vec<u8>),
}

impl Scratch {
    /// Buffers for a loop. The default has none: it stands in while they are in use.
    pub(super) fn with_buffers() -> Self {
        Scratch { raw: vec![0; SCRATCH_LEN].into_boxed_slice(), ..Scratch::default() }
    }

    /// The bytes of a read.
    pub(super) fn bytes<'a>(&'a self, input: &'a Input) -> &'a [u8] {
        match input {
            Input::Raw(len) => &self.raw[..*len],
            Input::Decrypted => &self.plain,
            Input::Own(bytes) => bytes,
        }
    }
}

/// How a read ended.
#[derive(Debug)]
pub(super) enum Filled {
    /// Bytes to look at: the stash and what follows it.
    Bytes(Input),
    /// Nothing to look at until the next edge.
    Nothing,
    /// The peer sends no more.
    End,
    /// The connection broke.
    Broken(io::Error),
}

/// A connection's bytes.
#[derive(Debug)]
pub struct Conn<S> {
    socket: S,
    tls: Option<Box<Secured>>,
    /// Plain bytes that were read and not consumed: the beginning of a message, or messages that
    /// must wait.
    pub(super) stash: Vec<u8>,
    /// The stash is of no use before it has so many bytes.
    pub(super) stash_needs: usize,
    /// Bytes (encrypted, where TLS is on) that the socket had no room for.
    unsent: Vec<u8>,
    /// How many of those it has taken meanwhile.
    unsent_taken: usize,
    /// Rest of a message whose beginning was dealt with.
    pub(super) skip: u32,
    /// What becomes of that rest.
    pub(super) rest: Rest,
    /// There may be something to read: an edge came, and no short read since.
    pub(super) readable: bool,
    /// The end of the stream was announced: read until it is seen, however short the reads.
    pub(super) hung_up: bool,
    /// The socket took a byte since this was last cleared.
    pub(super) taken: bool,
    write_interest: bool,
}

impl<S> Conn<S> {
    /// Takes over a connection; bytes that were read ahead are looked at before anything is waited
    /// for, for no edge comes for them.
    pub(super) fn new(handed: Handed<S>) -> Self {
        let Handed { socket, tls, undecrypted, unread } = handed;
        let has_undecrypted = !undecrypted.is_empty();
        Conn {
            socket,
            tls: tls.map(|session| Box::new(Secured { session: *session, undecrypted })),
            stash: unread,
            stash_needs: 0,
            unsent: Vec::new(),
            unsent_taken: 0,
            skip: 0,
            rest: Rest::Forward,
            // An edge comes for what is in the socket, not for what was read from it.
            readable: has_undecrypted,
            hung_up: false,
            taken: false,
            write_interest: false,
        }
    }

    /// Registers the socket.
    pub(super) fn register<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        token: Token,
    ) -> io::Result<()> {
        driver.add(&mut self.socket, token)
    }

    /// Takes the connection out of this loop's poller: it goes to another loop, with all that was
    /// read and not looked at, and all that waits for room.
    ///
    /// # Errors
    /// The poller does not let it go.
    pub(super) fn leave<D: Driver<Socket = S>>(&mut self, driver: &mut D) -> io::Result<()> {
        self.write_interest = false;
        driver.release(&mut self.socket)
    }

    /// Puts a connection that comes from another loop into this loop's poller.
    ///
    /// # Errors
    /// The poller refuses it.
    pub(super) fn join<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        token: Token,
    ) -> io::Result<()> {
        self.register(driver, token)?;
        self.settle_interest(driver, token)?;
        // What was read ahead, and whatever has come meanwhile.
        self.readable = true;
        Ok(())
    }

    /// The socket's addresses.
    pub(super) fn ends<D: Driver<Socket = S>>(&self, driver: &D) -> Ends {
        driver.ends(&self.socket)
    }

    /// The version of TLS, when it is on.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        self.tls.as_ref().map(|tls| tls.session.version().unwrap_or("on"))
    }

    /// Whether bytes wait for room.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads once. The stash, if any, stands before the new bytes and is empty afterwards.
    pub(super) fn fill<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Filled {
        if self.tls.is_some() {
            return self.fill_decrypted(driver, scratch);
        }
        if self.stash.len() > LARGE_STASH {
            return self.fill_stash(driver);
        }
        let have = self.stash.len();
        scratch.raw[..have].copy_from_slice(&self.stash);
        let wanted = SCRATCH_LEN - have;
        match driver.read(&mut self.socket, &mut scratch.raw[have..]) {
            Ok(0) => Filled::End,
            Ok(n) => {
                self.readable = n == wanted || self.hung_up;
                self.stash = Vec::new();
                Filled::Bytes(Input::Raw(have + n))
            }
            Err(error) => self.read_failed(error),
        }
    }

    /// Reads into a stash that is large already, and hands it out when it is large enough.
    fn fill_stash<D: Driver<Socket = S>>(&mut self, driver: &mut D) -> Filled {
        let have = self.stash.len();
        // Grows as bytes arrive, not by what a header announces.
        self.stash.resize(have + SCRATCH_LEN, 0);
        let read = driver.read(&mut self.socket, &mut self.stash[have..]);
        self.stash.truncate(have + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Filled::End,
            Ok(n) => {
                self.readable = n == SCRATCH_LEN || self.hung_up;
                if self.stash.len() < self.stash_needs {
                    return Filled::Nothing;
                }
                Filled::Bytes(Input::Own(std::mem::take(&mut self.stash)))
            }
            Err(error) => self.read_failed(error),
        }
    }

    fn fill_decrypted<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Filled {
        let Some(tls) = &mut self.tls else { return Filled::Nothing };
        let have = tls.undecrypted.len().min(LARGE_STASH);
        scratch.raw[..have].copy_from_slice(&tls.undecrypted[..have]);
        let wanted = SCRATCH_LEN - have;
        let (read, end) = match driver.read(&mut self.socket, &mut scratch.raw[have..]) {
            Ok(0) => (0, true),
            Ok(n) => {
                self.readable = n == wanted || self.hung_up;
                (n, false)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && have > 0 => {
                self.readable = false;
                (0, false)
            }
            Err(error) => return self.read_failed(error),
        };
        scratch.sealed.clear();
        let records = &mut scratch.raw[..have + read];
        // A large stash is added to in place, a small one copied in front of the new bytes.
        let in_place = self.stash.len() > LARGE_STASH;
        let before = self.stash.len();
        let plain = if in_place {
            &mut self.stash
        } else {
            scratch.plain.clear();
            scratch.plain.extend_from_slice(&self.stash);
            &mut scratch.plain
        };
        let received = tls.session.receive(records, plain, &mut scratch.sealed);
        let grew = plain.len() > before;
        let consumed = match received {
            Ok(consumed) => consumed,
            Err(error) => return Filled::Broken(io::Error::other(error)),
        };
        tls.undecrypted = records[consumed.bytes..].to_vec();
        if !scratch.sealed.is_empty() {
            let sealed = std::mem::take(&mut scratch.sealed);
            let written = self.write_raw(driver, &sealed);
            scratch.sealed = sealed;
            if let Err(error) = written {
                return Filled::Broken(error);
            }
        }
        if grew {
            // The end, if it was seen, is seen again by the next read.
            self.readable |= end || consumed.closed;
            if in_place && self.stash.len() < self.stash_needs {
                return Filled::Nothing;
            }
            let stash = std::mem::take(&mut self.stash);
            return Filled::Bytes(if in_place { Input::Own(stash) } else { Input::Decrypted });
        }
        if end || consumed.closed { Filled::End } else { Filled::Nothing }
    }

    fn read_failed(&mut self, error: io::Error) -> Filled {
        match error.kind() {
            ErrorKind::WouldBlock => {
                self.readable = false;
                Filled::Nothing
            }
            ErrorKind::Interrupted => Filled::Nothing,
            _ => Filled::Broken(error),
        }
    }

    /// Puts bytes back in front of everything that comes later.
    pub(super) fn put_back(&mut self, bytes: &[u8], needs: usize) {
        debug_assert!(self.stash.is_empty(), "the stash was handed out before");
        self.stash = bytes.to_vec();
        self.stash_needs = needs;
    }

    /// Writes plain bytes; what the socket has no room for waits in `unsent`.
    #[inline]
    pub(super) fn write<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        scratch: &mut Vec<u8>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let Some(tls) = &mut self.tls else { return self.write_raw(driver, bytes) };
        scratch.clear();
        tls.session.send(bytes, scratch).map_err(io::Error::other)?;
        self.write_raw(driver, scratch)
    }

    /// Writes bytes as they are. Returns how many the socket took now.
    fn write_raw<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        bytes: &[u8],
    ) -> io::Result<usize> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(0);
        }
        let done = self.write_some(driver, bytes)?;
        self.unsent.extend_from_slice(&bytes[done..]);
        Ok(done)
    }

    /// Writes until the socket has no room. Returns how many bytes it took.
    fn write_some<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match driver.write(&mut self.socket, &bytes[done..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    done += n;
                    self.taken = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes what waits. `true` when nothing waits any more.
    pub(super) fn flush<D: Driver<Socket = S>>(&mut self, driver: &mut D) -> io::Result<bool> {
        // What waits may be a text of many megabytes: it stays where it lies.
        let waiting = std::mem::take(&mut self.unsent);
        let taken = std::mem::take(&mut self.unsent_taken);
        let taken = taken + self.write_some(driver, &waiting[taken..])?;
        if taken < waiting.len() {
            self.unsent = waiting;
            self.unsent_taken = taken;
        }
        Ok(self.unsent.is_empty())
    }

    /// Asks for an edge when there is room again, exactly while something waits. Sockets are not
    /// registered for writing otherwise: a Unix socket gives an edge for each message that its
    /// peer reads.
    pub(super) fn settle_interest<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        token: Token,
    ) -> io::Result<()> {
        let wanted = !self.unsent.is_empty();
        if wanted != self.write_interest {
            self.write_interest = wanted;
            driver.set_write_interest(&mut self.socket, token, wanted)?;
        }
        Ok(())
    }

    /// Says that nothing more comes; the peer's own end is waited for with [`Conn::has_ended`].
    pub(super) fn end<D: Driver<Socket = S>>(&mut self, driver: &mut D) {
        self.close_notify(driver);
        driver.end(&mut self.socket);
        self.tls = None;
        self.stash = Vec::new();
        self.unsent = Vec::new();
        self.readable = true;
    }

    /// Reads away what the peer still says. `None`: there is more than one turn's share.
    pub(super) fn has_ended<D: Driver<Socket = S>>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Option<bool> {
        for _ in 0..READS_OF_THE_DEAD {
            match driver.read(&mut self.socket, &mut scratch.raw) {
                Ok(0) => return Some(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(true),
            }
        }
        None
    }

    /// Closes the socket, telling a TLS peer that this is the end.
    pub(super) fn close<D: Driver<Socket = S>>(mut self, driver: &mut D) {
        self.close_notify(driver);
        driver.close(self.socket);
    }

    fn close_notify<D: Driver<Socket = S>>(&mut self, driver: &mut D) {
        if let Some(tls) = &mut self.tls {
            let mut sealed = Vec::new();
            if tls.session.close_notify(&mut sealed).is_ok() && self.unsent.is_empty() {
                // A peer that does not read its goodbye loses nothing.
                let _ = driver.write(&mut self.socket, &sealed);
            }
        }
    }
}
