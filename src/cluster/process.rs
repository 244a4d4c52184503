//! Child processes that do not outlive this one, and the user that Postgres runs as.
//!
//! Linux sends a child its parent-death signal when the *thread* that started it ends, and a
//! test's thread ends with its test. So one thread, which lives as long as the process, starts
//! every child.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// A signal that the harness sends, or that a child gets when we die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks a program to end; Postgres waits for its clients.
    Term,
    /// Postgres: ends now, its clients are cut.
    Int,
    /// Postgres: ends at once, without a checkpoint, and removes its shared memory.
    Quit,
    /// Reload, by convention.
    Hup,
    /// Cannot be refused.
    Kill,
    /// Stands still: sockets stay open, nothing answers.
    Stop,
    /// Goes on after `Stop`.
    Cont,
    /// User signal 1.
    Usr1,
    /// User signal 2.
    Usr2,
}

impl Signal {
    /// The name that `kill -s` and `setpriv --pdeathsig` take.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Hup => "HUP",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }
}

/// The account that a child runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Account {
    /// The account for Postgres, which refuses to run as root: `postgres` where it exists, else
    /// `nobody`. `None` when we are not root: Postgres then runs as ourselves.
    pub fn for_postgres() -> Option<Self> {
        static CHOSEN: OnceLock<Option<Account>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            if own_uid() != 0 {
                return None;
            }
            let passwords = fs::read_to_string("/etc/passwd").unwrap_or_default();
            account_named(&passwords, "postgres")
                .or_else(|| account_named(&passwords, "nobody"))
                .or(Some(Account { uid: 65534, gid: 65534 }))
        })
    }
}

/// Our effective user id.
pub(super) fn own_uid() -> u32 {
    static UID: OnceLock<u32> = OnceLock::new();
    *UID.get_or_init(|| {
        let output = Command::new("id").arg("-u").output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        // An unknown user is taken for an ordinary one: Postgres itself then refuses root.
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u32::MAX)
    })
}

/// Finds `name:x:uid:gid:…` in a password file.
pub(super) fn account_named(passwords: &str, name: &str) -> Option<Account> {
    passwords.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

/// A command for `program` that gets `at_our_end` when this process dies, as `account` when one
/// is given. Start it with [`spawn`]. Without `setpriv` (util-linux) the child still runs, but only `Drop`
/// ends it.
pub fn bound_command(program: &Path, account: Option<Account>, at_our_end: Signal) -> Command {
    let Some(setpriv) = setpriv() else {
        let mut command = Command::new(program);
        if let Some(account) = account {
            use std::os::unix::process::CommandExt;
            command.uid(account.uid).gid(account.gid);
        }
        return command;
    };
    let mut command = Command::new(setpriv);
    command.arg("--pdeathsig").arg(at_our_end.name());
    if let Some(account) = account {
        command.arg(format!("--reuid={}", account.uid));
        command.arg(format!("--regid={}", account.gid));
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).map(|dir| dir.join("setpriv")).find(|file| file.is_file())
        })
        .as_deref()
}

/// Starts a command on the thread that lives as long as this process.
pub fn spawn(command: Command) -> io::Result<Child> {
    struct Order {
        command: Command,
        answer: Sender<io::Result<Child>>,
    }
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = channel::<Order>();
        std::thread::spawn(move || {
            for mut order in receiver {
                // Whoever asked may be gone; then nobody owns the child and it must not stay.
                if let Err(unwanted) = order.answer.send(order.command.spawn())
                    && let Ok(mut child) = unwanted.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        sender
    });
    let (answer, result) = channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    orders.send(Order { command, answer }).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    // The shell's own `kill`: no package needed, and no unsafe code of ours.
    let status = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" \"$1\""])
        .args([OsStr::new(signal.name()), OsStr::new(&pid.to_string())])
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("no process {pid} to send {} to", signal.name())))
    }
}

/// The direct children of a process.
pub fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            parent_in_stat(&stat) == Some(parent)
        })
        .collect()
}

/// The parent's pid in a line of `/proc/PID/stat`, whose second field may hold spaces and brackets.
pub(super) fn parent_in_stat(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Waits until `child` ends, at most `limit`. `None`: it still runs.
pub fn wait_for_exit(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
