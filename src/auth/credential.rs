//! What proves a role to Postgres.

use super::password::Md5Hash;
use super::scram::PassThrough;
use super::secret::Secret;

/// What pgweir logs in to Postgres with, as one role.
#[derive(Clone, Debug)]
pub enum ServerCredential {
    /// The password: serves whatever the server asks for.
    Password(Secret),
    /// The hash that Postgres stores: serves servers that ask for MD5.
    Md5(Md5Hash),
    /// What a client's own SCRAM login left behind: serves servers with the same verifier.
    PassThrough(PassThrough),
}
