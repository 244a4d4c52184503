//! The difference between two texts, by lines.

use std::fmt::Write as _;

/// How many equal lines are shown around each difference.
const CONTEXT: usize = 3;

/// Panics with the lines that differ, `-` from Postgres, `+` from pgweir.
pub fn assert_same_lines(straight: &str, pooled: &str) {
    assert!(!straight.trim().is_empty(), "the script printed nothing");
    if straight != pooled {
        panic!("- straight to Postgres, + through pgweir:\n{}", difference(straight, pooled));
    }
}

fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    // Length of the longest common subsequence of what follows each pair of lines.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, left) in old.iter().enumerate().rev() {
        for (j, right) in new.iter().enumerate().rev() {
            common[i][j] = if left == right {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    with_context(&lines)
}

fn with_context(lines: &[(char, &str)]) -> String {
    let mut text = String::new();
    for (number, (mark, line)) in lines.iter().enumerate() {
        let near = number.saturating_sub(CONTEXT)..lines.len().min(number + CONTEXT + 1);
        if lines[near].iter().any(|(mark, _)| *mark != ' ') {
            let _ = writeln!(text, "{mark} {line}");
        }
    }
    text
}

#[test]
fn a_difference_shows_what_changed_and_a_little_around_it() {
    let old = "1\n2\n3\n4\n5\n6\n7\n8\n";
    let new = "1\n2\n3\n4\n5\nsix\n7\n8\n9\n";
    assert_eq!(difference(old, new), "  3\n  4\n  5\n- 6\n+ six\n  7\n  8\n+ 9\n");
}
