//! `pgweir run`: the process from its configuration to its end.
//!
//! Start: configuration, log, limits, listening sockets, loops, hall, HTTP. SIGHUP: reload. End:
//! SIGTERM lets transactions finish for `drain_timeout`, a second one or SIGINT ends everything at
//! once. Deliberately absent: what happens on the connections.

mod catalogs;
pub mod control;
mod doors;
mod http_door;
mod limits;
mod logging;
pub mod orders;
pub mod prepare;
pub mod reload;

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::admin::orders::Outcome;
use crate::admin::{Console, Orders, ShutdownMode};
use crate::cancel::CancelRegistry;
use crate::dial::Dialler;
use crate::http;
use crate::login::{Hall, Loop};
use crate::monitor::{self, Vacancies};
use crate::net::listen::ListenError;
use crate::net::socket::Socket;
use crate::worker::mail::{LoopSettings, Mail};
use crate::worker::{self, Company, LoopHandle, Loops, Start};
use control::Control;
use doors::Doors;
use http_door::HttpDoor;
use logging::LogLevel;
use orders::{OrderBook, order_books};
use prepare::{Prepared, prepare};
use reload::{ReloadHandle, Reloader};

/// Threads for logins, dials and HTTP. Statements do not pass through them.
const HALL_THREADS: usize = 2;
/// How long loops may take to end after they were told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked whether clients are left.
const LOOK_FOR_CLIENTS: Duration = Duration::from_millis(20);

/// Why the process cannot run, or did not end as it should.
#[derive(Debug)]
pub enum RunError {
    /// The runtime or a loop could not be started.
    Start(io::Error),
    /// The level of the log is no filter.
    Log(String),
    /// A name to listen at could not be looked up.
    Address(String, io::Error),
    /// An address could not be listened at.
    Listen(ListenError),
    /// The loops ended though nobody had told them to.
    LoopsGone,
    /// The loops did not end when they were told to.
    LoopsStuck,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Start(error) => write!(f, "cannot start: {error}"),
            RunError::Log(error) => f.write_str(error),
            RunError::Address(name, error) => write!(f, "cannot look up \"{name}\": {error}"),
            RunError::Listen(error) => error.fmt(f),
            RunError::LoopsGone => f.write_str("the event loops ended by themselves"),
            RunError::LoopsStuck => f.write_str("the event loops did not end in time"),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs pgweir with the configuration in `path` until a signal ends it.
pub fn run(path: &Path) -> ExitCode {
    let dialler = Arc::new(Dialler::default());
    let prepared = match prepare(path, dialler.clone(), None) {
        Ok(prepared) => prepared,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(if problems.unreadable { 2 } else { 1 });
        }
    };
    match run_prepared(path, prepared, dialler) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pgweir: {error}");
            ExitCode::from(2)
        }
    }
}

/// Starts an event loop on a thread of its own.
fn start_loop(start: Start, orders: OrderBook) -> io::Result<Arc<dyn Loop>> {
    // The thread is not joined: that it has ended is its last order.
    let (handle, _thread) = worker::spawn(start, move |order| orders.give(order))?;
    Ok(Arc::new(handle))
}

impl Loop for LoopHandle {
    fn send(&self, mail: Mail<Socket>) {
        LoopHandle::send(self, mail);
    }
}

fn run_prepared(path: &Path, prepared: Prepared, dialler: Arc<Dialler>) -> Result<(), RunError> {
    let config = prepared.edition.config.clone();
    let log = logging::start(&config.log).map_err(RunError::Log)?;
    for warning in &prepared.warnings {
        tracing::warn!("configuration: {warning}");
    }
    reload::log_without_effect(&prepared.not_yet);
    limits::warn_of_root();
    limits::forbid_core_files();
    limits::raise_open_files(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HALL_THREADS)
        .thread_name("pgweir-hall")
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    let result = runtime.block_on(serve(path, prepared, dialler, log));
    // A look-up of a name that never ends must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Everything that runs, started.
struct Running {
    hall: Arc<Hall>,
    loops: Vec<Arc<dyn Loop>>,
    closing: watch::Sender<bool>,
    orders: JoinHandle<()>,
    asks: mpsc::UnboundedReceiver<Ask>,
}

async fn serve(
    path: &Path,
    prepared: Prepared,
    dialler: Arc<Dialler>,
    log: LogLevel,
) -> Result<(), RunError> {
    let Prepared { edition, contexts, .. } = prepared;
    let config = edition.config.clone();
    let (reload, reloads) = ReloadHandle::new();
    // Before anything can be asked to end, it must be able to hear that.
    let signals = Signals::new(reload.clone()).map_err(RunError::Start)?;
    // Whoever can connect as a client can ask for a reload and for the state as well.
    let control = Control::bind(path);
    let bound_http = http_door::bind(&config).await?;
    let bound = doors::bind_all(&config).await?;
    let registry = Arc::new(CancelRegistry::default());
    dialler.use_contexts(contexts);
    let count = loops_for(config.server.workers);
    let (books, orders) = order_books(count);
    let (company, mailboxes, started) = (Company::of(count), Loops::of(count), Instant::now());
    let start = |(seat, orders)| {
        let start = Start {
            seat,
            company: company.clone(),
            loops: mailboxes.clone(),
            started,
            settings: LoopSettings::of(&config.server),
        };
        start_loop(start, orders)
    };
    let loops: Vec<_> = books
        .into_iter()
        .enumerate()
        .map(start)
        .collect::<io::Result<_>>()
        .map_err(RunError::Start)?;
    let hall =
        Arc::new(Hall::new(edition, loops.clone(), registry.clone(), company.params.clone()));
    let (pools, vacancies) = (hall.pools().clone(), Arc::new(Vacancies::default()));
    let orders = tokio::spawn(orders::serve(
        orders,
        loops.clone(),
        dialler.clone(),
        pools.clone(),
        vacancies.clone(),
    ));
    tokio::spawn(monitor::watch_all(pools, dialler.clone(), loops.clone(), vacancies));
    tokio::spawn(catalogs::keep(hall.pools().clone(), dialler.clone()));
    hall.open_pools();
    let (asked, asks) = mpsc::unbounded_channel();
    let console_orders = Arc::new(ConsoleOrders { asked, reload: reload.clone() });
    let console = Arc::new(Console::new(hall.clone(), loops.clone(), console_orders));
    hall.open_console(console.clone());
    tokio::spawn(async move { console.keep_averages().await });
    let (closing, is_closing) = watch::channel(false);
    let serve_http = {
        let (hall, loops, reloads) = (hall.clone(), loops.clone(), reload.counts());
        move |listener| {
            let (hall, loops, registry) = (hall.clone(), loops.clone(), registry.clone());
            tokio::spawn(http::serve(listener, hall, loops, registry, reloads.clone()))
                .abort_handle()
        }
    };
    control.serve(reload);
    let reloader = Reloader {
        path: path.to_path_buf(),
        started: config.clone(),
        hall: hall.clone(),
        dialler,
        doors: Doors::open(hall.clone(), bound),
        http: HttpDoor::open(Arc::new(serve_http), &config, bound_http),
        log,
    };
    tokio::spawn(reloader.serve(reloads, is_closing));
    Running { hall, loops, closing, orders, asks }.until_the_end(signals).await
}

/// How many event loops to start.
fn loops_for(workers: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = if workers == 0 { cores() } else { workers };
    wanted.min(crate::config::MOST_LOOPS)
}

/// The signals that pgweir listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    reload: ReloadHandle,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// Let transactions end, for `drain_timeout`.
    Drain,
    /// Let every client leave by itself.
    WaitForClients,
    Stop,
}

/// What the console asks of the process.
struct ConsoleOrders {
    asked: mpsc::UnboundedSender<Ask>,
    reload: ReloadHandle,
}

impl Orders for ConsoleOrders {
    fn reload(&self) -> Outcome<'_> {
        Box::pin(async {
            match self.reload.reload().await {
                Ok(summary) => Ok(summary.notices()),
                Err(problems) => Err(reload::refused(&problems)),
            }
        })
    }

    fn shutdown(&self, mode: ShutdownMode) {
        let ask = match mode {
            ShutdownMode::AtOnce => Ask::Stop,
            ShutdownMode::WaitForServers => Ask::Drain,
            ShutdownMode::WaitForClients => Ask::WaitForClients,
        };
        // Without a receiver the process is ending already.
        let _ = self.asked.send(ask);
    }
}

impl Signals {
    fn new(reload: ReloadHandle) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            reload,
        })
    }

    /// Waits for a signal that ends the process. Cancel safe: a signal is either returned or
    /// still pending.
    async fn next(&mut self) -> Ask {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ask::Drain,
                _ = self.interrupt.recv() => return Ask::Stop,
                _ = self.hang_up.recv() => {
                    let reload = self.reload.clone();
                    // Logged where it is done.
                    tokio::spawn(async move { drop(reload.reload().await) });
                }
            }
        }
    }
}

impl Running {
    /// Runs until a signal, the console or the loops end it.
    async fn until_the_end(mut self, mut signals: Signals) -> Result<(), RunError> {
        let mut ask = tokio::select! {
            ask = signals.next() => ask,
            ask = asked(&mut self.asks) => ask,
            _ = &mut self.orders => return Err(RunError::LoopsGone),
        };
        self.hall.close();
        // The listening sockets go first, so that a successor can have the port.
        let _ = self.closing.send(true);
        if ask == Ask::WaitForClients {
            tracing::info!(clients = self.hall.clients(), "waiting for clients to leave");
            ask = tokio::select! {
                () = no_clients(&self.hall) => Ask::Stop,
                ask = signals.next() => ask,
                ask = asked(&mut self.asks) => ask,
                _ = &mut self.orders => return Err(RunError::LoopsGone),
            };
        }
        if ask == Ask::Drain {
            let limit = self.hall.config().server.drain_timeout;
            tracing::info!(clients = self.hall.clients(), %limit, "draining");
            self.tell(|| Mail::Drain { limit_ms: limit.as_millis() });
            tokio::select! {
                _ = &mut self.orders => {
                    tracing::info!("drained");
                    return Ok(());
                }
                // A second signal of either kind does not wait any longer.
                _ = signals.next() => {}
                _ = stop_asked(&mut self.asks) => {}
            }
        }
        tracing::info!(clients = self.hall.clients(), "stopping");
        self.tell(|| Mail::Stop);
        match timeout(STOP_LIMIT, &mut self.orders).await {
            Ok(_) => Ok(()),
            Err(_) => Err(RunError::LoopsStuck),
        }
    }

    fn tell(&self, mail: impl Fn() -> Mail<Socket>) {
        for mailbox in &self.loops {
            mailbox.send(mail());
        }
    }
}

/// The next thing that the console asks. Cancel safe.
async fn asked(asks: &mut mpsc::UnboundedReceiver<Ask>) -> Ask {
    match asks.recv().await {
        Some(ask) => ask,
        // There is no console any more; signals remain.
        None => std::future::pending().await,
    }
}

/// Waits until the console asks for the end at once. Cancel safe.
async fn stop_asked(asks: &mut mpsc::UnboundedReceiver<Ask>) {
    while asked(asks).await != Ask::Stop {}
}

/// Waits until the last client has left.
async fn no_clients(hall: &Hall) {
    while hall.clients() > 0 {
        sleep(LOOK_FOR_CLIENTS).await;
    }
}
