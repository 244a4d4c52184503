//! What holds for any password and any bytes.

use postgres_protocol::authentication::sasl as oracle;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn the_clients_of_others_log_in(
        text in vec(any::<u8>(), 1..40),
        other in vec(any::<u8>(), 1..40),
        bound in any::<bool>(),
    ) {
        let verifier = ScramVerifier::generate(&Secret::new(text.as_slice()), FEW);
        let hash = bound.then(|| vec![9; 32]);
        let binding = |hash: &Option<Vec<u8>>| match hash {
            Some(hash) => oracle::ChannelBinding::tls_server_end_point(hash.clone()),
            None => oracle::ChannelBinding::unsupported(),
        };
        let mechanism = if bound { SCRAM_SHA_256_PLUS } else { SCRAM_SHA_256 };
        for (given, right) in [(&text, true), (&other, text == other)] {
            let mut server = ScramServer::new(verifier.clone(), hash.clone());
            let mut client = oracle::ScramSha256::new(given, binding(&hash));
            let answer = continued(server.on_message(&initial(mechanism, client.message())));
            client.update(&answer[4..]).unwrap();
            match server.on_message(client.message()) {
                Ok(ServerStep::Done { last, .. }) => {
                    prop_assert!(right || normalize(&Secret::new(given.as_slice())).expose()
                        == normalize(&Secret::new(text.as_slice())).expose());
                    client.finish(&last[4..]).unwrap();
                }
                result => prop_assert!(!right, "{result:?}"),
            }
        }
    }

    #[test]
    fn our_client_logs_in_to_our_server(
        text in vec(any::<u8>(), 1..40),
        salt in vec(any::<u8>(), 1..100),
        iterations in 4096..5000_u32,
        hash in proptest::option::of(vec(any::<u8>(), 28..64)),
    ) {
        let secret = Secret::new(text);
        let iterations = NonZeroU32::new(iterations).unwrap();
        let verifier = ScramVerifier::from_password(&secret, salt, iterations);
        let stored = verifier.to_stored();
        let verifier = ScramVerifier::parse(stored.expose()).unwrap();
        let binding = hash.clone().map_or(ClientBinding::Unencrypted, ClientBinding::Required);
        let mut client = ScramClient::new(ScramCredentials::Password(secret), binding);
        let keys = log_in(&mut client, &mut ScramServer::new(verifier.clone(), hash)).unwrap();
        prop_assert!(verifier.accepts(&keys.client_key));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_body_makes_the_server_panic(
        bodies in vec(prop_oneof![
            vec(any::<u8>(), 0..60),
            "[nyp]?,?[,=nracm]{0,6}[a-z=,A-Z0-9+/]{0,40}".prop_map(String::into_bytes),
            "[nyp],,n=[a-z]{0,3},r=[a-z]{0,9}(,x=1)?".prop_map(|text| initial(SCRAM_SHA_256, text.as_bytes())),
            "c=biws,r=[a-z]{0,9}server(,x=1)?,p=[A-Za-z0-9+/]{0,44}=?".prop_map(String::into_bytes),
        ], 1..4),
        bound in any::<bool>(),
    ) {
        let mut server = ScramServer::new(verifier(), bound.then(|| vec![1; 32])).with_nonce(b"server");
        for body in bodies {
            let step = server.on_message(&body);
            let accepted = matches!(step, Ok(ServerStep::Done { .. }));
            prop_assert!(!accepted);
        }
    }

    #[test]
    fn no_body_makes_the_client_panic(
        bodies in vec(prop_oneof![
            vec(any::<u8>(), 0..60),
            (0..13_i32, vec(any::<u8>(), 0..60)).prop_map(|(code, data)| r(code, &data)),
            Just(r(10, b"SCRAM-SHA-256\0\0")),
            "r=ours[a-z]{0,5},s=[A-Za-z+/]{0,8}={0,2},i=[0-9]{1,4}(,x=1)?".prop_map(|text| r(11, text.as_bytes())),
            "[ve]=[A-Za-z0-9+/]{0,44}=?".prop_map(|text| r(12, text.as_bytes())),
        ], 1..6),
    ) {
        let mut client = ScramClient::new(password("x"), ClientBinding::Unencrypted).with_nonce(b"ours");
        for body in bodies {
            let step = client.on_message(&body);
            let accepted = matches!(step, Ok(ClientStep::Accepted | ClientStep::Verified));
            prop_assert!(!accepted);
            if let Ok(ClientStep::NeedsSaltedPassword(request)) = step {
                client.on_salted_password(&request.derive()).unwrap();
            }
        }
    }
}
