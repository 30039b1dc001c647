//! What the reconciler sees of a member, and what it writes a while later.

use super::{Authorization, Freed, Member, NONCES, Part, Proof, Row, Rules, Seen, State};

impl State {
    /// The nonces whose transactions the ledger knows as the member's.
    fn known<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = usize> + 'a {
        let signed = |nonce: &usize| self.slots[*nonce].is_some_and(|slot| slot.stored > 0);
        (0..NONCES).filter(signed).filter(|nonce| member.parts[*nonce] != Part::Out)
    }

    fn waits_in_pool(&self, member: &Member, nonce: usize) -> bool {
        self.mined[nonce].is_none() && self.sent[nonce] & member.aboard[nonce] != 0
    }

    /// The nonce whose transaction carried the member and was mined.
    fn mined_with(&self, member: &Member) -> Option<usize> {
        let aboard = |nonce: &usize| {
            self.mined[*nonce].is_some_and(|version| member.aboard[*nonce] & version != 0)
        };
        self.known(member).find(aboard)
    }

    pub(super) fn paid_by(&self, proof: Proof) -> usize {
        self.members.iter().filter(|member| member.row == Row::Mined(proof)).count()
    }

    fn lives_in_the_open(&self, member: &Member) -> bool {
        member.home().is_some_and(|nonce| self.is_open(nonce))
    }
}

impl Rules {
    /// What a look at the member would have to write.
    fn seen(self, state: &State, member: &Member) -> Option<Row> {
        let proof = match member.authorization {
            Authorization::Used(proof) => Some(proof),
            // Without the rule: the receipt of the batch says success.
            _ if self.own_logs => None,
            _ => state.mined_with(member).map(|nonce| Proof::Own(nonce as u8)),
        };
        match (member.row, proof) {
            (Row::Dead, _) => None,
            // The proof stands, or it is gone.
            (Row::Mined(known), proof) => (proof != Some(known)).then_some(Row::Signed),
            (_, Some(proof)) => Some(Row::Mined(proof)),
            (_, None) if self.is_void(state, member) => Some(Row::Dead),
            (Row::Signed, None) => self.may_go_on(state, member).then_some(Row::Reserved),
            (Row::Reserved | Row::Quarantined, None) => None,
        }
    }

    fn is_void(self, state: &State, member: &Member) -> bool {
        let void = |m: &Member| m.authorization == Authorization::Void;
        let together = |other: &&Member| {
            (0..NONCES).any(|nonce| other.aboard[nonce] & member.aboard[nonce] != 0)
        };
        void(member) || (!self.own_death && state.members.iter().filter(together).any(void))
    }

    /// Nothing is proven and nothing of its waits in the pool: its transaction had no effect, or
    /// its nonce went to another one.
    fn may_go_on(self, state: &State, member: &Member) -> bool {
        if state.known(member).any(|nonce| state.waits_in_pool(member, nonce)) {
            return false;
        }
        let open = state.lives_in_the_open(member);
        match self.freed {
            Freed::Closed | Freed::ClosedAsRead => !open,
            Freed::WithoutEffect => !open || state.mined_with(member).is_some(),
            Freed::Never => false,
        }
    }

    pub(super) fn look(self, state: &mut State, at: usize) -> Option<()> {
        let seen = self.look_at(state, at)?;
        self.record_seen(state, at, seen)
    }

    pub(super) fn look_late(self, state: &mut State, at: usize) -> Option<()> {
        if state.members[at].late.is_some() {
            return None;
        }
        state.members[at].late = Some(self.look_at(state, at)?);
        state.mishaps += 1;
        Some(())
    }

    pub(super) fn write(self, state: &mut State, at: usize) -> Option<()> {
        let seen = state.members[at].late.take()?;
        // `None`: it changes nothing any more, and that is an end too.
        let _ = self.record_seen(state, at, seen);
        Some(())
    }

    fn look_at(self, state: &mut State, at: usize) -> Option<Seen> {
        let member = state.members[at];
        let to = self.seen(state, &member)?;
        if let Row::Mined(proof) = to {
            state.lied |= member.authorization != Authorization::Used(proof);
        }
        Some(Seen { from: member.row, to })
    }

    /// A compare-and-set of the state, not of the row: it may have come back to it meanwhile.
    fn record_seen(self, state: &mut State, at: usize, seen: Seen) -> Option<()> {
        let Seen { from, to } = seen;
        let member = state.members[at];
        if std::mem::discriminant(&member.row) != std::mem::discriminant(&from) {
            return None;
        }
        match to {
            Row::Signed => return take_back(state, at),
            Row::Reserved if self.freed == Freed::Closed && state.lives_in_the_open(&member) => {
                return None;
            }
            _ => {}
        }
        state.members[at].row = to;
        state.members[at].leave();
        Some(())
    }
}

/// A block is gone: back into the slot of the newest transaction, which opens again.
fn take_back(state: &mut State, at: usize) -> Option<()> {
    let newest = state.known(&state.members[at]).max();
    let member = &mut state.members[at];
    let Some(nonce) = newest else {
        member.row = Row::Reserved;
        return Some(());
    };
    member.row = Row::Signed;
    member.parts[nonce] = Part::Live;
    if let Some(slot) = &mut state.slots[nonce] {
        slot.closed = false;
    }
    Some(())
}
