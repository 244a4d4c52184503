use super::*;
use crate::auth::password::Md5Hash;
use crate::auth::request::AuthenticationRequest;
use crate::auth::scram::{ClientBinding, ClientStep, ScramClient, ScramCredentials};

const USER: &[u8] = b"shop";
const PASSWORD: &str = "right horse";

/// Logs in as the server asks to, with `password`; says what was asked and what came of it.
fn log_in(
    method: PasswordMethod,
    secret: Option<&StoredSecret>,
    unknown: &MockSecret,
    password: &str,
) -> (&'static str, Result<bool, LoginError>) {
    let mut exchange = PasswordExchange::new(method, USER, secret, unknown, None);
    let mut body = exchange.request();
    let credentials = ScramCredentials::Password(Secret::new(password));
    let mut client = ScramClient::new(credentials, ClientBinding::Unencrypted);
    let mut asked = "SCRAM";
    loop {
        let answer = match AuthenticationRequest::parse(&body).unwrap() {
            AuthenticationRequest::CleartextPassword => {
                asked = "cleartext";
                [password.as_bytes(), b"\0"].concat()
            }
            AuthenticationRequest::Md5Password(salt) => {
                asked = "md5";
                Md5Hash::of(password.as_bytes(), USER).answer(salt)
            }
            _ => match client.on_message(&body).unwrap() {
                ClientStep::Send(body) => body,
                ClientStep::NeedsSaltedPassword(request) => {
                    client.on_salted_password(&request.derive()).unwrap()
                }
                step => panic!("{step:?}"),
            },
        };
        let result = match exchange.on_message(&answer) {
            Ok(LoginStep::Continue(next)) => {
                body = next;
                continue;
            }
            Ok(LoginStep::Accepted { last, keys }) => {
                assert_eq!((last.is_some(), keys.is_some()), (asked == "SCRAM", asked == "SCRAM"));
                if let Some(last) = last {
                    assert!(matches!(client.on_message(&last).unwrap(), ClientStep::Verified));
                }
                Ok(true)
            }
            Ok(LoginStep::NeedsCheck(check)) => Ok(check.verify()),
            Err(error) => Err(error),
        };
        assert_eq!(exchange.on_message(&answer).unwrap_err(), LoginError::Over);
        return (asked, result);
    }
}

#[test]
fn methods_and_secrets_make_an_exchange() {
    use PasswordMethod::{Cleartext, Md5, ScramSha256};
    let plain = StoredSecret::parse(PASSWORD.as_bytes()).unwrap();
    let md5 = StoredSecret::Md5(Md5Hash::of(PASSWORD.as_bytes(), USER));
    let StoredSecret::Plain(known) = &plain else { panic!() };
    let scram = StoredSecret::Scram(known.verifier().clone());
    let mock = MockSecret::new();
    let mock_md5 = MockSecret::new().with_kind(SecretKind::Md5);
    for (method, secret, asked, lets_in) in [
        (Cleartext, Some(&plain), "cleartext", true),
        (Cleartext, Some(&md5), "cleartext", true),
        (Cleartext, Some(&scram), "cleartext", true),
        (Cleartext, None, "cleartext", false),
        (Md5, Some(&plain), "md5", true),
        (Md5, Some(&md5), "md5", true),
        (Md5, Some(&scram), "SCRAM", true),
        (Md5, None, "SCRAM", false),
        (ScramSha256, Some(&plain), "SCRAM", true),
        (ScramSha256, Some(&md5), "SCRAM", false),
        (ScramSha256, Some(&scram), "SCRAM", true),
        (ScramSha256, None, "SCRAM", false),
    ] {
        let refused = if asked == "cleartext" { Ok(false) } else { Err(LoginError::WrongPassword) };
        let right = if lets_in { Ok(true) } else { refused };
        assert_eq!(
            log_in(method, secret, &mock, PASSWORD),
            (asked, right),
            "{method:?} {secret:?}"
        );
        assert_eq!(log_in(method, secret, &mock, "wrong horse"), (asked, refused));
    }
    assert_eq!(log_in(Md5, None, &mock_md5, "any"), ("md5", Err(LoginError::WrongPassword)));
    assert_eq!(log_in(ScramSha256, None, &mock_md5, "any").0, "SCRAM");
}

#[test]
fn unusable_messages_are_refused() {
    let start = |method| PasswordExchange::new(method, USER, None, &MockSecret::new(), None);
    let clear = |body: &[u8]| start(PasswordMethod::Cleartext).on_message(body).unwrap_err();
    assert_eq!(clear(b"\0"), LoginError::EmptyPassword);
    assert_eq!(clear(b"no end"), LoginError::InvalidPasswordMessage);
    assert_eq!(clear(&[0; 20_000]), LoginError::InvalidPasswordMessage);
    let scram = start(PasswordMethod::ScramSha256).on_message(b"password\0").unwrap_err();
    assert_eq!((scram.sqlstate(), scram.detail()), ("08P01", None));
}
