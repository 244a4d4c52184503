//! Reloads that come while clients log in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::authentication::log_in_as;
use super::*;
use crate::auth::password::Md5Hash;

const FILE: &str = "[auth]\nmethod = \"md5\"\n[databases.shop]\nprimary = \"host=one\"\n\
                    [roles.app]\npassword = \"secret\"\n";

impl World {
    /// The configuration is reloaded.
    fn reload(&self, config: &str) {
        let config = Config::parse(config, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        let before = self.hall.edition();
        let edition = Edition::open(Arc::new(config.config), Arc::default(), Some(&before));
        self.hall.follow(edition.unwrap());
    }
}

/// A login that was asked for its password, and the answer that is right.
async fn half_a_login(world: &World) -> (Client, Vec<u8>) {
    let mut client = world.client();
    client.send(&login("app", "shop")).await;
    let (tag, body) = client.message().await;
    assert_eq!((tag, body.len()), (b'R', 8));
    let salt = body[4..].try_into().unwrap();
    let answer = Md5Hash::of(b"secret", b"app").answer(salt);
    let mut out = vec![b'p'];
    out.extend_from_slice(&u32::try_from(answer.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(&answer);
    (client, out)
}

#[tokio::test]
async fn a_login_under_way_ends_in_a_pool_of_the_new_configuration() {
    let world = World::new(FILE);
    let (mut client, answer) = half_a_login(&world).await;
    world.reload(&FILE.replace("host=one", "host=two"));
    client.send(&answer).await;
    let pool = client.outcome().await.expect("it is let in").pool;
    assert_eq!(pool.server_name(), "two:5432");
    assert!(!pool.clients_are_gone());
}

#[tokio::test]
async fn a_login_under_way_to_a_database_that_goes_is_refused() {
    let world = World::new(FILE);
    let (mut client, answer) = half_a_login(&world).await;
    world.reload(&FILE.replace("shop", "crm"));
    client.send(&answer).await;
    // One that is let in has nothing more to read.
    let refused = timeout(Duration::from_secs(10), client.refused()).await;
    assert_eq!(refused.expect("a refusal").sqlstate(), "3D000");
    client.outcome().await;
}

#[tokio::test]
async fn pools_follow_and_a_place_is_counted_only_when_it_is_another() {
    let world = World::new(FILE);
    let (mut client, answer) = half_a_login(&world).await;
    client.send(&answer).await;
    let pool = client.outcome().await.unwrap().pool;
    let place = pool.place();
    world.reload(&format!("{FILE}pool_size = 3\nstatement_timeout = \"1s\"\n"));
    assert_eq!((pool.limits().size, pool.place()), (3, place));
    for (what, replaced, by) in [
        ("the host", "host=one", "host=two"),
        ("the port", "host=one", "host=one port=7"),
        ("the database", "host=one", "host=one dbname=other"),
        ("TLS", "host=one", "host=one sslmode=disable"),
        ("who logs in", "host=one", "host=one user=other"),
        ("the server's password", "host=one", "host=one user=other password=x"),
        ("options", "host=one", "host=one options='-c geqo=off'"),
    ] {
        let before = pool.place();
        world.reload(&FILE.replace(replaced, by));
        assert_ne!(pool.place(), before, "{what}");
        world.reload(&FILE.replace(replaced, by));
        assert_eq!(pool.place(), before + 1, "{what}, once more");
    }
}

#[tokio::test]
async fn salts_stay_so_that_no_role_stands_out_after_a_reload() {
    let file = "[auth]\nmethod = \"scram-sha-256\"\nuserlist = \"FILE\"\n[databases.shop]\n\
                primary = \"host=one\"\n[roles.app]\npassword = \"secret\"\n";
    let name = format!("pgweir-reload-{}.txt", std::process::id());
    let userlist = std::env::temp_dir().join(name);
    std::fs::write(&userlist, "\"listed\" \"secret\"\n").unwrap();
    let file = file.replace("FILE", userlist.to_str().unwrap());
    let world = World::new(&file);
    // The server's first message: nonces differ, salts do not.
    let salts = async || {
        let mut salts = Vec::new();
        for role in ["app", "listed", "nobody"] {
            let (transcript, _) = log_in_as(&world, role, "shop", "wrong").await;
            let first = String::from_utf8_lossy(&transcript[1].1).into_owned();
            salts.push(first.split(",s=").nth(1).expect("a salt").to_owned());
        }
        salts
    };
    let before = salts().await;
    for _ in 0..2 {
        world.reload(&file);
    }
    assert_eq!(salts().await, before);
    world.reload(&file.replace("\"secret\"", "\"another\""));
    let after = salts().await;
    assert_ne!(after[0], before[0], "another password");
    assert_eq!(after[1..], before[1..]);
    std::fs::remove_file(&userlist).unwrap();
}
