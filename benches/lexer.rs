//! How long lexing, the facts and the guard's commands of a text take, per text: run with `cargo bench --bench lexer`.
//! `proof` is what its reading costs, once where there are replicas. For an ordinary text `commands` is the look that says so (`is_ordinary`). `first sight` is all that a text costs when it
//! comes as a Query: what it does to its session and to objects; `known` the same of one that has come twice before.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

use pgweir::prepared::{Known, Texts};
use pgweir::sql::reads::reading;
use pgweir::sql::{LexOptions, Lexer, commands, facts};

fn main() {
    let short = r#"SELECT "id","name" FROM "users" WHERE "id" = $1 AND x LIMIT 1"#.to_owned();
    let middle = r#"SELECT "shop_order"."id", "shop_order"."state", "shop_order"."customer_id", "shop_order"."total" FROM "shop_order" WHERE ("shop_order"."state" = $1 AND "shop_order"."id" > 17) ORDER BY "shop_order"."id" DESC LIMIT 21"#.to_owned();
    let columns: Vec<String> = (0..36)
        .map(|i| format!(r#""shop_order"."column_number_{i:02}" AS "alias_{i:02}""#))
        .collect();
    let long = format!(
        r#"SELECT {} FROM "shop_order" INNER JOIN "shop_customer" ON ("shop_order"."customer_id" = "shop_customer"."id") WHERE ("shop_order"."state" IN ('open', 'paid') AND "shop_customer"."id" = 17) ORDER BY "shop_order"."id" DESC LIMIT 21"#,
        columns.join(", ")
    );
    let bare = long.replace('"', "");
    let rows = vec!["(1, 'a literal of some length', 3.14, NULL)"; 700].join(", ");
    let texts = [
        ("short select, 60 bytes", short),
        ("ORM select, 200 bytes", middle),
        ("ORM select, 2 KB, quoted", long),
        ("ORM select, 2 KB, bare words", bare),
        ("INSERT, 30 KB", format!("INSERT INTO t (a, b, c, d) VALUES {rows}")),
        ("BEGIN", "BEGIN".to_owned()),
        ("SET", "SET search_path TO app, public".to_owned()),
        (
            "UPDATE",
            r#"UPDATE "shop_order" SET "state" = $1, "total" = $2 WHERE "shop_order"."id" = $3"#
                .to_owned(),
        ),
        ("DELETE of a whole table", "DELETE FROM shop_order".to_owned()),
        ("CREATE INDEX", "CREATE INDEX CONCURRENTLY i ON shop_order (customer_id)".to_owned()),
        (
            "DO",
            "DO $$ BEGIN IF a THEN EXECUTE 'CREATE INDEX i ON t (a)'; END IF; END $$".to_owned(),
        ),
        ("set_config", "SELECT set_config('app.tenant', $1, false)".to_owned()),
    ];
    for (name, text) in &texts {
        let text = text.as_bytes();
        let lexed = time(text, |text| Lexer::new(text, LexOptions::default()).count());
        let found = time(text, |text| facts(text, LexOptions::default()).count());
        let told = time(text, |text| commands(text, LexOptions::default()).found().len());
        let proven = time(text, |text| reading(text, LexOptions::default()).functions.len());
        let read = time(text, |text| usize::from(Known::of(text).effects.commands));
        let mut texts = Texts::default();
        // From its second time on it is kept.
        (0..2).for_each(|_| drop(texts.look(text)));
        let texts = RefCell::new(texts);
        let kept = time(text, |text| usize::from(texts.borrow_mut().look(text).effects.commands));
        println!(
            "{name:<30} {:>6} bytes  lex {lexed:>9.1} ns  facts {found:>9.1} ns  commands {told:>9.1} ns  \
             proof {proven:>9.1} ns  first sight {read:>9.1} ns  known {kept:>9.1} ns",
            text.len()
        );
    }
}

/// Nanoseconds of one call: the best of nine rounds, after one to warm up.
fn time(text: &[u8], work: impl Fn(&[u8]) -> usize) -> f64 {
    let calls = (4_000_000 / (text.len() + 40)).max(1);
    let mut best = f64::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(work(black_box(text)));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / calls as f64);
    }
    best
}
