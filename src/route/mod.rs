//! Which server a statement goes to.
//!
//! A database has nodes ([`topology`]): one of them is the primary, others follow it. Their monitor shows a
//! [`Picture`] of how they stand; a session keeps [`Marks`] of what it has written and seen, and a read goes to a node
//! that has all of that.
//!
//! Deliberately absent: how the picture comes about (`monitor`), and who waits for which server (`worker`).

pub mod marks;
pub mod picture;
pub mod policy;
pub mod topology;
pub mod verdicts;
pub mod why;

pub use marks::Marks;
pub use picture::{Choice, Health, NodePicture, Picture, Position, PrimaryIs};
pub use policy::{Policy, SharedPolicy};
pub use topology::{Node, Topology};
pub use verdicts::{Ruling, Verdicts};
pub use why::Why;
