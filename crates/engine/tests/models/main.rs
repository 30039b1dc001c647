//! The state machines as models that are searched exhaustively, and the same models with one rule
//! taken away. A model that cannot fail proves nothing: every mutant must break a property, and
//! the test names which.

mod batches;
mod checked;
mod deferred;
mod gates;
mod lane;
mod nonces;
mod payment;
