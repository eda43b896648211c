//! `wellcar-node`: the node's side of Wellcar.
fn main() {}
