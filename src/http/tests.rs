use super::*;
use crate::login::tests::{StandIn, World};
use crate::worker::mail::{Inspection, Mail};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONFIG: &str = "[databases.shop]\nprimary = \"postgres://127.0.0.1:5432/shop\"\n";

async fn start(world: &World) -> SocketAddr {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let loops: Vec<Arc<dyn Loop>> = vec![world.mailbox.clone()];
    tokio::spawn(serve(
        listener,
        world.hall.clone(),
        loops,
        world.registry.clone(),
        Arc::default(),
    ));
    address
}

/// The status line's number, and the body.
async fn get(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn probes_say_whether_logins_are_taken() {
    let world = World::new(CONFIG);
    let address = start(&world).await;
    assert_eq!(get(address, "GET", "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "GET", "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "GET", "/nothing").await.0, 404);
    assert_eq!(get(address, "POST", "/livez").await.0, 405);
    world.hall.close();
    assert_eq!(get(address, "GET", "/readyz").await.0, 503);
    assert_eq!(get(address, "GET", "/livez").await.0, 200);
}

/// A loop that describes itself when asked.
async fn describe(mailbox: &StandIn) {
    let Mail::Inspect(answer) = mailbox.next().await else { panic!("an inspection") };
    let pool = PoolInspection {
        database: "shop \"x\"".to_owned(),
        role: "app".to_owned(),
        idle: 2,
        leased: 1,
        open: 3,
        ..PoolInspection::default()
    };
    answer
        .send(Inspection { clients: 7, pools: vec![pool], statements: 5, ..Inspection::default() })
        .unwrap();
}

#[tokio::test]
async fn the_state_is_what_the_loops_say() {
    let world = World::new(CONFIG);
    let address = start(&world).await;
    let _key = world.registry.register(0, 4).unwrap();
    let ((status, body), ()) =
        tokio::join!(get(address, "GET", "/api/state"), describe(&world.mailbox));
    assert_eq!(status, 200);
    let state: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(state["clients"], 7);
    assert_eq!(state["statements"], 5);
    assert_eq!(state["cancel_keys"], 1);
    assert_eq!(state["pools"][0]["database"], "shop \"x\"");
    assert_eq!(state["pools"][0]["open"], 3);
    assert_eq!(state["pools"][0].as_object().unwrap().len(), 14);
}
