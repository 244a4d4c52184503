//! Token boundaries and kinds, and the values of literals.

use crate::sql::{Encoding, Flaw, Kind, LexOptions, Lexer, string};

fn lex(text: &[u8], options: LexOptions) -> (String, Option<Flaw>) {
    let mut lexer = Lexer::new(text, options);
    let mut out = Vec::new();
    for token in lexer.by_ref() {
        let kind = match token.kind {
            Kind::Word => "w".to_owned(),
            Kind::QuotedWord => "q".to_owned(),
            Kind::UnicodeWord => "uq".to_owned(),
            Kind::String => "s".to_owned(),
            Kind::EscapeString => "e".to_owned(),
            Kind::UnicodeString => "us".to_owned(),
            Kind::NationalString => "n".to_owned(),
            Kind::BitString => "b".to_owned(),
            Kind::HexString => "x".to_owned(),
            Kind::DollarString => "d".to_owned(),
            Kind::Integer => "i".to_owned(),
            Kind::Decimal => "f".to_owned(),
            Kind::Param => "p".to_owned(),
            Kind::Operator => "op".to_owned(),
            Kind::Symbol(_) => "c".to_owned(),
            Kind::Stray(_) => "?".to_owned(),
            other => format!("{other:?}"),
        };
        out.push(format!("{kind}:{}", String::from_utf8_lossy(token.span.of(text))));
    }
    (out.join(" | "), lexer.flaw())
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(
            lex(text.as_bytes(), LexOptions::default()),
            ((*expected).to_owned(), None),
            "{text}"
        );
    }
}

#[test]
fn words_and_names() {
    check(&[
        ("select a$1 from _x", "w:select | w:a$1 | w:from | w:_x"),
        ("\"a\"\"b\".\"C\"", "q:\"a\"\"b\" | c:. | q:\"C\""),
        ("U&\"d\\0061t\" UESCAPE '!'", "uq:U&\"d\\0061t\" | w:UESCAPE | s:'!'"),
        ("u&x", "w:u | op:& | w:x"),
        ("größe", "w:größe"),
        ("a\u{a0}b", "w:a\u{a0}b"),
    ]);
}

#[test]
fn strings() {
    check(&[
        ("'a''b'", "s:'a''b'"),
        ("'a\\' 'b'", "s:'a\\' | s:'b'"),
        ("E'a\\'b' e'\\\\'", "e:E'a\\'b' | e:e'\\\\'"),
        ("N'x' n 'y'", "n:N'x' | w:n | s:'y'"),
        ("B'01''10' X'ff'", "b:B'01' | s:'10' | x:X'ff'"),
        ("'a'\n  'b'", "s:'a'\n  'b'"),
        ("'a' -- c ' \n 'b'", "s:'a' -- c ' \n 'b'"),
        ("'a' 'b'", "s:'a' | s:'b'"),
        ("'a' /* \n */ 'b'", "s:'a' | s:'b'"),
        ("'a' -- c", "s:'a'"),
        ("E'a'\n'\\'b'", "e:E'a'\n'\\'b'"),
        ("'a'\n'b\\'", "s:'a'\n'b\\'"),
        ("\"a\"\n\"b\"", "q:\"a\" | q:\"b\""),
        ("U&'\\0061' uescape '!'", "us:U&'\\0061' | w:uescape | s:'!'"),
    ]);
}

#[test]
fn dollars() {
    check(&[
        ("$$a'b$$", "d:$$a'b$$"),
        ("$t$ $$ $x$ $t$", "d:$t$ $$ $x$ $t$"),
        ("$a$ $b$a$ x", "d:$a$ $b$a$ | w:x"),
        ("$1 $12", "p:$1 | p:$12"),
        ("a$b$c", "w:a$b$c"),
        ("$a b", "?:$ | w:a | w:b"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        (
            "1 1.5 .5 1. 1e5 1.e-5 1_000 1_0.0_1e1_0",
            "i:1 | f:1.5 | f:.5 | f:1. | f:1e5 | f:1.e-5 | i:1_000 | f:1_0.0_1e1_0",
        ),
        ("0x1F 0X_f 0o17 0b10", "i:0x1F | i:0X_f | i:0o17 | i:0b10"),
        ("1..10", "i:1 | DotDot:.. | i:10"),
        ("1.5..2", "f:1.5 | DotDot:.. | i:2"),
        ("1.$", "f:1. | ?:$"),
    ]);
}

#[test]
fn operators_and_comments() {
    check(&[
        (
            "a<=b<>c!=d=>e>=f",
            "w:a | LessEquals:<= | w:b | NotEquals:<> | w:c | NotEquals:!= | w:d | EqualsGreater:=> | w:e | GreaterEquals:>= | w:f",
        ),
        ("a::b:=c:d", "w:a | TypeCast::: | w:b | ColonEquals::= | w:c | c:: | w:d"),
        ("1=-1", "i:1 | c:= | c:- | i:1"),
        ("1<=-1", "i:1 | LessEquals:<= | c:- | i:1"),
        ("a@-b", "w:a | op:@- | w:b"),
        ("a+-+b", "w:a | c:+ | c:- | c:+ | w:b"),
        ("a<+-b", "w:a | c:< | c:+ | c:- | w:b"),
        ("a*/*c*/b", "w:a | c:* | w:b"),
        ("a=--c\nb", "w:a | c:= | w:b"),
        ("a@--c\rb", "w:a | op:@ | w:b"),
        ("/* a /* b */ c */ d", "w:d"),
        ("/*/*/**/*/*/ d", "w:d"),
        ("->> #>> ?| ~~*", "op:->> | op:#>> | op:?| | op:~~*"),
    ]);
}

#[test]
fn flaws_are_told() {
    let cases = [
        ("select 'a", Flaw::UnterminatedString),
        ("select E'a\\'", Flaw::UnterminatedString),
        ("select E'a\\", Flaw::UnterminatedString),
        ("select B'a", Flaw::UnterminatedString),
        ("select \"a", Flaw::UnterminatedIdentifier),
        ("select U&\"a", Flaw::UnterminatedIdentifier),
        ("select \"\"", Flaw::EmptyIdentifier),
        ("select $a$ $", Flaw::UnterminatedDollarString),
        ("select $a$ $b$", Flaw::UnterminatedDollarString),
        ("select /* /* */", Flaw::UnterminatedComment),
        ("select 1a", Flaw::NumberJunk),
        ("select 0x", Flaw::NumberJunk),
        ("select 0x1G", Flaw::NumberJunk),
        ("select 1e+", Flaw::NumberJunk),
        ("select 1__0", Flaw::NumberJunk),
        ("select 1._0", Flaw::NumberJunk),
        ("select 1e5$", Flaw::NumberJunk),
        ("select $1a", Flaw::NumberJunk),
    ];
    for (text, flaw) in cases {
        assert_eq!(lex(text.as_bytes(), LexOptions::default()).1, Some(flaw), "{text}");
    }
    let long = format!("select 1 {} 2", "@".repeat(64));
    assert_eq!(lex(long.as_bytes(), LexOptions::default()).1, Some(Flaw::OperatorTooLong));
}

#[test]
fn backslashes_escape_without_standard_conforming_strings() {
    let options = LexOptions { standard_conforming_strings: false, ..LexOptions::default() };
    assert_eq!(lex(b"'a\\' b' c", options), ("e:'a\\' b' | w:c".to_owned(), None));
    assert_eq!(lex(b"N'a\\' b' c", options), ("n:N'a\\' b' | w:c".to_owned(), None));
    assert_eq!(lex(b"U&'a'", options).1, Some(Flaw::UnicodeStringRefused));
}

#[test]
fn characters_of_other_encodings_are_skipped_whole() {
    let options = |encoding| LexOptions { encoding, ..LexOptions::default() };
    let cases: [(&[u8], Encoding, usize); 8] = [
        (b"select E'\x95\\' , 1", Encoding::Sjis, 4),
        (b"select E'\xB1\\' , 1'", Encoding::Sjis, 2),
        (b"select E'\xA5\\' , 1", Encoding::TwoByte, 4),
        (b"select E'\x81\x30\x81\x30\\' , 1'", Encoding::Gb18030, 2),
        (b"select E'\x81\\' , 1", Encoding::Gb18030, 4),
        (b"select a\x95;b", Encoding::Johab, 2),
        (b"select a\x95\\b", Encoding::Sjis, 2),
        (b"select E'\x95\\' , 1'", Encoding::AsciiSafe, 2),
    ];
    for (text, encoding, count) in cases {
        let lexer = Lexer::new(text, options(encoding));
        assert_eq!(lexer.count(), count, "{} as {encoding:?}", text.escape_ascii());
    }
    let names = [
        ("SJIS", Encoding::Sjis),
        ("Shift_JIS_2004", Encoding::Sjis),
        ("gbk", Encoding::TwoByte),
        ("GB18030", Encoding::Gb18030),
        ("JOHAB", Encoding::Johab),
        ("utf-8", Encoding::AsciiSafe),
        ("win-949", Encoding::TwoByte),
        ("a very long name of an encoding", Encoding::AsciiSafe),
    ];
    for (name, encoding) in names {
        assert_eq!(Encoding::from_name(name.as_bytes()), encoding, "{name}");
    }
}

#[test]
fn values_of_strings() {
    let cases: [(&str, &str); 12] = [
        ("'a''b'", "a'b"),
        ("'a' -- x'y\n 'b'", "ab"),
        ("E'a\\tb\\x41\\101\\u0042\\U00000043\\q\\''", "a\tbAABCq'"),
        ("E'a'\n'\\n'", "a\n"),
        ("N'x'", "x"),
        ("$x$a$y$b$x$", "a$y$b"),
        ("$$$$", ""),
        ("U&'\\0061\\+000062\\\\'", "ab\\"),
        ("''", ""),
        ("''''", "'"),
        ("'unterminated", "unterminated"),
        ("$$unterminated", "unterminated"),
    ];
    for (text, expected) in cases {
        let token = Lexer::new(text.as_bytes(), LexOptions::default()).next().unwrap();
        let value = string(token, text.as_bytes(), LexOptions::default(), b'\\').unwrap();
        assert_eq!(String::from_utf8_lossy(&value), expected, "{text}");
    }
}
