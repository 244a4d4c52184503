//! Amounts of bytes and rates as the configuration writes them.

/// Units of size and what they stand for in bytes, as in Postgres: 1 kB is 1,024 bytes.
const UNITS: [(&str, u64); 5] =
    [("B", 1), ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

/// Reads `"64MB"`. A number needs its unit, except zero. The message of an error says what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err("not a size; write a number and a unit, as in \"64MB\"".to_owned());
    }
    let Ok(count) = number.parse::<u64>() else { return Err("the size is too large".to_owned()) };
    if unit.is_empty() {
        return if count == 0 {
            Ok(0)
        } else {
            Err(format!(
                "size {number} has no unit; write \"{number}MB\", \"{number}kB\" or \"{number}B\""
            ))
        };
    }
    let spelled = unit.trim_end_matches("iB").trim_end_matches(['B', 'b']);
    let known =
        UNITS.iter().find(|(name, _)| name.trim_end_matches('B').eq_ignore_ascii_case(spelled));
    let Some((_, scale)) = known else {
        return Err(format!("`{unit}` is no unit of size; units are B, kB, MB, GB, TB"));
    };
    count.checked_mul(*scale).ok_or_else(|| "the size is too large".to_owned())
}

/// Writes a size in the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    let fitting =
        UNITS.iter().rev().find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale));
    match fitting {
        Some((name, scale)) => format!("{}{name}", bytes / scale),
        None => bytes.to_string(),
    }
}

/// So many events in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0 means without limit.
    pub count: u32,
    /// In how many milliseconds. Never 0.
    pub per_millis: u64,
}

impl Rate {
    /// Reads `"20/s"`, `"100/min"`, `"1000/h"`; `"off"` is no limit.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "off" || text == "0" {
            return Ok(Rate { count: 0, per_millis: 1_000 });
        }
        let help = "not a rate; write as in \"20/s\", \"100/min\", or \"off\"";
        let (count, period) = text.split_once('/').ok_or(help)?;
        let count = count.trim().parse().map_err(|_| help.to_owned())?;
        let per_millis = match period.trim() {
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(help.to_owned()),
        };
        Ok(Rate { count, per_millis })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let period = match self.per_millis {
            3_600_000 => "h",
            60_000 => "min",
            _ => "s",
        };
        if self.count == 0 { f.write_str("off") } else { write!(f, "{}/{period}", self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<u64, &str>) {
        assert_eq!(parse_size(input), expected.map_err(str::to_owned), "{input}");
    }

    #[test]
    fn sizes() {
        check("64MB", Ok(64 << 20));
        check("64 MB", Ok(64 << 20));
        check("1GB", Ok(1 << 30));
        check("16kB", Ok(16 << 10));
        check("16KiB", Ok(16 << 10));
        check("100B", Ok(100));
        check("0", Ok(0));
        check("64", Err("size 64 has no unit; write \"64MB\", \"64kB\" or \"64B\""));
        check("64 parsecs", Err("`parsecs` is no unit of size; units are B, kB, MB, GB, TB"));
        check("99999999999TB", Err("the size is too large"));
        check("big", Err("not a size; write a number and a unit, as in \"64MB\""));
    }

    #[test]
    fn sizes_read_back() {
        for bytes in [0, 1, 1023, 1024, 65_536, 64 << 20, (1 << 30) - 1] {
            let shown = show_size(bytes);
            assert_eq!(parse_size(&shown), Ok(bytes), "{shown}");
        }
    }

    #[test]
    fn rates() {
        for text in ["20/s", "100/min", "1000/h", "off"] {
            assert_eq!(Rate::parse(text).map(|rate| rate.to_string()), Ok(text.to_owned()));
        }
        for text in ["20", "x/s", "20/day", ""] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
