//! Which texts have one fingerprint, and which have two.

use proptest::prelude::*;

use crate::sql::{Fingerprint, LONGEST_READ};

fn of(text: &str) -> Fingerprint {
    Fingerprint::of(text.as_bytes())
}

#[test]
fn alike() {
    for texts in [
        &[
            "select * from t where id = 1",
            "SELECT * FROM T WHERE ID = 22",
            "select*from t where id='x'",
            "/* a /* nested */ one */ select * -- all\n from t where id = $1;",
            "select * from t where id = -1.5e3 ;;",
            "select * from t where id = E'\\'' ",
            "select * from t where id = $$a'b$$",
            "select * from t where id = null",
            "select * from t where id = TRUE",
            "select * from t where id = x'1F'",
        ][..],
        &["select 1 in (1)", "select 2 IN (1, 2, 3)", "select $1 in ($2,'a', -4)"],
        &["select a in ($1::int)", "select a in (1::int, 2::INT)"],
        &["select (a, b) in ((1, 2))", "select (a, b) in ((1, 2), (3, 4))"],
        &["select array[1]", "select ARRAY [1, 2, 3]"],
        &[
            "insert into t values (1, now(), default)",
            "insert into t values (1, now(), default), (2, NOW(), default), ($3, now(), default)",
        ],
        &[
            "select * from (values (1, 2)) v join w on v.a in (select b from u where c in (1))",
            "select * from (values (1, 2), (3, 4)) v join w on v.a in
             (select b from u where c in (1, 2))",
        ],
        &["select a <> 1", "select a != 2"],
        &["select a - 1", "select a - 22", "select a - -3"],
        &["select 1", "select -1", "select +1", " ;select 5;"],
        &["select f(-1, 'a')", "select f(2, $1)"],
        &["begin; select 1", "BEGIN ;; select 2;"],
    ] {
        for text in texts {
            assert_eq!(of(text), of(texts[0]), "{text} / {}", texts[0]);
        }
    }
}

#[test]
fn different() {
    let texts = [
        "",
        "select 1",
        "select 1, 2",
        "select a",
        "select \"a\"",
        "select \"A\"",
        "select ab",
        "select a b",
        "select a, b",
        "select a.b",
        "select a - 1",
        "select a + 1",
        "select f(1)",
        "select f(1, 2)",
        "select 1 in (1)",
        "select 1 in (a)",
        "select 1 in (a, b)",
        "select 1 in (1, a)",
        "select 1 in (1, a, 1)",
        "select 1 in (select 1)",
        "select 1 in ((1))",
        "select 1 not in (1)",
        "select a is null",
        "select a is true",
        "select a is not null",
        "select a = null",
        "select; select",
        "select select",
        "values (1)",
        "values (1, 2)",
        "values (1) order by a",
        "values (a), (b)",
        "insert into t values (1) returning a",
        "insert into t values (1) on conflict do nothing",
    ];
    for (at, text) in texts.iter().enumerate() {
        for other in &texts[at + 1..] {
            assert_ne!(of(text), of(other), "{text} / {other}");
        }
    }
}

#[test]
fn it_is_the_same_number_for_ever() {
    // Whoever keeps numbers in a dashboard finds them again after an upgrade.
    assert_eq!(of("select * from t where id = 1").to_string(), "29c8160affe07d66");
    assert_eq!(of("").to_string().len(), 16);
}

#[test]
fn what_is_cut_off_does_not_count() {
    let list = |count: usize, rest: &str| {
        let values: Vec<_> = (0..count).map(|value| value.to_string()).collect();
        format!("select * from t where a in ({}{rest}", values.join(", "))
    };
    // A list that is cut off is one that ends where the text does.
    assert!(list(2_000, "").len() > LONGEST_READ);
    assert_eq!(of(&list(2_000, ") and b")), of(&list(3_000, ") and c")));
    assert_ne!(of(&list(2, ") and b")), of(&list(2, ") and c")));
}

/// Words, operators and brackets. `?` stands for a constant; `L`, `A` and `R` for a list, an array and
/// rows of them.
fn shape() -> impl Strategy<Value = Vec<&'static str>> {
    let pieces = [
        "select", "from", "where", "t", "\"Q\"", "a.b", "=", "<=", "||", "(", ")", ",", "?", "?",
        "in L", "array A", "values R", "is null", "::", "interval", ";", "not", "[", "]",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..25)
}

const CONSTANTS: [&str; 12] = [
    "1",
    "'a'",
    "$1",
    "2.5",
    "'it''s'",
    "E'\\n'",
    "$x$ ' $x$",
    "0x1F",
    "B'1'",
    "NULL",
    "N'n'",
    "$22",
];
const GAPS: [&str; 6] = [" ", "\t ", "/* in (1, 2) */", " /* a /* b */ ' */ ", " -- '\r\n", "\r\n"];

/// A shape as a text: with these constants, gaps and letters, in turn.
fn written(shape: &[&str], picks: &[usize], upper: bool) -> String {
    let mut picks = picks.iter().copied().cycle();
    let mut pick = |from: &[&'static str]| from[picks.next().unwrap_or(0) % from.len()];
    let mut text = String::new();
    for piece in shape {
        let (piece, list) = match piece.split_once(' ') {
            Some((word, "L")) => (word, "()"),
            Some((word, "A")) => (word, "[]"),
            Some((word, "R")) => (word, "R"),
            _ => (*piece, ""),
        };
        text.push_str(pick(&GAPS));
        match piece {
            // Two strings on two lines would be one.
            "?" => text.push_str(&format!("{} z", pick(&CONSTANTS[..9]))),
            _ if upper && !piece.starts_with('"') => text.push_str(&piece.to_uppercase()),
            _ => text.push_str(piece),
        }
        let count = pick(&["1", "2", "3", "4"]).parse().unwrap_or(1);
        match list {
            "()" | "[]" => {
                let values: Vec<_> = (0..count).map(|_| pick(&CONSTANTS)).collect();
                text.push_str(&format!(
                    "{}{}{}",
                    &list[..1],
                    values.join(pick(&[",", " , "])),
                    &list[1..]
                ));
            }
            "R" => {
                let rows: Vec<_> = (0..count)
                    .map(|_| format!("({},{}a)", pick(&CONSTANTS), pick(&GAPS)))
                    .collect();
                text.push_str(&rows.join(","));
            }
            _ => {}
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn values_comments_blanks_and_letters_change_nothing(
        shape in shape(),
        picks in prop::collection::vec(any::<usize>(), 1..60),
        upper in any::<bool>(),
    ) {
        let (plain, other) = (written(&shape, &[0], false), written(&shape, &picks, upper));
        prop_assume!(plain.len() < LONGEST_READ && other.len() < LONGEST_READ);
        prop_assert_eq!(of(&plain), of(&other), "{} / {}", plain, other);
    }

    #[test]
    fn no_bytes_are_too_strange(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Fingerprint::of(&text);
    }
}

#[test]
fn deep_and_long_texts_end() {
    for piece in [
        "in (",
        "array[",
        "values (",
        "(",
        ")",
        "]",
        "- ",
        "in (1,",
        "values (1),",
        ";",
        "''",
        "/*",
        "-- \n-",
    ] {
        let _ = of(&piece.repeat(100_000 / piece.len()));
        let _ = of(&format!("{}{}", piece.repeat(300), ")]".repeat(400)));
    }
}
