//! Spellings of commands: a grammar of the statements that the guard judges, and every way to write their tokens.

use crate::generate::Dice;

/// One token of a statement, before it is spelled.
enum Piece {
    /// A keyword.
    Key(&'static str),
    /// A name, by its value.
    Name(&'static str),
    /// A string constant, by its value.
    Text(&'static str),
    /// Anything else.
    Sign(&'static str),
}

/// Names as the server compares them. Those that need no quotes come first.
const NAMES: &[&str] = &[
    "t",
    "table_1",
    "orders",
    "if",
    "index",
    "é",
    "x$y",
    "data",
    "partition",
    "view",
    "exclude",
    "value",
    "concurrently",
    "CONCURRENTLY",
    "only",
    "on",
    "T",
    "a b",
    "a\"b",
    "create",
    "select",
    "x;y",
    "/*",
    "--",
    "'",
    "a_name_that_is_longer_than_the_sixty_three_bytes_that_the_server_keeps_of_it",
    "A_NAME_THAT_IS_LONGER_than_the_sixty_three_bytes_ééééééééééééééééééééé",
];

/// Of [`NAMES`], how many need no quotes.
const PLAIN_NAMES: usize = 12;

const BLANKS: &[&str] = &[
    " ",
    " ",
    " ",
    "\n",
    "\t",
    "\u{b}",
    "\u{c}",
    "\r\n",
    "/**/",
    "/* c */",
    "/* a /* concurrently */ ' */",
    "/*/**/*/",
    "-- concurrently\n",
    "--'\r",
    " \n  ",
];

/// A row of tokens in the making.
struct Pieces<'a> {
    dice: &'a mut Dice,
    pieces: Vec<Piece>,
}

impl Pieces<'_> {
    /// Adds tokens that are written with blanks between: keywords, signs, `$` for any name, `$.` for one that may have
    /// a schema, `'x'` for a string.
    fn add(&mut self, words: &'static str) -> &mut Self {
        for word in words.split(' ') {
            match word {
                "" => {}
                "$" => self.name(),
                "$." => self.object(),
                _ if word.starts_with('\'') => {
                    self.pieces.push(Piece::Text(word.trim_matches('\'')));
                }
                _ if word.starts_with(|char: char| char.is_ascii_alphabetic()) => {
                    self.pieces.push(Piece::Key(word));
                }
                _ => self.pieces.push(Piece::Sign(word)),
            }
        }
        self
    }

    /// Adds one of these.
    fn one_of(&mut self, choices: &[&'static str]) -> &mut Self {
        let choice = choices[self.dice.below(choices.len())];
        self.add(choice)
    }

    /// Adds this, or not.
    fn maybe(&mut self, words: &'static str) -> &mut Self {
        if self.dice.below(2) == 0 { self.add(words) } else { self }
    }

    fn name(&mut self) {
        let plain = self.dice.below(2) == 0;
        let below = if plain { PLAIN_NAMES } else { NAMES.len() };
        let name = NAMES[self.dice.below(below)];
        self.pieces.push(Piece::Name(name));
    }

    fn object(&mut self) {
        for _ in 0..[0, 0, 1, 2][self.dice.below(4)] {
            self.name();
            self.add(".");
        }
        self.name();
    }

    fn table(&mut self) -> &mut Self {
        self.one_of(&["$.", "$.", "$. *", "only $.", "only ( $. )"])
    }

    fn list(&mut self, item: &'static str, most: usize) -> &mut Self {
        self.add(item);
        for _ in 0..self.dice.below(most) {
            self.add(",").add(item);
        }
        self
    }
}

/// A statement that rules judge, and that may stand in code.
pub fn command(dice: &mut Dice) -> String {
    let mut made = Pieces { dice, pieces: Vec::new() };
    match made.dice.below(20) {
        0..=4 => create_index(&mut made),
        5 | 6 => drop_index(&mut made),
        7..=9 => reindex(&mut made),
        10..=12 => create_table(&mut made),
        13..=15 => alter_table(&mut made),
        16 => schema(&mut made),
        _ => other(&mut made),
    }
    // Some are broken: what the parser takes all the same must be read all the same.
    if made.dice.below(12) == 0 && made.pieces.len() > 2 {
        let at = made.dice.below(made.pieces.len());
        made.pieces.remove(at);
    }
    let pieces = made.pieces;
    spell(dice, &pieces)
}

/// A query that may write without a condition, count, or skip rows.
pub fn query(dice: &mut Dice) -> String {
    let mut made = Pieces { dice, pieces: Vec::new() };
    const CONDITIONS: &[&str] = &[
        "",
        "",
        "where $ = 1",
        "where exists ( select 1 from $ )",
        "where ( $ = 'x' or $ is null )",
        "where current of $",
        "where $1 = $",
        "where not $",
    ];
    const WRITES: &[&str] = &[
        "update $. set $ = 1",
        "update only $. as $ set $ = ( select $ from $. where $ = 2 )",
        "delete from $.",
        "delete from only ( $. ) as $ using $.",
        "update $. set ( $ , $ ) = row ( 1 , 2 ) from $.",
        "update $. set $ = case when $ then $ end , $ [ 1 ] = 2 , $ . $ = $ is distinct from 3",
        "update $. $ set $ = 1 , ( $ , $ ) = ( select 1 , 2 ) , $ = 2",
    ];
    const READS: &[&str] = &[
        "select $ from $. for update",
        "select 1 as update , 2 as delete , 3 as where",
        "select $ from $. where $ = 1 for no key update",
        "insert into $. values ( 1 ) on conflict do nothing",
        "insert into $. as $ values ( 1 ) on conflict ( $ ) do update set $ = 1",
        "insert into $. select $ from $.",
        "select $ into $. from $.",
        "select 1 as insert into $. from $.",
        "select ( $ ) insert into $. from $.",
        "select $ merge into $. from $.",
        "select insert into $. from $.",
        "select ( 1 ) delete from $.",
        "select $ from $. as $ join $. on $ = $ order by 1",
        "select $ from only $. , $ where $ = 1",
        "select $ . $ from $. left join ( select 1 ) $ on true",
        "select $ is distinct from 1 as limit from $.",
        "table $.",
        "insert into $. ( $ , $ , $ ) values ( 1 , 2 , 3 )",
        "insert into $. ( $ [ 1 ] , $ . $ , $ ) select 1 , 2 , 3",
        "insert into $. ( values ( 1 , 2 ) )",
        "insert into $. ( $ ) values ( 1 ) on conflict ( $ ) do update set $ = 1 , $ = 2 where $ = 1",
        "merge into $. using $. on $ = 1 when matched then update set $ = 1 , $ = 2 when not matched then insert ( $ , $ ) values ( 1 , 2 )",
        "select $ into temp table $. from $.",
        "select $ into unlogged $. from $.",
        "select count ( * ) from $.",
        "values ( 1 , 2 )",
        "select $ from $. limit 5 offset 10",
        "select $ as into , $ . update from $.",
        "merge into $. using $. on $ = 1 when matched then delete",
        "merge into only $. using $. on $ when not matched then insert values ( 1 )",
    ];
    if made.dice.below(3) == 0 {
        made.add("with $ as (").one_of(WRITES).one_of(CONDITIONS).add("returning * )");
        if made.dice.below(3) == 0 {
            made.add(", $ as (").one_of(WRITES).one_of(CONDITIONS).add(")");
        }
    }
    if made.dice.below(2) == 0 {
        made.one_of(WRITES).one_of(CONDITIONS).maybe("returning $");
    } else {
        made.one_of(READS);
    }
    let pieces = made.pieces;
    spell(dice, &pieces)
}

fn create_index(made: &mut Pieces) {
    made.add("create").maybe("unique").add("index").maybe("concurrently");
    made.one_of(&["", "$", "if not exists $"]).add("on");
    made.table().one_of(&["", "using btree", "using $"]).add("(");
    made.list("$", 3).one_of(&["", "desc", "collate $ nulls last", ", lower ( $ )"]).add(")");
    made.one_of(&["", "include ( $ )", "where $ = 'concurrently'", "tablespace $"]);
}

fn drop_index(made: &mut Pieces) {
    made.add("drop index").maybe("concurrently").maybe("if exists");
    made.list("$.", 3).one_of(&["", "", "cascade", "restrict"]);
}

fn reindex(made: &mut Pieces) {
    made.add("reindex");
    if made.dice.below(2) == 0 {
        made.add("(");
        for at in 0..1 + made.dice.below(3) {
            if at > 0 {
                made.add(",");
            }
            made.one_of(&["verbose", "concurrently", "concurrently", "tablespace $", "analyze"]);
            if made.dice.below(8) == 0 {
                made.pieces.pop();
                made.pieces.push(Piece::Name("concurrently"));
            }
            made.one_of(&[
                "", "", "on", "off", "true", "false", "0", "1", "+ 1", "- 0", "'off'", "'TRUE'",
                "2", "maybe", "1.0", "0x1", "00", "- 1", "'1'",
            ]);
        }
        made.add(")");
    }
    made.one_of(&["index", "table", "schema", "database", "system"]).maybe("concurrently");
    made.one_of(&["$", "$", "$.", ""]);
}

fn create_table(made: &mut Pieces) {
    const COLUMNS: &[&str] = &[
        "( )",
        "( $ int )",
        "( $ int references $. )",
        "( $ int primary key references $. ( $ ) on delete cascade , $ text not null )",
        "( $ int , foreign key ( $ ) references $. , like $. including all )",
        "( $ int check ( $ > 0 ) default ( 1 ) , constraint $ unique ( $ ) )",
    ];
    made.add("create");
    let foreign = made.dice.below(8) == 0;
    if foreign {
        made.add("foreign");
    } else {
        made.one_of(&["", "", "temp", "temporary", "local temp", "global temporary", "unlogged"]);
    }
    match made.dice.below(if foreign { 6 } else { 10 }) {
        0..=2 => {
            made.add("table").maybe("if not exists").add("$.").one_of(COLUMNS);
            made.one_of(&["", "", "inherits ( $. )", "inherits ( $. , $. )"]);
        }
        3 | 4 => {
            made.add("table").maybe("if not exists").add("$. partition of $.");
            made.one_of(&["", "( $ default 1 )", "( $ primary key )"]);
            made.one_of(&["default", "for values in ( 1 , 2 )", "for values from ( 1 ) to ( 2 )"]);
        }
        5 => {
            made.add("table").maybe("if not exists").add("$. ( $ int )");
        }
        6 => {
            made.add("table")
                .maybe("if not exists")
                .add("$. of $.")
                .maybe("( $ with options unique )");
        }
        7 => {
            made.add("table").maybe("if not exists").add("$.").one_of(&["", "( $ , $ )"]);
            made.one_of(&["", "with ( fillfactor = 70 )", "on commit drop", "tablespace $"]);
            made.add("as").one_of(&[
                "select 1",
                "values ( 1 )",
                "table $.",
                "execute $",
                "( select 2 )",
            ]);
            return;
        }
        8 => {
            made.one_of(&["view", "sequence", "recursive view"]);
            let view = matches!(made.pieces.last(), Some(Piece::Key("view")));
            made.add("$.");
            if view {
                made.maybe("( $ )").add("as select 1 as create");
            } else {
                made.one_of(&["", "start 5", "owned by $ . $"]);
            }
            return;
        }
        _ => {
            made.add("materialized view").maybe("if not exists");
            made.add("$. as select $ from $.").maybe("with no data");
            return;
        }
    }
    if foreign {
        made.add("server $");
        return;
    }
    made.one_of(&["", "", "partition by range ( $ )", "partition by list ( ( $ + 1 ) )"]);
    made.one_of(&["", "using heap", "with ( fillfactor = 70 )"]);
    made.one_of(&["", "", "on commit drop", "on commit delete rows"]);
}

fn alter_table(made: &mut Pieces) {
    const COLUMN: &[&str] = &[
        "",
        "not null",
        "null",
        "default 1",
        "default null",
        "default now ( ) not null",
        "default - 1 + 2 check ( $ > 0 )",
        "default $ :: character varying ( 5 ) not null",
        "default case when $ is not null then 1 else null end unique",
        "unique",
        "primary key",
        "references $.",
        "constraint $ check ( $ is not null )",
        "generated always as identity",
        "generated by default as identity ( start 5 )",
        "generated always as ( $ + 1 ) stored",
        "generated always as ( 1 ) virtual",
        "default 'not null'",
        "collate $ unique",
        "default $ is not distinct from 1 not null",
        "storage main",
        "compression lz4 not null",
        "references $. match full on delete set null deferrable initially deferred not null",
    ];
    const TYPES: &[&str] = &[
        "int",
        "serial",
        "bigserial",
        "pg_catalog . int4",
        "$.",
        "text [ ]",
        "double precision",
        "character varying ( 20 )",
        "timestamp ( 3 ) with time zone",
        "interval year to month",
        "numeric ( 10 , 2 )",
        "int array [ 4 ]",
        "serial [ ]",
        "$ . $ % type",
        "bit varying",
    ];
    const ACTIONS: &[&str] = &[
        "add constraint $ unique ( $ )",
        "add unique using index $",
        "add primary key ( $ )",
        "add constraint $ primary key using index $ deferrable",
        "add exclude using gist ( $ with = )",
        "add constraint $ exclude ( $ with = ) where ( $ )",
        "add check ( $ > 0 )",
        "add constraint $ check ( $ is null ) not valid",
        "add foreign key ( $ ) references $.",
        "add constraint $ foreign key ( $ , $ ) references $. ( $ , $ ) on update cascade not valid",
        "add check ( true ) no inherit not valid",
        "add constraint $ not null $ not valid",
        "add check ( $ ) not enforced",
        "add unique ( $ ) using index tablespace $",
        "validate constraint $",
        "drop constraint if exists $ cascade",
        "drop constraint $",
        "alter $ set not null",
        "alter column $ drop not null",
        "alter $ set default null",
        "alter column $ drop default",
        "alter $ type text",
        "alter column $ set data type numeric ( 3 , 4 )",
        "alter $ type int using $ :: int",
        "alter $ type varchar ( 5 ) collate $ using ( $ , 1 ) . f",
        "alter $ set expression as ( 1 )",
        "alter $ add generated always as identity",
        "alter $ set statistics 5",
        "alter $ set ( n_distinct = 5 )",
        "drop column if exists $ cascade",
        "drop $",
        "drop column $ restrict",
        "set tablespace $",
        "set logged",
        "set unlogged",
        "set access method heap",
        "set access method default",
        "set ( fillfactor = 70 )",
        "cluster on $",
        "set without cluster",
        "inherit $.",
        "no inherit $.",
        "owner to current_user",
        "owner to $",
        "enable trigger $",
        "disable row level security",
        "replica identity using index $",
        "reset ( fillfactor )",
        "of $.",
        "alter constraint $ deferrable",
    ];
    const ALONE: &[&str] = &[
        "attach partition $. default",
        "attach partition $. for values in ( 1 )",
        "detach partition $.",
        "detach partition $. concurrently",
        "detach partition $. finalize",
        "rename to $",
        "rename $ to $",
        "rename column $ to $",
        "rename constraint $ to $",
        "set schema $",
    ];
    made.add("alter");
    let kind = made.dice.below(12);
    match kind {
        0 => made.add("index").maybe("if exists").add("$."),
        1 => made.one_of(&["view", "materialized view", "sequence"]).maybe("if exists").add("$."),
        2 => made.add("foreign table").maybe("if exists").table(),
        _ => made.add("table").maybe("if exists").table(),
    };
    if made.dice.below(4) == 0 {
        made.one_of(ALONE);
        return;
    }
    for at in 0..1 + made.dice.below(4) {
        if at > 0 {
            made.add(",");
        }
        if made.dice.below(3) > 0 {
            made.one_of(ACTIONS);
            continue;
        }
        made.add("add").maybe("column").maybe("if not exists").add("$").one_of(TYPES);
        made.one_of(COLUMN).one_of(COLUMN);
    }
}

fn schema(made: &mut Pieces) {
    made.add("create schema");
    made.one_of(&["$", "$ authorization $", "authorization $", "if not exists $"]);
    for _ in 0..made.dice.below(4) {
        match made.dice.below(5) {
            0 => create_index(made),
            1 => create_table(made),
            2 => drop(made.add("create view $ as select 1 as create , 2 as grant")),
            3 => drop(made.add("grant select on $ to public")),
            _ => drop(made.add("create trigger $ after insert on $. execute function f ( )")),
        }
    }
}

fn other(made: &mut Pieces) {
    made.one_of(&[
        "drop table $.",
        "drop table if exists $. , $. cascade",
        "drop view $. restrict",
        "drop materialized view if exists $.",
        "drop foreign table $.",
        "drop schema $ , $ cascade",
        "drop schema if exists $",
        "drop database $",
        "drop database if exists $ with ( force )",
        "drop owned by $ cascade",
        "drop type $. , $.",
        "drop domain if exists $. cascade",
        "drop sequence $.",
        "drop function $ ( int ) cascade",
        "truncate $.",
        "truncate table only $. , $. * restart identity cascade",
        "lock $.",
        "lock table only $. , $. in access share mode nowait",
        "lock $. in share update exclusive mode",
        "lock table $. in row exclusive mode",
        "vacuum",
        "vacuum full $.",
        "vacuum full freeze verbose analyze $. ( $ ) , $.",
        "vacuum ( full off , verbose ) $.",
        "vacuum ( full , full 0 )",
        "cluster $. using $",
        "cluster verbose $.",
        "cluster ( verbose ) $.",
        "cluster $ on $.",
        "cluster",
        "refresh materialized view $.",
        "refresh materialized view concurrently $. with data",
        "alter type $. add value 'a'",
        "alter type $. add value if not exists 'a' before 'b'",
        "alter type $. rename value 'a' to 'b'",
        "alter type $. rename attribute $ to $",
        "alter type $. rename to $",
        "alter type $. set schema $",
        "alter type $. add attribute $ int cascade",
        "alter domain $. add constraint $ check ( value > 0 ) not valid",
        "alter domain $. add check ( value > 0 )",
        "alter domain $. set not null",
        "alter domain $. validate constraint $",
        "alter domain $. rename to $",
        "alter domain $. drop not null",
        "create domain $. as int check ( value > 0 )",
        "create domain $. int",
        "create domain $. text collate $ not null",
        "alter schema $ rename to $",
        "alter database $ rename to $",
        "alter table all in tablespace $ owned by $ set tablespace $",
        "copy $. from 'file'",
        "copy ( select 1 ) to program 'cat'",
        "copy $. ( $ ) to stdout",
        "copy $. from stdin",
    ]);
}

/// Whether a word must not touch the token beside it.
fn is_wordy(text: &str, last: bool) -> bool {
    let byte = if last { text.bytes().last() } else { text.bytes().next() };
    byte.is_some_and(|b| b.is_ascii_alphanumeric() || b >= 0x80 || b"_$\"'&".contains(&b))
}

fn spell(dice: &mut Dice, pieces: &[Piece]) -> String {
    let mut text = String::new();
    let blank = |dice: &mut Dice, text: &mut String| {
        for _ in 0..1 + usize::from(dice.below(4) == 0) {
            text.push_str(dice.pick(BLANKS));
        }
    };
    if dice.below(4) == 0 {
        blank(dice, &mut text);
    }
    let quiet = dice.below(4) == 0;
    for piece in pieces {
        let token = match piece {
            Piece::Key(word) => cased(dice, word),
            Piece::Name(value) => named(dice, value),
            Piece::Text(value) => literal(dice, value),
            Piece::Sign(sign) => (*sign).to_owned(),
        };
        let touches = is_wordy(&text, true) && is_wordy(&token, false);
        if quiet {
            text.push(' ');
        } else if touches || dice.below(3) == 0 {
            blank(dice, &mut text);
        }
        text.push_str(&token);
    }
    if dice.below(4) == 0 {
        text.push_str(dice.pick(&[";", " ;", "/* c */", "-- c", "; ;"]));
    }
    text
}

fn cased(dice: &mut Dice, word: &str) -> String {
    match dice.below(3) {
        0 => word.to_owned(),
        1 => word.to_uppercase(),
        _ => {
            let mut upper = false;
            let each = word.chars().map(|char| {
                upper ^= dice.below(2) == 0;
                if upper { char.to_ascii_uppercase() } else { char }
            });
            each.collect()
        }
    }
}

/// A name with this value: bare where it can be, in quotes, or as `U&"…"`.
fn named(dice: &mut Dice, value: &str) -> String {
    let plain = NAMES[..PLAIN_NAMES].contains(&value);
    match dice.below(4) {
        0 | 1 if plain => cased(dice, value),
        0..=2 => format!("\"{}\"", value.replace('"', "\"\"")),
        _ => {
            let escape = *["\\", "!", "#"].get(dice.below(3)).expect("one of three");
            let blank = *[" ", "\n", "/* c */"].get(dice.below(3)).expect("one of three");
            let quoted = format!("U&\"{}\"", escaped(dice, value, escape).replace('"', "\"\""));
            match escape {
                "\\" => quoted,
                _ => format!("{quoted}{blank}{}{blank}'{escape}'", cased(dice, "uescape")),
            }
        }
    }
}

/// Some of the characters as `\XXXX` or `\+XXXXXX`.
fn escaped(dice: &mut Dice, value: &str, escape: &str) -> String {
    let mut text = String::new();
    for char in value.chars() {
        let code = char as u32;
        match dice.below(3) {
            0 => text.push_str(&format!("{escape}{code:04x}")),
            1 if dice.below(3) == 0 => text.push_str(&format!("{escape}+{code:06X}")),
            _ => text.push(char),
        }
    }
    text
}

/// A string constant with this value, in any of its forms.
pub fn literal(dice: &mut Dice, value: &str) -> String {
    let doubled = value.replace('\'', "''");
    match dice.below(7) {
        0 => format!("'{doubled}'"),
        1 => format!("{}'{}'", dice.pick(&["e", "E"]), doubled.replace('\\', "\\\\")),
        2 => {
            let mut text = String::new();
            for char in value.chars() {
                match (char, dice.below(4)) {
                    ('\'', 0) => text.push_str("\\'"),
                    ('\'', _) => text.push_str("''"),
                    ('\\', _) => text.push_str("\\\\"),
                    ('\n', _) => text.push_str("\\n"),
                    (_, 0) => text.push_str(&format!("\\u{:04X}", char as u32)),
                    (_, 1) if char.is_ascii() => text.push_str(&format!("\\x{:02x}", char as u32)),
                    (_, 2) if char.is_ascii() => text.push_str(&format!("\\{:03o}", char as u32)),
                    _ => text.push(char),
                }
            }
            format!("E'{text}'")
        }
        3 if !value.contains('\\') => {
            format!("U&'{}'", escaped(dice, value, "\\").replace('\'', "''"))
        }
        4 if value.len() > 4 && value.is_ascii() && !value.contains('\'') => {
            let (left, right) = value.split_at(value.len() / 2);
            format!("'{left}'{}'{right}'", dice.pick(&["\n", " \n\t", " -- '\n", "\r\n"]))
        }
        5 if !value.contains("$a$") && !value.ends_with('$') => format!("$a${value}$a$"),
        _ if !value.contains("$$") && !value.ends_with('$') => format!("$${value}$$"),
        _ => format!("'{doubled}'"),
    }
}

/// A DO block that runs `inner`.
pub fn block(dice: &mut Dice, inner: &str) -> String {
    let inner = inner.trim_end_matches([';', ' ']);
    // It may end in a comment.
    let run = match dice.below(6) {
        0 | 1 => format!("{inner}\n;"),
        2 | 3 => format!("execute {};", literal(dice, inner)),
        4 => {
            let nested = format!("begin {inner}\n; end");
            let nested = format!("do {}", literal(dice, &nested));
            format!("execute {};", literal(dice, &nested))
        }
        _ => format!("if true then {inner}\n; end if;"),
    };
    let code = match dice.below(4) {
        0 => format!("begin {run} end"),
        1 => format!("declare x int := 5; begin <<l>> x := 1; {run} perform 1; end;"),
        2 => format!("BEGIN -- drop index i\n{run}\nEND"),
        _ => format!("<<b>>begin/* '*/begin {run} exception when others then null; end; end"),
    };
    let code = literal(dice, &code);
    match dice.below(4) {
        0 => format!("do language plpgsql {code}"),
        1 => format!("DO/**/{code} language 'plpgsql'"),
        _ => format!("do {code}"),
    }
}
