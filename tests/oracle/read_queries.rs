//! Queries made up: FROM clauses in all their forms, names that hide each other, words that are keywords elsewhere.

use crate::generate::Dice;

/// Few, so that tables, CTEs and aliases meet.
const NAMES: &[&str] =
    &["a", "b", "c", "t", "\"T\"", "\"select\"", "U&\"\\0061\"", "rows", "share", "key"];

const FUNCTIONS: &[&str] = &[
    "f",
    "g",
    "lower",
    "s.h",
    "\"F\"",
    "db.s.i",
    "left",
    "over",
    "nextval",
    "filter",
    "operator",
    "rows",
    "sets",
    "count",
    "pg_catalog.now",
    "is",
    "zone",
    "by",
];

const LABELS: &[&str] = &[
    "",
    "",
    "",
    " as a",
    " b",
    " as from",
    " as select",
    " as into",
    " as update",
    " as table",
    " table",
    " as for",
    " values",
    " select",
    " using",
    " join",
    " as with",
    " distinct",
    " only",
    " as \"x\"",
    " rows",
];

struct Writer<'a> {
    dice: &'a mut Dice,
    out: String,
    /// How much more may be nested.
    left: usize,
}

/// A query that is nearly always one, and nearly always only reads.
pub fn query(dice: &mut Dice) -> String {
    let left = 2 + dice.below(8);
    let mut writer = Writer { dice, out: String::new(), left };
    match writer.dice.below(12) {
        0 => writer.add("explain "),
        1 => writer.add("explain (analyze, verbose) "),
        2 => {
            writer.add("copy (");
            writer.select();
            writer.add(") to stdout (format csv, force_quote (a, b))");
            return writer.out;
        }
        3 => writer.add("declare a cursor for "),
        4 => {
            writer.add("explain ");
            writer.write();
            return writer.out;
        }
        _ => {}
    }
    writer.select();
    writer.out
}

impl Writer<'_> {
    fn add(&mut self, text: &str) {
        self.out.push_str(text);
        if self.dice.below(60) == 0 {
            self.out.push_str(" /* , from x */ ");
        }
    }

    fn pick(&mut self, from: &[&str]) {
        let text = self.dice.pick(from).to_owned();
        self.add(&text);
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.dice.below(count) == 0
    }

    /// True where there is room to nest, which is then used.
    fn nests(&mut self) -> bool {
        let nests = self.left > 0 && self.dice.below(2) == 0;
        self.left -= usize::from(nests);
        nests
    }

    fn name(&mut self) {
        self.pick(NAMES);
    }

    fn list(&mut self, one: impl Fn(&mut Self)) {
        one(self);
        for _ in 0..self.dice.below(3) {
            self.add(", ");
            one(self);
        }
    }

    fn select(&mut self) {
        if self.one_in(4) && self.nests() {
            self.with();
        }
        match self.dice.below(12) {
            0 if self.nests() => {
                self.add("(");
                self.select();
                self.add(")");
            }
            1 => {
                self.add("values (");
                self.list(Self::expression);
                self.add(")");
            }
            2 => {
                self.add("table ");
                self.table();
            }
            _ => self.plain(),
        }
        if self.one_in(5) && self.nests() {
            self.pick(&[" union ", " union all ", " intersect distinct ", " except "]);
            self.select_arm();
        }
        if self.one_in(4) {
            self.add(" order by ");
            self.list(Self::expression);
        }
        if self.one_in(8) {
            self.pick(&[
                " limit 1",
                " for read only",
                " for update",
                " for no key update of a",
                " for key share",
                " for share nowait",
            ]);
        }
    }

    fn select_arm(&mut self) {
        match self.dice.below(3) {
            0 => {
                self.add("(");
                self.select();
                self.add(")");
            }
            1 => {
                self.add("table ");
                self.table();
            }
            _ => self.plain(),
        }
    }

    fn plain(&mut self) {
        self.add("select ");
        self.pick(&["", "", "", "", "distinct ", "all ", "distinct on (a) "]);
        if !self.one_in(12) {
            self.list(|writer| {
                writer.expression();
                writer.pick(LABELS);
            });
        }
        if self.one_in(40) {
            self.add(" into ");
            self.table();
        }
        if !self.one_in(6) {
            self.add(" from ");
            self.list(Self::item);
        }
        if self.one_in(2) {
            self.add(" where ");
            self.expression();
        }
        if self.one_in(6) {
            self.pick(&[
                " group by ",
                " group by grouping sets ((), (a)), ",
                " group by rollup (b), ",
            ]);
            self.list(Self::expression);
            self.pick(&["", " having f(1) > 0"]);
        }
        if self.one_in(12) {
            self.add(" window w as (partition by ");
            self.expression();
            self.add(")");
        }
    }

    fn with(&mut self) {
        self.pick(&["with ", "with recursive "]);
        self.list(|writer| {
            writer.name();
            writer.pick(&["", "", " (a, b)"]);
            writer.add(" as ");
            writer.pick(&["", "", "materialized ", "not materialized "]);
            writer.add("(");
            if writer.one_in(25) {
                writer.write();
            } else {
                writer.select();
            }
            writer.add(")");
            let tails = [
                "",
                "",
                "",
                " search depth first by a, b set c",
                " cycle a, t set c to 'x' default 'y' using b",
            ];
            writer.pick(&tails);
        });
        self.add(" ");
    }

    fn write(&mut self) {
        match self.dice.below(6) {
            0 => {
                self.add("insert into ");
                self.table();
                self.pick(&[" ", " (a, b) ", " as t (a) "]);
                self.select();
            }
            1 => {
                self.add("update ");
                self.table();
                self.add(" set a = ");
                self.expression();
                self.add(", b = f(1) from ");
                self.list(Self::item);
            }
            2 => {
                self.add("delete from ");
                self.table();
                self.add(" using ");
                self.list(Self::item);
                self.add(" where ");
                self.expression();
            }
            3 => {
                self.add("insert into ");
                self.table();
                self.add(" values (");
                self.expression();
                self.add(") on conflict (a) do update set b = ");
                self.expression();
            }
            4 => {
                self.add("merge into ");
                self.table();
                self.add(" using ");
                self.item();
                self.add(" on f(1) = 2 when matched then update set a = g(1), b = 2 when not matched then insert (a) values (f(2))");
            }
            _ => {
                self.with();
                self.add("delete from ");
                self.table();
            }
        }
        if self.one_in(3) {
            self.add(" returning f(a)");
        }
    }

    fn table(&mut self) {
        self.pick(&["", "", "", "s.", "only "]);
        self.name();
    }

    fn item(&mut self) {
        match self.dice.below(14) {
            0 => {
                self.add("(");
                self.select();
                self.add(")");
                self.pick(&[" a", " as b", " t (a, b)", " as c (a)"]);
            }
            1 => {
                self.pick(&["", "lateral "]);
                self.call();
                self.pick(&[
                    "",
                    " with ordinality",
                    " as t (a int, b varchar(3))",
                    " with ordinality as x (a, b)",
                    " y (a)",
                ]);
            }
            2 => {
                self.add("rows from (");
                self.call();
                self.pick(&[") b", ", f(1) as (a int)) with ordinality", ") as t (a)"]);
            }
            3 if self.nests() => {
                self.add("(");
                self.item();
                self.add(" cross join ");
                self.item();
                self.pick(&[")", ") as j", ") j (a, b)"]);
            }
            4 => {
                self.add("xmltable('/a' passing ");
                self.expression();
                self.add(" columns a int path 'x' default f(1), b for ordinality) x");
            }
            5 => {
                self.table();
                self.pick(&[
                    " tablesample bernoulli (g(1))",
                    " as x tablesample system (2) repeatable (f(1))",
                ]);
            }
            6 => self.pick(&[
                "current_date",
                "current_user as u",
                "coalesce(f(1), 2) c",
                "cast(g(1) as int) as t",
            ]),
            _ => {
                self.table();
                self.pick(&[
                    "",
                    "",
                    "",
                    " *",
                    " x",
                    " as y",
                    " values (a, b)",
                    " within",
                    " rows",
                    " z (a, b)",
                    " as t (a)",
                ]);
            }
        }
        if self.one_in(3) && self.nests() {
            match self.dice.below(4) {
                0 => {
                    self.pick(&[" cross join ", " natural join ", " natural left join "]);
                    self.item();
                }
                1 => {
                    self.pick(&[" join ", " full outer join "]);
                    self.item();
                    self.pick(&[" using (a, b)", " using (a) as j"]);
                }
                _ => {
                    self.pick(&[" join ", " left join ", " inner join ", " right outer join "]);
                    self.item();
                    self.add(" on ");
                    self.expression();
                }
            }
        }
    }

    fn call(&mut self) {
        self.pick(FUNCTIONS);
        self.pick(&["(", "(", " ("]);
        if !self.one_in(4) {
            self.pick(&["", "", "", "distinct ", "variadic ", "a => "]);
            self.expression();
        }
        self.add(")");
    }

    fn expression(&mut self) {
        match self.dice.below(30) {
            0..=5 => {
                self.call();
                if self.one_in(8) {
                    self.pick(&[
                        " over w",
                        " over (partition by f(1) order by a rows between 1 preceding and g(1) following)",
                        " filter (where f(2))",
                        " within group (order by g(a))",
                    ]);
                }
            }
            6 if self.nests() => {
                self.pick(&["(", "exists (", "array(", "a in (", "a = any ("]);
                self.select();
                self.add(")");
            }
            7 => {
                self.add("(");
                self.expression();
                self.pick(&[
                    ")",
                    ").x",
                    ")[1].y",
                    ")::numeric(10, 2)",
                    "::character varying(3))",
                    ")::s.x(3)",
                ]);
            }
            8 => {
                self.add("extract(epoch from ");
                self.expression();
                self.add(")");
            }
            9 => {
                self.add("substring(");
                self.expression();
                self.pick(&[" from 1 for 2)", " for 2)", " similar 'a' escape 'b')", ", 2)"]);
            }
            10 => {
                self.pick(&["trim(both from ", "trim(", "trim(leading 'x' from "]);
                self.expression();
                self.add(")");
            }
            11 => {
                self.expression();
                self.pick(&[
                    " is distinct from ",
                    " is not distinct from ",
                    " + ",
                    " and ",
                    " or ",
                    " || ",
                    " operator(pg_catalog.+) ",
                    " like ",
                    " not ilike ",
                    " is not null and ",
                    " at time zone ",
                ]);
                self.expression();
            }
            12 => {
                self.add("cast(");
                self.expression();
                self.pick(&[
                    " as numeric(3))",
                    " as timestamp(3) with time zone)",
                    " as s.x(1))",
                    " as \"char\")",
                ]);
            }
            13 => {
                self.add("case when ");
                self.expression();
                self.add(" then ");
                self.expression();
                self.add(" end");
            }
            14 => {
                self.add("array[");
                self.list(Self::expression);
                self.add("]");
            }
            15 => {
                self.add("overlay(");
                self.expression();
                self.add(" placing ");
                self.expression();
                self.add(" from 1 for 2)");
            }
            16 => self.pick(&[
                "a.b",
                "s.t.c",
                "t.\"F\"",
                "a.b.c.d",
                "t.*",
                "(a).b.c",
                "a[f(1)].b",
                "$1",
                "a.from",
            ]),
            17 => self.pick(&[
                "current_setting('app.x')",
                "json_value(a, '$' passing f(1) as x returning int)",
                "json_object('a': f(2))",
                "json_array(select f(a) from b)",
                "xmlserialize(content f(1) as text)",
                "xmlelement(name a, f(1))",
                "xmlforest(f(1) as a)",
                "position(f(1) in b)",
                "grouping(a)",
                "coalesce(f(1), g(2))",
                "nullif(a, f(3))",
                "row(f(1), 2)",
                "normalize(f(1), nfc)",
                "collation for (f(1))",
                "merge_action()",
            ]),
            18 => self.pick(&[
                "interval '1' day",
                "interval(3) '1 s'",
                "timestamp '2020-01-01'",
                "numeric(3, 1) '1.5'",
                "f 'x'",
                "b'1'",
                "E'\\''",
                "$$from x$$",
                "current_timestamp(3)",
                "system_user",
                "localtime",
            ]),
            19 => {
                self.add("a between ");
                self.expression();
                self.add(" and ");
                self.expression();
            }
            20 => self.add("not f(1)"),
            _ => self.pick(&["a", "b", "1", "'x'", "\"T\"", "null", "true", "share", "rows"]),
        }
    }
}
