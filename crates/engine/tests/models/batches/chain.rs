//! What happens without us: blocks and their reorganisations, strangers, payers, crashes.

use super::{Action, Authorization, Hand, MEMBERS, MISHAPS, Member, NONCES, Proof, Rules, State};

impl Rules {
    /// What may happen and need not.
    pub(super) fn chances(self, state: &State, actions: &mut Vec<Action>) {
        if state.mishaps >= MISHAPS {
            return;
        }
        actions.extend((0..NONCES).map(|nonce| Action::Replace(nonce, None)));
        if !self.keep_members {
            let without = |nonce| (0..MEMBERS).map(move |out| Action::Replace(nonce, Some(out)));
            actions.extend((0..NONCES).flat_map(without));
        }
        let fails = 1..1_u8 << MEMBERS;
        actions.extend(fails.flat_map(|fail| [1, 2].map(|version| Action::Mine(version, fail))));
        actions.extend(
            (0..MEMBERS)
                .flat_map(|at| [Action::Stranger(at), Action::Void(at), Action::LookLate(at)]),
        );
        actions.extend([Action::Reorganise, Action::Crash]);
    }
}

pub(super) fn happen(state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Mine(version, fails) => mine(state, version, fails),
        Action::Reorganise => reorganise(state),
        Action::Stranger(at) => ends(state, at, Authorization::Used(Proof::Stranger)),
        Action::Void(at) => ends(state, at, Authorization::Void),
        _ => crash(state),
    }
}

/// A transfer that fails leaves its authorization open. Where all fail the whole transaction
/// failed, which is the fault of no one in company.
fn mine(state: &mut State, version: u8, fails: u8) -> Option<()> {
    let nonce = state.next_mined();
    if nonce >= NONCES || state.sent[nonce] & version == 0 {
        return None;
    }
    let open =
        |m: &Member| m.aboard[nonce] & version != 0 && m.authorization == Authorization::Open;
    let pays: u8 = (0..MEMBERS).filter(|at| open(&state.members[*at])).map(|at| 1 << at).sum();
    if fails & !pays != 0 {
        return None;
    }
    let whole = fails == pays && fails.count_ones() > 1;
    state.mishaps += if whole { 1 } else { fails.count_ones() as u8 };
    for (at, member) in state.members.iter_mut().enumerate() {
        if fails & (1 << at) != 0 {
            member.spoiled |= !whole;
        } else if open(member) {
            member.authorization = Authorization::Used(Proof::Own(nonce as u8));
        }
    }
    state.mined[nonce] = Some(version);
    Some(())
}

/// The last block is gone, and its transaction waits again.
fn reorganise(state: &mut State) -> Option<()> {
    let nonce = state.next_mined().checked_sub(1)?;
    state.mined[nonce] = None;
    state.mishaps += 1;
    state.reorganised = true;
    for member in &mut state.members {
        if member.authorization == Authorization::Used(Proof::Own(nonce as u8)) {
            member.authorization = Authorization::Open;
        }
    }
    Some(())
}

fn ends(state: &mut State, at: usize, end: Authorization) -> Option<()> {
    let member = &mut state.members[at];
    if member.authorization != Authorization::Open {
        return None;
    }
    (member.authorization, member.spoiled) = (end, true);
    state.mishaps += 1;
    Some(())
}

fn crash(state: &mut State) -> Option<()> {
    if state.hand == Hand::Empty {
        return None;
    }
    state.hand = Hand::Empty;
    for member in &mut state.members {
        member.in_hand = false;
    }
    state.mishaps += 1;
    Some(())
}
