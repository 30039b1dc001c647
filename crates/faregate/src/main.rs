//! The faregate binary.
fn main() {}
