use super::*;
use proptest::prelude::*;

fn plain(list: &Userlist, role: &str) -> Option<String> {
    match list.secret(role)? {
        StoredSecret::Plain(known) => {
            Some(String::from_utf8(known.password().expose().to_vec()).unwrap())
        }
        StoredSecret::Md5(_) => Some("(md5)".into()),
        StoredSecret::Scram(_) => Some("(scram)".into()),
    }
}

#[test]
fn a_file_as_pgbouncer_reads_it() {
    let key = "JtLQPejqhoRlqmAt/xl+g1MrFv9KpF4mS4jCQXayxhg=";
    let file = format!(
        "; a comment\n\
         \n\
         \"shop\" \"secret\"\r\n\
         \t\"a \"\"quoted\"\" name\"   \"with \"\"quotes\"\"\" and more\n\
         \"md5\" \"md5d787f9182e73539db5523d230b9cbfac\" \"\"\n\
         \"close\"\"secret\"\n\
         \"empty\" \"\"\n\
         \"scram\" \"SCRAM-SHA-256$4096:c2FsdA==${key}:{key}\"\n\
         \"twice\" \"first\"\n  ; another\n\
         \"twice\" \"second\""
    );
    // The line without a space between name and secret is one name to PgBouncer, too.
    let refused = Userlist::parse(file.as_bytes()).unwrap_err();
    assert_eq!(refused, UserlistError { line: 6, problem: UserlistProblem::ExpectedSecret });

    let list = Userlist::parse(file.replace("\"close\"\"secret\"\n", "\n").as_bytes()).unwrap();
    assert_eq!(plain(&list, "shop").as_deref(), Some("secret"));
    assert_eq!(plain(&list, "a \"quoted\" name").as_deref(), Some("with \"quotes\""));
    assert_eq!(plain(&list, "md5").as_deref(), Some("(md5)"));
    assert_eq!(plain(&list, "scram").as_deref(), Some("(scram)"));
    assert_eq!(plain(&list, "twice").as_deref(), Some("second"));
    assert_eq!(list.repeated, [("twice".to_string(), 11)]);
    assert_eq!((plain(&list, "empty"), list.line("empty")), (None, Some(7)));
    assert_eq!((plain(&list, "nobody"), list.line("nobody")), (None, None));
    assert_eq!((list.len(), list.iter().count()), (6, 6));
}

#[test]
fn a_line_that_cannot_be_read_refuses_the_file() {
    use UserlistProblem::*;
    let check = |line: &[u8], problem: UserlistProblem| {
        let file = [b"\"shop\" \"secret\"\n\n", line, b"\n\"last\" \"secret\"\n"].concat();
        let refused = Userlist::parse(&file).unwrap_err();
        assert_eq!(refused, UserlistError { line: 3, problem }, "{}", line.escape_ascii());
        assert!(refused.to_string().starts_with("line 3: "));
    };
    check(b"shop secret", ExpectedRole);
    check(b"# a comment", ExpectedRole);
    check(b"\xef\xbb\xbf\"bom\" \"x\"", ExpectedRole);
    check(b"\"shop\"", ExpectedSecret);
    check(b"\"shop\" secret", ExpectedSecret);
    check(b"\"shop\" , \"secret\"", ExpectedSecret);
    check(b"\"shop \"\"", Unterminated);
    check(b"\"shop\" \"secret", Unterminated);
    check(b"\"shop\" \"secret\"\"", Unterminated);
    check(b"\"\" \"secret\"", EmptyRole);
    check(format!("\"{}\" \"x\"", "r".repeat(64)).as_bytes(), RoleTooLong);
    check(b"\"sh\xffop\" \"secret\"", RoleNotUtf8);
    check(b"\"sh\0op\" \"secret\"", Nul);
    check(b"\"shop\" \"SCRAM-SHA-256$4096:cut\"", Secret(StoredSecretError::MalformedVerifier));
    assert!(Userlist::parse(b"").unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_panics(file: Vec<u8>) {
        let _ = Userlist::parse(&file);
    }

    #[test]
    fn what_is_quoted_is_read_back(role in "[^\n\0]{1,15}", secret in "[^\n\0]{1,40}") {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let list = Userlist::parse(format!("{} {}", quoted(&role), quoted(&secret)).as_bytes());
        prop_assert_eq!(plain(&list.unwrap(), &role), Some(secret));
    }
}
