use super::fake::Fake;
use super::*;
use crate::auth::password::Md5Hash;
use crate::auth::scram::{DEFAULT_ITERATIONS, PassThrough, ScramServer, ScramVerifier, ServerStep};
use crate::dial::tests::fake::Conversation;

/// Plays Postgres' side of SCRAM for the password "secret"; `binding` is its certificate's hash.
async fn scram(client: &mut Conversation, verifier: ScramVerifier, binding: Option<Vec<u8>>) {
    let mut server = ScramServer::new(verifier, binding);
    let mut body = server.offer();
    loop {
        let mut out = Vec::new();
        crate::wire::handshake::message(&mut out, b'R', &body);
        client.send(&out).await;
        match server.on_message(&client.message().await.body) {
            Ok(ServerStep::Continue(next)) => body = next,
            Ok(ServerStep::Done { last, .. }) => {
                let mut out = Vec::new();
                crate::wire::handshake::message(&mut out, b'R', &last);
                client.send(&out).await;
                return client.welcome().await;
            }
            Err(error) => return client.refuse(b"28P01", &error.to_string()).await,
        }
    }
}

fn verifier() -> ScramVerifier {
    ScramVerifier::from_password(&Secret::new("secret"), b"salt".to_vec(), DEFAULT_ITERATIONS)
}

#[tokio::test]
async fn trust_needs_nothing_and_the_startup_packet_says_only_who_and_where() {
    let fake = Fake::start(|mut client| async move {
        let packet = client.startup().await;
        let expected = [("user", "app"), ("database", "shop")];
        let pairs: Vec<_> = packet.parameters.iter().map(|(a, b)| (&a[..], &b[..])).collect();
        let expected = expected.map(|(a, b)| (a.as_bytes(), b.as_bytes()));
        assert_eq!((packet.minor, pairs), (0, expected.to_vec()));
        client.welcome().await;
        client.send(b"N\0\0\0\x05\0").await;
        client.wait_for_the_end().await;
    })
    .await;
    let connected = dial(&fake.target("sslmode=disable"), None).await.unwrap();
    assert_eq!(connected.login.key, Some((4711, vec![1, 2, 3, 4])));
    assert_eq!(connected.login.statuses.len(), 2);
    assert_eq!(connected.address, ServerAddress::Tcp(fake.address));
    let server = handed_over(connected);
    assert_eq!(server.cancel.unwrap().pid, 4711);
    assert!(server.handed.tls.is_none() && server.handed.undecrypted.is_empty());
}

#[tokio::test]
async fn what_came_behind_ready_for_query_is_handed_over() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        let mut out = fake::authentication(0, b"");
        fake::greeting(&mut out);
        out.extend_from_slice(b"S\0\0\0\x08a\0b\0N\0\0");
        client.send(&out).await;
        client.wait_for_the_end().await;
    })
    .await;
    let connected = dial(&fake.target("sslmode=disable"), None).await.unwrap();
    assert_eq!(handed_over(connected).handed.unread, b"S\0\0\0\x08a\0b\0N\0\0");
}

#[tokio::test]
async fn a_password_in_clear_text_goes_to_this_machine_only() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        client.ask(3, b"").await;
        assert_eq!(client.message().await.body, b"secret\0");
        client.welcome().await;
        client.wait_for_the_end().await;
    })
    .await;
    let target = fake.target("sslmode=disable");
    assert!(dial(&target, password("secret")).await.is_ok());
    // Over a connection that others can read it does not.
    let (ours, theirs) = tokio::io::duplex(1024);
    let mut server = Link::new(theirs);
    server.write_all(&fake::authentication(3, b"")).await.unwrap();
    let mut link = Link::new(ours);
    let identity = errand(&target, password("secret")).identity;
    let error = log_in(&mut link, &identity, false).await.unwrap_err();
    assert!(matches!(error, DialError::CleartextUnsafe));
    assert!(error.failure().permanent);
    drop(link);
    while server.fill().await.unwrap() > 0 {}
    assert!(!server.unread().windows(6).any(|bytes| bytes == b"secret"));
}

#[tokio::test]
async fn md5_is_answered_from_the_password_or_from_its_hash() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        client.ask(5, b"salt").await;
        let expected = Md5Hash::of(b"secret", b"app").answer(*b"salt");
        assert_eq!(client.message().await.body, expected);
        // Postgres 19 warns here.
        client.send(b"N\0\0\0\x11SWARNING\0Mx\0\0").await;
        client.welcome().await;
        client.wait_for_the_end().await;
    })
    .await;
    let target = fake.target("sslmode=disable");
    let hash = ServerCredential::Md5(Md5Hash::of(b"secret", b"app"));
    for credential in [password("secret"), Some(hash)] {
        assert!(dial(&target, credential).await.is_ok());
    }
}

#[tokio::test]
async fn scram_logs_in_with_the_password_and_with_a_clients_keys() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        scram(&mut client, verifier(), None).await;
        client.wait_for_the_end().await;
    })
    .await;
    let target = fake.target("sslmode=disable");
    assert!(dial(&target, password("secret")).await.is_ok());
    let wrong = failure(&target, password("wrong")).await;
    assert_eq!((wrong.report.sqlstate(), wrong.permanent), ("28P01", true));
    let keys = keys_of_a_login();
    let credential = |verifier: &ScramVerifier| {
        Some(ServerCredential::PassThrough(PassThrough::new(keys.clone(), verifier)))
    };
    assert!(dial(&target, credential(&verifier())).await.is_ok());
    // The password was changed at the server: the keys are of another verifier.
    let other =
        ScramVerifier::from_password(&Secret::new("secret"), b"other".to_vec(), DEFAULT_ITERATIONS);
    let failed = failure(&target, credential(&other)).await;
    assert_eq!((failed.report.sqlstate(), failed.permanent), ("28000", true));
}

/// What a client's login with the password leaves behind.
fn keys_of_a_login() -> crate::auth::scram::ScramKeys {
    use crate::auth::scram::{ClientBinding, ClientStep, ScramClient, ScramCredentials};
    let mut server = ScramServer::new(verifier(), None);
    let credentials = ScramCredentials::Password(Secret::new("secret"));
    let mut client = ScramClient::new(credentials, ClientBinding::Unencrypted);
    let mut offer = server.offer();
    loop {
        let answer = match client.on_message(&offer).unwrap() {
            ClientStep::Send(body) => body,
            ClientStep::NeedsSaltedPassword(request) => {
                client.on_salted_password(&request.derive()).unwrap()
            }
            other => panic!("{other:?}"),
        };
        match server.on_message(&answer).unwrap() {
            ServerStep::Continue(body) => offer = body,
            ServerStep::Done { keys, .. } => return keys,
        }
    }
}

#[tokio::test]
async fn scram_is_bound_to_its_tls_connection() {
    use crate::net::tls::test_files::{Authority, server};
    let authority = Authority::new();
    let files = authority.issue("localhost", &["127.0.0.1"]);
    let context = server(&files);
    let fake = Fake::start(move |mut client| {
        let context = context.clone();
        async move {
            client.first_packet().await;
            client.send(b"S").await;
            client.link.start_tls_server(&context, false).await.unwrap();
            client.startup().await;
            let hash = crate::auth::certificate::tls_server_end_point(context.certificate());
            assert!(hash.is_some());
            scram(&mut client, verifier(), hash).await;
            client.wait_for_the_end().await;
        }
    })
    .await;
    let roots = authority.file();
    let target = fake.target(&format!("sslmode=verify-full&sslrootcert={}", roots.display()));
    let connected = dial(&target, password("secret")).await.unwrap();
    assert!(connected.tls.is_some());
    let server = handed_over(connected);
    assert!(server.handed.tls.is_some() && server.cancel.unwrap().tls.is_some());
}

#[tokio::test]
async fn a_role_of_which_nothing_is_known_says_what_to_configure() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        client.ask(5, b"salt").await;
        client.wait_for_the_end().await;
    })
    .await;
    let error = dial(&fake.target("sslmode=disable"), None).await.unwrap_err();
    assert!(error.to_string().contains("[roles.app].password"), "{error}");
    let failure = error.failure();
    assert_eq!((failure.report.sqlstate(), failure.permanent), ("28000", true));
    assert!(!format!("{failure:?}").contains("127.0.0.1"));
}

#[tokio::test]
async fn a_hash_or_keys_do_not_serve_for_another_method() {
    let keys = PassThrough::new(keys_of_a_login(), &verifier());
    let hash = Md5Hash::of(b"secret", b"app");
    for (code, data, credential) in [
        (3, &b""[..], ServerCredential::Md5(hash.clone())),
        (10, b"SCRAM-SHA-256\0\0", ServerCredential::Md5(hash)),
        (3, b"", ServerCredential::PassThrough(keys.clone())),
        (5, b"salt", ServerCredential::PassThrough(keys)),
    ] {
        let fake = Fake::start(move |mut client| async move {
            client.startup().await;
            client.ask(code, data).await;
            client.wait_for_the_end().await;
        })
        .await;
        let failure = failure(&fake.target("sslmode=disable"), Some(credential)).await;
        assert_eq!((failure.report.sqlstate(), failure.permanent), ("28000", true), "{code}");
    }
}

#[tokio::test]
async fn methods_of_others_are_named_in_the_log() {
    for (code, name) in [(2, "Kerberos"), (7, "GSSAPI"), (9, "SSPI"), (77, "unknown (77)")] {
        let fake = Fake::start(move |mut client| async move {
            client.startup().await;
            client.ask(code, b"").await;
            client.wait_for_the_end().await;
        })
        .await;
        let error = dial(&fake.target("sslmode=disable"), password("x")).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
