//! FP: a TCP proxy that hurts, each direction for itself, while connections are open.
//!
//! ```ignore
//! let proxy = FaultProxy::to(cluster.primary().address());
//! proxy.to_client(|flow| flow.pieces(1));             // one byte a write
//! proxy.to_server(|flow| flow.cut_after(100));        // both sides closed after 100 bytes
//! proxy.heal();
//! ```
//!
//! Settings count at once, also for open connections, whose bytes are counted from their first
//! one. TLS passes through unread.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgweir::cluster::Port;
use socket2::SockRef;

use super::await_event::wait_until;

/// What happens to the bytes of one direction. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    delay: Duration,
    piece: Option<usize>,
    end_after: Option<(u64, End)>,
    stall_after: Option<u64>,
    swap: Option<(Vec<u8>, Vec<u8>)>,
    only: Only,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    Half,
}

/// Which connections a [`Flow`] is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Only {
    /// All.
    #[default]
    All,
    /// Those that begin with a CancelRequest.
    Cancels,
    /// All others.
    Sessions,
}

impl Flow {
    /// Each read waits so long before it is passed on.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Writes of at most so many bytes.
    pub fn pieces(mut self, bytes: usize) -> Self {
        self.piece = Some(bytes.max(1));
        self
    }

    /// Closes both sides after so many bytes of a connection.
    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.end_after = Some((bytes, End::Close));
        self
    }

    /// Resets both sides (RST) after so many bytes.
    pub fn reset_after(mut self, bytes: u64) -> Self {
        self.end_after = Some((bytes, End::Reset));
        self
    }

    /// Ends this direction only after so many bytes; the other one goes on.
    pub fn half_close_after(mut self, bytes: u64) -> Self {
        self.end_after = Some((bytes, End::Half));
        self
    }

    /// Passes so many bytes and then nothing, with all sockets open, until healed.
    pub fn stall_after(mut self, bytes: u64) -> Self {
        self.stall_after = Some(bytes);
        self
    }

    /// Replaces these bytes by others of the same length, where one read holds them whole.
    pub fn swap(mut self, find: &[u8], with: &[u8]) -> Self {
        assert_eq!(find.len(), with.len(), "a swap keeps all lengths");
        self.swap = Some((find.to_vec(), with.to_vec()));
        self
    }

    /// Is about these connections only, but for a swap, which is about all.
    pub fn only(mut self, only: Only) -> Self {
        self.only = only;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    faults: Mutex<Faults>,
    changed: Condvar,
    ending: AtomicBool,
    accepted: AtomicUsize,
    passed_to_server: AtomicU64,
    passed_to_client: AtomicU64,
    open: Mutex<Vec<Arc<Connection>>>,
    seen: Mutex<Vec<u8>>,
}

/// The two sockets of one connection; the last owner to go closes them.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    is_cancel: AtomicBool,
    over: AtomicBool,
}

impl Connection {
    fn end(&self, how: End, direction: Direction) {
        let both = [&self.client, &self.server];
        match how {
            // The other direction lives on.
            End::Half => {
                let _ = self.sink(direction).shutdown(Shutdown::Write);
            }
            End::Close => {
                self.over.store(true, Ordering::SeqCst);
                for stream in both {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            // A close with a linger of zero sends RST. Both pumps wake up, find that it is over,
            // and let go of the sockets, which closes them.
            End::Reset => {
                self.over.store(true, Ordering::SeqCst);
                for stream in both {
                    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                    let _ = stream.shutdown(Shutdown::Read);
                }
            }
        }
    }

    fn source(&self, direction: Direction) -> &TcpStream {
        match direction {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        }
    }

    fn sink(&self, direction: Direction) -> &TcpStream {
        match direction {
            Direction::ToServer => &self.server,
            Direction::ToClient => &self.client,
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Clone, Default)]
struct Faults {
    to_server: Flow,
    to_client: Flow,
    refuse: bool,
    record: bool,
}

/// The proxy. Dropping it closes all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _port: Port,
}

impl FaultProxy {
    /// Listens on a free port and passes everything on to `target`.
    pub fn to(target: SocketAddr) -> Self {
        let port = Port::reserve().expect("a free port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let shared = Arc::new(Shared {
            target,
            faults: Mutex::default(),
            changed: Condvar::new(),
            ending: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            passed_to_server: AtomicU64::new(0),
            passed_to_client: AtomicU64::new(0),
            open: Mutex::default(),
            seen: Mutex::default(),
        });
        let listener = TcpListener::bind(address).expect("a port to listen on");
        let of_thread = shared.clone();
        std::thread::spawn(move || accept_all(&of_thread, address, listener));
        Self { address, shared, _port: port }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what happens to bytes on their way to the server.
    pub fn to_server(&self, flow: impl FnOnce(Flow) -> Flow) {
        self.change(|faults| faults.to_server = flow(Flow::default()));
    }

    /// Sets what happens to bytes on their way to the client.
    pub fn to_client(&self, flow: impl FnOnce(Flow) -> Flow) {
        self.change(|faults| faults.to_client = flow(Flow::default()));
    }

    /// Refuses new connections, as when nothing listens; open ones stay.
    pub fn refuse(&self) {
        self.change(|faults| faults.refuse = true);
        // The listener sleeps in accept: a last connection wakes it.
        wait_until("the port closes", Duration::from_secs(10), || {
            TcpStream::connect(self.address).is_err()
        });
    }

    /// Ends all faults, stalls and refusals.
    pub fn heal(&self) {
        self.change(|faults| {
            let record = faults.record;
            *faults = Faults { record, ..Faults::default() };
        });
        wait_until("the port opens", Duration::from_secs(10), || {
            TcpStream::connect(self.address).is_ok()
        });
    }

    /// Closes every open connection now.
    pub fn cut_all(&self) {
        for connection in self.open().iter() {
            connection.end(End::Close, Direction::ToClient);
        }
        self.shared.changed.notify_all();
    }

    /// Resets (RST) every open connection now.
    pub fn reset_all(&self) {
        for connection in self.open().iter() {
            connection.end(End::Reset, Direction::ToClient);
        }
        self.shared.changed.notify_all();
    }

    /// Keeps what clients send, for [`FaultProxy::seen_from_clients`].
    pub fn record(&self) {
        self.change(|faults| faults.record = true);
    }

    /// Everything that clients sent since [`FaultProxy::record`], in the order of arrival.
    pub fn seen_from_clients(&self) -> Vec<u8> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.open().len()
    }

    /// Connections that were ever passed on.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Bytes passed on so far, to the server and to clients.
    pub fn passed(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (load(&self.shared.passed_to_server), load(&self.shared.passed_to_client))
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.changed.notify_all();
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
        let _ = TcpStream::connect(self.address);
        self.cut_all();
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Waits, with the lock given up, until something was set.
    fn wait<'a>(&'a self, faults: MutexGuard<'a, Faults>) -> MutexGuard<'a, Faults> {
        // Woken now and then as well, so that a proxy that was dropped meanwhile lets go.
        let waited = self.changed.wait_timeout(faults, Duration::from_millis(100));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn accept_all(shared: &Arc<Shared>, address: SocketAddr, first: TcpListener) {
    let mut listener = Some(first);
    while !shared.ending() {
        if shared.faults().refuse {
            listener = None;
            let mut faults = shared.faults();
            while faults.refuse && !shared.ending() {
                faults = shared.wait(faults);
            }
            continue;
        }
        let Some(open) = &listener else {
            listener = TcpListener::bind(address).ok();
            continue;
        };
        let Ok((client, _)) = open.accept() else { continue };
        if shared.ending() || shared.faults().refuse {
            continue;
        }
        let shared = shared.clone();
        std::thread::spawn(move || {
            // A target that refuses shows as a connection that closes at once.
            let _ = serve(&shared, client);
        });
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    let server = TcpStream::connect(shared.target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.accepted.fetch_add(1, Ordering::SeqCst);
    let (is_cancel, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let connection = Arc::new(Connection { client, server, is_cancel, over });
    let open = || shared.open.lock().unwrap_or_else(PoisonError::into_inner);
    open().push(connection.clone());
    let pumps = [Direction::ToServer, Direction::ToClient].map(|direction| {
        let pump =
            Pump { shared: shared.clone(), direction, connection: connection.clone(), passed: 0 };
        std::thread::spawn(move || pump.run())
    });
    for pump in pumps {
        let _ = pump.join();
    }
    open().retain(|other| !Arc::ptr_eq(other, &connection));
    Ok(())
}

/// One direction of one connection.
struct Pump {
    shared: Arc<Shared>,
    direction: Direction,
    connection: Arc<Connection>,
    passed: u64,
}

impl Pump {
    fn run(mut self) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = self.connection.source(self.direction).read(&mut buffer);
            if self.connection.is_over() {
                return;
            }
            match read {
                Ok(0) => return self.connection.end(End::Half, self.direction),
                Ok(count) => {
                    if !self.pass_on(buffer[..count].to_vec()) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.connection.end(End::Reset, self.direction),
            }
        }
    }

    /// Whether the direction is still open.
    fn pass_on(&mut self, mut bytes: Vec<u8>) -> bool {
        if self.direction == Direction::ToServer {
            if self.passed == 0 {
                let cancels = bytes.get(4..8) == Some(&80_877_102_u32.to_be_bytes());
                self.connection.is_cancel.store(cancels, Ordering::SeqCst);
            }
            if self.shared.faults().record {
                let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.extend_from_slice(&bytes);
            }
        }
        let flow = self.flow();
        if !flow.delay.is_zero() {
            std::thread::sleep(flow.delay);
        }
        if let Some((find, with)) = &flow.swap {
            swap_all(&mut bytes, find, with);
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let Some((count, end)) = self.allowance(rest.len()) else { return false };
            let (now, later) = rest.split_at(count);
            rest = later;
            if self.connection.sink(self.direction).write_all(now).is_err() {
                self.connection.end(End::Reset, self.direction);
                return false;
            }
            self.passed += count as u64;
            let total = match self.direction {
                Direction::ToServer => &self.shared.passed_to_server,
                Direction::ToClient => &self.shared.passed_to_client,
            };
            total.fetch_add(count as u64, Ordering::SeqCst);
            if let Some(end) = end {
                self.connection.end(end, self.direction);
                return false;
            }
        }
        true
    }

    /// How many bytes may go now, and what follows them. Waits while the direction is stalled.
    /// `None`: the connection is over, or the proxy is gone.
    fn allowance(&self, wanted: usize) -> Option<(usize, Option<End>)> {
        let mut faults = self.shared.faults();
        loop {
            if self.shared.ending() || self.connection.is_over() {
                return None;
            }
            let flow = self.flow_of(&faults);
            let left = |limit: u64| {
                usize::try_from(limit.saturating_sub(self.passed)).unwrap_or(usize::MAX)
            };
            let stalled = flow.stall_after.map_or(usize::MAX, left);
            if stalled == 0 {
                faults = self.shared.wait(faults);
                continue;
            }
            let count = wanted.min(flow.piece.unwrap_or(usize::MAX)).min(stalled);
            return Some(match flow.end_after {
                Some((limit, end)) if left(limit) <= count => (left(limit), Some(end)),
                Some(_) | None => (count, None),
            });
        }
    }

    fn flow(&self) -> Flow {
        self.flow_of(&self.shared.faults())
    }

    fn flow_of(&self, faults: &Faults) -> Flow {
        let flow = match self.direction {
            Direction::ToServer => &faults.to_server,
            Direction::ToClient => &faults.to_client,
        };
        let meant = match flow.only {
            Only::All => true,
            Only::Cancels => self.connection.is_cancel.load(Ordering::SeqCst),
            Only::Sessions => !self.connection.is_cancel.load(Ordering::SeqCst),
        };
        if meant { flow.clone() } else { Flow { swap: flow.swap.clone(), ..Flow::default() } }
    }
}

fn swap_all(bytes: &mut [u8], find: &[u8], with: &[u8]) {
    let mut at = 0;
    while !find.is_empty() && at + find.len() <= bytes.len() {
        if bytes[at..].starts_with(find) {
            bytes[at..at + find.len()].copy_from_slice(with);
            at += find.len();
        } else {
            at += 1;
        }
    }
}
