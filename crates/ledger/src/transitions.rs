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
        /// The money moved before the handler ran, and the handler may be running.
        Executing = 9 "EXECUTING",
        /// The money moved before the handler ran, and the handler has answered.
        Answered = 10 "ANSWERED",
        /// The handler has answered, and the answer may leave before the money moves: its amount
        /// is on the books as exposure.
        Deferred = 11 "DEFERRED",
    }
}

states! {
    /// Where the money of a payment stands whose answer may leave before it.
    DeferralState {
        /// On the books, and not due: nobody is charged who was not served.
        Waiting = 0 "WAITING",
        /// The answer was granted: due.
        Queued = 1 "QUEUED",
        /// Settle is about to be asked, or was asked and the money is not proven either way.
        Settling = 2 "SETTLING",
        /// The money moved.
        Settled = 3 "SETTLED",
        /// Not proven when the authorization ended: the payer owes it, and it is still watched.
        BadDebt = 4 "BAD_DEBT",
        /// Proven that it never will move: the payer owes it for good.
        NotCharged = 5 "NOT_CHARGED",
        /// Set aside for an operator after repeated failures, until the authorization ends.
        Quarantined = 6 "QUARANTINED",
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
            (S::Verified, S::Executed | S::Settling | S::Released | S::Deferred)
                | (S::Executed, S::Settling | S::Released)
                | (
                    S::Settling,
                    S::Settled | S::Credit | S::Unresolved | S::NotCharged | S::Released
                )
                | (
                    S::Unresolved,
                    S::Settled | S::Credit | S::NotCharged | S::Released | S::Settling
                )
                | (S::Settled, S::Granted | S::Credit | S::Executing)
                | (S::Executing, S::Answered | S::Credit)
                | (S::Answered, S::Granted | S::Credit)
                | (S::Deferred, S::Granted | S::Released)
                | (S::Credit, S::Granted)
                | (S::Released, S::Verified)
        )
    }

    /// Whether the move needs no row beside it. A grant comes with its id, and the states that
    /// promise a kept answer come with it.
    #[must_use]
    pub const fn may_become_bare(self, next: Self) -> bool {
        let with_a_row = matches!(next, Self::Granted | Self::Answered | Self::Deferred);
        self.may_become(next) && !with_a_row
    }

    /// Where the claim stands once the handler's answer is kept; none if no answer is expected.
    #[must_use]
    pub const fn with_answer(self, is_deferred: bool) -> Option<Self> {
        match self {
            Self::Verified if is_deferred => Some(Self::Deferred),
            Self::Verified => Some(Self::Executed),
            Self::Executing => Some(Self::Answered),
            _ => None,
        }
    }

    /// A grant may follow.
    #[must_use]
    pub const fn is_grantable(self) -> bool {
        matches!(self, Self::Settled | Self::Answered | Self::Deferred)
    }

    /// Whoever takes a claim over in this state begins a new epoch: the handler may have to run
    /// again.
    #[must_use]
    pub const fn runs_again(self) -> bool {
        matches!(self, Self::Settled | Self::Executed | Self::Executing)
    }
}

impl DeferralState {
    /// Whether the state machine has this move.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use DeferralState as S;
        matches!(
            (self, next),
            (S::Waiting, S::Queued)
                | (S::Queued, S::Settling | S::BadDebt)
                | (S::Settling, S::Settled | S::NotCharged | S::BadDebt | S::Quarantined)
                | (S::Quarantined, S::Settled | S::NotCharged | S::BadDebt | S::Queued)
                | (S::BadDebt, S::Settled | S::NotCharged)
        )
    }

    /// Its amount counts as exposure.
    #[must_use]
    pub const fn is_exposed(self) -> bool {
        matches!(self, Self::Waiting | Self::Queued | Self::Settling | Self::Quarantined)
    }

    /// The payer was served and has not paid, as far as is known.
    #[must_use]
    pub const fn is_owed(self) -> bool {
        matches!(self, Self::BadDebt | Self::NotCharged)
    }

    /// Nothing more can happen.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Settled | Self::NotCharged)
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

    /// DEFERRED is the one exception: its amount is on the books.
    #[test]
    fn a_grant_comes_only_after_money_has_moved() {
        use ClaimState as S;
        for from in S::ALL {
            let paid = matches!(from, S::Settled | S::Credit | S::Answered);
            let allowed = paid || *from == S::Deferred;
            assert_eq!(from.may_become(S::Granted), allowed, "{from:?}");
            assert!(!from.is_grantable() || allowed, "{from:?}");
            assert!(!from.may_become_bare(S::Granted), "{from:?}");
            // What is paid for is never given up, and what is not is never owed.
            let keeps = paid || matches!(from, S::Executing | S::Granted);
            assert!(!(keeps && from.may_become(S::Released)), "{from:?}");
        }
    }

    #[test]
    fn every_move_of_a_claim() {
        use ClaimState as S;
        let moves: Vec<_> = S::ALL
            .iter()
            .flat_map(|from| S::ALL.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        let expected = [
            (S::Verified, S::Executed),
            (S::Verified, S::Settling),
            (S::Verified, S::Released),
            (S::Verified, S::Deferred),
            (S::Executed, S::Settling),
            (S::Executed, S::Released),
            (S::Settling, S::Settled),
            (S::Settling, S::Released),
            (S::Settling, S::Unresolved),
            (S::Settling, S::NotCharged),
            (S::Settling, S::Credit),
            (S::Settled, S::Granted),
            (S::Settled, S::Credit),
            (S::Settled, S::Executing),
            (S::Released, S::Verified),
            (S::Unresolved, S::Settling),
            (S::Unresolved, S::Settled),
            (S::Unresolved, S::Released),
            (S::Unresolved, S::NotCharged),
            (S::Unresolved, S::Credit),
            (S::Credit, S::Granted),
            (S::Executing, S::Credit),
            (S::Executing, S::Answered),
            (S::Answered, S::Granted),
            (S::Answered, S::Credit),
            (S::Deferred, S::Granted),
            (S::Deferred, S::Released),
        ];
        assert_eq!(moves, expected);
        for (from, to) in expected {
            let with_a_row = matches!(to, S::Granted | S::Answered | S::Deferred);
            assert_eq!(from.may_become_bare(to), !with_a_row, "{from:?} to {to:?}");
        }
        for from in S::ALL {
            for deferred in [false, true] {
                let next = from.with_answer(deferred);
                assert!(next.is_none_or(|next| from.may_become(next)), "{from:?}");
            }
        }
    }

    #[test]
    fn every_move_of_a_deferral() {
        use DeferralState as S;
        let moves: Vec<_> = S::ALL
            .iter()
            .flat_map(|from| S::ALL.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        let expected = [
            (S::Waiting, S::Queued),
            (S::Queued, S::Settling),
            (S::Queued, S::BadDebt),
            (S::Settling, S::Settled),
            (S::Settling, S::BadDebt),
            (S::Settling, S::NotCharged),
            (S::Settling, S::Quarantined),
            (S::BadDebt, S::Settled),
            (S::BadDebt, S::NotCharged),
            (S::Quarantined, S::Queued),
            (S::Quarantined, S::Settled),
            (S::Quarantined, S::BadDebt),
            (S::Quarantined, S::NotCharged),
        ];
        assert_eq!(moves, expected);
        for (from, to) in expected {
            assert!(from.is_exposed() || !to.is_exposed(), "exposure comes back: {from:?} {to:?}");
            assert!(!from.is_end());
        }
        // What was not served is never owed.
        assert!(!S::Waiting.may_become(S::BadDebt) && !S::Waiting.may_become(S::NotCharged));
        for state in S::ALL {
            assert_eq!(S::from_number(state.number()), Some(*state));
            assert!(!(state.is_exposed() && (state.is_owed() || state.is_end())), "{state:?}");
        }
    }

    #[test]
    fn a_claim_that_was_sent_is_released_only_on_an_answer() {
        // VERIFIED, EXECUTED and DEFERRED never asked the facilitator; the others hold its answer.
        let released: Vec<_> =
            ClaimState::ALL.iter().filter(|s| s.may_become(ClaimState::Released)).collect();
        assert_eq!(
            released,
            [
                &ClaimState::Verified,
                &ClaimState::Executed,
                &ClaimState::Settling,
                &ClaimState::Unresolved,
                &ClaimState::Deferred
            ]
        );
    }
}
