use super::*;

#[test]
fn stored_forms_are_told_apart() {
    let kind = |stored: &str| match StoredSecret::parse(stored.as_bytes()) {
        Ok(StoredSecret::Plain(_)) => "plain",
        Ok(StoredSecret::Md5(_)) => "md5",
        Ok(StoredSecret::Scram(_)) => "scram",
        Err(StoredSecretError::Empty) => "empty",
        Err(StoredSecretError::MalformedVerifier) => "malformed",
    };
    assert_eq!(kind("secret"), "plain");
    assert_eq!(kind(""), "empty");
    assert_eq!(kind("md5d787f9182e73539db5523d230b9cbfac"), "md5");
    assert_eq!(kind("md5D787F9182E73539DB5523D230B9CBFAC"), "plain");
    assert_eq!(kind("md5d787f9182e73539db5523d230b9cbfa"), "plain");
    assert_eq!(kind("md5d787f9182e73539db5523d230b9cbfacc"), "plain");
    let key = "JtLQPejqhoRlqmAt/xl+g1MrFv9KpF4mS4jCQXayxhg=";
    assert_eq!(kind(&format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}")), "scram");
    assert_eq!(kind(&format!("SCRAM-SHA-256$4096:c2FsdA==${key}:")), "malformed");
    assert_eq!(kind("SCRAM-SHA-256$"), "malformed");
    assert_eq!(kind("SCRAM-SHA-1$x"), "plain");
}

#[test]
fn a_cleartext_password_is_checked_against_every_form() {
    let plain = StoredSecret::parse("pass ⅷ".as_bytes()).unwrap();
    let md5 = StoredSecret::parse(b"md5d787f9182e73539db5523d230b9cbfac").unwrap();
    let StoredSecret::Plain(known) = &plain else { panic!() };
    let scram = StoredSecret::Scram(known.verifier().clone());
    assert!(plain.verify_cleartext(b"any", "pass ⅷ".as_bytes()));
    assert!(scram.verify_cleartext(b"any", "pass ⅷ".as_bytes()));
    assert!(md5.verify_cleartext(b"md5user", b"md5 pass"));
    assert!(!md5.verify_cleartext(b"another", b"md5 pass"));
    for secret in [plain, scram, md5] {
        for wrong in [b"".as_slice(), b"pass", b"pass \xff", &[b'x'; 65_536]] {
            assert!(!secret.verify_cleartext(b"md5user", wrong));
        }
    }
}

#[test]
fn the_verifier_of_a_password_is_made_once() {
    let known = PlainPassword::new(Secret::new("x")).unwrap();
    let clone = known.clone();
    assert!(known.verifier().same_as(clone.verifier()));
    assert!(PlainPassword::new(Secret::new("")).is_none());
}

#[test]
fn secrets_do_not_show() {
    let secret = Secret::new("hunter2");
    let plain = StoredSecret::parse(b"hunter2").unwrap();
    let md5 = StoredSecret::parse(b"md5d787f9182e73539db5523d230b9cbfac").unwrap();
    let shown = format!("{secret:?} {plain:?} {md5:?} {:?}", Key::new([b'h'; 32]));
    assert!(!shown.contains("hunter2") && !shown.contains("d787") && !shown.contains("104"));
}
