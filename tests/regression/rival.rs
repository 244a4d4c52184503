//! Somebody who wants the same server connection all the time, and has other settings there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::harness::await_event::secs;
use crate::harness::raw::{Address, Login, RawClient};

/// Its thread.
pub struct Rival {
    stops: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

/// What it sets: whoever gets the server with any of this in force answers otherwise than Postgres does.
const SETTINGS: &str = "set search_path = pg_catalog; set timezone = 'Asia/Kathmandu'; set datestyle = 'SQL, DMY'; \
    set intervalstyle = 'iso_8601'; set extra_float_digits = -3; set bytea_output = 'escape'; set enable_seqscan = off; \
    set enable_hashjoin = off; set work_mem = '64kB'; set default_transaction_isolation = 'serializable'; \
    set statement_timeout = '1h'; set client_min_messages = 'error'; set lc_monetary = 'C'; set xmloption = 'document'; \
    set role = pg_monitor";

impl Rival {
    /// Logs in and begins.
    pub fn start(address: &Address, database: &str) -> Self {
        let mut client = RawClient::login(address, &Login::new("postgres", database));
        client.set_deadline(secs(900));
        client.ask(SETTINGS);
        let (stops, turns) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stop, turn) = (stops.clone(), turns.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                client.ask("select");
                turn.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stops, turns, thread }
    }

    /// Ends it; how often it had the server.
    pub fn stop(self) -> u64 {
        self.stops.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.turns.load(Ordering::Relaxed)
    }
}
