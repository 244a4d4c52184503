//! A small Postgres on one connection of the world.

use std::collections::HashMap;

use super::World;
use crate::pool::PoolSpec;
use crate::session::Limit;
use crate::wire::frame::HEADER_LEN;
use crate::wire::{Report, TransactionStatus, build};

/// A text that is none of SQL.
const UNREADABLE: &str = "pgweir_refused";

/// Parameters by name.
type Values = HashMap<String, String>;

/// A small Postgres on one connection.
#[derive(Debug)]
pub(in crate::worker) struct FakeServer {
    pub(super) pipe: usize,
    /// Whose it is.
    pub(in crate::worker) database: String,
    pub(in crate::worker) role: String,
    /// The node that it is a reader of; none: the primary, wherever that is.
    pub(in crate::worker) node: Option<usize>,
    /// Where it was dialled.
    pub(in crate::worker) host: String,
    pub(in crate::worker) input: Vec<u8>,
    pub(in crate::worker) status: TransactionStatus,
    pub(super) unnamed: Option<Vec<u8>>,
    /// Statements with names, whoever made them how.
    pub(in crate::worker) named: HashMap<String, String>,
    /// Texts that cannot be prepared any more: their tables are gone.
    pub(in crate::worker) gone: Vec<String>,
    portals: HashMap<String, Vec<u8>>,
    skipping: bool,
    copy_in: bool,
    pub(in crate::worker) parameters: HashMap<String, String>,
    /// What RESET goes back to.
    defaults: HashMap<String, String>,
    /// The parameters before the transaction that is open.
    before: Option<HashMap<String, String>>,
    /// What SET LOCAL has set in it.
    local: Values,
    /// Both at each savepoint.
    savepoints: Vec<(String, Values, Values)>,
    /// Channels that a session has asked it for, whatever became of the transaction.
    pub(in crate::worker) listening: Vec<String>,
    /// Statements as they were run.
    pub(in crate::worker) ran: Vec<String>,
    /// What it says when it is asked what of its session is left: temporary objects, locks, held
    /// cursors. `None`: it cannot say.
    pub(in crate::worker) left: Option<[bool; 3]>,
    /// It says what is so instead: locks that its session has taken, tables that it has made.
    pub(in crate::worker) knows: bool,
    locks: u32,
    tables: u32,
    /// The tables before the transaction that is open.
    tables_before: u32,
    /// Answers are held back.
    pub(in crate::worker) silent: bool,
    /// Nothing is taken from its connection.
    pub(in crate::worker) deaf: bool,
    pub(in crate::worker) terminated: bool,
}

impl FakeServer {
    pub(super) fn new(pipe: usize, spec: &PoolSpec) -> Self {
        let startup = spec.startup();
        let limits = Limit::ALL.into_iter().filter(|limit| startup.get(*limit) != 0);
        let limits = limits.map(|limit| (limit.name().to_owned(), startup.get(limit).to_string()));
        let defaults: HashMap<_, _> = limits.collect();
        FakeServer {
            pipe,
            database: spec.database.clone(),
            role: spec.role.clone(),
            node: spec.reader_of(),
            host: spec.server_name(),
            input: Vec::new(),
            status: TransactionStatus::Idle,
            unnamed: None,
            named: HashMap::new(),
            gone: Vec::new(),
            portals: HashMap::new(),
            skipping: false,
            copy_in: false,
            parameters: defaults.clone(),
            defaults,
            before: None,
            local: HashMap::new(),
            savepoints: Vec::new(),
            listening: Vec::new(),
            ran: Vec::new(),
            left: Some([false; 3]),
            knows: false,
            locks: 0,
            tables: 0,
            tables_before: 0,
            silent: false,
            deaf: false,
            terminated: false,
        }
    }

    /// One that a client talks to directly, with these parameters in its startup packet.
    pub(in crate::worker) fn alone(world: &mut World, params: &[(&str, &str)]) -> Self {
        let mut server = FakeServer::new(0, &world.spec("app", "app"));
        let owned = params.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        server.defaults = owned.collect();
        server.parameters = server.defaults.clone();
        server
    }

    /// What it answers to these messages.
    pub(in crate::worker) fn answers_to(&mut self, messages: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.input.extend_from_slice(messages);
        self.answer(&mut out);
        out
    }

    /// A Query or batch has ended.
    fn unit_done(&mut self, failed: bool) {
        if self.status != TransactionStatus::Idle {
            return;
        }
        let before = self.before.take();
        self.portals.clear();
        self.savepoints.clear();
        self.local.clear();
        if let Some(before) = before.filter(|_| failed) {
            self.parameters = before;
            self.tables = self.tables_before;
        }
    }

    /// Bytes of the message at the front, if it is there whole.
    pub(in crate::worker) fn front_len(&self) -> Option<usize> {
        let length = self.input.get(1..HEADER_LEN)?;
        let len = u32::from_be_bytes(length.try_into().expect("4 bytes")) as usize + 1;
        (self.input.len() >= len).then_some(len)
    }

    pub(super) fn answer(&mut self, out: &mut Vec<u8>) {
        while let Some(len) = self.front_len() {
            let message: Vec<u8> = self.input.drain(..len).collect();
            self.message(message[0], &message[5..], out);
        }
    }

    fn message(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        if self.copy_in {
            match tag {
                b'd' | b'H' | b'S' => {}
                b'c' => {
                    self.copy_in = false;
                    build::command_complete(out, "COPY 1");
                    build::ready_for_query(out, self.status);
                }
                b'f' => {
                    self.copy_in = false;
                    self.fail(out);
                    build::ready_for_query(out, self.status);
                }
                other => panic!("{} during COPY", char::from(other)),
            }
            return;
        }
        if self.skipping && tag != b'S' {
            return;
        }
        match tag {
            b'Q' => {
                self.unnamed = None;
                self.portals.remove("");
                let text = String::from_utf8(body[..body.len() - 1].to_vec()).expect("text");
                let failed = self.run(&text, out);
                if !self.copy_in {
                    self.unit_done(failed);
                    build::ready_for_query(out, self.status);
                }
            }
            b'P' => {
                let (name, rest) = split(body);
                let (text, _) = split(rest);
                if name.is_empty() {
                    self.unnamed = None;
                }
                if text == UNREADABLE {
                    self.refuse_to_read(out);
                    self.skipping = true;
                    return;
                }
                if text.starts_with("bad") || self.named.contains_key(name) {
                    self.fail(out);
                    self.skipping = true;
                    return;
                }
                if name.is_empty() {
                    self.unnamed = Some(text.as_bytes().to_vec());
                } else {
                    self.named.insert(name.to_owned(), text.to_owned());
                }
                build::empty(out, b'1');
            }
            b'B' => {
                let (portal, rest) = split(body);
                let (name, _) = split(rest);
                let named = self.named.get(name).map(|text| text.as_bytes().to_vec());
                let text = if name.is_empty() { self.unnamed.clone() } else { named };
                match text {
                    Some(text) => {
                        self.portals.insert(portal.to_owned(), text);
                        build::empty(out, b'2');
                    }
                    None => {
                        self.fail(out);
                        self.skipping = true;
                    }
                }
            }
            b'D' => build::empty(out, b'n'),
            b'E' => match self.portals.get(split(body).0).cloned() {
                Some(text) => {
                    let text = String::from_utf8(text).expect("text");
                    let failed = self.run(&text, out);
                    self.skipping = failed;
                }
                _ => {
                    self.fail(out);
                    self.skipping = true;
                }
            },
            b'C' => {
                match (body[0], split(&body[1..]).0) {
                    (b'S', "") => self.unnamed = None,
                    (b'S', name) => drop(self.named.remove(name)),
                    (_, portal) => drop(self.portals.remove(portal)),
                }
                build::empty(out, b'3');
            }
            b'S' => {
                let failed = std::mem::take(&mut self.skipping);
                self.unit_done(failed);
                build::ready_for_query(out, self.status);
            }
            b'H' | b'c' | b'd' | b'f' => {}
            b'X' => self.terminated = true,
            other => panic!("the loop sent {}", char::from(other)),
        }
    }

    /// Whether it failed.
    fn run(&mut self, text: &str, out: &mut Vec<u8>) -> bool {
        if text == UNREADABLE {
            self.refuse_to_read(out);
            return true;
        }
        if let Some(caught) = text.strip_prefix("DO LANGUAGE plpgsql") {
            return self.run_caught(caught, out);
        }
        text.split("; ").any(|statement| self.run_one(statement, out))
    }

    /// Code that runs a text and catches its error. Whether it failed itself.
    fn run_caught(&mut self, code: &str, out: &mut Vec<u8>) -> bool {
        if self.status == TransactionStatus::Failed {
            Report::error(b"25P02", "aborted").write(out);
            return true;
        }
        let code = unquoted(code);
        let text = code.strip_prefix("BEGIN EXECUTE").and_then(|code| code.split("; EXC").next());
        let before = self.status;
        self.run(&unquoted(text.expect("one text")), &mut Vec::new());
        self.status = before;
        build::command_complete(out, "DO");
        false
    }

    /// SET, RESET and what concerns savepoints; `None`: it is another statement.
    fn run_setting(&mut self, words: &[&str], out: &mut Vec<u8>) -> Option<bool> {
        let find = |server: &Self, name: &str| {
            server.savepoints.iter().rposition(|(known, ..)| known == name)
        };
        let failed = self.status == TransactionStatus::Failed;
        let tag = match words {
            ["SAVEPOINT" | "RELEASE" | "SET" | "RESET", ..] if failed => return None,
            ["SAVEPOINT", name] => {
                let (parameters, local) = (self.parameters.clone(), self.local.clone());
                self.savepoints.push(((*name).to_owned(), parameters, local));
                "SAVEPOINT"
            }
            ["RELEASE", name] => match find(self, name) {
                Some(at) => {
                    self.savepoints.truncate(at);
                    "RELEASE"
                }
                None => {
                    self.fail(out);
                    return Some(true);
                }
            },
            ["ROLLBACK", "TO", name] => match find(self, name) {
                Some(at) => {
                    self.parameters = self.savepoints[at].1.clone();
                    self.local = self.savepoints[at].2.clone();
                    self.savepoints.truncate(at + 1);
                    self.status = TransactionStatus::InTransaction;
                    "ROLLBACK"
                }
                None => {
                    self.fail(out);
                    return Some(true);
                }
            },
            ["SET", "LOCAL", name, "=", value] => {
                if self.status == TransactionStatus::InTransaction {
                    self.local.insert((*name).to_owned(), (*value).to_owned());
                }
                "SET"
            }
            ["SET", name, "=", value] => {
                self.local.remove(*name);
                if *name == "timezone" {
                    build::parameter_status(out, b"TimeZone", value.as_bytes());
                }
                self.parameters.insert((*name).to_owned(), (*value).to_owned());
                "SET"
            }
            ["RESET", "ALL"] => {
                self.parameters = self.defaults.clone();
                self.local.clear();
                "RESET"
            }
            ["RESET", name] if !name.contains('"') => {
                self.parameters.remove(*name);
                self.local.remove(*name);
                if let Some(value) = self.defaults.get(*name) {
                    self.parameters.insert((*name).to_owned(), value.clone());
                }
                "RESET"
            }
            _ => return None,
        };
        build::command_complete(out, tag);
        Some(false)
    }

    /// What concerns prepared statements; `None`: it is another statement.
    fn run_by_name(&mut self, words: &[&str], out: &mut Vec<u8>) -> Option<bool> {
        if self.status == TransactionStatus::Failed {
            return None;
        }
        let (found, tag) = match words {
            ["PREPARE", _, "AS", text @ ..] if self.gone.contains(&text.join(" ")) => {
                Report::error(b"42P01", "no table").write(out);
                return Some(true);
            }
            ["PREPARE", name, "AS", text @ ..] if !self.named.contains_key(*name) => {
                self.named.insert((*name).to_owned(), text.join(" "));
                (true, "PREPARE")
            }
            ["PREPARE", ..] => (false, ""),
            ["EXECUTE", name] => {
                if let Some(text) = self.named.get(*name) {
                    row(out, text);
                }
                (self.named.contains_key(*name), "SELECT 1")
            }
            ["DEALLOCATE", "ALL"] => {
                self.named.clear();
                (true, "DEALLOCATE ALL")
            }
            ["DEALLOCATE", name] => (self.named.remove(*name).is_some(), "DEALLOCATE"),
            _ => return None,
        };
        if found {
            build::command_complete(out, tag);
        } else {
            let code = if words[0] == "PREPARE" { b"42P05" } else { b"26000" };
            Report::error(code, "a name").write(out);
        }
        Some(!found)
    }

    fn run_one(&mut self, text: &str, out: &mut Vec<u8>) -> bool {
        self.ran.push(text.to_owned());
        if self.before.is_none() {
            self.before = Some(self.parameters.clone());
            self.tables_before = self.tables;
        }
        if text.starts_with("/* pgweir: what is left") {
            return self.tell_what_is_left(out);
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        if let Some(failed) = self.run_setting(&words, out) {
            return failed;
        }
        if let Some(failed) = self.run_by_name(&words, out) {
            if failed && self.status == TransactionStatus::InTransaction {
                self.status = TransactionStatus::Failed;
            }
            return failed;
        }
        if text.contains("pg_prepared_statements") && self.status != TransactionStatus::Failed {
            let mut names: Vec<&str> = self.named.keys().map(String::as_str).collect();
            names.retain(|name| !name.starts_with("_pgweir"));
            names.sort_unstable();
            row(out, &names.join(" "));
            build::command_complete(out, "SELECT 1");
            return false;
        }
        let first = words.first().copied().unwrap_or_default().to_ascii_uppercase();
        let writes = matches!(first.as_str(), "INSERT" | "UPDATE" | "DELETE" | "CREATE");
        if self.node.is_some() && (writes || text.contains("writes_after_all")) {
            // As Postgres, the error comes after the description of the rows.
            out.extend_from_slice(&[b'T', 0, 0, 0, 6, 0, 0]);
            Report::error(b"25006", "cannot execute it in a read-only transaction").write(out);
            if self.status == TransactionStatus::InTransaction {
                self.status = TransactionStatus::Failed;
            }
            return true;
        }
        let ends = matches!(words[..], ["COMMIT" | "ROLLBACK"]);
        if self.status == TransactionStatus::Failed && !ends {
            Report::error(b"25P02", "aborted").write(out);
            return true;
        }
        match first.as_str() {
            "BEGIN" => self.status = TransactionStatus::InTransaction,
            "COMMIT" | "ROLLBACK" => {
                let failed = self.status == TransactionStatus::Failed;
                self.status = TransactionStatus::Idle;
                self.savepoints.clear();
                self.local.clear();
                let before = self.before.take();
                if first == "ROLLBACK" || failed {
                    self.parameters = before.unwrap_or_default();
                    self.tables = self.tables_before;
                    row(out, text);
                    build::command_complete(out, "ROLLBACK");
                    return false;
                }
            }
            "ERROR" => {
                self.fail(out);
                return true;
            }
            "COPY" => {
                self.copy_in = true;
                out.extend_from_slice(&[b'G', 0, 0, 0, 7, 0, 0, 0]);
                return false;
            }
            "DISCARD" if text == "DISCARD ALL" => {
                self.parameters = self.defaults.clone();
                self.listening.clear();
                self.named.clear();
                (self.locks, self.tables) = (0, 0);
            }
            "HOLDS" => row(out, &format!("{} locks, {} tables", self.locks, self.tables)),
            "LISTEN" => self.listening.push(words[1].to_owned()),
            "UNLISTEN" => self.listening.retain(|channel| words[1] != "*" && words[1] != channel),
            "SHOW" => {
                let name = text.split_whitespace().nth(1).unwrap_or_default();
                row(out, &self.parameter(name));
            }
            _ => {}
        }
        match text {
            "select pg_advisory_lock(1)" => self.locks += 1,
            "select pg_advisory_unlock(1)" => self.locks = self.locks.saturating_sub(1),
            "select pg_advisory_unlock_all()" => self.locks = 0,
            "create temp table t (a int)" => self.tables += 1,
            "drop table t" => self.tables = self.tables.saturating_sub(1),
            "DISCARD TEMP" => self.tables = 0,
            _ => {}
        }
        if text.contains("set_config") || text.starts_with("RESET") {
            if let Err(()) = self.configure(text, out) {
                self.fail(out);
                return true;
            }
        } else if first != "SHOW" {
            row(out, text);
        }
        build::command_complete(out, &first);
        false
    }

    /// Whether it failed.
    fn tell_what_is_left(&mut self, out: &mut Vec<u8>) -> bool {
        assert_eq!(self.status, TransactionStatus::Idle, "asked within a transaction");
        let known = [self.tables > 0, self.locks > 0, false];
        let Some(left) = self.left.map(|left| if self.knows { known } else { left }) else {
            self.fail(out);
            return true;
        };
        out.push(b'D');
        build::sized(out, |out| {
            out.extend_from_slice(&[0, 3]);
            for left in left {
                out.extend_from_slice(&[0, 0, 0, 1, if left { b't' } else { b'f' }]);
            }
        });
        build::command_complete(out, "SELECT 1");
        false
    }

    fn configure(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), ()> {
        if text.contains("RESET ALL;") {
            self.parameters = self.defaults.clone();
        }
        for part in text.split("RESET \"").skip(1) {
            let name = part.split("\";").next().expect("a name").replace("\".\"", ".");
            self.parameters.remove(&name);
            if let Some(value) = self.defaults.get(&name) {
                self.parameters.insert(name, value.clone());
            }
        }
        for part in text.split("set_config( E'").skip(1) {
            let mut words = part.split('\'');
            let name = words.next().expect("a name").to_owned();
            let value = words.nth(1).expect("a value").to_owned();
            let local = words.next().is_some_and(|rest| rest.starts_with(",true"));
            if name == "nonsense" {
                return Err(());
            }
            if name == "timezone" {
                build::parameter_status(out, b"TimeZone", value.as_bytes());
            }
            if name == "standard_conforming_strings" {
                build::parameter_status(out, name.as_bytes(), value.as_bytes());
            }
            if local {
                self.local.insert(name, value);
            } else {
                self.local.remove(&name);
                self.parameters.insert(name, value);
            }
        }
        Ok(())
    }

    /// What a parameter is now.
    pub(in crate::worker) fn parameter(&self, name: &str) -> String {
        self.local.get(name).or_else(|| self.parameters.get(name)).cloned().unwrap_or_default()
    }

    /// As Postgres, before it looks at the transaction.
    fn refuse_to_read(&mut self, out: &mut Vec<u8>) {
        Report::error(b"42601", "syntax error").write(out);
        if self.status == TransactionStatus::InTransaction {
            self.status = TransactionStatus::Failed;
        }
    }

    /// The message at the front ends with this error instead of being run.
    pub(in crate::worker) fn front_fails(&mut self, report: &Report, out: &mut Vec<u8>) {
        let len = self.front_len().expect("a whole message");
        let message: Vec<u8> = self.input.drain(..len).collect();
        report.write(out);
        if self.status == TransactionStatus::InTransaction {
            self.status = TransactionStatus::Failed;
        }
        if matches!(message[0], b'Q' | b'S') {
            build::ready_for_query(out, self.status);
        } else {
            self.skipping = true;
        }
    }

    fn fail(&mut self, out: &mut Vec<u8>) {
        Report::error(b"XX001", "failed").write(out);
        if self.status == TransactionStatus::InTransaction {
            self.status = TransactionStatus::Failed;
        }
    }
}

fn row(out: &mut Vec<u8>, text: &str) {
    out.push(b'D');
    build::sized(out, |out| {
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&u32::try_from(text.len()).expect("short").to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    });
}

/// What a literal says.
fn unquoted(literal: &str) -> String {
    let inside = literal.strip_prefix(" E'").and_then(|rest| rest.strip_suffix('\''));
    inside.expect("a literal").replace("''", "'").replace("\\\\", "\\")
}

/// The text up to a NUL, and what comes behind it.
fn split(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|&byte| byte == 0).expect("NUL");
    (std::str::from_utf8(&bytes[..end]).expect("text"), &bytes[end + 1..])
}
