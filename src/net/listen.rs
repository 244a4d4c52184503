//! Listening sockets.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Type};
use tokio::net::{TcpListener, UnixListener};

use super::options::set_tcp_options;
use super::socket::{Peer, Stream};

/// Connections that may wait to be accepted; the system lowers it to its own limit (somaxconn).
const BACKLOG: i32 = 4_096;

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    place: String,
    source: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.place, self.source)
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A socket that clients connect to. A Unix socket's file goes when this is dropped.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket and its file.
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Listens on a TCP address; an IPv6 one takes no IPv4 connections, so that `0.0.0.0` and
    /// `[::]` can stand side by side. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        let listen = || {
            let socket = socket2::Socket::new(
                Domain::for_address(address),
                Type::STREAM.nonblocking(),
                Some(Protocol::TCP),
            )?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // Connections of an earlier process in TIME_WAIT do not keep the port; a process
            // that listens on it does.
            socket.set_reuse_address(true)?;
            socket.bind(&SockAddr::from(address))?;
            // For all its connections at once: by the connection it would take six system calls.
            set_tcp_options(&socket)?;
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into())
        };
        listen()
            .map(Listener::Tcp)
            .map_err(|source| ListenError { place: address.to_string(), source })
    }

    /// Listens on `.s.PGSQL.PORT` in `directory`. The file of a process that is gone is replaced.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Somebody listens there, or the directory cannot be written to.
    pub fn unix(directory: &Path, port: u16) -> Result<Self, ListenError> {
        let path = directory.join(format!(".s.PGSQL.{port}"));
        let listen = || {
            remove_stale(&path)?;
            let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
            socket.bind(&SockAddr::unix(&path)?)?;
            let file = SocketFile::of(&path)?;
            // Everybody may connect: authentication is what keeps strangers out, as in Postgres.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
            socket.listen(BACKLOG)?;
            Ok(Listener::Unix(UnixListener::from_std(socket.into())?, file))
        };
        listen().map_err(|source| ListenError { place: path.display().to_string(), source })
    }

    /// The next connection, with the socket options of the listener.
    ///
    /// Cancel safe: a connection is either returned or still waiting.
    ///
    /// # Errors
    /// Those of the system: some concern one connection only, some (EMFILE) the process.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
                Ok((Stream::Unix(stream), Peer::Unix { uid }))
            }
        }
    }

    /// The TCP address listened on, where port 0 has become a real one.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("TCP"),
            },
            Listener::Unix(_, file) => file.path.display().fmt(f),
        }
    }
}

/// Removes the file of a Unix socket on which nobody listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is in the way",
            ));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

/// The file of a Unix socket of ours; removed on drop unless somebody else's stands there by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_path_buf(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("pgweir-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[tokio::test]
    async fn ipv4_and_ipv6_share_a_port_and_a_busy_one_is_refused() {
        let v4 = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = v4.tcp_address().unwrap().port();
        let busy = Listener::tcp(SocketAddr::from(([127, 0, 0, 1], port))).unwrap_err();
        assert!(busy.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")));
        // Not every machine has IPv6.
        if let Ok(v6) = Listener::tcp(format!("[::]:{port}").parse().unwrap()) {
            assert_eq!(v6.tcp_address().unwrap().port(), port);
        }
    }

    #[tokio::test]
    async fn connections_have_the_options_of_their_listener() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.tcp_address().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (Stream::Tcp(accepted), _) = listener.accept().await.unwrap() else { panic!("TCP") };
        let options = |socket: &tokio::net::TcpStream| {
            let socket = socket2::SockRef::from(socket);
            (
                socket.tcp_nodelay().unwrap(),
                socket.keepalive().unwrap(),
                socket.tcp_keepalive_time().unwrap(),
                socket.tcp_keepalive_interval().unwrap(),
                socket.tcp_keepalive_retries().unwrap(),
                socket.tcp_user_timeout().unwrap(),
            )
        };
        assert!(!options(&client).0);
        set_tcp_options(&client).unwrap();
        assert_eq!(options(&accepted), options(&client));
        assert!(options(&accepted).0 && options(&accepted).1);
    }

    #[tokio::test]
    async fn only_the_socket_file_of_the_gone_is_replaced() {
        let directory = empty_directory("listen");
        let path = directory.join(".s.PGSQL.6432");
        let first = Listener::unix(&directory, 6432).unwrap();
        let busy = Listener::unix(&directory, 6432).unwrap_err();
        assert_eq!(busy.source.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists());
        // A process that was killed leaves its file.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Listener::unix(&directory, 6432).unwrap();
        assert!(path.exists());
        drop(second);
        std::fs::write(&path, "not a socket").unwrap();
        let in_the_way = Listener::unix(&directory, 6432).unwrap_err();
        assert!(in_the_way.to_string().contains("no socket is in the way"), "{in_the_way}");
        assert!(path.exists());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_longer_ours_stays() {
        let directory = empty_directory("listen-ours");
        let path = directory.join(".s.PGSQL.6433");
        let ours = Listener::unix(&directory, 6433).unwrap();
        std::fs::remove_file(&path).unwrap();
        let theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
