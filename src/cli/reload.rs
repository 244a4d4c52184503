//! `pgweir reload`: asks the process that runs with a configuration to read it again.

use crate::process::control::{Answer, ask_to_reload};
use std::io::{self, Write as _};
use std::path::Path;

/// Asks, prints the answer, and gives the exit code: 0 done, 1 the configuration has problems and
/// the old one stays in force, 2 nobody could be asked.
pub fn reload(path: &Path) -> u8 {
    let (exit_code, said, complaint) = match ask_to_reload(path) {
        Ok(Answer::Done(text)) => (0, text, String::new()),
        Ok(Answer::Refused(text)) => {
            (1, String::new(), format!("{text}pgweir keeps the configuration that it had\n"))
        }
        Err(error) => (2, String::new(), nobody(path, &error)),
    };
    // Whoever closed the pipe has seen enough; the exit code still says what became of it.
    let _ = io::stdout().lock().write_all(said.as_bytes());
    let _ = io::stderr().lock().write_all(complaint.as_bytes());
    exit_code
}

fn nobody(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => format!(
            "no pgweir runs with {path} here; name the file as in `pgweir run -c FILE`, or send \
             the process SIGHUP\n"
        ),
        _ => format!("the pgweir that runs with {path} does not answer: {error}\n"),
    }
}
