//! What each process of a lane can do in a state, and what it does: one function an action.

use super::{
    Action, CRASHES, EARLY_TAKEOVERS, Hand, Intent, LOSSES, NONCES, PAYMENTS, Process, Rules, Slot,
    State, Transaction, VERSIONS,
};

impl State {
    /// What a process does that goes on undisturbed.
    pub(super) fn work(&self, process: usize, actions: &mut Vec<Action>) {
        if self.processes[process].token.is_none() {
            return;
        }
        match self.processes[process].hand {
            Hand::Empty => {
                actions.extend((0..PAYMENTS).map(|payment| Action::Allocate { process, payment }));
                for nonce in 0..NONCES {
                    actions.push(Action::Fill { process, nonce });
                    actions.push(Action::SendAgain { process, nonce });
                }
            }
            Hand::Read(_) => actions.push(Action::Sign(process)),
            Hand::Signed(_) => actions.push(Action::Record(process)),
            Hand::MaySend(_) => actions.push(Action::Send { process, lost: false }),
        }
    }

    /// What may happen and need not.
    pub(super) fn chances(&self, process: usize, actions: &mut Vec<Action>) {
        actions.push(Action::TakeOver(process));
        if self.processes[process].token.is_none() {
            return;
        }
        actions.push(Action::Crash(process));
        match self.processes[process].hand {
            Hand::Empty => {
                actions.extend((0..NONCES).map(|nonce| Action::Replace { process, nonce }));
            }
            Hand::MaySend(_) => actions.push(Action::Send { process, lost: true }),
            Hand::Read(_) | Hand::Signed(_) => {}
        }
    }

    pub(super) fn holder(&self) -> Option<usize> {
        self.processes.iter().position(|process| process.token == Some(self.token))
    }

    fn nobody_waits(&self, intent: Intent) -> bool {
        matches!(intent, Intent::Payment(payment) if self.caller_left[payment])
    }

    fn lives_in_a_slot(&self, payment: usize) -> bool {
        self.slots.iter().flatten().any(|slot| slot.intent == Intent::Payment(payment))
    }
}

impl Rules {
    /// `None`: the action changes nothing here.
    pub(super) fn act(self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::TakeOver(process) => take_over(state, process),
            Action::Crash(process) => crash(state, process),
            Action::Allocate { process, payment } => self.allocate(state, process, payment),
            Action::CallerLeaves(payment) => caller_leaves(state, payment),
            Action::Fill { process, nonce } => self.fill(state, process, nonce),
            Action::Replace { process, nonce } => self.replace(state, process, nonce),
            Action::Sign(process) => self.sign(state, process),
            Action::Record(process) => self.record(state, process),
            Action::Send { process, lost } => send(state, process, lost),
            Action::SendAgain { process, nonce } => self.send_again(state, process, nonce),
            Action::Mine => mine(state),
        }
    }

    /// A zombie that is told no knows what it is.
    fn token_is_good(self, state: &mut State, process: usize) -> bool {
        let good = !self.token_checked || state.processes[process].token == Some(state.token);
        if !good {
            state.processes[process] = Process { token: None, hand: Hand::Empty };
        }
        good
    }

    fn allocate(self, state: &mut State, process: usize, payment: usize) -> Option<()> {
        let nonce = state.slots.iter().take_while(|slot| slot.is_some()).count();
        let taken = state.lives_in_a_slot(payment) && self.one_live_slot;
        if taken || state.caller_left[payment] || nonce >= NONCES {
            return None;
        }
        if self.token_is_good(state, process) {
            state.slots[nonce] = Some(Slot { intent: Intent::Payment(payment), stored: 0 });
        }
        Some(())
    }

    /// Takes an empty slot up: for its payment, or for a no-op when nobody waits for that.
    fn fill(self, state: &mut State, process: usize, nonce: usize) -> Option<()> {
        let slot = state.slots[nonce].filter(|slot| slot.stored == 0)?;
        let mut intent = slot.intent;
        if state.nobody_waits(slot.intent) {
            if !self.fill_with_no_ops {
                return None;
            }
            if !self.token_is_good(state, process) {
                return Some(());
            }
            if let Intent::Payment(payment) = slot.intent {
                state.given_up[payment] = true;
            }
            intent = Intent::NoOp;
            state.slots[nonce] = Some(Slot { intent, stored: 0 });
        }
        state.processes[process].hand = Hand::Read(Transaction { nonce, intent, version: 1 });
        Some(())
    }

    /// Its turn has come and it is not mined: the same again with higher fees.
    fn replace(self, state: &mut State, process: usize, nonce: usize) -> Option<()> {
        let slot = state.slots[nonce].filter(|slot| slot.stored > 0 && slot.stored < VERSIONS)?;
        if nonce != state.next_mined() {
            return None;
        }
        let intent = if self.keep_intent { slot.intent } else { Intent::NoOp };
        let version = slot.stored + 1;
        state.processes[process].hand = Hand::Read(Transaction { nonce, intent, version });
        Some(())
    }

    fn sign(self, state: &mut State, process: usize) -> Option<()> {
        let Hand::Read(bytes) = state.processes[process].hand else { return None };
        state.processes[process].hand =
            if self.record_before_send { Hand::Signed(bytes) } else { Hand::MaySend(bytes) };
        Some(())
    }

    /// Stores the bytes if the slot still is what it was read as; otherwise they never leave.
    fn record(self, state: &mut State, process: usize) -> Option<()> {
        let Hand::Signed(bytes) = state.processes[process].hand else { return None };
        let slot = state.slots[bytes.nonce]?;
        if !self.token_is_good(state, process) {
            return Some(());
        }
        let same_intent = slot.intent == bytes.intent || !self.keep_intent;
        let as_read = same_intent && slot.stored + 1 == bytes.version;
        if self.state_checked && !as_read {
            state.processes[process].hand = Hand::Empty;
            return Some(());
        }
        let stored = slot.stored.max(bytes.version);
        state.slots[bytes.nonce] = Some(Slot { intent: bytes.intent, stored });
        state.processes[process].hand = Hand::MaySend(bytes);
        Some(())
    }

    fn send_again(self, state: &mut State, process: usize, nonce: usize) -> Option<()> {
        let slot = state.slots[nonce].filter(|slot| slot.stored > 0)?;
        let known = state.pool[nonce].is_some() || state.mined[nonce].is_some();
        if known || !self.send_again {
            return None;
        }
        let newest = Transaction { nonce, intent: slot.intent, version: slot.stored };
        state.processes[process].hand = Hand::MaySend(newest);
        Some(())
    }
}

/// A lease may be taken away from a holder that lives: it becomes a zombie with its hand full.
fn take_over(state: &mut State, process: usize) -> Option<()> {
    if state.holder() == Some(process) {
        return None;
    }
    if state.holder().is_some() {
        state.early_takeovers += 1;
        if state.early_takeovers > EARLY_TAKEOVERS {
            return None;
        }
    }
    state.token += 1;
    state.processes[process] = Process { token: Some(state.token), hand: Hand::Empty };
    Some(())
}

/// The crash of a zombie is one that never acts again, which is searched anyway.
fn crash(state: &mut State, process: usize) -> Option<()> {
    if state.holder() != Some(process) {
        return None;
    }
    state.crashes += 1;
    state.processes[process] = Process { token: None, hand: Hand::Empty };
    (state.crashes <= CRASHES).then_some(())
}

fn caller_leaves(state: &mut State, payment: usize) -> Option<()> {
    let mined = state.times_mined(payment) > 0;
    (!mined && !state.caller_left[payment]).then(|| state.caller_left[payment] = true)
}

fn send(state: &mut State, process: usize, lost: bool) -> Option<()> {
    let Hand::MaySend(bytes) = state.processes[process].hand else { return None };
    let Transaction { nonce, intent, version } = bytes;
    state.processes[process].hand = Hand::Empty;
    let stored = state.slots[nonce].map_or(0, |slot| slot.stored);
    state.sent_unrecorded |= stored < version;
    let first = *state.left[nonce].get_or_insert(intent);
    state.two_intents |= first != intent;
    if lost {
        state.losses += 1;
        return (state.losses <= LOSSES).then_some(());
    }
    let outbid = state.pool[nonce].is_none_or(|there| there.version < version);
    if nonce >= state.next_mined() && outbid {
        state.pool[nonce] = Some(bytes);
    }
    Some(())
}

fn mine(state: &mut State) -> Option<()> {
    let nonce = state.next_mined();
    let next = state.pool.get_mut(nonce)?.take()?;
    state.mined[nonce] = Some(next);
    Some(())
}
