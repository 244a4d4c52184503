//! The control socket: how `pgweir reload` reaches the process that runs with a configuration, and
//! hears what became of it.
//!
//! It stands in Linux' abstract namespace under the name of the main file, so that nothing has to
//! be configured, written or cleaned up. Only the user that pgweir runs as, and root, are listened
//! to; the kernel says who they are. One line in, the answer out, end.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::reload::ReloadHandle;

/// What a process may be asked for.
const RELOAD: &str = "reload";
/// The first line of an answer: it was done.
const DONE: &str = "done";
/// The first line of an answer: it was not done.
const REFUSED: &str = "refused";
/// The longest line that is read.
const LINE_LIMIT: u64 = 64;
/// How long a line may take to come.
const LINE_TIME: Duration = Duration::from_secs(5);
/// How long an answer may take: files on slow disks, names that are looked up.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_LIMIT: u64 = 16 * 1024 * 1024;
/// Longer names are hashed: an address has 108 bytes.
const NAME_LIMIT: usize = 100;

/// What a process answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It did what was asked for, and says what.
    Done(String),
    /// It did not, and says why.
    Refused(String),
}

/// The socket's address for the main file of a configuration: the path as it is, made absolute. A
/// link in it is not followed, for it may lead elsewhere after the file was replaced.
fn address(file: &Path) -> io::Result<String> {
    let file = std::path::absolute(file)?;
    let name = format!("pgweir:{}", file.display());
    if name.len() <= NAME_LIMIT {
        return Ok(format!("\0{name}"));
    }
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("\0pgweir:{hash}"))
}

/// Asks about a configuration, from before the process can be reached in any other way. Where that
/// is not possible, it says so in the log: SIGHUP works still.
pub(super) struct Control(Option<UnixListener>);

impl Control {
    /// Whoever asks from here on is heard, once [`Control::serve`] runs.
    pub(super) fn bind(file: &Path) -> Self {
        match address(file).and_then(UnixListener::bind) {
            Ok(listener) => return Control(Some(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tracing::warn!(
                "another pgweir runs with this configuration file: `pgweir reload` reaches that \
                 one only, SIGHUP this one"
            ),
            Err(error) => tracing::warn!("`pgweir reload` will not reach this process: {error}"),
        }
        Control(None)
    }

    pub(super) fn serve(self, reload: ReloadHandle) {
        if let Some(listener) = self.0 {
            drop(tokio::spawn(accept(listener, reload)));
        }
    }
}

async fn accept(listener: UnixListener, reload: ReloadHandle) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("cannot accept a control connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !is_ours(&stream) {
            tracing::warn!("a control connection of another user was closed");
            continue;
        }
        // One after the other: so are reloads.
        if let Err(error) = answer(stream, &reload).await {
            tracing::debug!("a control connection ended early: {error}");
        }
    }
}

/// Whether the other end belongs to root, or to the user that this process runs as: anybody can
/// take a name in the abstract namespace.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn answer(stream: UnixStream, reload: &ReloadHandle) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut reading = BufReader::new(reading).take(LINE_LIMIT);
    timeout(LINE_TIME, reading.read_line(&mut line)).await??;
    let (word, text) = match line.trim_end() {
        RELOAD => match reload.reload().await {
            Ok(summary) => (DONE, summary.to_string()),
            Err(problems) => (REFUSED, problems.to_string()),
        },
        _ => (REFUSED, "this pgweir does not know what it was asked for".to_owned()),
    };
    let text = format!("{word}\n{text}\n");
    timeout(LINE_TIME, writing.write_all(text.as_bytes())).await?
}

/// Asks the process that runs with a configuration to reload it, and waits for the answer.
///
/// # Errors
/// No process runs with that file, or it does not answer.
pub fn ask_to_reload(file: &Path) -> io::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = UnixStream::connect(address(file)?).await?;
        // Root asks processes of any user.
        if !is_ours(&stream) && !rustix::process::geteuid().is_root() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is another user's"));
        }
        stream.write_all(format!("{RELOAD}\n").as_bytes()).await?;
        let mut text = String::new();
        let mut limited = (&mut stream).take(ANSWER_LIMIT);
        timeout(ANSWER_TIME, limited.read_to_string(&mut text)).await??;
        match text.split_once('\n') {
            Some((DONE, rest)) => Ok(Answer::Done(rest.to_owned())),
            Some((REFUSED, rest)) => Ok(Answer::Refused(rest.to_owned())),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_short_address_however_it_is_named() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(address(Path::new("a.toml")).unwrap(), address(&here.join("a.toml")).unwrap());
        let plain = address(Path::new("/etc/pgweir/pgweir.toml")).unwrap();
        assert_eq!(plain, "\0pgweir:/etc/pgweir/pgweir.toml");
        let long = |end: &str| address(Path::new(&format!("/{}/{end}", "x".repeat(200)))).unwrap();
        assert!(long("a").len() < 100);
        assert_ne!(long("a"), long("b"));
    }
}
