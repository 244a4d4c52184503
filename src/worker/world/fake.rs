//! A small Postgres on one connection of the world.

use std::collections::HashMap;

use crate::pool::PoolSpec;
use crate::wire::frame::HEADER_LEN;
use crate::wire::{Report, TransactionStatus, build};

/// A small Postgres on one connection.
#[derive(Debug)]
pub(in crate::worker) struct FakeServer {
    pub(super) pipe: usize,
    /// Whose it is.
    pub(in crate::worker) database: String,
    pub(in crate::worker) role: String,
    pub(super) input: Vec<u8>,
    pub(in crate::worker) status: TransactionStatus,
    pub(super) unnamed: Option<Vec<u8>>,
    portal: Option<Vec<u8>>,
    skipping: bool,
    copy_in: bool,
    pub(in crate::worker) parameters: HashMap<String, String>,
    /// Statements as they were run.
    pub(in crate::worker) ran: Vec<String>,
    /// Answers are held back.
    pub(in crate::worker) silent: bool,
    /// Nothing is taken from its connection.
    pub(in crate::worker) deaf: bool,
    pub(in crate::worker) terminated: bool,
}

impl FakeServer {
    pub(super) fn new(pipe: usize, spec: &PoolSpec) -> Self {
        FakeServer {
            pipe,
            database: spec.database.clone(),
            role: spec.role.clone(),
            input: Vec::new(),
            status: TransactionStatus::Idle,
            unnamed: None,
            portal: None,
            skipping: false,
            copy_in: false,
            parameters: HashMap::new(),
            ran: Vec::new(),
            silent: false,
            deaf: false,
            terminated: false,
        }
    }

    /// Bytes of the message at the front, if it is there whole.
    pub(super) fn front_len(&self) -> Option<usize> {
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
                let text = String::from_utf8(body[..body.len() - 1].to_vec()).expect("text");
                self.run(&text, out);
                if !self.copy_in {
                    build::ready_for_query(out, self.status);
                }
            }
            b'P' => {
                assert_eq!(body[0], 0, "unnamed statements only");
                self.unnamed = None;
                let end = body[1..].iter().position(|&b| b == 0).expect("NUL") + 1;
                if body[1..end].starts_with(b"bad") {
                    self.fail(out);
                    self.skipping = true;
                } else {
                    self.unnamed = Some(body[1..end].to_vec());
                    build::empty(out, b'1');
                }
            }
            b'B' => match &self.unnamed {
                Some(text) => {
                    self.portal = Some(text.clone());
                    build::empty(out, b'2');
                }
                None => {
                    self.fail(out);
                    self.skipping = true;
                }
            },
            b'D' => build::empty(out, b'n'),
            b'E' => match self.portal.clone() {
                Some(text) if body[0] == 0 => {
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
                self.unnamed = None;
                build::empty(out, b'3');
            }
            b'S' => {
                self.skipping = false;
                self.portal = None;
                build::ready_for_query(out, self.status);
            }
            b'H' | b'c' | b'd' | b'f' => {}
            b'X' => self.terminated = true,
            other => panic!("the loop sent {}", char::from(other)),
        }
    }

    /// Whether it failed.
    fn run(&mut self, text: &str, out: &mut Vec<u8>) -> bool {
        self.ran.push(text.to_owned());
        let first = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let ends = matches!(first.as_str(), "COMMIT" | "ROLLBACK");
        if self.status == TransactionStatus::Failed && !ends {
            Report::error(b"25P02", "aborted").write(out);
            return true;
        }
        match first.as_str() {
            "BEGIN" => self.status = TransactionStatus::InTransaction,
            "COMMIT" | "ROLLBACK" => self.status = TransactionStatus::Idle,
            "ERROR" => {
                self.fail(out);
                return true;
            }
            "COPY" => {
                self.copy_in = true;
                out.extend_from_slice(&[b'G', 0, 0, 0, 7, 0, 0, 0]);
                return false;
            }
            "DISCARD" => self.parameters.clear(),
            "SHOW" => {
                let value =
                    text.split_whitespace().nth(1).and_then(|name| self.parameters.get(name));
                row(out, value.map_or("", String::as_str));
            }
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

    fn configure(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), ()> {
        for part in text.split("RESET \"").skip(1) {
            self.parameters.remove(part.split('"').next().expect("a name"));
        }
        for part in text.split("set_config( E'").skip(1) {
            let mut words = part.split('\'');
            let name = words.next().expect("a name").to_owned();
            let value = words.nth(1).expect("a value").to_owned();
            if name == "nonsense" {
                return Err(());
            }
            if name == "timezone" {
                build::parameter_status(out, b"TimeZone", value.as_bytes());
            }
            self.parameters.insert(name, value);
        }
        Ok(())
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
