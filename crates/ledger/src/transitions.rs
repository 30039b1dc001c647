//! The legal moves, as pure tables. A state only moves forward; a reorganisation of the chain is
//! the one exception.

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)+ }

        impl $name {
            /// Every state.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The number that is stored.
            #[must_use]
            pub const fn number(self) -> i64 {
                self as i64
            }

            /// The state with this stored number.
            #[must_use]
            pub const fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// Name for the journal, logs and command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

states! {
    /// Where a gate's claim stands.
    ClaimState {
        /// The insert is the claim; the handler may be running.
        Verified = 0 "VERIFIED",
        /// The handler has answered below 400.
        Executed = 1 "EXECUTED",
        /// Settle is about to be asked, or was asked and has not answered.
        Settling = 2 "SETTLING",
        /// The facilitator proved that the money moved.
        Settled = 3 "SETTLED",
        /// The answer may leave.
        Granted = 4 "GRANTED",
        /// Nothing was sent to the facilitator, or it answered that it took nothing up.
        Released = 5 "RELEASED",
        /// Settle was asked and the outcome is not known.
        Unresolved = 6 "UNRESOLVED",
        /// The facilitator proved that nobody was or will be charged.
        NotCharged = 7 "NOT_CHARGED",
        /// The money moved and the answer cannot be given.
        Credit = 8 "CREDIT",
    }
}

states! {
    /// Where a settlement stands.
    SettlementState {
        /// The intent is stored; nothing is signed.
        Reserved = 0 "RESERVED",
        /// Signed bytes are stored; they may or may not have left.
        Signed = 1 "SIGNED",
        /// The bytes were handed to an endpoint.
        Broadcast = 2 "BROADCAST",
        /// Proven by logs in a canonical block.
        Mined = 3 "MINED",
        /// The same in a final block.
        Final = 4 "FINAL",
        /// Nothing was signed and the caller is gone: watched, never charged by us.
        Dormant = 5 "DORMANT",
        /// Proven that it moved and will move no money.
        Dead = 6 "DEAD",
        /// Set aside for an operator after repeated failures; still watched.
        Quarantined = 7 "QUARANTINED",
    }
}

states! {
    /// Where a lane's nonce stands.
    SlotState {
        /// Allocated, nothing signed.
        Empty = 0 "EMPTY",
        /// Signed bytes are stored.
        Signed = 1 "SIGNED",
        /// A transaction with this nonce was mined.
        Mined = 2 "MINED",
    }
}

states! {
    /// What a nonce is for.
    SlotKind {
        /// One payment.
        Single = 0 "single",
        /// Several payments.
        Batch = 1 "batch",
        /// Nothing: the nonce only had to be used up.
        NoOp = 2 "noop",
        /// Somebody else used the key.
        Foreign = 3 "foreign",
    }
}

impl ClaimState {
    /// Whether the state machine has this move.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use ClaimState as S;
        matches!(
            (self, next),
            (S::Verified, S::Executed | S::Settling | S::Released)
                | (S::Executed, S::Settling | S::Released)
                | (
                    S::Settling,
                    S::Settled | S::Credit | S::Unresolved | S::NotCharged | S::Released
                )
                | (
                    S::Unresolved,
                    S::Settled | S::Credit | S::NotCharged | S::Released | S::Settling
                )
                | (S::Settled, S::Granted | S::Credit)
                | (S::Credit, S::Granted)
                | (S::Released, S::Verified)
        )
    }
}

impl SettlementState {
    /// Whether the state machine has this move.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use SettlementState as S;
        matches!(
            (self, next),
            (S::Reserved, S::Signed | S::Dormant | S::Mined | S::Dead | S::Quarantined)
                | (S::Signed, S::Broadcast | S::Mined | S::Dead | S::Quarantined | S::Reserved)
                | (S::Broadcast, S::Mined | S::Dead | S::Quarantined | S::Reserved)
                | (S::Mined, S::Final | S::Broadcast | S::Reserved)
                | (S::Dormant, S::Reserved | S::Mined | S::Dead | S::Quarantined)
                | (S::Quarantined, S::Reserved | S::Mined | S::Dead)
        )
    }

    /// Whether the move needs no row beside it. Proof comes and goes with its evidence
    /// (`record_mined`, `undo_mined`), and signing with its bytes (`record_attempt`).
    #[must_use]
    pub const fn may_become_bare(self, next: Self) -> bool {
        let with_a_row = matches!(
            (self, next),
            (_, Self::Signed | Self::Mined) | (Self::Mined, Self::Broadcast | Self::Reserved)
        );
        self.may_become(next) && !with_a_row
    }

    /// Nothing more can happen.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Final | Self::Dead)
    }

    /// The money has moved.
    #[must_use]
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::Mined | Self::Final)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bare_move_signs_or_makes_or_undoes_proof() {
        use SettlementState as S;
        for from in S::ALL {
            for to in S::ALL {
                let bare = from.may_become(*to)
                    && !matches!(to, S::Mined | S::Signed)
                    && (*from != S::Mined || *to == S::Final);
                assert_eq!(from.may_become_bare(*to), bare, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn numbers_and_names_are_distinct_and_found_again() {
        for state in ClaimState::ALL {
            assert_eq!(ClaimState::from_number(state.number()), Some(*state));
        }
        for state in SettlementState::ALL {
            assert_eq!(SettlementState::from_number(state.number()), Some(*state));
        }
        assert_eq!(SettlementState::from_number(99), None);
    }

    #[test]
    fn what_has_ended_never_moves() {
        for next in SettlementState::ALL {
            assert!(!SettlementState::Final.may_become(*next));
            assert!(!SettlementState::Dead.may_become(*next));
        }
        for next in ClaimState::ALL {
            assert!(!ClaimState::Granted.may_become(*next));
            assert!(!ClaimState::NotCharged.may_become(*next));
        }
    }

    #[test]
    fn a_grant_comes_only_after_money_has_moved() {
        for from in ClaimState::ALL {
            let allowed = matches!(from, ClaimState::Settled | ClaimState::Credit);
            assert_eq!(from.may_become(ClaimState::Granted), allowed, "{from:?}");
        }
    }

    #[test]
    fn a_claim_that_was_sent_is_released_only_on_an_answer() {
        // VERIFIED and EXECUTED never asked the facilitator; the other two hold its answer.
        let released: Vec<_> =
            ClaimState::ALL.iter().filter(|s| s.may_become(ClaimState::Released)).collect();
        assert_eq!(
            released,
            [
                &ClaimState::Verified,
                &ClaimState::Executed,
                &ClaimState::Settling,
                &ClaimState::Unresolved
            ]
        );
    }
}
