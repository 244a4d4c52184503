//! One Postgres server of a cluster: starting, stopping, stunning and asking it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::binaries::Binaries;
use super::error::{ClusterError, Doing};
use super::port::Port;
use super::process::{Account, Signal, bound_command, children_of, signal, spawn, wait_for_exit};
use super::sql::{Row, SqlConnection};
use super::template::clean_environment;

/// How long a server may take to start or to stop before that counts as a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Waits until every client has left.
    Smart,
    /// Cuts its clients (57P01) and writes a checkpoint.
    Fast,
    /// Ends at once, as after a crash.
    Immediate,
}

/// One server. All its methods take `&self`, so that a test may stop it from another thread.
#[derive(Debug)]
pub struct Node {
    pub(super) binaries: Binaries,
    pub(super) folder: PathBuf,
    pub(super) port: Port,
    pub(super) child: Mutex<Option<Child>>,
}

impl Node {
    pub(super) fn new(binaries: Binaries, folder: PathBuf) -> Result<Self, ClusterError> {
        Ok(Self { binaries, folder, port: Port::reserve()?, child: Mutex::new(None) })
    }

    /// Starts the server and waits until it accepts connections. Nothing happens when it runs.
    pub fn start(&self) -> Result<(), ClusterError> {
        let mut child = self.child();
        if let Some(running) = child.as_mut()
            && running.try_wait().doing(|| "looking at Postgres".into())?.is_none()
        {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .doing(|| format!("opening {}", self.log_path().display()))?;
        let program = self.binaries.program("postgres");
        // Quit, not kill: Postgres then also ends its busy backends and frees its shared memory.
        let mut command = bound_command(&program, Account::for_postgres(), Signal::Quit);
        command.arg("-D").arg(self.data_folder()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log);
        clean_environment(&mut command, &self.data_folder());
        let started = spawn(command).doing(|| format!("starting {}", program.display()))?;
        let pid = started.id();
        let started = child.insert(started);
        let end = Instant::now() + PATIENCE;
        while !self.says_ready(pid) {
            let ended = started.try_wait().doing(|| "waiting for Postgres".into())?;
            if ended.is_some() || Instant::now() >= end {
                return Err(self.not_ready("a server that accepts connections"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Stops the server and waits until its process is gone. A server that does not stop in a
    /// minute is killed and reported.
    pub fn stop(&self, how: Shutdown) -> Result<(), ClusterError> {
        let mut guard = self.child();
        let Some(child) = guard.as_mut() else { return Ok(()) };
        let asked = match how {
            Shutdown::Smart => Signal::Term,
            Shutdown::Fast => Signal::Int,
            Shutdown::Immediate => Signal::Quit,
        };
        if child.try_wait().doing(|| "looking at Postgres".into())?.is_none() {
            // It may have ended between the look and the signal; the wait below tells.
            let _ = signal(child.id(), asked);
        }
        if wait_for_exit(child, PATIENCE).doing(|| "waiting for Postgres".into())?.is_none() {
            self.kill_family(child);
            *guard = None;
            return Err(self.not_ready("the end of the server"));
        }
        *guard = None;
        Ok(())
    }

    /// Stops (fast) and starts again, on the same port.
    pub fn restart(&self) -> Result<(), ClusterError> {
        self.stop(Shutdown::Fast)?;
        self.start()
    }

    /// `kill -9` of the server and all its backends, as when the machine loses power.
    pub fn kill(&self) {
        let mut guard = self.child();
        if let Some(child) = guard.as_mut() {
            self.kill_family(child);
        }
        *guard = None;
    }

    fn kill_family(&self, postmaster: &mut Child) {
        // The postmaster first, so that it starts no new backend; whoever is left is an orphan.
        let family = children_of(postmaster.id());
        let _ = postmaster.kill();
        for pid in &family {
            let _ = signal(*pid, Signal::Kill);
        }
        let _ = postmaster.wait();
        let end = Instant::now() + Duration::from_secs(10);
        while family.iter().any(|pid| is_alive(*pid)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        remove_shared_memory(&self.data_folder());
    }

    /// Stops the whole server in its tracks: sockets stay open and are accepted by the system,
    /// nothing answers. See [`Node::resume`].
    pub fn pause(&self) -> Result<(), ClusterError> {
        self.to_postmaster(Signal::Stop)?;
        for pid in self.backends() {
            let _ = signal(pid, Signal::Stop);
        }
        Ok(())
    }

    /// Stops the postmaster only: open sessions go on, new ones hang.
    pub fn pause_postmaster(&self) -> Result<(), ClusterError> {
        self.to_postmaster(Signal::Stop)
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<(), ClusterError> {
        for pid in self.backends() {
            let _ = signal(pid, Signal::Cont);
        }
        self.to_postmaster(Signal::Cont)
    }

    /// Sends a signal to one process, such as a backend found in `pg_stat_activity`.
    pub fn signal_backend(&self, pid: u32, what: Signal) -> Result<(), ClusterError> {
        signal(pid, what).doing(|| format!("signalling backend {pid}"))
    }

    /// Makes a replica a primary and waits until it is one.
    pub fn promote(&self) -> Result<(), ClusterError> {
        let promoted = self.sql("postgres", "SELECT pg_promote(true, 60)")?;
        if promoted == [[Some("t".to_owned())]] {
            return Ok(());
        }
        Err(self.not_ready("the promotion"))
    }

    /// Makes it a streaming replica of another server that it has its data from, or whose data it has up to its own end:
    /// from its next start on, or where it is a replica already, after [`Node::reload`].
    pub fn follow(&self, primary: &Node) -> Result<(), ClusterError> {
        let signal = self.data_folder().join("standby.signal");
        if !signal.exists() {
            super::folders::write_private(&signal, "", Account::for_postgres())?;
        }
        let name = self.folder.file_name().map(|name| name.to_string_lossy().into_owned());
        self.add_conf(&format!(
            "primary_conninfo = 'host={} port={} user=postgres application_name={}'",
            primary.socket_folder().display(),
            primary.port(),
            name.unwrap_or_default()
        ))
    }

    /// Reads the configuration files again.
    pub fn reload(&self) -> Result<(), ClusterError> {
        self.sql("postgres", "SELECT pg_reload_conf()").map(drop)
    }

    /// Adds a line to `postgresql.conf`; it counts after [`Node::reload`] or a restart.
    pub fn add_conf(&self, line: &str) -> Result<(), ClusterError> {
        self.append("postgresql.conf", line)
    }

    /// Replaces `pg_hba.conf`; it counts after [`Node::reload`]. The line that lets the cluster
    /// itself in stays first.
    pub fn replace_hba(&self, lines: &[&str]) -> Result<(), ClusterError> {
        let path = self.data_folder().join("pg_hba.conf");
        let mut text = String::from("local all,replication postgres trust\n");
        text.extend(lines.iter().flat_map(|line| [*line, "\n"]));
        fs::write(&path, text).doing(|| format!("writing {}", path.display()))
    }

    /// Runs SQL as superuser on a connection of its own, over the Unix socket.
    pub fn sql(&self, database: &str, statement: &str) -> Result<Vec<Row>, ClusterError> {
        self.open_sql(database)?.run(statement)
    }

    /// A superuser connection that stays open.
    pub fn open_sql(&self, database: &str) -> Result<SqlConnection, ClusterError> {
        SqlConnection::open(&self.socket_path(), database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where it listens for TCP.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()))
    }

    /// The folder of its Unix socket, as libpq's `host`.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The Unix socket itself.
    pub fn socket_path(&self) -> PathBuf {
        self.socket_folder().join(format!(".s.PGSQL.{}", self.port()))
    }

    /// The data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A connection URL over TCP for role `postgres`, without a password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// The installation that it runs from.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The postmaster's pid; `None` when it was stopped.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Where the log is written.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn append(&self, file: &str, line: &str) -> Result<(), ClusterError> {
        let path = self.data_folder().join(file);
        let mut text = fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?;
        text.push_str(line);
        text.push('\n');
        // Written in place: the file keeps its owner and mode.
        fs::write(&path, text).doing(|| format!("writing {}", path.display()))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to_postmaster(&self, what: Signal) -> Result<(), ClusterError> {
        let pid = self.pid().ok_or_else(|| self.not_ready("a running server"))?;
        signal(pid, what).doing(|| format!("sending {} to Postgres", what.name()))
    }

    fn backends(&self) -> Vec<u32> {
        self.pid().map(children_of).unwrap_or_default()
    }

    /// Postgres writes its state into the eighth line of its pid file: `ready` once it takes
    /// connections, reads on a replica included (`AddToDataDirLockFile`, `PM_STATUS_READY`).
    fn says_ready(&self, pid: u32) -> bool {
        let file = self.data_folder().join("postmaster.pid");
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(pid.to_string().as_str())
            && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn not_ready(&self, awaited: &str) -> ClusterError {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        ClusterError::NotReady { awaited: awaited.to_owned(), log: tail }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut guard = self.child();
        let Some(child) = guard.as_mut() else { return };
        let pid = child.id();
        for backend in children_of(pid) {
            let _ = signal(backend, Signal::Cont);
        }
        let _ = signal(pid, Signal::Cont);
        let _ = signal(pid, Signal::Quit);
        if !matches!(wait_for_exit(child, Duration::from_secs(10)), Ok(Some(_))) {
            self.kill_family(child);
        }
    }
}

/// Removes the small segment of System V shared memory that a killed server leaves behind; its id
/// stands in the pid file (`AddToDataDirLockFile`, `LOCK_FILE_LINE_SHMEM_KEY`).
pub(super) fn remove_shared_memory(data_folder: &Path) {
    let text = fs::read_to_string(data_folder.join("postmaster.pid")).unwrap_or_default();
    let id = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    if let Some(id) = id.filter(|id| id.parse::<u32>().is_ok()) {
        // Without ipcrm, or when somebody removed it before, 56 bytes are all there is to lose.
        let _ = Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status();
    }
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended: its parent, init, merely has not looked yet.
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}
