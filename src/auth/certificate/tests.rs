use aws_lc_rs::digest::{Algorithm, SHA224, SHA256, SHA384, SHA512};
use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SignatureAlgorithm};

use super::*;

fn issue(
    algorithm: &'static SignatureAlgorithm,
    hosts: &[&str],
    names: impl FnOnce(&mut DistinguishedName),
) -> Vec<u8> {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = DistinguishedName::new();
    names(&mut params.distinguished_name);
    params.not_before = rcgen::date_time_ymd(1999, 12, 31);
    params.not_after = rcgen::date_time_ymd(2052, 2, 29);
    let key = KeyPair::generate_for(algorithm).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn the_channel_binding_hash_follows_the_signature() {
    let hash = |algorithm: &'static Algorithm, certificate: &[u8]| {
        Some(digest::digest(algorithm, certificate).as_ref().to_vec())
    };
    for (signature, algorithm) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, &SHA256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, &SHA384),
        (&rcgen::PKCS_ECDSA_P521_SHA512, &SHA512),
    ] {
        let certificate = issue(signature, &[], |_| {});
        assert_eq!(tls_server_end_point(&certificate), hash(algorithm, &certificate));
    }
    assert_eq!(tls_server_end_point(&issue(&rcgen::PKCS_ED25519, &[], |_| {})), None);
}

/// The algorithm identifiers of certificates that rcgen cannot make.
#[test]
fn every_signature_algorithm_has_its_hash() {
    let oid = |prefix: &[u8], rest: &[u8]| {
        let oid = [prefix, rest].concat();
        [&[OBJECT_IDENTIFIER, oid.len() as u8], oid.as_slice()].concat()
    };
    let sequence = |tag: u8, value: &[u8]| [&[tag, value.len() as u8], value].concat();
    let pss = |hash: Option<&[u8]>| {
        let hash = hash.map(|hash| sequence(PSS_HASH, &sequence(SEQUENCE, hash)));
        let parameters = sequence(SEQUENCE, &hash.unwrap_or_default());
        [oid(PKCS1, &[10]), parameters].concat()
    };
    for (algorithm, expected) in [
        (oid(PKCS1, &[4]), Some(&SHA256)), // MD5
        (oid(PKCS1, &[5]), Some(&SHA256)), // SHA-1
        (oid(PKCS1, &[11]), Some(&SHA256)),
        (oid(PKCS1, &[12]), Some(&SHA384)),
        (oid(PKCS1, &[13]), Some(&SHA512)),
        (oid(PKCS1, &[14]), Some(&SHA224)),
        (oid(PKCS1, &[1]), None),
        (oid(ECDSA, &[1]), Some(&SHA256)),
        (oid(ECDSA, &[3, 1]), Some(&SHA224)),
        (oid(ECDSA, &[3, 4]), Some(&SHA512)),
        (oid(DSA, &[3]), Some(&SHA256)),
        (oid(NIST, &[3, 2]), Some(&SHA256)),
        (oid(NIST, &[2, 1]), None),
        (oid(&[0x2b, 0x65], &[0x70]), None), // Ed25519
        (oid(PKCS1, &[10]), Some(&SHA256)),
        (pss(None), Some(&SHA256)),
        (pss(Some(&oid(SHA1, &[]))), Some(&SHA256)),
        (pss(Some(&oid(NIST, &[2, 2]))), Some(&SHA384)),
        (pss(Some(&oid(NIST, &[2, 3]))), Some(&SHA512)),
        (pss(Some(&oid(NIST, &[9, 9]))), None),
    ] {
        assert_eq!(signature_hash(&algorithm), expected, "{algorithm:x?}");
    }
}

#[test]
fn the_common_name_is_the_first_one() {
    let name = |names: &[DnValue]| {
        let certificate = issue(&rcgen::PKCS_ED25519, &[], |subject| {
            subject.push(DnType::OrganizationName, "weir");
            for name in names {
                subject.push(DnType::CommonName, name.clone());
            }
        });
        common_name(&certificate)
    };
    assert_eq!(name(&["alice".into()]).as_deref(), Some("alice"));
    assert_eq!(name(&["Zoë".into()]).as_deref(), Some("Zoë"));
    assert_eq!(
        name(&[DnValue::PrintableString("bob".try_into().unwrap())]).as_deref(),
        Some("bob")
    );
    assert_eq!(name(&["ali\0ce".into()]), None);
    assert_eq!(name(&["".into()]), None);
    assert_eq!(name(&[]), None);
    let long = "n".repeat(300);
    assert_eq!(name(&[long.as_str().into()]), Some(long));
}

#[test]
fn a_host_fits_a_common_name_or_its_wildcard() {
    let fits = |name: &str, host: &str| {
        let certificate =
            issue(&rcgen::PKCS_ED25519, &[], |subject| subject.push(DnType::CommonName, name));
        common_name_fits(&certificate, host)
    };
    assert!(fits("db.test", "DB.test"));
    assert!(fits("*.test.org", "db.test.org"));
    for (name, host) in [
        ("db.test", "xdb.test"),
        ("*.test.org", "test.org"),
        ("*.test.org", "a.db.test.org"),
        ("*.test.org", ".test.org"),
        ("*", "db"),
        ("*.", "db."),
        ("d*.test", "db.test"),
    ] {
        assert!(!fits(name, host), "{name} {host}");
    }
}

#[test]
fn alternative_names_and_dates_are_found() {
    let with = issue(&rcgen::PKCS_ED25519, &["db.test"], |_| {});
    assert_eq!(names_hosts(&with), Some(true));
    let without = issue(&rcgen::PKCS_ED25519, &[], |_| {});
    assert_eq!(names_hosts(&without), Some(false));
    // 1999-12-31 as UTCTime, 2052-02-29 as GeneralizedTime.
    assert_eq!(validity(&with), Some((946_598_400, 2_592_777_600)));
    let date = |text: &[u8]| unix_seconds(GENERALIZED_TIME, text);
    assert_eq!(date(b"19700101000000Z"), Some(0));
    assert_eq!(date(b"20240229235959Z"), Some(1_709_251_199));
    assert_eq!(unix_seconds(UTC_TIME, b"491231000000Z"), Some(2_524_521_600));
    for wrong in [b"20241301000000Z", b"2024010100000-Z", b"202401010000000"] {
        assert_eq!(date(wrong), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        look_at(&bytes);
    }

    #[test]
    fn no_changed_certificate_panics(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8), cut in any::<usize>()) {
        let mut certificate = CERTIFICATE.clone();
        for (at, byte) in changes {
            let at = at % certificate.len();
            certificate[at] = byte;
        }
        look_at(&certificate);
        certificate.truncate(cut % certificate.len());
        look_at(&certificate);
    }
}

static CERTIFICATE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    issue(&rcgen::PKCS_ECDSA_P256_SHA256, &["db.test"], |subject| {
        subject.push(DnType::CommonName, "alice");
    })
});

fn look_at(certificate: &[u8]) {
    let _ = tls_server_end_point(certificate);
    let _ = common_name(certificate);
    let _ = names_hosts(certificate);
    let _ = validity(certificate);
    let _ = common_name_fits(certificate, "db.test");
}
