//! Hints: what may have changed about a payment, for those who wait for it. A hint is never a fact:
//! whoever hears one reads the ledger, and looks without one too, because some are missed.

use faregate_protocol::PaymentKey;

use crate::SettlementState;

/// Hints that a slow listener may fall behind by before it misses some: as many as a full block
/// brings at once.
pub(crate) const BACKLOG: usize = 4096;

/// Something about a payment may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The payment, or the first of those that it holds for.
    pub key: PaymentKey,
    /// What changed, and so whom it is for.
    pub change: Change,
}

/// What a hint is about. Payments come by the thousand, so nobody is told what is for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A lane may have work.
    Wanted,
    /// A transaction is on its way: blocks are worth watching.
    Sent,
    /// A look of the reconciler is due.
    Due,
    /// A caller that waits may have its outcome.
    Outcome,
}

impl Change {
    /// Whom the move to a state is for.
    pub(crate) const fn of_move(to: SettlementState) -> Self {
        match to {
            SettlementState::Reserved | SettlementState::Broadcast => Self::Wanted,
            _ => Self::Outcome,
        }
    }

    /// Its name in a message between processes.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Wanted => 'w',
            Self::Sent => 's',
            Self::Due => 'd',
            Self::Outcome => 'o',
        }
    }

    /// The change of that name. Another program's message may name none; callers wait for money, so
    /// it is theirs.
    pub(crate) fn of_letter(letter: Option<char>) -> Self {
        let all = [Self::Wanted, Self::Sent, Self::Due];
        all.into_iter().find(|change| Some(change.letter()) == letter).unwrap_or(Self::Outcome)
    }
}
