//! `wellcar`: the operator's command.
fn main() {}
