//! Dials against a scripted server: every method, and everything that a server may do wrong.

pub(crate) mod fake;
mod hostile;
mod methods;
mod places;

use std::time::Duration;

use super::*;
use crate::auth::ServerCredential;
use crate::auth::secret::Secret;

/// An errand for `app` in `shop`.
fn errand<'a>(target: &'a Target, credential: Option<ServerCredential>) -> Errand<'a> {
    Errand {
        target,
        identity: Identity { role: "app", database: "shop", credential, parameters: Vec::new() },
        limit: Some(Duration::from_secs(5)),
    }
}

fn password(text: &str) -> Option<ServerCredential> {
    Some(ServerCredential::Password(Secret::new(text)))
}

async fn dial(
    target: &Target,
    credential: Option<ServerCredential>,
) -> Result<Connected, DialError> {
    Dialler::default().dial(errand(target, credential)).await
}

/// The failure of a dial that must fail.
async fn failure(target: &Target, credential: Option<ServerCredential>) -> DialFailure {
    dial(target, credential).await.unwrap_err().failure()
}

/// As a loop gets it.
fn handed_over(connected: Connected) -> NewServer<Socket> {
    let reached = Reached { connected, account: Account::any(), place: 0 };
    reached.into_server(Startup::default()).unwrap()
}
