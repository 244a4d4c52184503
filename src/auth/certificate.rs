//! What authentication needs to know of an X.509 certificate: the channel binding hash, the
//! common name, the names it may be used for and its dates.
//!
//! A small walk over DER (X.690) that never panics: whatever it does not understand is `None`.
//! Deliberately absent: any judgement of trust. Chains and signatures are rustls' business.

use aws_lc_rs::digest;

/// The `tls-server-end-point` channel binding data of a certificate (RFC 5929 section 4.1): its
/// hash, made with the hash function of its own signature, SHA-256 in place of MD5 and SHA-1.
///
/// `None` where the signature names no hash (Ed25519, Ed448) or an unknown one; Postgres
/// (`be_tls_get_certificate_hash`, `pgtls_get_peer_certificate_hash`) gives up there as well, so
/// no SCRAM-SHA-256-PLUS can be offered with such a certificate.
pub fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let signature = Parts::read(certificate)?.signature_algorithm;
    let algorithm = signature_hash(signature)?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The first common name of the certificate's subject: the identity of `cert` logins.
///
/// A name with a NUL byte is `None`, as Postgres refuses it (`be_tls_open_server`).
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let mut subject = Der(Parts::read(certificate)?.subject);
    while !subject.0.is_empty() {
        let mut attributes = Der(subject.expect(SET)?);
        while !attributes.0.is_empty() {
            let mut attribute = Der(attributes.expect(SEQUENCE)?);
            if attribute.expect(OBJECT_IDENTIFIER)? == COMMON_NAME {
                let (tag, value) = attribute.next()?;
                let known = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING)
                    || (tag == TELETEX_STRING && value.is_ascii());
                let clean = known && !value.is_empty() && !value.contains(&0);
                return clean.then(|| String::from_utf8(value.to_vec()).ok())?;
            }
        }
    }
    None
}

/// Whether the certificate lists host names or addresses in a subjectAltName extension.
///
/// Only where it does not may a host name be compared with the common name (RFC 6125 section
/// 6.4.4; libpq's `pgtls_verify_peer_name_matches_certificate_guts`).
pub fn names_hosts(certificate: &[u8]) -> Option<bool> {
    let Some(extensions) = Parts::read(certificate)?.extensions else { return Some(false) };
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    while !extensions.0.is_empty() {
        let mut extension = Der(extensions.expect(SEQUENCE)?);
        if extension.expect(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        let (mut tag, mut value) = extension.next()?;
        if tag == BOOLEAN {
            (tag, value) = extension.next()?;
        }
        if tag != OCTET_STRING {
            return None;
        }
        let mut names = Der(Der(value).expect(SEQUENCE)?);
        while !names.0.is_empty() {
            let (tag, _) = names.next()?;
            if tag == DNS_NAME || tag == IP_ADDRESS {
                return Some(true);
            }
        }
    }
    Some(false)
}

/// Whether `host` is the certificate's common name, or fits it as a wildcard for one label
/// (libpq's `pq_verify_peer_name_matches_certificate_name`).
pub fn common_name_fits(certificate: &[u8], host: &str) -> bool {
    let Some(name) = common_name(certificate) else { return false };
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((label, rest))) => {
            !label.is_empty() && domain.len() > 1 && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

/// The first and last second, since 1970, in which the certificate is valid.
pub fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let mut dates = Der(Parts::read(certificate)?.validity);
    let mut date = || {
        let (tag, text) = dates.next()?;
        unix_seconds(tag, text)
    };
    Some((date()?, date()?))
}

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
const VERSION: u8 = 0xa0;
const PSS_HASH: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.2.840.113549.1.1: PKCS #1 (RFC 8017).
const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4: signatures with ECDSA (RFC 5758).
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// 1.2.840.10040.4: DSA (RFC 3279).
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04];
/// 2.16.840.1.101.3.4: NIST algorithms (RFC 5758, RFC 4055).
const NIST: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04];
/// 1.3.14.3.2.26: SHA-1.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];

/// Bytes still to be read as a row of tag, length, value.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value with its tag. Lengths are definite and at most four bytes long.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(count)?;
            len = bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
            rest = after;
        }
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, value) = self.next()?;
        (found == tag).then_some(value)
    }

    fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }
}

/// The fields of a certificate that we look at (RFC 5280 section 4.1), as DER values.
struct Parts<'a> {
    signature_algorithm: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    extensions: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut certificate = Der(Der(certificate).expect(SEQUENCE)?);
        let mut to_be_signed = Der(certificate.expect(SEQUENCE)?);
        let signature_algorithm = certificate.expect(SEQUENCE)?;
        if to_be_signed.next_is(VERSION) {
            to_be_signed.next()?;
        }
        to_be_signed.next()?; // serial number
        to_be_signed.expect(SEQUENCE)?; // signature algorithm, again
        to_be_signed.expect(SEQUENCE)?; // issuer
        let validity = to_be_signed.expect(SEQUENCE)?;
        let subject = to_be_signed.expect(SEQUENCE)?;
        let mut extensions = None;
        while !to_be_signed.0.is_empty() {
            let (tag, value) = to_be_signed.next()?;
            if tag == EXTENSIONS {
                extensions = Some(value);
            }
        }
        Some(Self { signature_algorithm, validity, subject, extensions })
    }
}

/// The hash function of a signature algorithm, as RFC 5929 wants it.
fn signature_hash(algorithm: &[u8]) -> Option<&'static digest::Algorithm> {
    let mut algorithm = Der(algorithm);
    let oid = algorithm.expect(OBJECT_IDENTIFIER)?;
    if let Some(rest) = oid.strip_prefix(PKCS1) {
        return match rest {
            // md2, md4, md5 and sha1WithRSAEncryption.
            [2..=5] => Some(&digest::SHA256),
            [10] => pss_hash(algorithm),
            [11] => Some(&digest::SHA256),
            [12] => Some(&digest::SHA384),
            [13] => Some(&digest::SHA512),
            [14] => Some(&digest::SHA224),
            _ => None,
        };
    }
    if let Some(rest) = oid.strip_prefix(ECDSA) {
        return match rest {
            [1] | [3, 2] => Some(&digest::SHA256),
            [3, 1] => Some(&digest::SHA224),
            [3, 3] => Some(&digest::SHA384),
            [3, 4] => Some(&digest::SHA512),
            _ => None,
        };
    }
    if let Some(rest) = oid.strip_prefix(DSA) {
        return (rest == [3]).then_some(&digest::SHA256);
    }
    match oid.strip_prefix(NIST)? {
        [3, 1] => Some(&digest::SHA224),
        [3, 2] => Some(&digest::SHA256),
        [3, 3] => Some(&digest::SHA384),
        [3, 4] => Some(&digest::SHA512),
        _ => None,
    }
}

/// The hash of RSASSA-PSS stands in its parameters and is SHA-1 where they leave it out (RFC 4055
/// section 3.1). Postgres asks OpenSSL for the same by `X509_get_signature_info`.
fn pss_hash(mut parameters: Der<'_>) -> Option<&'static digest::Algorithm> {
    if parameters.0.is_empty() {
        return Some(&digest::SHA256);
    }
    let mut parameters = Der(parameters.expect(SEQUENCE)?);
    if !parameters.next_is(PSS_HASH) {
        return Some(&digest::SHA256);
    }
    let mut hash = Der(Der(parameters.next()?.1).expect(SEQUENCE)?);
    let oid = hash.expect(OBJECT_IDENTIFIER)?;
    if oid == SHA1 {
        return Some(&digest::SHA256);
    }
    match oid.strip_prefix(NIST)? {
        [2, 1] => Some(&digest::SHA256),
        [2, 2] => Some(&digest::SHA384),
        [2, 3] => Some(&digest::SHA512),
        [2, 4] => Some(&digest::SHA224),
        _ => None,
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5) as seconds since 1970.
fn unix_seconds(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: std::ops::Range<usize>| {
        let part = digits.get(at)?;
        Some(part.iter().fold(0, |number, &digit| number * 10 + i64::from(digit - b'0')))
    };
    let (year, at) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(0..2)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, 2)
        }
        (GENERALIZED_TIME, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let (month, day) = (number(at..at + 2)?, number(at + 2..at + 4)?);
    let (hour, minute, second) =
        (number(at + 4..at + 6)?, number(at + 6..at + 8)?, number(at + 8..at + 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    // Days of the proleptic Gregorian calendar, counting years from March so that the leap day
    // is the last of its year.
    let from_march = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = 365 * year + leap_days + (153 * from_march + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests;
