//! Starts the pgweir binary with a configuration written for the test, and ends it again.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use pgweir::cluster::Port;
use pgweir::cluster::process::{Signal, bound_command, signal, spawn, wait_for_exit};

use super::raw::{Address, Login, RawClient};

/// What the test wants configured; ends with [`PgweirOptions::start`].
#[derive(Debug, Clone)]
#[must_use]
pub struct PgweirOptions {
    program: PathBuf,
    databases: Vec<(String, String)>,
    replicas: Vec<(String, String)>,
    roles: Vec<(String, String)>,
    sections: Vec<(String, Vec<String>)>,
    whole_config: Option<String>,
    environment: Vec<(String, String)>,
    open_files: Option<u32>,
}

/// The binary under test: `$PGWEIR_BIN`, else the one that cargo built for this test.
pub fn binary() -> PathBuf {
    std::env::var_os("PGWEIR_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_pgweir").into(), PathBuf::from)
}

impl PgweirOptions {
    /// A database with its primary's URL.
    pub fn database(mut self, name: &str, primary_url: &str) -> Self {
        self.databases.push((name.into(), primary_url.into()));
        self
    }

    /// A replica of a database named before.
    pub fn replica(mut self, database: &str, url: &str) -> Self {
        self.replicas.push((database.into(), url.into()));
        self
    }

    /// A role with its password.
    pub fn role(mut self, name: &str, password: &str) -> Self {
        self.roles.push((name.into(), password.into()));
        self
    }

    /// A line in any section: `set("defaults", "pool_size = 1")`, `set("roles.app", "…")`.
    pub fn set(mut self, section: &str, line: &str) -> Self {
        match self.sections.iter_mut().find(|(name, _)| name == section) {
            Some((_, lines)) => lines.push(line.into()),
            None => self.sections.push((section.into(), vec![line.into()])),
        }
        self
    }

    /// This text instead of a generated configuration. `{listen}` and `{http}` stand for the
    /// addresses that were chosen.
    pub fn whole_config(mut self, text: &str) -> Self {
        self.whole_config = Some(text.into());
        self
    }

    /// A variable of the process's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A limit on its open files.
    pub fn open_files(mut self, limit: u32) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Another program in pgweir's place, called in the same way.
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.into();
        self
    }

    /// Starts it and waits until it accepts connections; panics with its log when it does not.
    pub fn start(self) -> Pgweir {
        self.try_start().unwrap_or_else(|failed| panic!("{failed}"))
    }

    /// As [`PgweirOptions::start`], for tests of a failing start.
    pub fn try_start(self) -> Result<Pgweir, FailedStart> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (port, http_port) = (Port::reserve(), Port::reserve());
        let (port, http_port) = (port.expect("a free port"), http_port.expect("a free port"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("pgweir-it-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder for the configuration");
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        let config_path = folder.join("pgweir.toml");
        let mut pgweir = Pgweir {
            process: Process::Ended(None),
            log: Arc::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port.number())),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, http_port.number())),
            folder,
            config_path,
            options: self,
            _ports: [port, http_port],
        };
        pgweir.write_config();
        pgweir.launch()?;
        Ok(pgweir)
    }

    fn config_text(&self, listen: SocketAddr, http: SocketAddr) -> String {
        if let Some(text) = &self.whole_config {
            return text
                .replace("{listen}", &listen.to_string())
                .replace("{http}", &http.to_string());
        }
        let mut sections = vec![
            ("server".to_owned(), vec![format!("listen = [\"{listen}\"]")]),
            ("http".to_owned(), vec![format!("listen = \"{http}\"")]),
        ];
        for (name, url) in &self.databases {
            let mut lines = vec![format!("primary = {}", toml_string(url))];
            let of_this = self.replicas.iter().filter(|(database, _)| database == name);
            let replicas: Vec<String> = of_this.map(|(_, url)| toml_string(url)).collect();
            if !replicas.is_empty() {
                lines.push(format!("replicas = [{}]", replicas.join(", ")));
            }
            sections.push((format!("databases.{}", toml_key(name)), lines));
        }
        for (name, password) in &self.roles {
            let lines = vec![format!("password = {}", toml_string(password))];
            sections.push((format!("roles.{}", toml_key(name)), lines));
        }
        for (section, lines) in &self.sections {
            match sections.iter_mut().find(|(name, _)| name == section) {
                Some((_, known)) => known.extend(lines.iter().cloned()),
                None => sections.push((section.clone(), lines.clone())),
            }
        }
        if !sections.iter().any(|(_, lines)| lines.iter().any(|line| line.contains("guard"))) {
            // Everything is judged, and nothing of it shows.
            let observe = "guard = \"observe\"".to_owned();
            match sections.iter_mut().find(|(name, _)| name == "defaults") {
                Some((_, known)) => known.push(observe),
                None => sections.push(("defaults".to_owned(), vec![observe])),
            }
        }
        let mut text = String::from("config_version = 1\n");
        for (name, lines) in sections {
            let _ = write!(text, "\n[{name}]\n{}\n", lines.join("\n"));
        }
        text
    }
}

/// A start that did not end with an open port.
#[derive(Debug)]
pub struct FailedStart {
    /// How it ended; `None` when it ran but accepted nothing, and was killed.
    pub status: Option<ExitStatus>,
    /// What it wrote.
    pub log: String,
    /// Its configuration.
    pub config: String,
}

impl std::fmt::Display for FailedStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "pgweir ended with {status} before it accepted")?,
            None => write!(f, "pgweir ran but did not accept in time")?,
        }
        write!(f, ".\n--- its log:\n{}\n--- its configuration:\n{}", self.log, self.config)
    }
}

#[derive(Debug)]
enum Process {
    Running(Child),
    /// How it ended; `None` before the first start and after a kill.
    Ended(Option<ExitStatus>),
}

type Log = Arc<(Mutex<String>, Condvar)>;

/// A running pgweir; killed when dropped.
#[derive(Debug)]
pub struct Pgweir {
    process: Process,
    log: Log,
    listen: SocketAddr,
    http: SocketAddr,
    folder: PathBuf,
    config_path: PathBuf,
    options: PgweirOptions,
    _ports: [Port; 2],
}

impl Pgweir {
    /// What it should be configured as.
    pub fn options() -> PgweirOptions {
        PgweirOptions {
            program: binary(),
            databases: Vec::new(),
            replicas: Vec::new(),
            roles: Vec::new(),
            sections: Vec::new(),
            whole_config: None,
            environment: Vec::new(),
            open_files: None,
        }
    }

    /// Where applications connect.
    pub fn address(&self) -> Address {
        self.listen.into()
    }

    /// The TCP address of [`Pgweir::address`].
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Metrics, probes, state.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The pid of the running process.
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Running(child) => child.id(),
            Process::Ended(_) => panic!("pgweir is not running"),
        }
    }

    /// A logged-in client.
    pub fn client(&self, login: &Login) -> RawClient {
        RawClient::login(&self.address(), login)
    }

    /// Everything it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.log.0.lock().expect("the log").clone()
    }

    /// Waits until a line of the log contains `words`, and gives that line.
    pub fn wait_for_log(&self, words: &str, limit: Duration) -> String {
        let end = Instant::now() + limit;
        let (text, arrived) = &*self.log;
        let mut log = text.lock().expect("the log");
        loop {
            if let Some(line) = log.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {words:?} in pgweir's log:\n{log}");
            log = arrived.wait_timeout(log, left).expect("the log").0;
        }
    }

    /// The configuration file.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// Changes the options and writes the file again; sends nothing.
    pub fn rewrite_config(&mut self, change: impl FnOnce(PgweirOptions) -> PgweirOptions) {
        self.options = change(self.options.clone());
        self.write_config();
    }

    /// Sends a signal, such as `Signal::Hup` to reload.
    pub fn signal(&self, what: Signal) {
        signal(self.pid(), what).expect("pgweir runs");
    }

    /// SIGTERM, then waits for the end; panics when it takes longer than `limit`.
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::Term);
        self.wait_for_end(limit)
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let Process::Running(child) = &mut self.process else { panic!("pgweir is not running") };
        let status = wait_for_exit(child, limit).expect("waiting for pgweir");
        let Some(status) = status else {
            panic!("pgweir still runs after {limit:?}. Its log:\n{}", self.log())
        };
        self.process = Process::Ended(Some(status));
        status
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Process::Running(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.process = Process::Ended(None);
    }

    /// Starts it again after [`Pgweir::stop`] or [`Pgweir::kill`], on the same ports.
    pub fn start_again(&mut self) {
        assert!(matches!(self.process, Process::Ended(_)), "pgweir still runs");
        self.launch().unwrap_or_else(|failed| panic!("{failed}"));
    }

    fn write_config(&self) {
        let text = self.options.config_text(self.listen, self.http);
        // Renamed into place, as a careful operator does: no reader sees half a file.
        let fresh = self.config_path.with_extension("new");
        fs::write(&fresh, text).expect("writing the configuration");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).expect("its mode");
        fs::rename(&fresh, &self.config_path).expect("renaming the configuration");
    }

    fn launch(&mut self) -> Result<(), FailedStart> {
        let options = &self.options;
        let mut command = match options.open_files {
            None => bound_command(&options.program, None, Signal::Kill),
            Some(limit) => {
                let mut limited = bound_command(Path::new("prlimit"), None, Signal::Kill);
                limited.arg(format!("--nofile={limit}:{limit}")).arg(&options.program);
                limited
            }
        };
        command.args(["run", "-c"]).arg(&self.config_path);
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(command)
            .unwrap_or_else(|error| panic!("starting {}: {error}", options.program.display()));
        let reader = collect(child.stderr.take().expect("a piped stderr"), self.log.clone());
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if TcpStream::connect(self.listen).is_ok() && self.has_unix_socket() {
                self.process = Process::Running(child);
                return Ok(());
            }
            let ended = child.try_wait().expect("looking at pgweir");
            if ended.is_some() || Instant::now() >= end {
                let _ = child.kill();
                let _ = child.wait();
                reader.join().expect("the log's reader");
                let config = fs::read_to_string(&self.config_path).unwrap_or_default();
                return Err(FailedStart { status: ended, log: self.log(), config });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Pgweir {
    /// Whether the Unix socket that the options ask for takes connections: it is opened after the
    /// port.
    fn has_unix_socket(&self) -> bool {
        let of_server = self.options.sections.iter().filter(|(section, _)| section == "server");
        let mut lines = of_server.flat_map(|(_, lines)| lines).flat_map(|lines| lines.lines());
        let folder =
            lines.find_map(|line| line.strip_prefix("unix_socket = \"")?.strip_suffix('"'));
        let name = format!(".s.PGSQL.{}", self.listen.port());
        folder.is_none_or(|folder| UnixStream::connect(Path::new(folder).join(name)).is_ok())
    }
}

impl Drop for Pgweir {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- pgweir's log:\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn collect(stderr: std::process::ChildStderr, log: Log) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            log.0.lock().expect("the log").push_str(&String::from_utf8_lossy(&line));
            log.1.notify_all();
            line.clear();
        }
    })
}

/// A basic string of TOML, in which a dollar sign is no reference to the environment.
pub fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '$' => quoted.push_str("$$"),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

fn toml_key(name: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { toml_string(name) }
}
