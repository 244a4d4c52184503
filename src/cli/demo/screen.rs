//! What the demo prints: lines with the time they were reached at, and claims with their verdicts.

use std::fmt::Display;
use std::io::{IsTerminal, Write as _};
use std::time::Instant;

use super::act::Claim;

/// Standard output. Colour only where it is a terminal.
#[derive(Debug)]
pub struct Screen {
    started: Instant,
    terminal: bool,
    colour: bool,
}

impl Screen {
    /// The clock of the demo starts here.
    pub fn open() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self { started: Instant::now(), terminal, colour: terminal && wanted }
    }

    /// Whether somebody watches.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Seconds since the start.
    pub fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// A step, with the time it was reached at.
    pub fn step(&self, text: impl Display) {
        self.line(&format!("{:>5.1}s  {text}", self.elapsed()));
    }

    /// The headline of an act.
    pub fn act(&self, number: usize, name: &str, text: impl Display) {
        self.line(&format!("\n {}  {text}", self.painted("1", &format!("{number} {name:<9}"))));
    }

    /// A measurement.
    pub fn figure(&self, what: &str, text: impl Display) {
        self.line(&format!("    {what:<24}{text}"));
    }

    /// A claim and whether it held.
    pub fn claim(&self, claim: &Claim) {
        let verdict =
            if claim.held { self.painted("32", "ok    ") } else { self.painted("1;31", "FAILED") };
        self.line(&format!("    {verdict}  {}", claim.text));
    }

    /// A line as it is.
    pub fn line(&self, text: &str) {
        // Whoever closed the pipe has seen enough; the exit code still gives the verdict.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `38010` as `38,010`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
    }
}
