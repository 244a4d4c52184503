//! Messages much larger than any buffer pass in constant memory, and whoever does not read stops whoever
//! writes: a real Postgres behind pgweir.

mod lengths;
mod limits;
mod values;

use std::io;

use crate::harness::accounting::peak_memory_kb;
use crate::harness::front;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::RawClient;

/// Bytes of a line, its end included. All large contents are numbered lines.
const LINE: usize = 1_000;

/// The same lines, made by Postgres from numbers `n`.
const LINE_SQL: &str = r"lpad(n::text, 999, '0') || E'\n'";

/// Lines in 300 MB.
const MANY: usize = 300_000;

/// How much memory pgweir may need for anything, in kilobytes.
const FEW_KB: u64 = 4 * 1024;

fn line(number: usize) -> String {
    format!("{number:0999}\n")
}

/// Writes lines 1 to `count`, a few at a time; gives how many bytes that were.
fn send_lines(count: usize, mut send: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<usize> {
    let mut piece = String::new();
    for number in 1..=count {
        piece += &line(number);
        if piece.len() >= 64 * LINE || number == count {
            send(piece.as_bytes())?;
            piece.clear();
        }
    }
    Ok(count * LINE)
}

/// Checks bytes that should be the lines from 1 on, however they are cut.
#[derive(Default)]
struct Lines {
    seen: usize,
    current: String,
}

impl Lines {
    fn check(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.seen % LINE;
            if at == 0 {
                self.current = line(self.seen / LINE + 1);
            }
            let (now, later) = bytes.split_at(bytes.len().min(LINE - at));
            let expected = &self.current.as_bytes()[at..at + now.len()];
            assert_eq!(now.escape_ascii().to_string(), expected.escape_ascii().to_string());
            self.seen += now.len();
            bytes = later;
        }
    }

    fn assert_whole(&self, count: usize) {
        assert_eq!(self.seen, count * LINE, "bytes came");
    }
}

/// What pgweir has needed at most, from now on.
struct Peak {
    pid: u32,
    base_kb: u64,
}

impl Peak {
    /// Of a pgweir that has served a client.
    fn of(pgweir: &Pgweir) -> Self {
        let mut client = front::client(pgweir);
        assert_eq!(client.ask_value("select repeat('x', 200000)").len(), 200_000);
        Self::now(pgweir)
    }

    fn now(pgweir: &Pgweir) -> Self {
        Self { pid: pgweir.pid(), base_kb: peak_memory_kb(pgweir.pid()) }
    }

    #[track_caller]
    fn assert_flat(&self) {
        let peak = peak_memory_kb(self.pid);
        assert!(peak <= self.base_kb + FEW_KB, "{peak} kB at most, before {} kB", self.base_kb);
    }
}

/// Reads one DataRow of one column, which must be `count` lines.
fn assert_row_of_lines(client: &mut RawClient, count: usize) {
    let mut lines = Lines::default();
    // The count of columns and the length of the first.
    let mut front = 6;
    let row = client.skim(|bytes| {
        let skipped = front.min(bytes.len());
        front -= skipped;
        lines.check(&bytes[skipped..]);
    });
    assert_eq!(row.unwrap(), Some((b'D', 6 + count * LINE)));
    lines.assert_whole(count);
}
