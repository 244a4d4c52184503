use super::*;
use proptest::prelude::*;

/// psql 15 at Postgres 15, role md5user, password "md5 pass".
#[test]
fn a_recorded_login_of_psql() {
    let hash = Md5Hash::of(b"md5 pass", b"md5user");
    assert!(hash.matches(&Md5Hash::parse(b"md5d787f9182e73539db5523d230b9cbfac").unwrap()));
    let answer = b"md58eec1c23183c7189dc033b8d566ed084\0";
    assert_eq!(hash.answer(*b"\x04\xc9\xe3\xaf"), answer);
    let server = Md5Server { expected: hash, salt: *b"\x04\xc9\xe3\xaf" };
    assert!(server.verify(read_password_message(answer).unwrap()));
}

#[test]
fn our_answers_satisfy_our_server() {
    for stored in ["md5 pass", "md5d787f9182e73539db5523d230b9cbfac"] {
        let secret = StoredSecret::parse(stored.as_bytes()).unwrap();
        let server = Md5Server::new(b"md5user", Some(&secret));
        let answer = Md5Hash::of(b"md5 pass", b"md5user").answer(server.salt());
        assert!(server.verify(read_password_message(&answer).unwrap()));
        let wrong = Md5Hash::of(b"wrong", b"md5user").answer(server.salt());
        assert!(!server.verify(read_password_message(&wrong).unwrap()));
        assert!(!server.verify(b"") && !server.verify(b"md5"));
    }
    let unknown = Md5Server::new(b"nobody", None);
    let answer = Md5Hash::of(b"", b"nobody").answer(unknown.salt());
    assert!(!unknown.verify(read_password_message(&answer).unwrap()));
    assert_ne!(Md5Server::new(b"a", None).salt(), Md5Server::new(b"a", None).salt());
}

#[test]
fn password_messages_are_one_string() {
    assert_eq!(read_password_message(b"secret\0"), Ok(b"secret".as_slice()));
    assert_eq!(read_password_message(b"\0"), Err(PasswordMessageError::Empty));
    for body in [b"".as_slice(), b"secret", b"sec\0ret\0", b"secret\0\0"] {
        assert_eq!(read_password_message(body), Err(PasswordMessageError::InvalidSize));
    }
    assert_eq!(cleartext_answer(&Secret::new("secret")).unwrap(), b"secret\0");
    assert_eq!(cleartext_answer(&Secret::new("sec\0ret")), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_others(password: Vec<u8>, user: Vec<u8>, salt: [u8; 4]) {
        let ours = Md5Hash::of(&password, &user).answer(salt);
        let theirs = postgres_protocol::authentication::md5_hash(&user, &password, salt);
        prop_assert_eq!(ours.strip_suffix(b"\0").unwrap(), theirs.as_bytes());
    }

    #[test]
    fn no_body_panics(body: Vec<u8>) {
        if let Ok(password) = read_password_message(&body) {
            prop_assert!(!Md5Server::new(b"user", None).verify(password));
        }
    }
}
