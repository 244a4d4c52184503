use super::*;
use crate::login::accept::receive;
use crate::login::accept_from;
use crate::net::listen::Listener;
use crate::worker::mail::NewClient;
use std::io::Read;
use tokio::net::{TcpListener, TcpStream};

const TRUST: &str = r#"
[auth]
method = "trust"
[databases.shop]
primary = "postgres://127.0.0.1:5432/shop"
"#;

/// A client over loopback, and what reached the loop.
async fn handed_over(world: &World, bytes: &[u8]) -> (TcpStream, Box<NewClient<Socket>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.write_all(bytes).await.unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let stream = crate::net::socket::Stream::Tcp(stream);
    receive(&world.hall, stream, Peer::Tcp(address)).await;
    match world.mailbox.take() {
        Some(Mail::Client(new)) => (client, new),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_goes_to_its_loop_with_what_was_read_ahead() {
    let world = World::new(TRUST);
    let query = b"Q\0\0\0\x0dSELECT 1\0";
    let bytes = [&login("app", "shop")[..], query].concat();
    let (mut client, new) = handed_over(&world, &bytes).await;
    assert_eq!(new.handed.unread, query);
    assert!(new.handed.tls.is_none() && new.handed.undecrypted.is_empty());
    assert_eq!(new.unsent, b"R\0\0\0\x08\0\0\0\0");
    assert_eq!(world.hall.clients(), 1);
    // The socket is out of tokio's hands, and nonblocking.
    let mut socket = new.handed.socket;
    let mut buffer = [0; 16];
    let error = socket.read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    client.write_all(b"more").await.unwrap();
    client.shutdown().await.unwrap();
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(8);
    poll.registry().register(&mut socket, mio::Token(0), mio::Interest::READABLE).unwrap();
    poll.poll(&mut events, Some(std::time::Duration::from_secs(5))).unwrap();
    assert_eq!(socket.read(&mut buffer).unwrap(), 4);
}

#[tokio::test]
async fn cancel_keys_are_as_long_as_the_protocol_allows_and_die_with_the_client() {
    let world = World::new(TRUST);
    for (minor, len) in [(0, 4), (1, 4), (2, 32), (9999, 32)] {
        let packet = startup(minor, &[("user", "app"), ("database", "shop")]);
        let (_client, new) = handed_over(&world, &packet).await;
        assert_eq!(new.registration.with_secret(<[u8]>::len), len, "3.{minor}");
        assert_eq!(world.registry.len(), 1);
        drop(new);
        assert!(world.registry.is_empty());
        assert_eq!(world.hall.clients(), 0);
    }
}

#[tokio::test]
async fn equal_startup_settings_are_one_set() {
    let world = World::new(TRUST);
    let one = startup(0, &[("user", "app"), ("database", "shop"), ("TimeZone", "UTC")]);
    let other = startup(0, &[("timezone", "UTC"), ("user", "app"), ("database", "shop")]);
    let (_one, one) = handed_over(&world, &one).await;
    let (_other, other) = handed_over(&world, &other).await;
    assert!(Arc::ptr_eq(&one.params, &other.params));
    assert!(Arc::ptr_eq(&one.pool, &other.pool));
}

#[tokio::test]
async fn connections_are_accepted_until_the_end_is_announced() {
    let world = World::new(TRUST);
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let (announce, listening) = tokio::sync::watch::channel(true);
    let accepting = tokio::spawn(accept_from(listener, world.hall.clone(), listening));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&login("app", "shop")).await.unwrap();
    assert!(matches!(world.mailbox.next().await, Mail::Client(_)));
    let mut late = TcpStream::connect(address).await.unwrap();
    world.hall.close();
    late.write_all(&login("app", "shop")).await.unwrap();
    let mut bytes = Vec::new();
    late.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(Report::from_server(&bytes[5..]).sqlstate(), "57P03");
    announce.send(false).unwrap();
    accepting.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_error_arrives_though_the_client_has_sent_more() {
    let world = World::new(TRUST);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    // More than was read ahead stays in the socket; closing it now would reset the connection.
    let bytes = [&login("app", "nowhere")[..], &vec![b'x'; 30_000]].concat();
    client.write_all(&bytes).await.unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let hall = world.hall.clone();
    let stream = crate::net::socket::Stream::Tcp(stream);
    let served = tokio::spawn(async move { receive(&hall, stream, Peer::Tcp(address)).await });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let report = Report::from_server(&answer[5..]);
    assert_eq!(report.message, "database \"nowhere\" does not exist");
    drop(client);
    served.await.unwrap();
}
