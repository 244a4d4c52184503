//! Hides what may differ between two runs of one script by right.
//!
//! Masked: keys and pids (one's own is told from others'), oids of objects that users made, the
//! place in Postgres' sources that raised an error, numbers of temporary schemas. Everything else
//! must be equal, byte for byte.

use crate::harness::frame::{Frame, error_fields, render};

/// The first oid that a user's object gets (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16_384;

/// One line for a frame, with everything masked.
pub fn masked_line(frame: &Frame, own_pid: Option<u32>) -> String {
    let mut frame = frame.clone();
    match frame.tag {
        b'K' => return "BackendKeyData".into(),
        b'T' => mask_row_description(&mut frame.body),
        b't' => {
            for oid in frame.body.get_mut(2..).unwrap_or_default().as_chunks_mut::<4>().0 {
                mask_oid(oid);
            }
        }
        b'E' | b'N' => frame.body = without_source(&frame.body),
        b'A' => {
            if let Some((pid, _)) = frame.body.split_first_chunk_mut::<4>() {
                let own = Some(u32::from_be_bytes(*pid)) == own_pid;
                *pid = u32::from(own).to_be_bytes();
            }
        }
        _ => {}
    }
    without_temporary_numbers(&render(&frame))
}

fn mask_oid(oid: &mut [u8; 4]) {
    if u32::from_be_bytes(*oid) >= FIRST_USER_OID {
        *oid = FIRST_USER_OID.to_be_bytes();
    }
}

fn mask_row_description(body: &mut [u8]) {
    let mut at = 2;
    while let Some(end) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
        let fixed = at + end + 1;
        for start in [fixed, fixed + 6] {
            if let Some(oid) = body.get_mut(start..).and_then(|rest| rest.first_chunk_mut()) {
                mask_oid(oid);
            }
        }
        at = fixed + 18;
    }
}

/// Without file, line and routine: who refuses a broken message need not be Postgres.
fn without_source(body: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for (letter, value) in error_fields(body).filter(|(letter, _)| !b"FLR".contains(letter)) {
        kept.push(letter);
        kept.extend_from_slice(value);
        kept.push(0);
    }
    kept.push(0);
    kept
}

fn without_temporary_numbers(line: &str) -> String {
    let mut parts = line.split("pg_temp_");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("pg_temp_");
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        masked.push_str(if digits > 0 { "N" } else { "" });
        masked.push_str(&part[digits..]);
    }
    masked
}
