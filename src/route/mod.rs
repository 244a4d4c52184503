//! Which server a statement goes to.
//!
//! A database has nodes ([`topology`]): one of them is the primary, others follow it. Their monitor shows a
//! [`Picture`] of how they stand; a session keeps [`Marks`] of what it has written and seen, and a read goes to a node
//! that has all of that.
//!
//! Deliberately absent: how the picture comes about (`monitor`), and who waits for which server (`worker`).

pub mod figures;
pub mod marks;
pub mod picture;
pub mod topology;

pub use figures::{Figures, NodeFigures};
pub use marks::Marks;
pub use picture::{Choice, Health, NodePicture, Picture, Position, PrimaryIs};
pub use topology::{Node, Topology};
