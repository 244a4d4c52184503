//! The process as the system sees it, under the names that Prometheus' clients share.

use std::fs;

use crate::metrics::text::{Kind, Page};

/// Clock ticks in a second as Linux tells them to programs (USER_HZ): 100 on every architecture
/// that it is built for today.
const TICKS: f64 = 100.0;

/// Adds what the system says; what it does not say is left out.
pub(super) fn process(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program may hold anything, so what follows it is counted from its end.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let mut add = |name, kind, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            page.family(name, kind, help);
            page.fraction(name, &[], value);
        }
    };
    // proc(5): utime and stime are the 14th and 15th fields, threads the 20th, start the 22nd; the
    // first two stand before the parenthesis.
    let cpu = field(11).zip(field(12)).map(|(user, system)| (user + system) as f64 / TICKS);
    let help = "User and system time, in seconds.";
    add("process_cpu_seconds_total", Kind::Counter, help, cpu);
    add("process_threads", Kind::Gauge, "Threads.", field(17).map(|n| n as f64));
    let started = field(19).zip(boot_time()).map(|(t, boot)| boot as f64 + t as f64 / TICKS);
    let help = "When it started, in seconds since 1970.";
    add("process_start_time_seconds", Kind::Gauge, help, started);
    let memory = |key| status(key).map(|kilobytes| kilobytes as f64 * 1024.0);
    let help = "Resident memory.";
    add("process_resident_memory_bytes", Kind::Gauge, help, memory("VmRSS:"));
    let help = "Virtual memory.";
    add("process_virtual_memory_bytes", Kind::Gauge, help, memory("VmSize:"));
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    add("process_open_fds", Kind::Gauge, "Open files.", open);
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let help = "Files that may be open.";
    add("process_max_fds", Kind::Gauge, help, most.map(|most| most as f64));
}

/// A line of /proc/self/status, in kilobytes.
fn status(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// When the system started, in seconds since 1970.
fn boot_time() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
