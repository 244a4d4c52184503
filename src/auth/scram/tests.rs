use super::*;
use crate::auth::request;

/// The role of the recorded exchanges; its password is "pencil".
const VERIFIER: &[u8] = b"SCRAM-SHA-256$4096:s5lRsMhGA9Fyz55M5zuoSw==\
    $tfoseH+Artvavx1ZTksmDNHw0OHaQVZTMH8jvdD0/Gk=:JtLQPejqhoRlqmAt/xl+g1MrFv9KpF4mS4jCQXayxhg=";
const FEW: NonZeroU32 = NonZeroU32::new(4096).unwrap();

fn verifier() -> ScramVerifier {
    ScramVerifier::parse(VERIFIER).unwrap()
}

fn initial(mechanism: &str, data: &[u8]) -> Vec<u8> {
    let len = i32::try_from(data.len()).unwrap().to_be_bytes();
    [mechanism.as_bytes(), &[0], &len, data].concat()
}

/// An `R` body with its code.
fn r(code: i32, data: &[u8]) -> Vec<u8> {
    request::body(code, data)
}

fn continued(step: Result<ServerStep, ScramServerError>) -> Vec<u8> {
    match step.unwrap() {
        ServerStep::Continue(body) => body,
        ServerStep::Done { .. } => panic!("done too early"),
    }
}

fn done(step: Result<ServerStep, ScramServerError>) -> (Vec<u8>, ScramKeys) {
    match step.unwrap() {
        ServerStep::Done { last, keys } => (last, keys),
        ServerStep::Continue(_) => panic!("not done"),
    }
}

fn sent(step: Result<ClientStep, ScramClientError>) -> Vec<u8> {
    match step.unwrap() {
        ClientStep::Send(body) => body,
        step => panic!("{step:?}"),
    }
}

/// Answers a salt request at once.
fn salted(client: &mut ScramClient, step: Result<ClientStep, ScramClientError>) -> Vec<u8> {
    match step.unwrap() {
        ClientStep::NeedsSaltedPassword(request) => {
            client.on_salted_password(&request.derive()).unwrap()
        }
        ClientStep::Send(body) => body,
        step => panic!("{step:?}"),
    }
}

fn password(text: &str) -> ScramCredentials {
    ScramCredentials::Password(Secret::new(text))
}

/// Lets our client log in to our server.
fn log_in(
    client: &mut ScramClient,
    server: &mut ScramServer,
) -> Result<ScramKeys, ScramServerError> {
    let first = sent(client.on_message(&server.offer()));
    let challenge = continued(server.on_message(&first));
    let step = client.on_message(&challenge);
    let answer = salted(client, step);
    let ServerStep::Done { last, keys } = server.on_message(&answer)? else { panic!() };
    assert!(matches!(client.on_message(&last).unwrap(), ClientStep::Verified));
    assert!(matches!(client.on_message(&r(0, b"")).unwrap(), ClientStep::Accepted));
    Ok(keys)
}

/// RFC 7677 section 3.
#[test]
fn the_example_of_the_rfc() {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = ScramVerifier::from_password(&Secret::new("pencil"), salt, FEW);
    let mut server = ScramServer::new(verifier, None).with_nonce(b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    let challenge = continued(
        server.on_message(&initial("SCRAM-SHA-256", b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")),
    );
    assert_eq!(
        challenge,
        r(
            11,
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        )
    );
    let (last, _) = done(server.on_message(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
          p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ));
    assert_eq!(last, r(12, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
}

/// psql 15 at Postgres 15: both sides of ours must say what they said.
#[test]
fn a_recorded_login_of_psql() {
    let nonce = b"P97vhqDEcDg5oWcRDMx7BN8G";
    let first = initial("SCRAM-SHA-256", b"n,,n=,r=P97vhqDEcDg5oWcRDMx7BN8G");
    let challenge = r(
        11,
        b"r=P97vhqDEcDg5oWcRDMx7BN8G66auUHI8g/vrFu7BjI8unW6R,s=s5lRsMhGA9Fyz55M5zuoSw==,i=4096",
    );
    let answer = b"c=biws,r=P97vhqDEcDg5oWcRDMx7BN8G66auUHI8g/vrFu7BjI8unW6R,\
        p=jFGCp12lW0tVFvLyasHbLkfa40pEHu0mKkh5gkVvAsU=";
    let last = r(12, b"v=Kms64/UgoMjAB4tYYWzL3tJwRGXAzCPIPiJ3BvJUJow=");

    let mut server = ScramServer::new(verifier(), None).with_nonce(b"66auUHI8g/vrFu7BjI8unW6R");
    assert_eq!(server.offer(), r(10, b"SCRAM-SHA-256\0\0"));
    assert_eq!(continued(server.on_message(&first)), challenge);
    let (ours, keys) = done(server.on_message(answer));
    assert_eq!(ours, last);

    let pass_through = ScramCredentials::PassThrough(PassThrough::new(keys, &verifier()));
    for credentials in [password("pencil"), pass_through] {
        let mut client =
            ScramClient::new(credentials, ClientBinding::Unencrypted).with_nonce(nonce);
        assert_eq!(sent(client.on_message(&r(10, b"SCRAM-SHA-256\0\0"))), first);
        let step = client.on_message(&challenge);
        assert_eq!(salted(&mut client, step), answer);
        assert!(matches!(client.on_message(&last).unwrap(), ClientStep::Verified));
        assert!(matches!(client.on_message(&r(0, b"")).unwrap(), ClientStep::Accepted));
    }
}

/// psql 15 with `channel_binding=require`; the certificate's hash is what remains of it.
#[test]
fn a_recorded_login_of_psql_with_channel_binding() {
    let hash = b"\x8c\x3e\xc8\x21\x9b\x4b\x1f\x43\x0f\x7d\x64\x9d\x8f\xf6\x7c\x82\
        \x94\x0c\x80\xae\xd5\x5b\x77\x17\x33\x63\xee\x45\x91\x9f\x5a\xa7";
    let mut server =
        ScramServer::new(verifier(), Some(hash.to_vec())).with_nonce(b"QxYlnPBLA+2rofc0aiG3Lb4i");
    assert_eq!(server.offer(), r(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"));
    let first = b"p=tls-server-end-point,,n=,r=G6mgF7OJ3pzkJQxQ5l0TRYn2";
    continued(server.on_message(&initial("SCRAM-SHA-256-PLUS", first)));
    let (last, _) = done(server.on_message(
        b"c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsjD7IIZtLH0MPfWSdj/Z8gpQMgK7VW3cXM2PuRZGfWqc=,\
          r=G6mgF7OJ3pzkJQxQ5l0TRYn2QxYlnPBLA+2rofc0aiG3Lb4i,\
          p=0Y4ppzQBsTJhF0vyr1URj+js1j4/M4YqFwMrSp1modE=",
    ));
    assert_eq!(last, r(12, b"v=FUDu5WngC6P1yyy95W/hWPaDy/KBazg12dnE5WnRJwo="));
}

#[test]
fn passwords_are_prepared_as_postgres_does() {
    // Postgres 15 made this one of E'I\u00e9\u2168\u0001 \U0001f600': a control character keeps
    // the whole password from being prepared.
    let odd = ScramVerifier::parse(
        b"SCRAM-SHA-256$4096:GvDwFvjOcQw9X2tz/rHT/Q==\
          $H5HHaUsljC/MGnQLjHwPc927yM8kvA793DDF5nOM888=:x6juhWsigpIW5JsWzJjABdcALtL6+668ZgzNK9hP3Kc=",
    );
    assert!(odd.unwrap().verify_cleartext("Ié\u{2168}\u{1} 😀".as_bytes()));
    let prepared = |bytes: &[u8]| normalize(&Secret::new(bytes)).expose().to_vec();
    // RFC 4013 section 3.
    assert_eq!(prepared("I\u{ad}X".as_bytes()), b"IX");
    assert_eq!(prepared("\u{2168}".as_bytes()), b"IX");
    assert_eq!(prepared("\u{aa}".as_bytes()), b"a");
    assert_eq!(prepared(b"\x07"), b"\x07");
    assert_eq!(prepared(b"latin \xe9"), b"latin \xe9");
    assert_eq!(prepared("\u{ad}".as_bytes()), "\u{ad}".as_bytes());
}

#[test]
fn verifiers_are_read_and_written() {
    assert_eq!(verifier().to_stored().expose(), VERIFIER);
    assert!(verifier().verify_cleartext(b"pencil"));
    assert!(!verifier().verify_cleartext(b"pencil "));
    let again = ScramVerifier::from_password(
        &Secret::new("pencil"),
        verifier().salt().to_vec(),
        verifier().iterations(),
    );
    assert!(verifier().same_as(&again));
    assert!(!verifier().same_as(&ScramVerifier::generate(&Secret::new("pencil"), FEW)));
    let text = String::from_utf8(VERIFIER.to_vec()).unwrap();
    for (from, to) in [
        ("4096", "0"),
        ("4096", "-1"),
        ("4096", "+1"),
        ("4096", ""),
        ("4096", "99999999999"),
        ("256$", "256"),
        ("==$", "=="),
        ("=:J", "=J"),
        ("hg=", "h"),
        ("hg=", "hg=="),
        ("/Gk=", "/G=="),
    ] {
        assert!(ScramVerifier::parse(text.replace(from, to).as_bytes()).is_none(), "{from} {to}");
    }
    let shown = format!("{:?} {:?}", verifier(), Secret::new("pencil"));
    assert_eq!(shown, "ScramVerifier { iterations: 4096, .. } ***");
}

#[test]
fn wrong_password_and_unknown_role_look_the_same() {
    let mock = MockSecret::new();
    let mut lengths = Vec::new();
    for mut server in [
        ScramServer::new(verifier(), None),
        ScramServer::mock(&mock, b"nobody", None),
        ScramServer::mock(&mock, b"nobody else", None),
    ] {
        let mut client = ScramClient::new(password("wrong"), ClientBinding::Unencrypted);
        let first = sent(client.on_message(&server.offer()));
        let challenge = continued(server.on_message(&first));
        lengths.push(challenge.len());
        let step = client.on_message(&challenge);
        let answer = salted(&mut client, step);
        assert_eq!(server.on_message(&answer).unwrap_err(), ScramServerError::WrongProof);
        assert_eq!(server.on_message(&answer).unwrap_err(), ScramServerError::Over);
    }
    assert_eq!(lengths, [lengths[0]; 3]);
    let salt = |user: &[u8]| mock.verifier(user).salt;
    assert_eq!(salt(b"nobody"), salt(b"nobody"));
    assert_ne!(salt(b"nobody"), salt(b"nobody else"));
    assert_ne!(salt(b"nobody"), MockSecret::new().verifier(b"nobody").salt);
}

#[test]
fn a_client_may_choose_first_and_speak_later() {
    let mut server = ScramServer::new(verifier(), None).with_nonce(b"server");
    let chosen = b"SCRAM-SHA-256\0\xff\xff\xff\xff";
    assert_eq!(continued(server.on_message(chosen)), r(11, b""));
    let challenge = continued(server.on_message(b"n,,n=,r=client"));
    assert!(challenge.starts_with(&r(11, b"r=clientserver,s=")));
}

#[test]
fn first_messages_are_judged_as_postgres_does() {
    use ScramServerError as E;
    let hash = || Some(vec![1; 32]);
    let check = |binding: Option<Vec<u8>>, mechanism: &str, data: &[u8]| {
        let mut server = ScramServer::new(verifier(), binding);
        server.on_message(&initial(mechanism, data)).map(|_| ())
    };
    let (plain, plus) = ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS");
    let malformed = |result| matches!(result, Err(E::Malformed(_)));

    assert_eq!(check(None, plain, b"n,,n=,r=abc"), Ok(()));
    assert_eq!(check(None, plain, b"y,,n=,r=abc"), Ok(()));
    assert_eq!(check(hash(), plain, b"n,,n=,r=abc"), Ok(()));
    assert_eq!(check(hash(), plus, b"p=tls-server-end-point,,n=,r=abc"), Ok(()));
    assert_eq!(check(None, plain, b"n,,n=any,r=abc,x=ext,y=another"), Ok(()));

    assert_eq!(check(hash(), plain, b"y,,n=,r=abc"), Err(E::Downgrade));
    assert_eq!(check(None, plus, b"p=tls-server-end-point,,n=,r=abc"), Err(E::InvalidMechanism));
    assert_eq!(check(None, "SCRAM-SHA-1", b"n,,n=,r=abc"), Err(E::InvalidMechanism));
    assert_eq!(check(hash(), plus, b"p=tls-unique,,n=,r=abc"), Err(E::UnsupportedBinding));
    assert_eq!(check(None, plain, b"n,a=root,n=,r=abc"), Err(E::AuthorizationIdentity));
    assert_eq!(check(None, plain, b"n,,m=x,n=,r=abc"), Err(E::Extension));
    assert_eq!(check(None, plain, b"n,,n=,r=a\x7f"), Err(E::UnprintableNonce));
    assert_eq!(check(None, plain, b"n,,n=,r=a b"), Err(E::UnprintableNonce));
    assert!(malformed(check(hash(), plus, b"n,,n=,r=abc")));
    assert!(malformed(check(hash(), plus, b"y,,n=,r=abc")));
    assert!(malformed(check(hash(), plain, b"p=tls-server-end-point,,n=,r=abc")));
    for data in [
        b"".as_slice(),
        b"n",
        b"n,",
        b"n;,n=,r=abc",
        b"n,,",
        b"n,,r=abc",
        b"n,,n=",
        b"n,,n=,r",
        b"n,,n=,r=abc,",
        b"n,,n=,r=abc,=",
        b"n,,n=,r=abc,x",
        b"q,,n=,r=abc",
        b"n,,n=,r=a\0c",
        b"\xff",
    ] {
        let result = check(None, plain, data);
        // Postgres takes a comma at the end for the end.
        assert!(malformed(result) || data.ends_with(b"abc,"), "{}", data.escape_ascii());
    }
    let mut server = ScramServer::new(verifier(), None);
    let long = [b"n,,n=,r=".as_slice(), &[b'a'; 20_000]].concat();
    assert!(malformed(server.on_message(&initial(plain, &long)).map(|_| ())));
    for body in [
        b"".as_slice(),
        b"SCRAM-SHA-256",
        b"SCRAM-SHA-256\0",
        b"SCRAM-SHA-256\0\0\0\0",
        b"SCRAM-SHA-256\0\0\0\0\x02n",
        b"SCRAM-SHA-256\0\0\0\0\x00n",
        b"SCRAM-SHA-256\0\x80\0\0\0n",
        b"SCRAM-SHA-256\0\xff\xff\xff\xffn",
        b"SCRAM-SHA-256\0\x7f\xff\xff\xffn",
    ] {
        let mut server = ScramServer::new(verifier(), None);
        assert_eq!(server.on_message(body).unwrap_err(), E::InvalidMessage);
    }
}

#[test]
fn last_messages_are_judged_as_postgres_does() {
    use ScramServerError as E;
    // "biws" is "n,,", "eSws" is "y,,".
    let check = |flag: u8, message: &[u8]| {
        let mut server = ScramServer::new(verifier(), None).with_nonce(b"server");
        let first = [&[flag], b",,n=,r=client".as_slice()].concat();
        continued(server.on_message(&initial("SCRAM-SHA-256", &first)));
        server.on_message(message).map(|_| ()).unwrap_err()
    };
    let proof = format!(",p={}", BASE64.encode([0; 32]));
    let with_proof = |text: &str| [text.as_bytes(), proof.as_bytes()].concat();

    assert_eq!(check(b'n', &with_proof("c=biws,r=clientserver")), E::WrongProof);
    assert_eq!(check(b'n', &with_proof("c=biws,r=clientserver,x=1,y=2")), E::WrongProof);
    assert_eq!(check(b'y', &with_proof("c=eSws,r=clientserver")), E::WrongProof);
    assert_eq!(check(b'y', &with_proof("c=biws,r=clientserver")), E::UnexpectedBinding);
    assert_eq!(check(b'n', &with_proof("c=eSws,r=clientserver")), E::UnexpectedBinding);
    assert_eq!(check(b'n', &with_proof("c=,r=clientserver")), E::UnexpectedBinding);
    assert_eq!(check(b'n', &with_proof("c=biws,r=clientserve")), E::NonceMismatch);
    assert_eq!(check(b'n', &with_proof("c=biws,r=")), E::NonceMismatch);
    for text in [
        "",
        "c=biws",
        "c=biws,r=clientserver",
        "r=clientserver,c=biws,p=",
        "c=biws,r=clientserver,p=",
        "c=biws,r=clientserver,p=AAAA",
        "c=biws,r=clientserver,p=!!!!",
        "c=biws,p=AAAA,r=clientserver",
    ] {
        assert!(matches!(check(b'n', text.as_bytes()), E::Malformed(_)), "{text}");
    }
    let garbage =
        with_proof("c=biws,r=clientserver").into_iter().chain(*b",x=1").collect::<Vec<_>>();
    assert!(matches!(check(b'n', &garbage), E::Malformed(_)));
}

#[test]
fn a_client_bound_to_another_channel_is_refused() {
    let mut client = ScramClient::new(password("pencil"), ClientBinding::Required(vec![1; 32]));
    let mut server = ScramServer::new(verifier(), Some(vec![2; 32]));
    let refused = log_in(&mut client, &mut server).unwrap_err();
    assert_eq!(refused, ScramServerError::BindingMismatch);
    assert_eq!(refused.sqlstate(), "28000");
}

#[test]
fn clients_bind_where_both_can() {
    let hash = || vec![3; 48];
    let choice = |binding: ClientBinding, offer: &[u8]| {
        let mut client = ScramClient::new(password("pencil"), binding).with_nonce(b"nonce");
        client.on_message(&r(10, offer)).map(|step| match step {
            ClientStep::Send(body) => {
                let end = body.iter().position(|&byte| byte == 0).unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(&body[..end]), text(&body[end + 5..]))
            }
            step => panic!("{step:?}"),
        })
    };
    let chosen = |mechanism: &str, first: &str| Ok((mechanism.to_string(), first.to_string()));
    let (both, plain) = (b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", b"SCRAM-SHA-256\0\0");
    let bound = || chosen("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=nonce");
    let no = || chosen("SCRAM-SHA-256", "n,,n=,r=nonce");

    assert_eq!(choice(ClientBinding::Preferred(hash()), both), bound());
    assert_eq!(choice(ClientBinding::Required(hash()), both), bound());
    assert_eq!(choice(ClientBinding::Unavailable, both), no());
    assert_eq!(choice(ClientBinding::Unencrypted, both), Err(ScramClientError::BindingWithoutTls));
    assert_eq!(
        choice(ClientBinding::Preferred(hash()), plain),
        chosen("SCRAM-SHA-256", "y,,n=,r=nonce")
    );
    assert_eq!(
        choice(ClientBinding::Required(hash()), plain),
        Err(ScramClientError::BindingNotOffered)
    );
    assert_eq!(choice(ClientBinding::Unavailable, plain), no());
    assert_eq!(choice(ClientBinding::Unencrypted, plain), no());
    for offer in [b"OAUTHBEARER\0\0".as_slice(), b"\0"] {
        for binding in [ClientBinding::Unencrypted, ClientBinding::Preferred(hash())] {
            assert_eq!(choice(binding, offer), Err(ScramClientError::NoMechanism));
        }
    }
}

#[test]
fn keys_of_a_login_log_in_again() {
    let hash = Some(vec![7; 32]);
    let mut client = ScramClient::new(password("pencil"), ClientBinding::Unencrypted);
    let keys = log_in(&mut client, &mut ScramServer::new(verifier(), None)).unwrap();
    assert!(verifier().accepts(&keys.client_key));
    let through = || ScramCredentials::PassThrough(PassThrough::new(keys.clone(), &verifier()));

    // Also with channel binding: the keys do not depend on it.
    for (theirs, ours) in
        [(None, ClientBinding::Unencrypted), (hash, ClientBinding::Required(vec![7; 32]))]
    {
        let mut client = ScramClient::new(through(), ours);
        log_in(&mut client, &mut ScramServer::new(verifier(), theirs)).unwrap();
    }

    // The password was set anew on the server: nothing is signed for it.
    let other = ScramVerifier::generate(&Secret::new("pencil"), FEW);
    assert!(!other.accepts(&keys.client_key));
    let mut client = ScramClient::new(through(), ClientBinding::Unencrypted);
    let mut server = ScramServer::new(other, None);
    let first = sent(client.on_message(&server.offer()));
    let challenge = continued(server.on_message(&first));
    assert_eq!(client.on_message(&challenge).unwrap_err(), ScramClientError::OtherVerifier);
    assert!(!format!("{keys:?}").contains(char::is_numeric));
}

/// What a server may answer to our first message.
fn challenge(message: &[u8]) -> Result<ClientStep, ScramClientError> {
    let mut client =
        ScramClient::new(password("pencil"), ClientBinding::Unencrypted).with_nonce(b"ours");
    sent(client.on_message(&r(10, b"SCRAM-SHA-256\0\0")));
    client.on_message(&r(11, message))
}

#[test]
fn what_a_server_sends_is_bounded() {
    use ScramClientError as E;
    let check = |nonce: &[u8], salt: &[u8], iterations: &str| {
        let message = [b"r=", nonce, b",s=", salt, b",i=", iterations.as_bytes()].concat();
        challenge(&message).map(|_| ())
    };
    let nonce = |len: usize| [b"ours".as_slice(), &vec![b'x'; len - 4]].concat();
    let salt = |len: usize| BASE64.encode(vec![7; len]).into_bytes();

    assert_eq!(check(&nonce(5), &salt(1), "4096"), Ok(()));
    assert_eq!(check(&nonce(1024), &salt(1024), "1000000"), Ok(()));
    for wrong in [nonce(4), nonce(1025), nonce(7000), b"our".to_vec(), b"theirs".to_vec()] {
        assert_eq!(check(&wrong, &salt(16), "4096"), Err(E::Nonce));
    }
    assert_eq!(check(b"ours\x80", &salt(16), "4096"), Err(E::Nonce));
    for wrong in [salt(0), salt(1025), salt(3000), b"AAA".to_vec(), b"!!!!".to_vec()] {
        assert_eq!(check(&nonce(8), &wrong, "4096"), Err(E::Salt));
    }
    for (count, given) in [
        ("1", Some(1)),
        ("4095", Some(4095)),
        ("1000001", Some(1_000_001)),
        ("2147483648", Some(1 << 31)),
        ("0", None),
        ("", None),
        ("x", None),
        ("+4096", None),
        ("-1", None),
        (" 4096", None),
        ("4294967297", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(check(&nonce(8), &salt(16), count), Err(E::Iterations(given)), "{count}");
    }
    for message in [
        b"".as_slice(),
        b"r",
        b"r=",
        b"m=ext,r=oursx,s=AAAA,i=4096",
        b"s=AAAA,r=oursx,i=4096",
        b"r=oursx,i=4096,s=AAAA",
        b"r=oursx,s=AAAA",
        b"r=oursx,s=AAAA,i=4096,x=1",
        b"e=other-error",
        b"r=oursx,s=AAAA,i=4096,\0",
        &[b'r'; 20_000],
    ] {
        assert!(challenge(message).is_err(), "{}", message.escape_ascii());
    }
}

#[test]
fn a_server_must_prove_itself() {
    use ScramClientError as E;
    let client = || {
        let mut server = ScramServer::new(verifier(), None);
        let mut client = ScramClient::new(password("pencil"), ClientBinding::Unencrypted);
        let first = sent(client.on_message(&server.offer()));
        let challenge = continued(server.on_message(&first));
        let step = client.on_message(&challenge);
        let answer = salted(&mut client, step);
        (client, done(server.on_message(&answer)).0)
    };
    let after = |body: &[u8]| client().0.on_message(body).unwrap_err();
    let zero = format!("v={}", BASE64.encode([0; 32]));
    assert_eq!(after(&r(12, zero.as_bytes())), E::ServerSignature);
    assert_eq!(after(&r(12, b"v=")), E::ServerSignature);
    assert_eq!(after(&r(12, b"v=AAAA")), E::ServerSignature);
    assert_eq!(after(&r(12, b"e=unknown-\x07user")), E::Refused("unknown-user".into()));
    assert_eq!(
        after(&r(12, &[b"e=".as_slice(), &[b'x'; 5000]].concat())),
        E::Refused("x".repeat(100))
    );
    assert_eq!(after(&r(0, b"")), E::NotProved);
    assert!(matches!(after(&r(12, b"")), E::Malformed(_)));
    assert!(matches!(after(&r(12, b"x=1")), E::Malformed(_)));
    assert!(matches!(after(&r(11, b"r=")), E::Malformed(_)));
    assert!(matches!(after(&r(3, b"")), E::Malformed(_)));
    let (mut right, last) = client();
    let longer = [last.as_slice(), b",x=1"].concat();
    assert!(matches!(client().0.on_message(&longer), Err(E::Malformed(_) | E::ServerSignature)));
    right.on_message(&last).unwrap();
    assert!(matches!(right.on_message(&last), Err(E::Malformed(_))));

    let mut fresh = ScramClient::new(password("x"), ClientBinding::Unencrypted);
    assert_eq!(fresh.on_message(&r(0, b"")).unwrap_err(), E::NotProved);
    let salted = SaltedPassword::derive(&Secret::new("x"), b"salt", FEW);
    assert!(matches!(fresh.on_salted_password(&salted), Err(E::Malformed(_))));
}

#[test]
fn passwords_of_any_length_work() {
    for len in [0, 1, 995, 1000, 1023, 1024, 1025, 65_536] {
        let text = "p".repeat(len);
        let verifier = ScramVerifier::generate(&Secret::new(text.as_str()), FEW);
        let mut client = ScramClient::new(password(&text), ClientBinding::Unencrypted);
        log_in(&mut client, &mut ScramServer::new(verifier, None)).unwrap();
    }
}

mod properties;
