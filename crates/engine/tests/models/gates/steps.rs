//! What gates, facilitators and the chain do: one function an action.

use super::{Action, Authorization, By, Claim, Row, Rules, Stage, State};

/// What a facilitator says to a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    Paid,
    Elsewhere,
    NotCharged,
    /// Pending, or another caller's success: unknown either way.
    Unknown,
}

impl Rules {
    pub(super) fn facilitator_of(self, gate: usize) -> usize {
        if self.shared { 0 } else { gate }
    }

    /// `None`: the action changes nothing here.
    pub(super) fn act(self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Enrol(gate) => self.enrol(state, gate),
            Action::Claim(gate) => claim(state, gate),
            Action::Ask(gate) => {
                let asking = Claim::Settling { arrived: false };
                (state.claims[gate] == Claim::Executed).then(|| state.claims[gate] = asking)
            }
            Action::Arrive(gate) => self.arrive(state, gate),
            Action::Hear(gate) => self.hear(state, gate),
            Action::Interrupt(gate) => self.interrupt(state, gate),
            Action::AskAgain(gate) => {
                let asking = Claim::Settling { arrived: false };
                (state.claims[gate] == Claim::Unresolved).then(|| state.claims[gate] = asking)
            }
            Action::Grant(gate) => {
                let paid = state.claims[gate] == Claim::Settled;
                paid.then(|| state.claims[gate] = Claim::Granted)
            }
            Action::SeeUsed(gate) => {
                let sees = !self.asks_before_granting && state.moved();
                let kept = matches!(state.claims[gate], Claim::Executed | Claim::Unresolved);
                (sees && kept).then(|| state.claims[gate] = Claim::Settled)
            }
            Action::Send(at) => {
                let row = state.rows[at].as_mut().filter(|row| row.stage == Stage::Reserved)?;
                row.stage = Stage::Sent;
                Some(())
            }
            Action::Look(at) => look(state, at),
            Action::Mine(_)
            | Action::Stranger
            | Action::Void
            | Action::Finalise
            | Action::Reorganise => self.happen(state, action),
        }
    }

    fn enrol(self, state: &mut State, gate: usize) -> Option<()> {
        let free = self.enrolment && self.shared && state.owner.is_none();
        free.then(|| state.owner = Some(gate))
    }

    /// A known payment is joined; a new one is reserved if it would settle now and the payee is
    /// this deployment's.
    fn arrive(self, state: &mut State, gate: usize) -> Option<()> {
        if state.claims[gate] != (Claim::Settling { arrived: false }) {
            return None;
        }
        let at = self.facilitator_of(gate);
        if state.rows[at].is_none() {
            match state.authorization {
                Authorization::Open => {}
                // "Nonce already used" may be this very payment.
                Authorization::Used { .. } if self.silence_is_unknown => {
                    state.claims[gate] = Claim::Unresolved;
                    return Some(());
                }
                _ => {
                    state.claims[gate] = Claim::Released;
                    return Some(());
                }
            }
            if self.enrolment && self.shared && *state.owner.get_or_insert(gate) != gate {
                state.claims[gate] = Claim::Released;
                return Some(());
            }
            state.rows[at] = Some(Row { asker: gate, stage: Stage::Reserved });
        }
        state.claims[gate] = Claim::Settling { arrived: true };
        Some(())
    }

    fn reply(self, state: &State, gate: usize) -> Reply {
        let at = self.facilitator_of(gate);
        let Some(row) = state.rows[at] else { return Reply::Unknown };
        let (by, is_final) = match row.stage {
            Stage::Mined(by) => (by, false),
            Stage::Final(by) => (by, true),
            Stage::Dead => return Reply::NotCharged,
            Stage::Reserved | Stage::Sent => return Reply::Unknown,
        };
        let is_asker = row.asker == gate;
        if by != By::Facilitator(at) && !self.exclusive {
            let told = (is_final || !self.owed_when_final) && (is_asker || !self.owed_to_the_asker);
            return if told { Reply::Elsewhere } else { Reply::Unknown };
        }
        let is_theirs = is_asker || !self.bound_to_the_asker;
        let is_told = is_final || !self.paid_when_final;
        if is_theirs && is_told { Reply::Paid } else { Reply::Unknown }
    }

    fn hear(self, state: &mut State, gate: usize) -> Option<()> {
        if state.claims[gate] != (Claim::Settling { arrived: true }) {
            return None;
        }
        state.claims[gate] = match self.reply(state, gate) {
            Reply::Paid => Claim::Settled,
            Reply::Elsewhere => Claim::Credit,
            Reply::NotCharged => Claim::NotCharged,
            Reply::Unknown => return None,
        };
        Some(())
    }

    /// Whether the question arrived is not known.
    fn interrupt(self, state: &mut State, gate: usize) -> Option<()> {
        let Claim::Settling { .. } = state.claims[gate] else { return None };
        state.interrupted[gate] = true;
        state.claims[gate] =
            if self.silence_is_unknown { Claim::Unresolved } else { Claim::Released };
        Some(())
    }

    /// It is served, or the next question has it served.
    pub(super) fn will_be_paid(self, state: &State, gate: usize) -> bool {
        match state.claims[gate] {
            Claim::Settled | Claim::Granted => true,
            Claim::Settling { .. } | Claim::Unresolved => self.reply(state, gate) == Reply::Paid,
            _ => false,
        }
    }

    /// It is owed, or the next question has it owed. Who was served on another fork has that.
    pub(super) fn will_be_owed(self, state: &State, gate: usize) -> bool {
        match state.claims[gate] {
            Claim::Credit => true,
            Claim::Settling { .. } | Claim::Unresolved => {
                self.reply(state, gate) == Reply::Elsewhere
            }
            Claim::Settled | Claim::Granted => self.exclusive || state.reorganised,
            _ => false,
        }
    }

    fn happen(self, state: &mut State, action: Action) -> Option<()> {
        let open = state.authorization == Authorization::Open;
        let used = |by| Authorization::Used { by, is_final: false };
        state.authorization = match (action, state.authorization) {
            // Bytes that left stay valid whatever the ledger says of them.
            (Action::Mine(at), _) if open && has_sent(state, at) => used(By::Facilitator(at)),
            (Action::Stranger, _) if open => used(By::Stranger),
            (Action::Void, _) if open => Authorization::Void,
            (Action::Finalise, Authorization::Used { by, is_final: false }) => {
                Authorization::Used { by, is_final: true }
            }
            (Action::Reorganise, Authorization::Used { is_final: false, .. })
                if self.reorganisations =>
            {
                state.reorganised = true;
                Authorization::Open
            }
            _ => return None,
        };
        Some(())
    }
}

fn has_sent(state: &State, at: usize) -> bool {
    state.rows[at].is_some_and(|row| !matches!(row.stage, Stage::Reserved | Stage::Dead))
}

/// Verified: the payment would settle now. The answer is made and kept.
fn claim(state: &mut State, gate: usize) -> Option<()> {
    let fresh = matches!(state.claims[gate], Claim::None | Claim::Released);
    let valid = state.authorization == Authorization::Open;
    (fresh && valid).then(|| state.claims[gate] = Claim::Executed)
}

/// The reconciler of a facilitator records what the chain shows, and takes it back when it is gone.
fn look(state: &mut State, at: usize) -> Option<()> {
    let authorization = state.authorization;
    let row = state.rows[at].as_mut()?;
    row.stage = match (row.stage, authorization) {
        (Stage::Reserved | Stage::Sent, Authorization::Used { by, .. }) => Stage::Mined(by),
        (Stage::Reserved | Stage::Sent, Authorization::Void) => Stage::Dead,
        (Stage::Mined(known), Authorization::Used { by, is_final }) if by == known => {
            if !is_final {
                return None;
            }
            Stage::Final(by)
        }
        // One that never had a transaction of its own is reserved again, the other sent.
        (Stage::Mined(_), _) => Stage::Sent,
        _ => return None,
    };
    Some(())
}
