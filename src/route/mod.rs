//! Which server a statement goes to.
//!
//! A text is proven to be a read, or goes to the primary: `sql::reads` says what it is and which names it has, the
//! [`Catalog`] what those mean, [`verdict`] what follows. A database has nodes ([`topology`]): one of them is the
//! primary, others follow it. Their monitor shows a [`Picture`] of how they stand; a session keeps [`Marks`] of what it has
//! written and seen, and a read goes to a node that has all of that.
//!
//! Deliberately absent: how the picture comes about (`monitor`), and who waits for which server (`worker`).

pub mod catalog;
pub mod figures;
pub mod functions;
pub mod marks;
pub mod picture;
pub mod policy;
mod proof;
pub mod relations;
pub mod shape;
pub mod shelf;
#[cfg(test)]
mod tests;
pub mod topology;
pub mod verdicts;
pub mod why;

pub use catalog::Catalog;
pub use figures::{Figures, NodeFigures};
pub use marks::Marks;
pub use picture::{Choice, Health, NodePicture, Picture, Position, PrimaryIs};
pub use policy::{Policy, SharedPolicy};
pub use proof::{
    Detail, Reason, Verdict, detail, detail_without_catalog, differs_on_standby, verdict,
    verdict_of_names,
};
pub use shelf::Shelf;
pub use topology::{Node, Topology};
pub use verdicts::{Ruling, Verdicts, ruling, ruling_where};
pub use why::Why;
