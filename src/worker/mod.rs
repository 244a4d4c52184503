//! The loops, as far as they are written: what they and the hall say to each other.

pub mod mail;
