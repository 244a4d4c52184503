use super::*;
use proptest::prelude::*;

/// What a table of cases compares: every part, in one line.
fn shown(target: &Target) -> String {
    let hosts: Vec<_> = target
        .hosts
        .iter()
        .map(|host| match host {
            Host::Tcp { name, port } => format!("tcp({name} {port})"),
            Host::Unix { dir, port } => format!("unix({dir} {port})"),
        })
        .collect();
    let mut text = hosts.join(" ");
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={value}"));
        }
    };
    add("dbname", target.dbname.clone());
    add("user", target.user.clone());
    add("password", target.password.as_ref().map(|secret| secret.expose().to_owned()));
    add("sslmode", (target.sslmode != SslMode::Prefer).then(|| target.sslmode.to_string()));
    add("sslrootcert", target.sslrootcert.as_ref().map(|path| path.display().to_string()));
    add("application_name", target.application_name.clone());
    add("connect_timeout", target.connect_timeout.map(|timeout| timeout.to_string()));
    add("options", target.options.clone());
    let attrs = target.target_session_attrs;
    add("attrs", (attrs != TargetSessionAttrs::Any).then(|| attrs.to_string()));
    add("unused", (!target.unused.is_empty()).then(|| target.unused.join(",")));
    text
}

fn check(input: &str, expected: &str) {
    match Target::parse(input) {
        Ok(target) => assert_eq!(shown(&target), expected, "{input}"),
        Err(error) => panic!("{input}: {error}"),
    }
}

fn refuse(input: &str, expected: &str) {
    match Target::parse(input) {
        Ok(target) => panic!("{input} was read as {}", shown(&target)),
        Err(error) => assert!(error.message.contains(expected), "{input}: {error}"),
    }
}

#[test]
fn urls() {
    check("postgres://db1.internal:5432/shop", "tcp(db1.internal 5432) dbname=shop");
    check("postgresql://db1.internal", "tcp(db1.internal 5432)");
    check("postgres://db1.internal:5432", "tcp(db1.internal 5432)");
    check("postgres://db1.internal/", "tcp(db1.internal 5432)");
    check("postgres://web:s3cret@db1/shop", "tcp(db1 5432) dbname=shop user=web password=s3cret");
    check("postgres://web@db1/shop", "tcp(db1 5432) dbname=shop user=web");
    check(
        "postgres://web:a%40b%2Fc%25@db1/shop",
        "tcp(db1 5432) dbname=shop user=web password=a@b/c%",
    );
    check("postgres://web:a+b@db1", "tcp(db1 5432) user=web password=a+b");
    check("postgres://web:a:b@db1", "tcp(db1 5432) user=web password=a:b");
    check("postgres://%C3%A4@db1", "tcp(db1 5432) user=ä");
    check("  postgres://db1  ", "tcp(db1 5432)");
}

#[test]
fn several_hosts() {
    check("postgres://a:1,b:2,c/shop", "tcp(a 1) tcp(b 2) tcp(c 5432) dbname=shop");
    check("postgres://a,b:7", "tcp(a 5432) tcp(b 7)");
    check("host=a,b port=1,2", "tcp(a 1) tcp(b 2)");
    check("host=a,b port=6000", "tcp(a 6000) tcp(b 6000)");
    check("host=a,b port=,6000", "tcp(a 5432) tcp(b 6000)");
    refuse("host=a,b,c port=1,2", "2 ports for 3 hosts");
    refuse("host=a,,c", "a host in the list is empty");
    let many: Vec<_> = (0..100).map(|n| format!("{}{n}", "h".repeat(250))).collect();
    let target = Target::parse(&format!("postgres://{}/shop", many.join(","))).unwrap();
    assert_eq!(target.hosts.len(), 100);
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    check("postgres://[::1]:6000/shop", "tcp(::1 6000) dbname=shop");
    check("postgres://[2001:db8::1]", "tcp(2001:db8::1 5432)");
    check("host=::1", "tcp(::1 5432)");
    check("postgres://[::1],[::2]:7", "tcp(::1 5432) tcp(::2 7)");
    refuse("postgres://::1", "more than one `:`");
    refuse("postgres://[::1", "`[` without `]`");
    refuse("postgres://[::1]x", "text after `]`");
    refuse("postgres://[nonsense]", "is no IPv6 address");
    assert_eq!(Target::parse("host=::1").unwrap().hosts[0].to_string(), "[::1]:5432");
}

#[test]
fn unix_sockets() {
    check("host=/var/run/postgresql", "unix(/var/run/postgresql 5432)");
    check(
        "postgres://%2Fvar%2Frun%2Fpostgresql/shop",
        "unix(/var/run/postgresql 5432) dbname=shop",
    );
    check("postgres:///shop?host=/run/pg&port=7", "unix(/run/pg 7) dbname=shop");
    check("host=@abstract", "unix(@abstract 5432)");
    let target = Target::parse("host=/run/pg port=7").unwrap();
    assert_eq!(target.hosts[0].socket_path(), Some(PathBuf::from("/run/pg/.s.PGSQL.7")));
}

#[test]
fn parameters() {
    check(
        "postgres://a/b?sslmode=verify-full&application_name=x%20y",
        "tcp(a 5432) dbname=b sslmode=verify-full application_name=x y",
    );
    check("postgres://a?connect_timeout=10", "tcp(a 5432) connect_timeout=10s");
    check("postgres://a?connect_timeout=-1", "tcp(a 5432) connect_timeout=off");
    check("postgres://a?options=-c%20geqo%3Doff", "tcp(a 5432) options=-c geqo=off");
    check(
        "postgres://a,b?target_session_attrs=read-write",
        "tcp(a 5432) tcp(b 5432) attrs=read-write",
    );
    check("postgres://a?ssl=true", "tcp(a 5432) sslmode=require");
    check("postgres://a?keepalives=1", "tcp(a 5432) unused=keepalives");
    check("hostaddr=10.0.0.1", "tcp(10.0.0.1 5432)");
    check("host=a hostaddr=10.0.0.1", "tcp(a 5432) unused=hostaddr");
    check("postgres://a/b?dbname=c", "tcp(a 5432) dbname=c");
    check("postgres://a?&sslrootcert=/x/ca.crt&", "tcp(a 5432) sslrootcert=/x/ca.crt");
    check("postgres://a?sslrootcert=system", "tcp(a 5432) sslmode=verify-full");
    refuse("postgres://a?sslrootcert=system&sslmode=prefer", "needs `sslmode=verify-full`");
    refuse("postgres://a?sslmode=always", "`always` is no value of `sslmode`");
    refuse("postgres://a?connect_timeout=10s", "whole number of seconds");
    refuse("postgres://a?sslmod=require", "libpq knows no parameter `sslmod`");
    refuse("postgres://a?sslmode", "has no `=`");
    let error = Target::parse("postgres://a?sslmod=require").unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean `sslmode`?"));
}

#[test]
fn keyword_strings() {
    check("host=db1 port=6000 dbname=shop user=web", "tcp(db1 6000) dbname=shop user=web");
    check("host = db1  dbname = 'my shop'", "tcp(db1 5432) dbname=my shop");
    check(r"host=db1 password='it\'s'", "tcp(db1 5432) password=it's");
    check(r"host=db1 password=a\ b\\c", r"tcp(db1 5432) password=a b\c");
    check("host=db1 password=a=b", "tcp(db1 5432) password=a=b");
    check("host=db1 password=x://y", "tcp(db1 5432) password=x://y");
    check("host=db1 user=''", "tcp(db1 5432)");
    refuse("host=db1 password='open", "is not closed");
    refuse("host=db1 port", "has no `=`");
    refuse("=x host=db1", "without a keyword");
    refuse("dbname=shop", "names no host");
    refuse("db1.internal", "neither a URL nor");
    refuse("", "neither a URL nor");
}

#[test]
fn what_is_wrong_is_said_without_the_password() {
    refuse("postgresql+psycopg://a/b", "is no Postgres URL");
    refuse("jdbc:postgresql://a/b", "is no Postgres URL");
    refuse("mysql://a/b", "is no Postgres URL");
    refuse("postgres://web:hunter2@", "names no host");
    refuse("postgres://a:99999", "`99999` is no port");
    refuse("postgres://a:0", "`0` is no port");
    refuse("postgres://a:+5", "is no port");
    refuse("postgres://web:hun/ter2@a", "after the first `/`");
    check("postgres://web:a?b@db1", "tcp(db1 5432) user=web password=a?b");
    refuse("postgres://web:hunter%zz@a", "not followed by two hexadecimal digits");
    refuse("postgres://web:%00@a", "%00 in the password");
    refuse("postgres://%FF@a", "not UTF-8");
    refuse("postgres://web:hun@ter2@a", "two `@` before the host");
    for text in [
        "postgres://web:hunter2@",
        "postgres://web:hunter2%@a",
        "postgres://web:hun@hunter2@a",
        "host=a password=x hunter2",
        "postgres://web:hunter2",
        "postgres://web:hunter2/x@a",
    ] {
        let error = Target::parse(text).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn local_is_what_stays_on_this_machine() {
    for (text, local) in [
        ("host=/run/pg", true),
        ("host=localhost", true),
        ("host=127.0.0.53", true),
        ("host=::1", true),
        ("host=::ffff:127.0.0.1", true),
        ("host=10.0.0.1", false),
        ("host=localhost,db1", false),
    ] {
        assert_eq!(Target::parse(text).unwrap().is_local(), local, "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = Target::parse(&text);
    }

    #[test]
    fn near_misses_never_panic(text in "(postgres://|host=)?[a-z0-9%/@:,?&='\\\\\\[\\] .-]{0,60}") {
        let _ = Target::parse(&text);
    }

    #[test]
    fn a_percent_encoded_password_comes_back(password in "[^\0]{1,20}") {
        let encoded: String = password.bytes().map(|b| format!("%{b:02X}")).collect();
        let target = Target::parse(&format!("postgres://u:{encoded}@h/d")).unwrap();
        let read = target.password.unwrap();
        prop_assert_eq!(read.expose(), password.as_str());
    }
}
