//! Which mechanism a payment scheme uses and which amount it allows, one scheme a file.

pub(crate) mod exact;
