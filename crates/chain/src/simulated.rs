//! A deterministic chain with faults, for tests.
