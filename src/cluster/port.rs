//! Free loopback ports that stay ours.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use super::error::{ClusterError, Doing};
use super::folders;

/// Below the range from which Linux takes ports for outgoing connections (32768 and up), so that
/// no client of a busy test sits on the port of a server that is being restarted.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_700;

/// A TCP port on 127.0.0.1 that no other process of ours takes while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    // The lock on this file is the reservation; it ends with the file's descriptor.
    _reservation: File,
}

impl Port {
    /// Reserves a port to which nobody is bound now. Nothing listens on it yet.
    pub fn reserve() -> Result<Self, ClusterError> {
        let folder = folders::base()?.join("ports");
        fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
        let start = RandomState::new().hash_one(0_u8);
        let count = u64::from(LAST - FIRST);
        for step in 0..count {
            let offset = u16::try_from((start.wrapping_add(step)) % count).unwrap_or(0);
            let number = FIRST + offset;
            let path = folder.join(number.to_string());
            let file =
                File::create(&path).doing(|| format!("reserving a port in {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(source)) => {
                    return Err(ClusterError::Io { doing: "locking a port".into(), source });
                }
            }
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _reservation: file });
            }
        }
        Err(ClusterError::NotReady {
            awaited: format!("a free port between {FIRST} and {LAST}"),
            log: String::new(),
        })
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
