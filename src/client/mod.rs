//! One client session: where it stands, and what the next message asks for.
//!
//! Deliberately absent: sockets, other clients, how a server is found.

pub mod begun;
pub mod guarded;
pub mod listening;
pub mod lost;
pub mod pinned;
pub mod request;
pub mod routed;
pub mod session;
pub mod standing;

pub use begun::{Begun, Lone};
pub use guarded::Guarded;
pub use listening::{Listening, Notification};
pub use lost::Lost;
pub use pinned::Pinned;
pub use routed::{Lease, Routed, Sending, Touch, Wish};
pub use session::{Leaving, Session, State};
pub use standing::Standing;
