use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::net::tls::test_files::{Authority, client, client_settings, server};
use crate::net::tls::{ClientTlsContext, SslMode};

fn contexts() -> (ClientTlsContext, ServerTlsContext) {
    let authority = Authority::new();
    let server = server(&authority.issue("pgweir", &["pgweir.test"]));
    (client(SslMode::VerifyFull, &authority), server)
}

fn links() -> (Link<DuplexStream>, Link<DuplexStream>) {
    // Small, so that handshakes and large writes are cut.
    let (client, server) = duplex(700);
    (Link::new(client), Link::new(server))
}

async fn read_until(link: &mut Link<DuplexStream>, len: usize) {
    while link.unread().len() < len {
        assert_ne!(link.fill().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn plain_bytes_go_through() {
    let (mut client, mut server) = links();
    client.write_all(b"hello").await.unwrap();
    read_until(&mut server, 5).await;
    assert_eq!(server.unread(), b"hello");
    server.consume(2);
    assert_eq!(server.unread(), b"llo");
    server.consume(20);
    client.shutdown().await.unwrap();
    assert_eq!(server.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn both_sides_switch_to_tls() {
    let (client_context, server_context) = contexts();
    for direct in [false, true] {
        let (mut client, mut server) = links();
        let bytes: Vec<u8> = (0..50_000).map(|number| number as u8).collect();
        let both = tokio::join!(
            async {
                client.start_tls_client(&client_context, "pgweir.test").await.unwrap();
                client.write_all(&bytes).await.unwrap();
                read_until(&mut client, bytes.len()).await;
                assert_eq!(client.unread(), bytes);
                client.shutdown().await.unwrap();
            },
            async {
                if direct {
                    read_until(&mut server, 1).await;
                    assert_eq!(server.unread()[0], 0x16);
                }
                server.start_tls_server(&server_context, direct).await.unwrap();
                read_until(&mut server, bytes.len()).await;
                assert_eq!(server.unread(), bytes);
                server.write_all(&bytes).await.unwrap();
                assert_eq!(server.fill().await.unwrap(), 0);
                assert_eq!(server.fill().await.unwrap(), 0);
            }
        );
        let ((), ()) = both;
        let again = server.start_tls_server(&server_context, false).await;
        assert!(matches!(again, Err(StartTlsError::AlreadyTls)));
        let parts = server.into_parts();
        assert!(parts.tls.is_some_and(|tls| tls.peer_closed()));
        assert!(parts.undecrypted.is_empty() && parts.unsent.is_empty());
        assert_eq!(parts.unread, bytes);
    }
}

#[tokio::test]
async fn plain_bytes_before_the_switch_are_refused() {
    let (client_context, server_context) = contexts();
    let (mut client, mut server) = links();
    client.write_all(b"Q injected").await.unwrap();
    server.fill().await.unwrap();
    let refused = server.start_tls_server(&server_context, false).await;
    assert!(matches!(refused, Err(StartTlsError::UnencryptedData)));
    server.write_all(b"E injected").await.unwrap();
    client.fill().await.unwrap();
    let refused = client.start_tls_client(&client_context, "pgweir.test").await;
    assert!(matches!(refused, Err(StartTlsError::UnencryptedData)));
    assert!(server.tls().is_none() && client.tls().is_none());
}

#[tokio::test]
async fn a_failed_handshake_tells_the_other_side() {
    let (client_context, server_context) = contexts();
    let (mut client, mut server) = links();
    let (client, server) = tokio::join!(
        client.start_tls_client(&client_context, "wrong.test"),
        server.start_tls_server(&server_context, false)
    );
    assert!(client.unwrap_err().to_string().contains("certificate"));
    assert!(server.unwrap_err().to_string().contains("alert"));
}

#[tokio::test]
async fn direct_tls_wants_the_protocol_named() {
    let authority = Authority::new();
    let server_context = server(&authority.issue("pgweir", &["pgweir.test"]));
    let settings = client_settings(SslMode::VerifyFull, &authority);
    let silent = ClientTlsContext::load_with_alpn(&settings, Vec::new()).unwrap();
    for direct in [false, true] {
        let (mut client, mut server) = links();
        let (started, accepted) = tokio::join!(
            client.start_tls_client(&silent, "pgweir.test"),
            server.start_tls_server(&server_context, direct)
        );
        started.unwrap();
        assert_eq!(matches!(accepted, Err(StartTlsError::NoAlpn)), direct);
    }
}

#[tokio::test]
async fn a_peer_that_leaves_during_the_handshake_is_noticed() {
    let (_, server_context) = contexts();
    let (client, mut server) = links();
    drop(client);
    let left = server.start_tls_server(&server_context, false).await;
    assert!(matches!(left, Err(StartTlsError::Closed)));
}

#[tokio::test]
async fn a_peer_cannot_fill_our_memory() {
    let (mut client, server) = links();
    let mut server = server.with_unread_limit(1000);
    let sender = async { while client.write_all(&[0; 500]).await.is_ok() {} };
    let reader = async {
        let refused = loop {
            if let Err(error) = server.fill().await {
                break error;
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert!(server.unread().len() <= 1000 + READ_LEN);
        drop(server);
    };
    tokio::join!(sender, reader);
}

#[tokio::test]
async fn reading_can_be_given_up_at_any_time() {
    let (client_context, server_context) = contexts();
    let (mut client, mut server) = links();
    let (started, accepted) = tokio::join!(
        client.start_tls_client(&client_context, "pgweir.test"),
        server.start_tls_server(&server_context, false)
    );
    started.unwrap();
    accepted.unwrap();
    let bytes = vec![7; 40_000];
    let mut sending = std::pin::pin!(client.write_all(&bytes));
    let mut sent = false;
    while server.unread().len() < bytes.len() {
        // Each turn polls one reading once and drops it.
        tokio::select! {
            biased;
            filled = server.fill() => assert!(filled.unwrap() > 0),
            done = &mut sending, if !sent => { done.unwrap(); sent = true; }
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(server.unread(), bytes);
}
