//! `pgweir demo`: a throw-away Postgres with a replica, pgweir in front of it, and traffic that
//! checks what pgweir promises.
//!
//! Every number printed is measured while it runs, and every promise is judged: the exit code says
//! whether all held. Deliberately absent: anything durable, fixed ports, and canned text in place
//! of a measurement.

mod act;
mod client;
mod error;
mod load;
mod sampler;
mod screen;
mod stage;

use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use act::{Act, Claim};
use error::DemoError;
use screen::Screen;
use stage::Stage;

/// How long the traffic of an act runs unless told.
const DEFAULT_SECONDS: u64 = 10;

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct DemoOptions {
    /// How long the traffic of an act runs.
    pub seconds: Option<u64>,
    /// Stay up after the acts, terminal or not.
    pub keep: bool,
}

/// Plays the demo and answers with the exit code: 0 when every claim held, 1 when one did not, 2
/// when it could not run, or not to its end.
pub fn run(options: DemoOptions) -> u8 {
    let screen = Screen::open();
    let outcome = Runtime::new()
        .map_err(|source| DemoError::Io { doing: "starting the demo's runtime", source })
        .and_then(|runtime| runtime.block_on(perform(options, &screen)));
    match outcome {
        Ok(claims) => u8::from(!verdict(&screen, &claims)),
        Err(error) => {
            eprintln!("pgweir demo: {error}");
            2
        }
    }
}

/// Prints how it went; true when every claim held.
fn verdict(screen: &Screen, claims: &[Claim]) -> bool {
    let failed = claims.iter().filter(|claim| !claim.held).count();
    let all = claims.len();
    let seconds = screen.elapsed();
    match failed {
        0 => screen.line(&format!("demo: all {all} claims held ({seconds:.1} s)")),
        _ => screen.line(&format!("demo: {failed} of {all} claims FAILED ({seconds:.1} s)")),
    }
    failed == 0
}

async fn perform(options: DemoOptions, screen: &Screen) -> Result<Vec<Claim>, DemoError> {
    // Before anything is there to be removed.
    let mut signals = Signals::new()
        .map_err(|source| DemoError::Io { doing: "listening for signals", source })?;
    let mut stage = set_up(screen, &mut signals).await?;
    let length = Duration::from_secs(options.seconds.unwrap_or(DEFAULT_SECONDS));
    let mut claims = Vec::new();
    for (number, act) in (1..).zip(Act::ALL) {
        let played = tokio::select! {
            played = act.play(number, &mut stage, screen, length) => played,
            () = signals.next() => Err(DemoError::Interrupted),
        };
        match played {
            Ok(played) => claims.extend(played),
            Err(error) => {
                tear_down(screen, stage);
                return Err(error);
            }
        }
    }
    screen.line("");
    if options.keep || (screen.is_terminal() && options.seconds.is_none()) {
        invite(screen, &stage);
        stay_up(&mut stage, &mut signals).await?;
    }
    tear_down(screen, stage);
    Ok(claims)
}

async fn set_up(screen: &Screen, signals: &mut Signals) -> Result<Stage, DemoError> {
    let began = Instant::now();
    let cluster = unless_interrupted(signals, Stage::start_postgres).await?;
    screen.step(format_args!(
        "Postgres {}: primary :{}, streaming replica :{} (throw-away, in a temp dir); took {:.1} s",
        cluster.primary().binaries().version(),
        cluster.primary().port(),
        cluster.replica(0).port(),
        began.elapsed().as_secs_f64()
    ));
    let began = Instant::now();
    let mut stage = unless_interrupted(signals, move || Stage::start_pgweir(cluster)).await?;
    screen.step(format_args!(
        "pgweir on :{}: {} server connections (config/demo.toml); took {:.1} s",
        stage.pgweir().address().port(),
        stage::POOL_SIZE,
        began.elapsed().as_secs_f64()
    ));
    Ok(stage)
}

/// Does what blocks on another thread. When a signal comes meanwhile, what it makes is dropped as
/// soon as it is there, so that nothing stays behind.
async fn unless_interrupted<T: Send + 'static>(
    signals: &mut Signals,
    work: impl FnOnce() -> Result<T, DemoError> + Send + 'static,
) -> Result<T, DemoError> {
    let mut task = tokio::task::spawn_blocking(work);
    let interrupted = tokio::select! {
        done = &mut task => return done.unwrap_or_else(|panic| Err(DemoError::Broken(panic.to_string()))),
        () = signals.next() => DemoError::Interrupted,
    };
    drop(task.await);
    Err(interrupted)
}

fn invite(screen: &Screen, stage: &Stage) {
    screen.line(&format!("Try it:  {}", stage.psql_line()));
    screen.line(&format!("Config:  {}", stage.config().display()));
    screen.line("Ctrl-C stops everything and removes the temp dir.");
}

/// Waits for a signal; an error when pgweir ends before.
async fn stay_up(stage: &mut Stage, signals: &mut Signals) -> Result<(), DemoError> {
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = sleep(Duration::from_millis(500)) => stage.pgweir().check_alive()?,
        }
    }
}

fn tear_down(screen: &Screen, stage: Stage) {
    let began = Instant::now();
    drop(stage);
    let seconds = began.elapsed().as_secs_f64();
    screen.step(format_args!("everything stopped and removed; took {seconds:.1} s"));
}

/// The signals that end the demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one. Cancel safe: a signal is not lost.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
