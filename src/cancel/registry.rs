//! Which client a cancel key belongs to.
//!
//! Keys are pgweir's own, from the system's random source, never the server's; a key dies with its
//! client.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::dial::{Account, ServerAddress, ServerTls};
use crate::ids::ClientId;

/// Bytes of a secret on protocol 3.2 and newer; 3.0 has room for four.
pub const LONG_SECRET: usize = 32;

#[derive(Debug)]
struct Entry {
    secret: [u8; LONG_SECRET],
    secret_len: u8,
    home: u16,
    client: Option<ClientId>,
}

/// Bytes that one key takes.
pub const ENTRY_LEN: usize = size_of::<Entry>() + size_of::<i32>();

/// The keys of all clients of this process.
#[derive(Debug, Default)]
pub struct CancelRegistry {
    keys: DashMap<i32, Entry>,
}

impl CancelRegistry {
    /// Draws a key for a client that will live on loop `home`.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn register(
        self: &Arc<Self>,
        home: u16,
        secret_len: usize,
    ) -> std::io::Result<Registration> {
        let mut secret = [0; LONG_SECRET];
        let secret_len = secret_len.clamp(4, LONG_SECRET);
        let random = |bytes: &mut [u8]| {
            aws_lc_rs::rand::fill(bytes).map_err(|_| std::io::Error::other("no random bytes"))
        };
        random(&mut secret[..secret_len])?;
        loop {
            let mut pid = [0; 4];
            random(&mut pid)?;
            // Positive, as process ids are: drivers print it.
            let pid = i32::from_be_bytes(pid) & i32::MAX;
            if pid == 0 {
                continue;
            }
            if let dashmap::Entry::Vacant(place) = self.keys.entry(pid) {
                let secret_len = u8::try_from(secret_len).expect("clamped to 32");
                place.insert(Entry { secret, secret_len, home, client: None });
                return Ok(Registration { registry: self.clone(), pid });
            }
        }
    }

    /// The loop and the client that a key belongs to. Compares in constant time.
    #[must_use]
    pub fn find(&self, pid: i32, secret: &[u8]) -> Option<(u16, ClientId)> {
        let entry = self.keys.get(&pid)?;
        let known = &entry.secret[..usize::from(entry.secret_len)];
        let equal = aws_lc_rs::constant_time::verify_slices_are_equal(known, secret).is_ok();
        entry.client.filter(|_| equal).map(|client| (entry.home, client))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A client's key. Dropping it makes the key unknown.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<CancelRegistry>,
    pid: i32,
}

impl Registration {
    /// The process id that the client is told.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Calls `read` with the secret that the client is told.
    pub fn with_secret<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        match self.registry.keys.get(&self.pid) {
            Some(entry) => read(&entry.secret[..usize::from(entry.secret_len)]),
            None => read(&[]),
        }
    }

    /// From now on the key reaches `client`.
    pub fn bind(&self, client: ClientId) {
        if let Some(mut entry) = self.registry.keys.get_mut(&self.pid) {
            entry.client = Some(client);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.keys.remove(&self.pid);
    }
}

/// Where a server's statements are cancelled: the very address that was dialled, its TLS
/// settings, and the key that the server gave. Questions about its process go the same way.
#[derive(Clone)]
pub struct CancelTarget {
    /// The address that was dialled, not the name: after a failover the name may lead elsewhere.
    pub address: ServerAddress,
    /// TLS, exactly as the server's own connection has it.
    pub tls: Option<ServerTls>,
    /// Process id from BackendKeyData.
    pub pid: i32,
    /// Secret from BackendKeyData.
    pub secret: Vec<u8>,
    /// A moment when that process was there: who has its number and is younger is another one.
    pub since: Instant,
    /// Who the server was logged in as. Nobody else sees all of its process, or may end it.
    pub account: Account,
}

impl std::fmt::Debug for CancelTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelTarget")
            .field("address", &self.address)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ids::Key;

    impl CancelRegistry {
        /// The client of a process id, whatever the secret.
        pub(crate) fn find_pid(&self, pid: i32) -> Option<ClientId> {
            self.keys.get(&pid).and_then(|entry| entry.client)
        }
    }

    /// Some target; nothing is listening there.
    pub(crate) fn any_target() -> CancelTarget {
        let address = ServerAddress::Unix("/nowhere".into());
        let (since, account) = (Instant::now(), Account::any());
        CancelTarget { address, tls: None, pid: 1, secret: vec![1; 4], since, account }
    }

    #[test]
    fn a_key_reaches_its_client_until_the_client_goes() {
        let registry = Arc::new(CancelRegistry::default());
        let registration = registry.register(3, 4).unwrap();
        let pid = registration.pid();
        let secret = registration.with_secret(<[u8]>::to_vec);
        assert_eq!(secret.len(), 4);
        assert_eq!(registry.find(pid, &secret), None);
        let client = ClientId(Key { index: 1, generation: 1 });
        registration.bind(client);
        assert_eq!(registry.find(pid, &secret), Some((3, client)));
        assert_eq!(registry.find(pid, &secret[..3]), None);
        assert_eq!(registry.find(pid, b"xxxx"), None);
        drop(registration);
        assert!(registry.is_empty());
        assert_eq!(registry.find(pid, &secret), None);
        assert_eq!(
            registry.register(0, LONG_SECRET).unwrap().with_secret(<[u8]>::len),
            LONG_SECRET
        );
    }
}
