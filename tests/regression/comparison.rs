//! What psql writes through pgweir, held against what it writes straight to Postgres.
//!
//! A script is played straight twice. What differs between those two plays (times, random numbers, the pids of
//! backends, rows in the order of chance) is not asked of pgweir: words of a line, or whole lines where their number
//! differs. Everything else must be equal.

/// How many equal lines in a row end a difference.
const IN_STEP: usize = 3;

/// How far the end of a difference is looked for, in lines of both sides together.
const REACH: usize = 4_000;

/// What a line should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// This.
    Line(String),
    /// These words, but for those that differ between two plays.
    Words(Vec<Option<String>>),
    /// Any line.
    Any,
    /// Any number of lines.
    Gap,
}

/// What a script should print.
#[derive(Debug)]
pub struct Expectation(Vec<Expected>);

/// Lines of Postgres' that are others through pgweir.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// `-` before Postgres' lines, then `+` before pgweir's; `!` before a warning in pgweir's log.
    pub lines: Vec<String>,
}

impl Expectation {
    /// From two plays straight to Postgres.
    pub fn of(first: &str, second: &str) -> Self {
        let (first, second): (Vec<_>, Vec<_>) = (first.lines().collect(), second.lines().collect());
        let mut expected = Vec::new();
        let (mut i, mut j) = (0, 0);
        while i < first.len() || j < second.len() {
            if i < first.len() && j < second.len() && first[i] == second[j] {
                expected.push(Expected::Line(first[i].to_owned()));
                (i, j) = (i + 1, j + 1);
                continue;
            }
            let same = |i: usize, j: usize| first[i] == second[j];
            let (to_i, to_j) = in_step((i, j), (first.len(), second.len()), same);
            if to_i - i == to_j - j {
                let pairs = first[i..to_i].iter().zip(&second[j..to_j]);
                expected.extend(pairs.map(|(one, other)| common_words(one, other)));
            } else {
                expected.push(Expected::Gap);
            }
            (i, j) = (to_i, to_j);
        }
        Self(expected)
    }

    /// How many lines are not asked for as they are.
    pub fn by_chance(&self) -> usize {
        self.0.iter().filter(|expected| !matches!(expected, Expected::Line(_))).count()
    }

    /// Where what pgweir gave is something else.
    pub fn differences(&self, pooled: &str) -> Vec<Difference> {
        let pooled: Vec<_> = pooled.lines().collect();
        let expected = &self.0;
        let same = |i: usize, j: usize| expected[i].is(pooled[j]);
        let mut found = Vec::new();
        let (mut i, mut j) = (0, 0);
        while i < expected.len() || j < pooled.len() {
            if expected.get(i) == Some(&Expected::Gap) {
                i += 1;
                let ends = (j..=pooled.len())
                    .find(|j| holds((i, *j), (expected.len(), pooled.len()), same));
                j = ends.unwrap_or(j);
            } else if i < expected.len() && j < pooled.len() && same(i, j) {
                (i, j) = (i + 1, j + 1);
            } else {
                let (to_i, to_j) = in_step((i, j), (expected.len(), pooled.len()), same);
                let straight = expected[i..to_i].iter().map(|line| format!("-{}", line.shown()));
                let through = pooled[j..to_j].iter().map(|line| format!("+{line}"));
                found.push(Difference { lines: straight.chain(through).collect() });
                (i, j) = (to_i, to_j);
            }
        }
        found
    }
}

impl Expected {
    fn is(&self, line: &str) -> bool {
        match self {
            Self::Line(expected) => expected == line,
            Self::Words(expected) => {
                let found = words(line);
                let equal = |(one, other): (&Option<String>, &&str)| {
                    one.as_ref().is_none_or(|word| word == other)
                };
                expected.len() == found.len() && expected.iter().zip(&found).all(equal)
            }
            Self::Any => true,
            Self::Gap => false,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Line(line) => line.clone(),
            Self::Words(words) => words.iter().map(|word| word.as_deref().unwrap_or("…")).collect(),
            Self::Any => "…".to_owned(),
            Self::Gap => "… lines".to_owned(),
        }
    }
}

/// The nearest place behind `at` from where both sides go on alike, or both ends.
fn in_step(
    (i, j): (usize, usize),
    ends: (usize, usize),
    same: impl Fn(usize, usize) -> bool + Copy,
) -> (usize, usize) {
    for distance in 1..REACH {
        for more in 0..=distance {
            let place = (i + distance - more, j + more);
            if place.0 <= ends.0 && place.1 <= ends.1 && holds(place, ends, same) {
                return place;
            }
        }
    }
    ends
}

/// Whether the next lines are alike on both sides; at the end, those that are left.
fn holds(
    (i, j): (usize, usize),
    ends: (usize, usize),
    same: impl Fn(usize, usize) -> bool,
) -> bool {
    let left = (ends.0 - i).min(ends.1 - j).min(IN_STEP);
    let both_end = ends.0 - i == ends.1 - j;
    (left == IN_STEP || both_end) && (0..left).all(|ahead| same(i + ahead, j + ahead))
}

fn common_words(one: &str, other: &str) -> Expected {
    let (one, other) = (words(one), words(other));
    if one.len() != other.len() {
        return Expected::Any;
    }
    let common = |(one, other): (&&str, &&str)| (one == other).then(|| (*one).to_owned());
    Expected::Words(one.iter().zip(&other).map(common).collect())
}

/// Runs of letters and digits, and what stands between them. Times, dates, versions and UUIDs are words: parts of them
/// may be equal by chance. How wide a blank or a rule is does not matter.
fn words(line: &str) -> Vec<&str> {
    let bytes = line.as_bytes();
    let of_word = |at: usize| match bytes.get(at) {
        Some(b'-' | b':' | b'.') => {
            at > 0
                && bytes[at - 1].is_ascii_alphanumeric()
                && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric)
        }
        Some(byte) => byte.is_ascii_alphanumeric() || *byte >= 0x80,
        None => false,
    };
    let same_kind = |at: usize| match (of_word(at - 1), of_word(at)) {
        (true, true) => true,
        (false, false) => bytes[at - 1] == bytes[at],
        (true, false) | (false, true) => false,
    };
    let starts: Vec<_> =
        (0..=bytes.len()).filter(|&at| at == 0 || at == bytes.len() || !same_kind(at)).collect();
    let words = starts.windows(2).map(|ends| &line[ends[0]..ends[1]]);
    let wide = |word: &str| word.len() > 1 && word.bytes().all(|byte| matches!(byte, b' ' | b'-'));
    words.map(|word| if wide(word) { &word[..1] } else { word }).collect()
}

#[cfg(test)]
mod tests {
    use super::Expectation;

    fn check(first: &str, second: &str, pooled: &str, expected: &[&str]) {
        let differences = Expectation::of(first, second).differences(pooled);
        let shown: Vec<_> = differences.into_iter().map(|found| found.lines.join(" ")).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_equal_does_not_differ() {
        check("a\nb\n", "a\nb\n", "a\nb\n", &[]);
        check("", "", "", &[]);
    }

    #[test]
    fn a_changed_a_missing_and_a_further_line_are_found() {
        let text = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        check(text, text, "1\n2\n3\nfour\n5\n6\n7\n8\n9\n", &["-4 +four"]);
        check(text, text, "1\n2\n3\n5\n6\n7\n8\n9\n", &["-4"]);
        check(text, text, "1\n2\n3\n3\n4\n5\n6\n7\n8\n9\nten\n", &["+3", "+ten"]);
        check(text, text, "1\n2\n3\n4\n5\n6\n7\n8\n", &["-9"]);
        check("1\n", "1\n", "", &["-1"]);
    }

    #[test]
    fn words_that_chance_changes_may_be_anything_and_their_neighbours_not() {
        let (first, second) = (" pid\n---\n 17 ok\n", " pid\n---\n 203 ok\n");
        check(first, second, " pid\n---\n 9 ok\n", &[]);
        check(first, second, " pid\n---\n 9 bad\n", &["- … ok + 9 bad"]);
        check("at 10:02:59.1 é\n", "at 10:02:58.9 é\n", "at 11:03:00 é\n", &[]);
        check("a-1-b c\n", "a-1-d c\n", "e-2-f c\n", &[]);
    }

    #[test]
    fn lines_whose_number_changes_by_chance_are_left_out() {
        let (first, second) = ("1\nx\ny\n2\n3\n4\n5\n", "1\nz\n2\n3\n4\n5\n");
        check(first, second, "1\nu\nv\nw\n2\n3\n4\n5\n", &[]);
        check(first, second, "1\nu\nv\nw\n2\n3\n4\nfive\n", &["-5 +five"]);
    }
}
