//! Texts made up from pieces that matter to a lexer. The same seed gives the same texts, on any machine.

/// A small generator of numbers (xorshift64*), so that a failing text can be made again from its number.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    /// One of `from`.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Whole tokens and blanks: texts made of these are nearly always accepted by the scanner.
const WHOLE: &[&str] = &[
    " ",
    " ",
    " ",
    "\n",
    "\t",
    "\r",
    "\u{b}",
    "\u{c}",
    "a",
    "B_1",
    "x$y",
    "select",
    "from",
    "é",
    "\u{a0}",
    "\u{1F600}",
    "n",
    "e",
    "u",
    "U&",
    "nchar",
    "\"q\"",
    "\"a\"\"b\"",
    "U&\"d\\0061\"",
    "uescape '!'",
    "'s'",
    "'a''b'",
    "'\\'",
    "E'\\''",
    "e'a\\\\'",
    "E'\\x41\\101\\n'",
    "E'\\u0061\\U00000062'",
    "N'x'",
    "n''",
    "b'01'",
    "X'1f'",
    "U&'\\0061'",
    "$$d$$",
    "$a$ $b$ $$ ' $a$",
    "$é$x$é$",
    "$1",
    "$23",
    "1",
    "0",
    "42",
    "1_000",
    "2147483647",
    "2147483648",
    "99999999999999999999",
    "1.5",
    ".5",
    "1.",
    "1e5",
    "1.5e-3",
    "1E+1_0",
    "0x1F",
    "0X_f",
    "0xFFFFFFFF",
    "0o17",
    "0b_101",
    "1..2",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "<",
    ">",
    "=",
    "~",
    "!",
    "@",
    "#",
    "&",
    "|",
    "`",
    "?",
    "<=",
    ">=",
    "<>",
    "!=",
    "=>",
    "::",
    ":=",
    "..",
    ":",
    ".",
    ",",
    "(",
    ")",
    "[",
    "]",
    ";",
    "||",
    "->>",
    "@-",
    "<+-",
    "=-",
    "{",
    "}",
    "\\",
    "--",
    "-- c\n",
    "-- ' \" $$ /*\r",
    "/* c */",
    "/* a /* b */ ' */",
    "/**/",
    "/*/**/*/",
    "\u{7f}",
    "\u{1}",
];

/// Halves and odd things: where the scanner accepts the text, the cut is where it hurts.
const HALVES: &[&str] = &[
    "'",
    "\"",
    "$",
    "$$",
    "$a",
    "$a$",
    "/*",
    "*/",
    "*",
    "//",
    "\\",
    "E'",
    "b'",
    "x'",
    "N'",
    "U&'",
    "U&\"",
    "\"\"",
    "''",
    "0x",
    "0b2",
    "0o8",
    "1a",
    "1e",
    "1e+",
    "1__0",
    "1_",
    "_1",
    "$1a",
    "1.e",
    "1._5",
    "1e5$",
    "1.5$",
    "0x1G",
    "E'\\u00'",
    "E'\\xff'",
    "E'\\",
    "'\n'",
    "' \n '",
    "'--\n'",
    "'\r\n  -- c\n '",
    "$99999999999",
    "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@",
    "++--++",
    "/-/",
    "-+-+",
];

/// A row of pieces.
pub fn salad(dice: &mut Dice) -> String {
    let pieces = 1 + dice.below(30);
    let mut text = String::new();
    for _ in 0..pieces {
        let halves = dice.below(40) == 0;
        text.push_str(dice.pick(if halves { HALVES } else { WHOLE }));
        if dice.below(4) != 0 {
            text.push(' ');
        }
    }
    text
}

const BETWEEN: &[&str] =
    &[";", "; ", ";;", " ;\n", "; -- c\n", ";/* ; */", "\n;\n", ";--;\n", " ; ; "];

/// Statements whose `;` need thought.
const STATEMENTS: &[&str] = &[
    "select 1",
    "select ';', $$;$$, \";\"",
    "select case when a then b end",
    "begin",
    "end",
    "commit",
    "",
    "select E'\\';'",
    "select 1 as end",
    "select b end from t",
    "(select 1)",
    "create rule r as on insert to t do also (insert into u values (1); delete from v)",
    "create rule r as on insert to t do (select 1;; select 2;)",
    "create function f() returns int language sql return 1",
    "create function f() returns int begin atomic select 1; select 2; end",
    "create function f() returns int begin atomic end",
    "create or replace procedure p() begin atomic ; insert into t values (1); ; end",
    "create or replace function f(a int default (1)) returns int begin atomic select case when a then b end; end",
    "create function f() returns begin begin atomic select begin atomic; select 1 end; end",
    "create function f() returns int begin atomic create function g() returns int begin atomic select 1; end; select 1; end",
    "create function f() returns int begin atomic create view v as select begin atomic; select 1; end",
    "create function f() returns int as $$ begin; end $$ language sql",
    "select begin atomic",
    "create view v as select begin atomic",
    "create table t (function int, begin int)",
    "create procedure \"begin\" (atomic int) begin atomic select 1; end",
    "create schema s create table t (a int) create view v as select 1",
    "do $$ begin; end $$",
    "do ';'",
    "prepare p as select ';'",
    "explain select 1",
    "notify a, ';'",
];

/// Several statements in one text; `extra` are statements that stand alone.
pub fn script(dice: &mut Dice, extra: &[String]) -> String {
    let mut text = String::new();
    for _ in 0..1 + dice.below(6) {
        if extra.is_empty() || dice.below(3) == 0 {
            text.push_str(dice.pick(STATEMENTS));
        } else {
            text.push_str(extra[dice.below(extra.len())].trim_end().trim_end_matches(';'));
            text.push('\n'); // It may end in a comment.
        }
        text.push_str(dice.pick(BETWEEN));
    }
    text
}

/// How the commands begin that recognisers read to the end, and the words that may follow.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (
        &[
            "begin",
            "start transaction",
            "set transaction",
            "set session characteristics as transaction",
            "start",
        ],
        &[
            "work",
            "transaction",
            "isolation level",
            "read",
            "only",
            "write",
            "committed",
            "uncommitted",
            "repeatable",
            "serializable",
            "not",
            "deferrable",
            ",",
            "read only",
            "read write",
            "isolation level serializable",
            "isolation level read committed",
            "isolation level repeatable read",
            "snapshot",
            "'x'",
        ],
    ),
    (
        &[
            "commit",
            "end",
            "rollback",
            "abort",
            "savepoint",
            "release",
            "prepare transaction",
            "rollback to",
            "prepare",
        ],
        &[
            "work",
            "transaction",
            "and",
            "no",
            "chain",
            "and chain",
            "and no chain",
            "to",
            "savepoint",
            "prepared",
            "'x'",
            "a",
            "\"A\"",
            "U&\"\\0061\"",
            "uescape '!'",
            "as select 1",
            "(int)",
        ],
    ),
    (
        &[
            "set",
            "set local",
            "set session",
            "reset",
            "show",
            "set time zone",
            "set session authorization",
            "set names",
        ],
        &[
            "local",
            "session",
            "role",
            "to",
            "=",
            "to",
            "=",
            "x",
            "x.y",
            "\"X\"",
            "1",
            "-1.5",
            "'v'",
            "default",
            "on",
            "none",
            "time zone",
            "authorization",
            "session authorization",
            "names",
            "schema",
            "xml option",
            "document",
            "constraints",
            "all",
            "deferred",
            "transaction",
            "isolation level",
            "read only",
            "characteristics",
            "as",
            "from current",
            ",",
            "interval '1'",
            "hour",
            ".",
            "catalog",
        ],
    ),
    (
        &[
            "deallocate",
            "discard",
            "listen",
            "unlisten",
            "notify",
            "execute",
            "prepare",
            "load",
            "close",
            "fetch",
            "move",
        ],
        &[
            "prepare",
            "all",
            "plans",
            "temp",
            "temporary",
            "sequences",
            "a",
            "\"B\"",
            "*",
            "'x'",
            ",",
            "(1)",
            "from",
            "in",
            "next",
            "5",
            "backward",
            "absolute",
            "as",
            "as select 1",
            "(int)",
            "-1",
        ],
    ),
    (
        &["declare", "copy", "explain", "create", "do", "call", "with"],
        &[
            "a",
            "cursor",
            "with hold",
            "without hold",
            "binary",
            "no scroll",
            "for",
            "select 1",
            "from",
            "to",
            "stdin",
            "stdout",
            "'f'",
            "program",
            "(select 1)",
            "(a)",
            "analyze",
            "analyse",
            "verbose",
            "(analyze)",
            "(analyze off, verbose)",
            "(costs, analyze 1)",
            "temp",
            "temporary",
            "local",
            "global",
            "table",
            "view",
            "sequence",
            "or replace",
            "unlogged",
            "recursive",
            "as",
            "as select 1",
            "as execute a",
            "execute a",
            "on commit drop",
            "(a int)",
            "pg_temp.a",
            "language sql",
            "language plpgsql",
            "'begin end'",
            "a()",
            "a as (select 1)",
            "a as (insert into a values (1) returning *)",
            ", b as (select 2)",
            "update a set b = 1",
            "insert into a values (1)",
            "delete from a",
            "select 1 into b",
            "select 1 into temp b",
            "select 1 as insert into b",
            "select (1) merge into temp b",
            "values (1)",
            "(select 1 into temp b)",
            "begin",
            "set x = 1",
            "schema",
        ],
    ),
];

/// A command that may or may not be one.
pub fn command(dice: &mut Dice) -> String {
    let (starts, words) = COMMANDS[dice.below(COMMANDS.len())];
    let mut text = dice.pick(starts).to_owned();
    for _ in 0..dice.below(6) {
        text.push_str(if dice.below(10) == 0 { "/* c */" } else { " " });
        text.push_str(dice.pick(words));
    }
    if dice.below(4) == 0 { text.to_uppercase() } else { text }
}

/// Statements with strings that end elsewhere when backslashes escape.
const ESCAPES: &[&str] = &[
    "select '\\';'",
    "select 'a\\\\'",
    "select 'a\\'';'",
    "select '\\n', E'\\''",
    "select 'a'\n'\\';'",
    "select N'\\';'",
    "select $$\\$$",
    "select \"\\\"",
    "select b'01', 'x'",
    "select 'x' -- \\'\n",
];

/// Several statements for a server with `standard_conforming_strings` off.
pub fn escapes(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..1 + dice.below(5) {
        let from = if dice.below(4) == 0 { STATEMENTS } else { ESCAPES };
        text.push_str(dice.pick(from));
        text.push_str(dice.pick(BETWEEN));
    }
    text
}
