//! Stand-in until the real one is merged.
#![allow(missing_docs)]
use crate::config::Secret;
#[derive(Clone, Debug)]
pub enum ServerCredential { Password(Secret) }
