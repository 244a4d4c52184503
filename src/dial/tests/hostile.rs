use super::fake::{Fake, authentication, greeting};
use super::*;
use crate::wire::startup::FirstPacket;

/// Dials a server that answers the request for TLS with these bytes.
async fn answer_to_tls(mode: &str, answer: &'static [u8]) -> DialError {
    let fake = Fake::start(move |mut client| async move {
        if client.first_packet().await == FirstPacket::SslRequest {
            client.send(answer).await;
        }
        client.wait_for_the_end().await;
    })
    .await;
    let target = fake.target(&format!("sslmode={mode}"));
    let mut errand = errand(&target, None);
    errand.limit = Some(Duration::from_millis(300));
    Dialler::default().dial(errand).await.unwrap_err()
}

#[tokio::test]
async fn bytes_behind_the_answer_to_a_request_for_tls_are_refused() {
    use crate::net::link::StartTlsError::UnencryptedData;
    for mode in ["prefer", "require"] {
        let error = answer_to_tls(mode, b"SEevil").await;
        assert!(matches!(error, DialError::Tls(UnencryptedData)), "{mode}: {error:?}");
        let error = answer_to_tls(mode, b"NR\0\0\0\x08\0\0\0\0").await;
        assert!(matches!(error, DialError::Protocol(_)), "{mode}: {error:?}");
    }
}

#[tokio::test]
async fn an_error_in_place_of_tls_is_not_shown_to_anybody() {
    for mode in ["prefer", "require"] {
        let error = answer_to_tls(mode, b"E\0\0\0\x10SFATAL\0Mevil\0\0").await;
        assert!(matches!(error, DialError::ErrorBeforeTls), "{mode}: {error:?}");
        let failure = error.failure();
        assert!(!failure.permanent);
        let shown = format!("{failure:?} {}", Chain(&error));
        assert!(!shown.contains("evil"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_logged_in_to_where_tls_is_required() {
    for mode in ["require", "verify-full"] {
        assert!(matches!(answer_to_tls(mode, b"N").await, DialError::TlsNotOffered));
        assert!(matches!(answer_to_tls(mode, b"x").await, DialError::Protocol(_)));
    }
}

/// Dials a server that says `answer` after the StartupMessage and closes.
async fn answer_to_startup(answer: Vec<u8>) -> DialError {
    let fake = Fake::start(move |mut client| {
        let answer = answer.clone();
        async move {
            client.startup().await;
            client.send(&answer).await;
            let _ = client.link.shutdown().await;
            client.wait_for_the_end().await;
        }
    })
    .await;
    dial(&fake.target("sslmode=disable"), password("secret")).await.unwrap_err()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::wire::handshake::message(&mut out, tag, body);
    out
}

#[tokio::test]
async fn errors_keep_what_the_server_says_and_are_told_apart() {
    for (sqlstate, permanent) in [
        (b"28P01", true),
        (b"28000", true),
        (b"3D000", true),
        (b"42501", true),
        (b"57P03", false),
        (b"53300", false),
        (b"08006", false),
        (b"XX000", false),
    ] {
        let report = crate::wire::Report::fatal(sqlstate, "the server's own words");
        let error = answer_to_startup(report.to_bytes().to_vec()).await;
        let failure = error.failure();
        assert_eq!(failure.permanent, permanent, "{}", failure.report.sqlstate());
        assert_eq!(&failure.report.sqlstate, sqlstate);
        assert_eq!(failure.report.message, "the server's own words");
    }
}

#[tokio::test]
async fn errors_without_fields_or_with_too_many_are_errors_still() {
    let long = [b"VFATAL\0Mlong ", "x".repeat(60_000).as_bytes(), b"\0\0"].concat();
    for body in [&b""[..], b"\0", b"Mno code\0\0", b"C1\0C28000\0\0", b"zzz", &long] {
        let error = answer_to_startup(message(b'E', body)).await;
        assert!(matches!(error, DialError::Server(_)), "{error:?}");
    }
    let too_long = [b"M", "x".repeat(70_000).as_bytes(), b"\0\0"].concat();
    let error = answer_to_startup(message(b'E', &too_long)).await;
    assert!(matches!(error, DialError::Read { .. }), "{error:?}");
}

#[tokio::test]
async fn whatever_else_a_server_says_ends_the_dial() {
    let mut in_transaction = authentication(0, b"");
    in_transaction.extend_from_slice(b"Z\0\0\0\x05T");
    let twice = [authentication(5, b"salt"), authentication(5, b"salt")].concat();
    let early = {
        // AuthenticationOk in the middle of SCRAM: the server has proved nothing.
        let offer = authentication(10, b"SCRAM-SHA-256\0\0");
        let mut out = [offer, authentication(0, b"")].concat();
        greeting(&mut out);
        out
    };
    for answer in [
        vec![],
        vec![b'R'],
        message(b'R', b""),
        message(b'R', b"\0\0\0\x05sal"),
        message(b'R', b"\0\0\0\x0aSCRAM-SHA-256"),
        authentication(10, b"OAUTHBEARER\0\0"),
        authentication(11, b"r=x"),
        authentication(12, b"v=x"),
        message(b'v', b"\0\x03\0\0\0\0\0\0"),
        message(b'Z', b"I"),
        message(b'R', &[0; 20_000]),
        b"R\xff\xff\xff\xff".to_vec(),
        b"R\0\0\0\x03".to_vec(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        [authentication(0, b""), message(b'S', b"name only\0")].concat(),
        [authentication(0, b""), message(b'K', b"\0\0")].concat(),
        [authentication(0, b""), message(b'T', b"")].concat(),
        in_transaction,
        twice,
        early,
    ] {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let error = answer_to_startup(answer).await;
        assert!(
            matches!(error, DialError::Read { .. } | DialError::Protocol(_) | DialError::Scram(_)),
            "{shown:?}: {error:?}"
        );
        assert!(!error.failure().permanent, "{shown:?}");
    }
}

#[tokio::test]
async fn scram_parameters_beyond_reason_fail_quickly() {
    for (nonce, salt, iterations) in [
        ("", "c2FsdA==".to_owned(), "4096"),
        ("x", "c2FsdA==".to_owned(), "0"),
        ("x", "c2FsdA==".to_owned(), "1"),
        ("x", "c2FsdA==".to_owned(), "2147483648"),
        ("x", "c2FsdA==".to_owned(), "99999999999999999999"),
        ("x", "c2FsdA==".to_owned(), "x"),
        ("x", String::new(), "4096"),
        ("x", "A".repeat(8_000), "4096"),
        ("x", "not base64!".to_owned(), "4096"),
    ] {
        let fake = Fake::start(move |mut client| {
            let salt = salt.clone();
            async move {
                client.startup().await;
                client.ask(10, b"SCRAM-SHA-256\0\0").await;
                let first = client.message().await.body;
                let first = String::from_utf8_lossy(&first).into_owned();
                let (_, theirs) = first.split_once("r=").unwrap();
                let answer = format!("r={theirs}{nonce},s={salt},i={iterations}");
                client.ask(11, answer.as_bytes()).await;
                client.wait_for_the_end().await;
            }
        })
        .await;
        let error = dial(&fake.target("sslmode=disable"), password("secret")).await.unwrap_err();
        assert!(matches!(error, DialError::Scram(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_anywhere_is_given_up_at_the_limit() {
    let mut whole = authentication(0, b"");
    greeting(&mut whole);
    for stop in [0, 1, 5, 8, 9, 20, whole.len() - 1] {
        let bytes = whole[..stop].to_vec();
        let fake = Fake::start(move |mut client| {
            let bytes = bytes.clone();
            async move {
                client.startup().await;
                client.send(&bytes).await;
                client.wait_for_the_end().await;
            }
        })
        .await;
        let target = fake.target("sslmode=disable");
        let mut errand = errand(&target, None);
        errand.limit = Some(Duration::from_millis(100));
        let error = Dialler::default().dial(errand).await.unwrap_err();
        assert!(matches!(error, DialError::TimedOut { doing: Step::LoggingIn }), "{error:?}");
        assert!(!error.failure().permanent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_at_the_limit_in_every_step() {
    // Over a pipe time can stand still: no real server, no real wait.
    let target: Target = "postgres://db1/shop".parse().unwrap();
    let identity = errand(&target, password("x")).identity;
    let (ours, _theirs) = tokio::io::duplex(1024);
    let mut link = Link::new(ours);
    let limit = Some(Instant::now() + Duration::from_secs(5));
    let began = Instant::now();
    let silent = within(limit, Step::LoggingIn, log_in(&mut link, &identity, true)).await;
    assert!(matches!(silent, Err(DialError::TimedOut { .. })));
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}
