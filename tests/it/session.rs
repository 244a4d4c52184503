//! What a session changes is its own: it keeps it as long as it is connected, nobody else ever sees it, and
//! whoever comes next gets a clean server.

mod code;
mod generated;
mod kinds;
mod messages;
mod parameters;
mod pins;
mod policies;
mod prepared;
mod statements;
mod unpinning;

use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::raw::RawClient;

/// One way to change what a session is.
struct Kind {
    /// The statement that does it.
    sql: &'static str,
    /// What shows it, in one value.
    probe: &'static str,
    /// That value in a session that changed nothing.
    clean: &'static str,
}

const fn kind(sql: &'static str, probe: &'static str, clean: &'static str) -> Kind {
    Kind { sql, probe, clean }
}

const WORK_MEM: &str = "select current_setting('work_mem')";
const TIME_ZONE: &str = "select current_setting('TimeZone')";
const ADVISORY: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
const TEMPORARY: &str = "select count(*) from pg_class where relname = 'mine' \
                         and relnamespace = pg_my_temp_schema()";

impl Kind {
    #[track_caller]
    fn assert_clean(&self, client: &mut RawClient, when: &str) {
        assert_eq!(client.ask_value(self.probe), self.clean, "{} is seen {when}", self.sql);
    }
}

/// An unnamed batch with Sync, and its values.
fn batch(sql: &str, values: &[Option<&[u8]>]) -> Vec<u8> {
    [
        message::parse("", sql, &[]),
        message::bind("", "", values),
        message::execute("", 0),
        message::sync(),
    ]
    .concat()
}

fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

#[track_caller]
fn assert_no_error(frames: &[Frame]) {
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
}
