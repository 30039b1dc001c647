//! Payments that share a transaction: which members a nonce gets, what becomes of each when the
//! batch is mined, fails, is replaced, or is taken back by a reorganisation, and where a member goes
//! on that has no proof. Several looks of the reconciler may be under way at once (its rounds and its
//! watch of blocks), and each may write what it saw a while later.
//!
//! SIGNED and BROADCAST are one state here, as no rule tells them apart. Which tokens a lane holds
//! is in `lane.rs`; here a crash empties the hand of the one lane: before its slot is signed (B1),
//! before a member's proof is recorded (B2), before a member has its next slot (B3).

mod chain;
mod looks;
mod steps;

use stateright::{Model, Property};

use crate::checked::Checked;

const MEMBERS: usize = 3;
/// Nonces the model has room for.
const NONCES: usize = 3;
/// What may go wrong, of any kind and at any time: a member's transfer or a whole transaction
/// fails or is stuck, a stranger settles, a payer cancels, a block is taken back, the lane's process
/// dies, a look is written late.
const MISHAPS: u8 = 2;

const OWN_PROOF: &str = "P1 a payment is recorded as paid only on a log of its own";
const ONE_INCLUDABLE: &str = "P2 no two transactions that may still be mined carry one payment";
const ONE_LIVE_SLOT: &str = "P3 a payment lives in one slot at most";
const NO_FALSE_DEATH: &str = "P4 what is called dead never moves money";
const DECIDED: &str = "P5 when all is quiet every payment is paid, dead or an operator's";
const COMPANIONS_PAID: &str = "P6 when all is quiet who did nothing wrong is paid";
const BOOKED_FIRST: &str = "P7 whose bytes exist is on the books as a member of their nonce";
const SHARED: &str = "S1 three share a transaction";
const RETRIED: &str = "S2 one that failed among others is paid alone";
const REPLACED: &str = "S3 a replaced batch pays two";
const TAKEN_BACK: &str = "S4 a batch that was taken back pays two";
const ELSEWHERE: &str = "S5 a member that a stranger settled has that proof, its companion its own";

const EXAMPLES: [&str; 5] = [SHARED, RETRIED, REPLACED, TAKEN_BACK, ELSEWHERE];

/// When a member of a closed batch may go on to another nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freed {
    /// Its nonce is closed when the move is written.
    Closed,
    /// Its nonce was closed when the row was read.
    ClosedAsRead,
    /// One of its transactions had no effect; others of them may still be mined.
    WithoutEffect,
    /// Never: it stays where it failed.
    Never,
}

/// The rules of the design. A mutant lacks one.
#[derive(Clone, Copy, Debug)]
struct Rules {
    freed: Freed,
    /// A receipt pays for those whose own logs it holds.
    own_logs: bool,
    /// A death is that of the member whose authorization ended.
    own_death: bool,
    /// Who lives in a slot is given no other.
    one_live_slot: bool,
    /// The members of a nonce are stored before anything is signed for it.
    members_first: bool,
    /// A replacement carries whom the replaced transaction carries.
    keep_members: bool,
    /// Who was in a transaction without effect goes on with fewer companions.
    fewer_companions: bool,
    /// Nonces a payment may be signed for before it is an operator's.
    nonces_per_payment: usize,
}

const DESIGN: Rules = Rules {
    freed: Freed::Closed,
    own_logs: true,
    own_death: true,
    one_live_slot: true,
    members_first: true,
    keep_members: true,
    fewer_companions: true,
    nonces_per_payment: 3,
};

/// The log that moved the money: of the own transaction of a nonce, or of somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Proof {
    Own(u8),
    Stranger,
}

/// What the chain knows of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Authorization {
    Open,
    Used(Proof),
    /// Cancelled or expired, in a final block.
    Void,
}

/// Where the settlement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Row {
    Reserved,
    Signed,
    Mined(Proof),
    Dead,
    Quarantined,
}

/// A payment in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Out,
    /// The slot was signed for it, and it does not live there any more.
    Left,
    Live,
}

/// What a look saw, to be written if the row still stands where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Seen {
    from: Row,
    to: Row,
}

/// Members are alike: the state keeps them sorted, so that their names make no states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Member {
    row: Row,
    authorization: Authorization,
    parts: [Part; NONCES],
    /// Which versions of a nonce's transaction carry it, as bits.
    aboard: [u8; NONCES],
    /// It is in the bytes that the lane holds in memory.
    in_hand: bool,
    /// What a look saw that is not written yet.
    late: Option<Seen>,
    /// Its own transfer failed, or its authorization ended otherwise.
    spoiled: bool,
}

/// A nonce in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Slot {
    closed: bool,
    /// Version of the newest stored bytes; 0 while it is EMPTY.
    stored: u8,
}

/// Bytes in the lane's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hand {
    Empty,
    Signed {
        nonce: usize,
        version: u8,
    },
    /// Only without `members_first`: sent, and the members are still to be written.
    ToNote {
        nonce: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    members: [Member; MEMBERS],
    slots: [Option<Slot>; NONCES],
    hand: Hand,
    /// Versions that left, as bits.
    sent: [u8; NONCES],
    /// The version that was mined.
    mined: [Option<u8>; NONCES],
    mishaps: u8,
    reorganised: bool,
    /// A payment was called paid on a log that is not its own.
    lied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// A nonce for these members, as bits.
    Allocate(u8),
    SetAside(usize),
    Fill(usize),
    /// The same with higher fees; a member to leave out only without `keep_members`.
    Replace(usize, Option<usize>),
    Record,
    Note,
    Send(usize),
    Close(usize),
    Reopen(usize),
    Look(usize),
    /// A look whose answers take their time, until it is written.
    LookLate(usize),
    Write(usize),
    /// A version is mined; transfers of the members with these bits fail.
    Mine(u8, u8),
    Reorganise,
    Stranger(usize),
    Void(usize),
    Crash,
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let member = Member {
            row: Row::Reserved,
            authorization: Authorization::Open,
            parts: [Part::Out; NONCES],
            aboard: [0; NONCES],
            in_hand: false,
            late: None,
            spoiled: false,
        };
        vec![State {
            members: [member; MEMBERS],
            slots: [None; NONCES],
            hand: Hand::Empty,
            sent: [0; NONCES],
            mined: [None; NONCES],
            mishaps: 0,
            reorganised: false,
            lied: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.work(actions);
        self.chances(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.act(&mut next, action)?;
        next.members.sort_unstable();
        (next != *last && next.mishaps <= MISHAPS).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(OWN_PROOF, |_, state: &State| !state.lied),
            Property::always(ONE_INCLUDABLE, |_, state: &State| {
                // Bytes of a block that was taken back live beside the newer ones.
                state.reorganised || state.members.iter().all(|m| state.includable(m) <= 1)
            }),
            Property::always(ONE_LIVE_SLOT, |_, state: &State| {
                state
                    .members
                    .iter()
                    .all(|m| m.parts.iter().filter(|p| **p == Part::Live).count() <= 1)
            }),
            Property::always(NO_FALSE_DEATH, |_, state: &State| {
                let dead = |m: &&Member| m.row == Row::Dead;
                state.members.iter().filter(dead).all(|m| m.authorization == Authorization::Void)
            }),
            Property::always(DECIDED, |rules: &Self, state: &State| {
                state.members.iter().all(|m| m.is_decided()) || !state.is_quiet(rules)
            }),
            Property::always(COMPANIONS_PAID, |rules: &Self, state: &State| {
                let paid = |m: &Member| matches!(m.row, Row::Mined(_));
                state.members.iter().all(|m| m.spoiled || paid(m)) || !state.is_quiet(rules)
            }),
            Property::always(BOOKED_FIRST, |_, state: &State| {
                let booked =
                    |m: &Member| (0..NONCES).all(|n| m.aboard[n] == 0 || m.parts[n] != Part::Out);
                state.members.iter().all(booked)
            }),
        ];
        all.extend(examples());
        all
    }
}

fn examples() -> Vec<Property<Rules>> {
    vec![
        Property::sometimes(SHARED, |_, state: &State| state.paid_by(Proof::Own(0)) == 3),
        Property::sometimes(RETRIED, |_, state: &State| {
            let retried = |m: &Member| m.row == Row::Mined(Proof::Own(1)) && m.aboard[0] != 0;
            state.members.iter().any(retried)
                && state.members.iter().any(|m| m.row == Row::Mined(Proof::Own(0)))
        }),
        Property::sometimes(REPLACED, |_, state: &State| {
            state.mined[0] == Some(2) && state.paid_by(Proof::Own(0)) >= 2
        }),
        Property::sometimes(TAKEN_BACK, |_, state: &State| {
            let back = |m: &Member| {
                m.row == Row::Mined(Proof::Own(0))
                    && m.authorization == Authorization::Used(Proof::Own(0))
            };
            state.reorganised
                && state.slots[1].is_none()
                && state.members.iter().filter(|m| back(m)).count() >= 2
        }),
        Property::sometimes(ELSEWHERE, |_, state: &State| {
            let stranger = |m: &Member| m.row == Row::Mined(Proof::Stranger) && m.aboard[0] != 0;
            state.members.iter().any(stranger) && state.paid_by(Proof::Own(0)) > 0
        }),
    ]
}

fn refuted(name: &str, mutant: Rules, property: &'static str) {
    let checked = Checked::until_broken(name, mutant, property);
    assert!(checked.found.contains(property), "{name} was not refuted by {property}");
}

#[test]
fn the_design_holds_in_every_state() {
    for (name, nonces_per_payment) in [("batches, the design", 3), ("batches, at a lower limit", 2)]
    {
        let checked = Checked::all_of(name, Rules { nonces_per_payment, ..DESIGN });
        assert_eq!(checked.found.into_iter().collect::<Vec<_>>(), EXAMPLES);
        assert!(checked.states > 100_000, "the search ended after {} states", checked.states);
    }
}

#[test]
fn a_member_that_is_freed_while_its_nonce_is_open_is_carried_twice() {
    let mutant = Rules { freed: Freed::WithoutEffect, ..DESIGN };
    refuted("batches, freed too early", mutant, ONE_INCLUDABLE);
}

#[test]
fn a_look_that_is_written_late_frees_a_member_from_its_next_nonce() {
    let mutant = Rules { freed: Freed::ClosedAsRead, ..DESIGN };
    refuted("batches, freed on old news", mutant, ONE_INCLUDABLE);
}

#[test]
fn a_member_that_stays_where_it_failed_is_never_decided() {
    let mutant = Rules { freed: Freed::Never, ..DESIGN };
    refuted("batches, never freed", mutant, DECIDED);
}

#[test]
fn a_receipt_that_counts_for_all_its_members_pays_for_those_that_failed() {
    let mutant = Rules { own_logs: false, ..DESIGN };
    refuted("batches, success is everybody's", mutant, OWN_PROOF);
}

#[test]
fn a_batch_that_is_condemned_for_one_member_hides_payments_that_move() {
    let mutant = Rules { own_death: false, ..DESIGN };
    refuted("batches, condemned together", mutant, NO_FALSE_DEATH);
}

#[test]
fn a_member_that_is_batched_again_lives_twice() {
    let mutant = Rules { one_live_slot: false, ..DESIGN };
    refuted("batches, batched again", mutant, ONE_LIVE_SLOT);
}

#[test]
fn members_that_are_written_after_the_send_are_lost_in_a_crash_and_sent_again() {
    let mutant = Rules { members_first: false, ..DESIGN };
    refuted("batches, members written late", mutant, BOOKED_FIRST);
    refuted("batches, members written late", mutant, ONE_INCLUDABLE);
}

#[test]
fn a_replacement_without_a_member_leaves_two_transactions_for_it() {
    let mutant = Rules { keep_members: false, ..DESIGN };
    refuted("batches, replaced with fewer", mutant, ONE_INCLUDABLE);
}

#[test]
fn who_goes_on_in_the_same_company_is_condemned_with_it() {
    let mutant = Rules { fewer_companions: false, nonces_per_payment: 2, ..DESIGN };
    refuted("batches, the same company", mutant, COMPANIONS_PAID);
}
