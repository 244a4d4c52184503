//! What the tests are told with: servers, clients, faults and comparisons.
//!
//! | module | word in the plans | what it is |
//! |---|---|---|
//! | `pgweir_process` | | the pgweir binary with a configuration of the test's own |
//! | `front` | | pgweir in front of one server, as most tests want it |
//! | `raw`, `message`, `frame` | RAW | a client of exact bytes, its messages, the server's replies |
//! | `certificates`, `tls`, `files` | | an authority of the test's own, TLS to pgweir, files that go away |
//! | `psql` | | libpq's own client |
//! | `diff` | DIFF | one script, two servers, equal replies |
//! | `proxy` | FP | a proxy that delays, splits, stalls, cuts, resets, refuses |
//! | `fake`, `reply`, `gate` | FAKE | a scripted Postgres, its messages, its cues |
//! | `nonce` | NONCE | many clients, each of whose answers must be its own |
//! | `accounting`, `http` | ACCT | nothing is lost: servers, clients, files, memory |

// Tests of single behaviours come later than the words that they are written in.
#![allow(dead_code, unused_imports)]

pub mod accounting;
pub mod await_event;
pub mod certificates;
pub mod diff;
pub mod fake;
pub mod files;
pub mod frame;
pub mod front;
pub mod gate;
pub mod http;
pub mod message;
pub mod nonce;
pub mod pgweir_process;
pub mod proxy;
pub mod psql;
pub mod raw;
pub mod reply;
pub mod tls;
