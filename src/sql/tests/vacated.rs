use super::super::{LexOptions, vacated};

fn check(text: &str, expected: &str) {
    let found = vacated(text.as_bytes(), LexOptions::default());
    let found = found.map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap());
    assert_eq!(found.as_deref().unwrap_or_default(), expected, "{text}");
}

#[test]
fn statements_name_the_database_that_must_be_empty() {
    check("drop database shop", "shop");
    check("  DROP /* x */ DATABASE IF EXISTS \"Shop\" WITH (FORCE);", "Shop");
    check("-- why\ndrop database Shop", "shop");
    check("/* a */;; drop database shop", "shop");
    check("drop database \"a\"\"b\"", "a\"b");
    check("alter database shop rename to store", "shop");
    check("alter database shop set tablespace fast", "shop");
    check("create database copy template shop", "shop");
    check("create database copy with owner = app template = 'Shop' encoding 'UTF8'", "Shop");
    check("create database copy connection limit -1 is_template=false template=shop", "shop");
    check("create database copy template default", "template1");
    check("create database copy owner template", "template1");
    check("create database copy", "template1");
}

#[test]
fn other_statements_empty_nothing() {
    for text in [
        "",
        ";",
        "select 1",
        "drop table database",
        "drop",
        "drop database",
        "alter database shop set work_mem = '1MB'",
        "alter database shop owner to app",
        "alter database shop set tablespaces = 1",
        "create table database (a int)",
        "create database",
        "comment on database shop is 'drop database shop'",
        "'drop database shop'",
        "select 1; drop database shop",
    ] {
        check(text, "");
    }
}
