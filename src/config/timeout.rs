//! Durations as the configuration writes them: a number and its unit, or `off`.

use std::num::NonZeroU64;
use std::time::Duration;

/// A limit in time: off, or after some milliseconds.
///
/// Invariant: never zero milliseconds; zero means [`Timeout::Off`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// No limit.
    #[default]
    Off,
    /// The limit, in milliseconds.
    After(NonZeroU64),
}

/// The longest duration accepted, in milliseconds: what Postgres takes for `statement_timeout`.
pub const MAX_MILLIS: u64 = i32::MAX as u64;

/// Units by their spelling, in microseconds, largest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Spellings of other programs, and what we write for them.
const FOREIGN_UNITS: &[(&str, &str)] = &[
    ("m", "min"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("usec", "us"),
    ("\u{b5}s", "us"),
    ("\u{3bc}s", "us"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
];

impl Timeout {
    /// A limit of so many milliseconds; zero is [`Timeout::Off`].
    pub const fn from_millis(millis: u64) -> Self {
        match NonZeroU64::new(millis) {
            Some(millis) => Timeout::After(millis),
            None => Timeout::Off,
        }
    }

    /// A limit of so many seconds; zero is [`Timeout::Off`].
    pub const fn from_secs(secs: u32) -> Self {
        Self::from_millis(secs as u64 * 1_000)
    }

    /// The limit in milliseconds; `None` when off.
    pub const fn as_millis(self) -> Option<u64> {
        match self {
            Timeout::Off => None,
            Timeout::After(millis) => Some(millis.get()),
        }
    }

    /// The limit as a [`Duration`]; `None` when off.
    pub fn as_duration(self) -> Option<Duration> {
        self.as_millis().map(Duration::from_millis)
    }

    /// Whether there is no limit.
    pub const fn is_off(self) -> bool {
        matches!(self, Timeout::Off)
    }

    /// Reads `"off"`, `"0"` or a duration such as `"250ms"`, `"15s"`, `"1min 30s"`.
    ///
    /// Fractions are taken (`"1.5s"`); what is left below a millisecond rounds up.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let text = text.trim();
        if text == "off" || text == "0" {
            return Ok(Timeout::Off);
        }
        let mut rest = text;
        let mut micros: u128 = 0;
        if rest.is_empty() {
            return Err(DurationError::Empty);
        }
        while !rest.is_empty() {
            let (part, after) = read_part(rest)?;
            // Each part is below 2^70, and a text has far fewer than 2^50 parts.
            micros = micros.saturating_add(part);
            rest = after.trim_start();
        }
        let millis = micros.div_ceil(1_000);
        match u64::try_from(millis) {
            Ok(millis) if millis <= MAX_MILLIS => Ok(Self::from_millis(millis)),
            _ => Err(DurationError::TooLong),
        }
    }
}

/// One number with its unit from the front of `text`, in microseconds, and what follows it.
fn read_part(text: &str) -> Result<(u128, &str), DurationError> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    if number.is_empty() {
        return Err(DurationError::NotANumber(text.to_owned()));
    }
    let rest = rest.trim_start();
    let unit_end =
        rest.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    if unit.is_empty() {
        return Err(DurationError::NoUnit(number.to_owned()));
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let meant = FOREIGN_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ours)| *ours);
        return Err(DurationError::UnknownUnit { unit: unit.to_owned(), meant });
    };
    let micros =
        scaled(number, *scale).ok_or_else(|| DurationError::NotANumber(number.to_owned()))?;
    Ok((micros, rest))
}

/// `number` (digits, perhaps a point) times `scale`, rounded up. `None` when it is no number.
fn scaled(number: &str, scale: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    // Longer numbers are beyond every limit; the cap keeps the arithmetic exact.
    let whole: u128 = if whole.len() > 18 { 10u128.pow(18) } else { whole.parse().ok()? };
    let fraction = fraction.get(..12).unwrap_or(fraction);
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * u128::from(scale) + (part * u128::from(scale)).div_ceil(divisor))
}

impl std::fmt::Display for Timeout {
    /// The shortest exact spelling that [`Timeout::parse`] reads back.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(millis) = self.as_millis() else { return f.write_str("off") };
        let mut micros = u128::from(millis) * 1_000;
        let mut separator = "";
        for (name, scale) in UNITS {
            let count = micros / u128::from(scale);
            if count > 0 {
                write!(f, "{separator}{count}{name}")?;
                micros %= u128::from(scale);
                separator = " ";
            }
        }
        Ok(())
    }
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing stands there.
    Empty,
    /// A number without a unit.
    NoUnit(String),
    /// A unit that we do not know, and the one that was probably meant.
    UnknownUnit {
        /// As written.
        unit: String,
        /// Ours for it.
        meant: Option<&'static str>,
    },
    /// What stands where a number should.
    NotANumber(String),
    /// Longer than Postgres takes for `statement_timeout`: 2^31 - 1 milliseconds.
    TooLong,
}

impl DurationError {
    /// What to write instead, where that can be said.
    pub fn help(&self) -> String {
        match self {
            DurationError::NoUnit(number) => propose_units(number),
            DurationError::UnknownUnit { meant: Some(meant), .. } => {
                format!("the unit is written `{meant}`")
            }
            DurationError::TooLong => {
                "write \"off\" for no limit; the longest is \"24d\"".to_owned()
            }
            DurationError::Empty
            | DurationError::UnknownUnit { .. }
            | DurationError::NotANumber(_) => {
                "units are us, ms, s, min, h, d, as in \"250ms\", \"1min 30s\"; \"off\" disables"
                    .to_owned()
            }
        }
    }
}

/// The two durations a bare number may have meant, the likelier one first.
pub(super) fn propose_units(number: &str) -> String {
    let seconds_are_likely = number.parse::<u64>().is_ok_and(|n| n < 1_000);
    let (first, second) = if seconds_are_likely { ("s", "ms") } else { ("ms", "s") };
    format!("write \"{number}{first}\" or \"{number}{second}\"")
}

impl std::fmt::Display for DurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DurationError::Empty => f.write_str("an empty text is no duration"),
            DurationError::NoUnit(number) => write!(f, "duration {number} has no unit"),
            DurationError::UnknownUnit { unit, .. } => write!(f, "`{unit}` is no unit of time"),
            DurationError::NotANumber(text) => write!(f, "`{text}` is no duration"),
            DurationError::TooLong => f.write_str("the duration is too long"),
        }
    }
}

impl std::error::Error for DurationError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &str, expected: Option<u64>) {
        assert_eq!(Timeout::parse(input).map(Timeout::as_millis), Ok(expected), "{input}");
    }

    fn refuse(input: &str, message: &str, help: &str) {
        let error = Timeout::parse(input).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.help().as_str()), (message, help), "{input}");
    }

    #[test]
    fn durations_are_read_with_their_units() {
        check("off", None);
        check("0", None);
        check("0s", None);
        check("250ms", Some(250));
        check("15s", Some(15_000));
        check("15 s", Some(15_000));
        check("2min", Some(120_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("1min 30s", Some(90_000));
        check("1min30s", Some(90_000));
        check("1.5s", Some(1_500));
        check("500us", Some(1));
        check("1us", Some(1));
        check("24d", Some(2_073_600_000));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_fix() {
        refuse("15", "duration 15 has no unit", "write \"15s\" or \"15ms\"");
        refuse("15000", "duration 15000 has no unit", "write \"15000ms\" or \"15000s\"");
        refuse("15m", "`m` is no unit of time", "the unit is written `min`");
        refuse("3 seconds", "`seconds` is no unit of time", "the unit is written `s`");
        refuse(
            "25d",
            "the duration is too long",
            "write \"off\" for no limit; the longest is \"24d\"",
        );
        for text in
            ["", "soon", "-5s", "1.s", ".5s", "1..5s", "5 parsecs", "99999999999999999999999d"]
        {
            assert!(Timeout::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(millis in 0..=MAX_MILLIS) {
            let timeout = Timeout::from_millis(millis);
            prop_assert_eq!(Timeout::parse(&timeout.to_string()), Ok(timeout));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*|[0-9. a-z]{0,40}") {
            let _ = Timeout::parse(&text);
        }
    }
}
