//! What the tests are told with: servers, clients, faults and comparisons.
//!
//! | module | word in the plans | what it is |
//! |---|---|---|
//! | `pgweir_process` | | the pgweir binary with a configuration of the test's own |
//! | `raw`, `message`, `frame` | RAW | a client of exact bytes, its messages, the server's replies |
//! | `diff` | DIFF | one script, two servers, equal replies |

// Tests of single behaviours come later than the words that they are written in.
#![allow(dead_code, unused_imports)]

pub mod await_event;
pub mod diff;
pub mod frame;
pub mod message;
pub mod pgweir_process;
pub mod raw;
