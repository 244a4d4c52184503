//! Cancel connections against a scripted server: what may be sent, and what counts as proof.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::registry::tests::any_target;
use super::*;
use crate::dial::ServerAddress;
use crate::dial::tests::fake::Fake;
use crate::ids::{Key, ServerId};
use crate::net::socket::Socket;
use crate::wire::startup::FirstPacket;
use crate::worker::mail::{CancelId, CancelOutcome, Mail};

const CANCEL: CancelId =
    CancelId { server: ServerId(Key { index: 1, generation: 1 }), lease: 2, unit: 3 };

fn target(address: ServerAddress) -> Arc<CancelTarget> {
    Arc::new(CancelTarget { address, pid: 4711, secret: vec![1, 2, 3, 4], ..any_target() })
}

/// A loop that answers each permit with `permit` and keeps the outcomes.
#[derive(Default)]
struct Outcomes {
    permits: Mutex<usize>,
    seen: Mutex<Vec<CancelOutcome>>,
}

impl Outcomes {
    fn take(&self, mail: Mail<Socket>, permit: Option<bool>) {
        match mail {
            Mail::CancelReady { cancel, answer } => {
                assert_eq!(cancel, CANCEL);
                *self.permits.lock().unwrap() += 1;
                if let Some(permit) = permit {
                    answer.send(permit).unwrap();
                }
            }
            Mail::CancelFinished { cancel, outcome } => {
                assert_eq!(cancel, CANCEL);
                self.seen.lock().unwrap().push(outcome);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Carries out one order; gives how often a permit was asked for, and every outcome.
async fn carry_out(target: Arc<CancelTarget>, permit: Option<bool>) -> (usize, Vec<CancelOutcome>) {
    let outcomes = Outcomes::default();
    Canceller::default().carry_out(CANCEL, target, |mail| outcomes.take(mail, permit)).await;
    (outcomes.permits.into_inner().unwrap(), outcomes.seen.into_inner().unwrap())
}

#[tokio::test]
async fn a_clean_end_after_the_request_is_proof() {
    let fake = Fake::start(|mut client| async move {
        let expected = FirstPacket::CancelRequest { pid: 4711, secret: vec![1, 2, 3, 4] };
        assert_eq!(client.first_packet().await, expected);
    })
    .await;
    let outcome = carry_out(target(ServerAddress::Tcp(fake.address)), Some(true)).await;
    assert_eq!(outcome, (1, vec![CancelOutcome::Delivered]));
}

#[tokio::test]
async fn nothing_is_written_without_a_permit() {
    for permit in [Some(false), None] {
        let (seen, mut written) = tokio::sync::mpsc::unbounded_channel();
        let fake = Fake::start(move |mut client| {
            let seen = seen.clone();
            async move {
                seen.send(client.link.fill().await.unwrap_or(0)).unwrap();
            }
        })
        .await;
        let outcome = carry_out(target(ServerAddress::Tcp(fake.address)), permit).await;
        assert_eq!(outcome, (1, vec![CancelOutcome::NotSent]));
        assert_eq!(written.recv().await, Some(0));
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_needs_no_permit() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for address in [ServerAddress::Tcp(gone), ServerAddress::Unix("/no/such/socket".into())] {
        let outcome = carry_out(target(address), Some(true)).await;
        assert_eq!(outcome, (0, vec![CancelOutcome::NotSent]));
    }
}

#[tokio::test]
async fn an_answer_is_no_proof() {
    let fake = Fake::start(|mut client| async move {
        client.first_packet().await;
        client.refuse(b"53300", "sorry, too many clients already").await;
        client.wait_for_the_end().await;
    })
    .await;
    let outcome = carry_out(target(ServerAddress::Tcp(fake.address)), Some(true)).await;
    assert_eq!(outcome, (1, vec![CancelOutcome::Unknown]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_closes_leaves_the_outcome_unknown() {
    // The system accepts for it; nobody reads.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ServerAddress::Tcp(silent.local_addr().unwrap());
    let began = Instant::now();
    let outcome = carry_out(target(address), Some(true)).await;
    assert_eq!(outcome, (1, vec![CancelOutcome::Unknown]));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn the_loop_is_told_once_however_it_ends() {
    let fake = Fake::start(|mut client| async move { client.wait_for_the_end().await }).await;
    let outcomes = Arc::new(Outcomes::default());
    let told = outcomes.clone();
    let target = target(ServerAddress::Tcp(fake.address));
    let (permitted, permit_given) = tokio::sync::oneshot::channel();
    let permitted = Mutex::new(Some(permitted));
    let task = tokio::spawn(async move {
        let send = |mail| {
            let is_ready = matches!(mail, Mail::CancelReady { .. });
            told.take(mail, Some(true));
            if is_ready && let Some(permitted) = permitted.lock().unwrap().take() {
                permitted.send(()).unwrap();
            }
        };
        Canceller::default().carry_out(CANCEL, target, send).await;
    });
    permit_given.await.unwrap();
    // The request is written, or about to be.
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(outcomes.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_goes_encrypted_where_the_servers_connection_is() {
    use crate::dial::ServerTls;
    use crate::net::tls::SslMode;
    use crate::net::tls::test_files::{Authority, client, server};
    let authority = Authority::new();
    let context = server(&authority.issue("localhost", &["127.0.0.1"]));
    let tls = ServerTls {
        context: client(SslMode::VerifyFull, &authority),
        host: "127.0.0.1".to_owned(),
    };
    for speaks_tls in [true, false] {
        let context = context.clone();
        let fake = Fake::start(move |mut client| {
            let context = context.clone();
            async move {
                assert_eq!(client.first_packet().await, FirstPacket::SslRequest);
                if !speaks_tls {
                    client.send(b"N").await;
                    // Whatever comes now would be the secret in plain text.
                    assert_eq!(client.link.fill().await.unwrap_or(0), 0);
                    return;
                }
                client.send(b"S").await;
                client.link.start_tls_server(&context, false).await.unwrap();
                assert!(matches!(client.first_packet().await, FirstPacket::CancelRequest { .. }));
                client.link.shutdown().await.unwrap();
            }
        })
        .await;
        let target = Arc::new(CancelTarget {
            address: ServerAddress::Tcp(fake.address),
            tls: Some(tls.clone()),
            pid: 1,
            secret: vec![1; 32],
            ..any_target()
        });
        let outcome = carry_out(target, Some(true)).await;
        let expected = if speaks_tls {
            (1, vec![CancelOutcome::Delivered])
        } else {
            (0, vec![CancelOutcome::NotSent])
        };
        assert_eq!(outcome, expected);
    }
}
