//! What the lane does with its nonces and their members: one function an action.

use super::{Action, Authorization, Hand, MEMBERS, Member, NONCES, Part, Row};
use super::{Rules, Slot, State};

impl Member {
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.row, Row::Mined(_) | Row::Dead | Row::Quarantined)
    }

    /// The nonce of the slot it lives in.
    pub(super) fn home(&self) -> Option<usize> {
        self.parts.iter().position(|part| *part == Part::Live)
    }

    pub(super) fn leave(&mut self) {
        for part in &mut self.parts {
            if *part == Part::Live {
                *part = Part::Left;
            }
        }
    }

    fn carried_by(&self, nonce: usize) -> bool {
        self.parts[nonce] != Part::Out
    }
}

impl State {
    pub(super) fn next_mined(&self) -> usize {
        self.mined.iter().take_while(|mined| mined.is_some()).count()
    }

    /// How many transactions that may still be mined carry the member.
    pub(super) fn includable(&self, member: &Member) -> usize {
        (self.next_mined()..NONCES).filter(|nonce| member.aboard[*nonce] != 0).count()
    }

    /// Nonces that the member's transactions were signed for, as the ledger knows them.
    fn nonces_of(&self, member: &Member) -> usize {
        let signed = |nonce: &usize| self.slots[*nonce].is_some_and(|slot| slot.stored > 0);
        (0..NONCES).filter(signed).filter(|nonce| member.carried_by(*nonce)).count()
    }

    pub(super) fn is_open(&self, nonce: usize) -> bool {
        self.slots[nonce].is_some_and(|slot| !slot.closed)
    }

    /// What goes on undisturbed; a replacement need not happen.
    pub(super) fn work(&self, actions: &mut Vec<Action>) {
        match self.hand {
            Hand::Empty => {
                actions.extend((1..1_u8 << MEMBERS).map(Action::Allocate));
                actions.extend((0..MEMBERS).map(Action::SetAside));
                actions.extend((0..NONCES).map(Action::Fill));
            }
            Hand::Signed { .. } => actions.push(Action::Record),
            Hand::ToNote { .. } => actions.push(Action::Note),
        }
        for nonce in (0..NONCES).filter(|nonce| self.slots[*nonce].is_some()) {
            actions.extend([Action::Send(nonce), Action::Close(nonce), Action::Reopen(nonce)]);
        }
        for (at, member) in self.members.iter().enumerate() {
            actions.push(Action::Look(at));
            if member.late.is_some() {
                actions.push(Action::Write(at));
            }
        }
        actions.extend([1, 2].map(|version| Action::Mine(version, 0)));
    }

    /// Nothing is left that must happen, and no payment waits for a nonce that the model lacks.
    pub(super) fn is_quiet(&self, rules: &Rules) -> bool {
        let busy = self.hand != Hand::Empty || self.members.iter().any(|m| m.late.is_some());
        let full = self.slots.iter().all(Option::is_some);
        let waits = |m: &Member| m.row == Row::Reserved && m.home().is_none();
        if busy || (full && self.members.iter().any(waits)) {
            return false;
        }
        let mut must = Vec::new();
        self.work(&mut must);
        must.into_iter().all(|action| rules.act(&mut self.clone(), action).is_none())
    }
}

impl Rules {
    /// `None`: the action changes nothing here.
    pub(super) fn act(self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Allocate(members) => self.allocate(state, members),
            Action::SetAside(at) => self.set_aside(state, at),
            Action::Fill(nonce) => fill(state, nonce),
            Action::Replace(nonce, without) => self.replace(state, nonce, without),
            Action::Record => self.record(state),
            Action::Note => note(state),
            Action::Send(nonce) => send(state, nonce),
            Action::Close(nonce) => close(state, nonce),
            Action::Reopen(nonce) => reopen(state, nonce),
            Action::Look(at) => self.look(state, at),
            Action::LookLate(at) => self.look_late(state, at),
            Action::Write(at) => self.write(state, at),
            Action::Mine(..)
            | Action::Reorganise
            | Action::Stranger(_)
            | Action::Void(_)
            | Action::Crash => super::chain::happen(state, action),
        }
    }

    /// RESERVED members that live nowhere get the next nonce; one that was in a transaction before
    /// goes alone, and only if it would settle now.
    fn allocate(self, state: &mut State, members: u8) -> Option<()> {
        let nonce = state.slots.iter().position(Option::is_none)?;
        let chosen: Vec<usize> = (0..MEMBERS).filter(|at| members & (1 << at) != 0).collect();
        for at in &chosen {
            let member = &state.members[*at];
            let lives = self.one_live_slot && member.home().is_some();
            let tries = state.nonces_of(member);
            let alone = tries == 0 || chosen.len() == 1 || !self.fewer_companions;
            let valid = tries == 0 || member.authorization == Authorization::Open;
            let allowed = tries < self.nonces_per_payment && alone && valid;
            if member.row != Row::Reserved || lives || !allowed {
                return None;
            }
        }
        state.slots[nonce] = Some(Slot { closed: false, stored: 0 });
        for at in chosen {
            if self.members_first {
                state.members[at].parts[nonce] = Part::Live;
            } else {
                state.members[at].in_hand = true;
                state.hand = Hand::Signed { nonce, version: 1 };
            }
        }
        Some(())
    }

    /// It was signed for as many nonces as a payment may cost.
    fn set_aside(self, state: &mut State, at: usize) -> Option<()> {
        let member = &state.members[at];
        let waits = member.row == Row::Reserved && member.home().is_none();
        let often = state.nonces_of(member) >= self.nonces_per_payment;
        (waits && often).then(|| state.members[at].row = Row::Quarantined)
    }

    /// Its turn has come and it is not mined: for the same members, with higher fees.
    fn replace(self, state: &mut State, nonce: usize, without: Option<usize>) -> Option<()> {
        let slot = state.slots[nonce].filter(|slot| !slot.closed && slot.stored == 1)?;
        if state.hand != Hand::Empty || nonce != state.next_mined() {
            return None;
        }
        if let Some(out) = without {
            let member = &mut state.members[out];
            if member.parts[nonce] != Part::Live || member.row != Row::Signed {
                return None;
            }
            member.leave();
            member.row = Row::Reserved;
        }
        for (at, member) in state.members.iter_mut().enumerate() {
            member.in_hand = member.carried_by(nonce) && without != Some(at);
        }
        state.mishaps += 1;
        state.hand = Hand::Signed { nonce, version: slot.stored + 1 };
        Some(())
    }

    /// Stores the bytes if the slot has the members that were read and none has moved.
    fn record(self, state: &mut State) -> Option<()> {
        let Hand::Signed { nonce, version } = state.hand else { return None };
        state.hand = Hand::Empty;
        let mut slot = state.slots[nonce].filter(|slot| !slot.closed)?;
        let first = version == 1;
        let as_read = state.members.iter().all(|member| {
            let same = member.carried_by(nonce) == member.in_hand;
            let moved = first && member.in_hand && member.row != Row::Reserved;
            (same || !self.members_first || !self.keep_members) && !moved
        });
        let mut aboard = false;
        if as_read {
            slot.stored = version;
            state.slots[nonce] = Some(slot);
        }
        for member in state.members.iter_mut().filter(|member| member.in_hand) {
            aboard = true;
            member.in_hand = as_read && !self.members_first;
            if as_read {
                member.aboard[nonce] |= version;
                if first && self.members_first {
                    member.row = Row::Signed;
                }
            }
        }
        if as_read && aboard && !self.members_first {
            state.hand = Hand::ToNote { nonce };
        }
        Some(())
    }
}

fn note(state: &mut State) -> Option<()> {
    let Hand::ToNote { nonce } = state.hand else { return None };
    state.hand = Hand::Empty;
    for member in state.members.iter_mut().filter(|member| member.in_hand) {
        member.in_hand = false;
        member.parts[nonce] = Part::Live;
        if member.row == Row::Reserved {
            member.row = Row::Signed;
        }
    }
    Some(())
}

/// Signs for an EMPTY slot, or takes those out that have moved; without members it is a no-op's.
fn fill(state: &mut State, nonce: usize) -> Option<()> {
    let slot = state.slots[nonce].filter(|slot| !slot.closed && slot.stored == 0);
    if slot.is_none() || state.hand != Hand::Empty || state.mined[nonce].is_some() {
        return None;
    }
    let moved =
        |m: &Member| m.carried_by(nonce) && (m.row != Row::Reserved || m.home() != Some(nonce));
    if state.members.iter().any(moved) {
        for member in state.members.iter_mut().filter(|member| moved(member)) {
            member.parts[nonce] = Part::Out;
        }
        return Some(());
    }
    for member in &mut state.members {
        member.in_hand = member.carried_by(nonce);
    }
    state.hand = Hand::Signed { nonce, version: 1 };
    Some(())
}

/// The newest stored bytes, unless the chain knows them.
fn send(state: &mut State, nonce: usize) -> Option<()> {
    let slot = state.slots[nonce].filter(|slot| !slot.closed && slot.stored > 0)?;
    if state.mined[nonce].is_some() || state.sent[nonce] & slot.stored != 0 {
        return None;
    }
    state.sent[nonce] |= slot.stored;
    Some(())
}

/// The nonce was mined. Members for whom nothing was signed would stay bound to it.
fn close(state: &mut State, nonce: usize) -> Option<()> {
    state.mined[nonce]?;
    let slot = state.slots[nonce].as_mut().filter(|slot| !slot.closed)?;
    slot.closed = true;
    if slot.stored == 0 {
        for member in &mut state.members {
            member.parts[nonce] = Part::Out;
        }
    }
    Some(())
}

/// A reorganisation took the nonce back.
fn reopen(state: &mut State, nonce: usize) -> Option<()> {
    let denied = nonce >= state.next_mined();
    let slot = state.slots[nonce].as_mut().filter(|slot| slot.closed && denied)?;
    slot.closed = false;
    Some(())
}
