//! Stories: the binary and real parts, started and stopped by each test.
