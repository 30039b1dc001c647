//! What can be broken on purpose below the engine, to see that the checks notice.

/// One rule of the world that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    Nothing,
    /// The ledger says that signed bytes are stored, and stores nothing.
    DropsBytes,
    /// The ledger takes writes of a holder whose lease has gone to somebody else.
    IgnoresTokens,
    /// The ledger tells every caller that the one success is theirs.
    ReportsEverySuccess,
    /// The ledger says a key is reserved, and stores nothing.
    ForgetsReservations,
    /// The ledger hides the nonces that are in flight.
    HidesOpenSlots,
    /// The chain shows proof of a transfer that did not happen.
    FalsePaid,
    /// The chain takes silence for proof of death.
    FalseDead,
    /// A replacement does something else than what it replaces.
    OtherIntent,
}
