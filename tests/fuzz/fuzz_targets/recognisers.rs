//! Any bytes through everything that reads statements.

#![no_main]

#[allow(dead_code, reason = "each target has its own check")]
#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::recognisers(data));
