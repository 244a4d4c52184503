//! `auth_query` against a scripted Postgres.

use super::authentication::log_in_as;
use super::*;
use crate::auth::ServerCredential;
use crate::auth::scram::{DEFAULT_ITERATIONS, ScramVerifier};
use crate::auth::secret::Secret;
use crate::dial::tests::fake::{Conversation, Fake};
use crate::wire::TransactionStatus;
use crate::wire::build;
use std::collections::HashMap;

/// What a look-up sent: parameters of its startup packet, and the value of `$1`.
type Question = (Vec<(String, String)>, String);

/// A Postgres whose auth_query knows one role, "app" with the password "secret".
async fn postgres(questions: Arc<Mutex<Vec<Question>>>) -> Fake {
    let verifier = ScramVerifier::generate(&Secret::new("secret"), DEFAULT_ITERATIONS);
    let verifier = verifier.to_stored();
    Fake::start(move |client| answer(client, questions.clone(), verifier.clone())).await
}

async fn answer(mut client: Conversation, questions: Arc<Mutex<Vec<Question>>>, stored: Secret) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let packet = client.startup().await;
    let parameters = packet.parameters.iter().map(|(a, b)| (text(a), text(b))).collect();
    client.welcome().await;
    assert_eq!(client.message().await.tag, b'P');
    let bind = client.message().await.body;
    // Portal, statement, no formats, one value.
    assert_eq!(bind[..6], [0, 0, 0, 0, 0, 1]);
    let len = u32::from_be_bytes(bind[6..10].try_into().unwrap()) as usize;
    let role = text(&bind[10..10 + len]);
    questions.lock().unwrap().push((parameters, role.clone()));
    assert_eq!(client.message().await.tag, b'E');
    assert_eq!(client.message().await.tag, b'S');
    let mut out = b"1\0\0\0\x042\0\0\0\x04".to_vec();
    if role == "app" {
        let mut row = vec![0, 2];
        for column in [b"app", stored.expose()] {
            row.extend_from_slice(&u32::try_from(column.len()).unwrap().to_be_bytes());
            row.extend_from_slice(column);
        }
        crate::wire::handshake::message(&mut out, b'D', &row);
    }
    build::command_complete(&mut out, "SELECT");
    build::ready_for_query(&mut out, TransactionStatus::Idle);
    client.send(&out).await;
    assert_eq!(client.message().await.tag, b'X');
}

fn config(fake: &Fake, ttl: &str) -> String {
    format!(
        "[auth]\nauth_query_role = \"asker\"\ncache_ttl = \"{ttl}\"\n\
         [databases.shop]\nprimary = \"{}\"\n[roles.asker]\npassword = \"ap\"\n",
        fake.url("sslmode=disable&options=-c%20search_path%3Devil")
    )
}

#[tokio::test]
async fn a_roles_verifier_is_asked_for_once_and_in_a_session_of_its_own() {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let fake = postgres(questions.clone()).await;
    let world = World::new(&config(&fake, "60s"));
    for _ in 0..2 {
        let (_, proved) = log_in_as(&world, "app", "shop", "secret").await;
        let credential = proved.unwrap().pool.credential();
        assert!(matches!(credential, Some(ServerCredential::PassThrough(_))));
    }
    let questions = questions.lock().unwrap();
    assert_eq!(questions.len(), 1, "the second answer was kept");
    let (parameters, role) = &questions[0];
    assert_eq!(role, "app");
    let parameters: HashMap<&str, &str> =
        parameters.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let expected = HashMap::from([
        ("user", "asker"),
        ("database", "postgres"),
        ("application_name", "pgweir auth_query"),
        ("search_path", "pg_catalog"),
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "2000"),
    ]);
    assert_eq!(parameters, expected);
}

#[tokio::test]
async fn a_role_that_is_not_there_is_remembered_as_such() {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let fake = postgres(questions.clone()).await;
    let world = World::new(&config(&fake, "60s"));
    let evil = "x'; DROP TABLE users; --";
    for _ in 0..3 {
        let (transcript, none) = log_in_as(&world, evil, "shop", "secret").await;
        assert!(none.is_none());
        let report = Report::from_server(&transcript.last().unwrap().1);
        assert_eq!(report.sqlstate(), "28P01");
    }
    let questions = questions.lock().unwrap();
    assert_eq!(questions.len(), 1);
    assert_eq!(questions[0].1, evil, "a value, not a piece of SQL");
}

#[tokio::test]
async fn without_a_cache_every_login_asks() {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let fake = postgres(questions.clone()).await;
    let world = World::new(&config(&fake, "off"));
    for _ in 0..2 {
        assert!(log_in_as(&world, "app", "shop", "secret").await.1.is_some());
    }
    assert_eq!(questions.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn many_logins_of_a_role_ask_once() {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let fake = postgres(questions.clone()).await;
    let world = Arc::new(World::new(&config(&fake, "60s")));
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let world = world.clone();
        logins.spawn(async move { log_in_as(&world, "app", "shop", "secret").await.1.is_some() });
    }
    while let Some(served) = logins.join_next().await {
        assert!(served.unwrap());
    }
    assert_eq!(questions.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_no_wrong_password() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        client.refuse(b"57P03", "the database system is starting up").await;
    })
    .await;
    let world = World::new(&config(&fake, "60s"));
    let (transcript, none) = log_in_as(&world, "app", "shop", "secret").await;
    assert!(none.is_none());
    let report = Report::from_server(&transcript.last().unwrap().1);
    assert_eq!(report.sqlstate(), "57P03");
    assert!(!format!("{report:?}").contains("127.0.0.1"));
    assert_eq!(world.hall.clients(), 0);
}
