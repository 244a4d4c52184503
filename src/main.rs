//! The `pgweir` binary: reads arguments and runs one command.

fn main() {}
