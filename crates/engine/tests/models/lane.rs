//! What a lane does with its nonces, when the process that holds it is replaced while it still
//! lives: the lease with its fencing token, no-ops for payments that were given up, replacements
//! with higher fees, bytes that get lost.

mod steps;

use stateright::{Model, Property};

use crate::checked::Checked;

const PAYMENTS: usize = 2;
const PROCESSES: usize = 2;
/// Nonces the model has room for.
const NONCES: usize = 2;
/// Highest version of a transaction: the first and one replacement.
const VERSIONS: u8 = 2;
/// How often the lane is taken from a holder that lives; from a dead one it always is.
const EARLY_TAKEOVERS: u8 = 1;
const CRASHES: u8 = 1;
/// Sends that get lost on the way.
const LOSSES: u8 = 1;

const ALL_MINED: &str = "L1 when all is quiet every payment that is wanted is mined";
const NOTHING_STUCK: &str = "L2 when all is quiet every nonce that was handed out is mined";
const ONE_INTENT: &str = "L3 all bytes that left for one nonce have one intent";
const RECORDED_FIRST: &str = "L4 bytes that left were recorded before";
const ONE_TRANSACTION: &str = "L5 a payment is mined in one nonce only";
const NOT_CHARGED: &str = "L6 a payment that was given up unsigned is not charged";
const REPLACED: &str = "S1 a replacement is mined";
const FILLED: &str = "S2 a no-op is mined";
const TAKEN_OVER: &str = "S3 a payment is mined after the lane changed hands under a zombie";

/// The rules of the design. A mutant lacks one.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// A write names the lease's token.
    token_checked: bool,
    /// A write names what it expects to find.
    state_checked: bool,
    /// Bytes are stored before they are sent.
    record_before_send: bool,
    /// A replacement has the intent of what it replaces.
    keep_intent: bool,
    /// A nonce whose payment was given up is filled by a no-op that is recorded.
    fill_with_no_ops: bool,
    /// A payment lives in one slot at a time.
    one_live_slot: bool,
    /// Stored bytes that the chain does not know are sent again.
    send_again: bool,
}

const DESIGN: Rules = Rules {
    token_checked: true,
    state_checked: true,
    record_before_send: true,
    keep_intent: true,
    fill_with_no_ops: true,
    one_live_slot: true,
    send_again: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Intent {
    Payment(usize),
    NoOp,
}

/// Signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Transaction {
    nonce: usize,
    intent: Intent,
    /// A later version pays more and replaces an earlier one.
    version: u8,
}

/// A nonce in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Slot {
    intent: Intent,
    /// Version of the newest stored bytes; 0 while it is empty.
    stored: u8,
}

/// What a process has in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hand {
    Empty,
    /// It has read what is to be signed.
    Read(Transaction),
    Signed(Transaction),
    MaySend(Transaction),
}

/// A process; it believes to hold the lane with this token until it learns otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    token: Option<u8>,
    hand: Hand,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    token: u8,
    slots: [Option<Slot>; NONCES],
    caller_left: [bool; PAYMENTS],
    /// The ledger gave the payment's nonce to a no-op.
    given_up: [bool; PAYMENTS],
    processes: [Process; PROCESSES],
    pool: [Option<Transaction>; NONCES],
    mined: [Option<Transaction>; NONCES],
    /// The first intent that left for a nonce.
    left: [Option<Intent>; NONCES],
    two_intents: bool,
    sent_unrecorded: bool,
    early_takeovers: u8,
    crashes: u8,
    losses: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// The lease ran out as far as the ledger can tell.
    TakeOver(usize),
    Crash(usize),
    Allocate {
        process: usize,
        payment: usize,
    },
    CallerLeaves(usize),
    Fill {
        process: usize,
        nonce: usize,
    },
    Replace {
        process: usize,
        nonce: usize,
    },
    Sign(usize),
    Record(usize),
    Send {
        process: usize,
        lost: bool,
    },
    SendAgain {
        process: usize,
        nonce: usize,
    },
    Mine,
}

impl State {
    fn next_mined(&self) -> usize {
        self.mined.iter().take_while(|mined| mined.is_some()).count()
    }

    fn handed_out(&self) -> usize {
        self.slots.iter().take_while(|slot| slot.is_some()).count()
    }

    fn times_mined(&self, payment: usize) -> usize {
        let its = |t: &&Transaction| t.intent == Intent::Payment(payment);
        self.mined.iter().flatten().filter(its).count()
    }

    /// Nothing is left that must happen: a holder that goes on, a miner, and a takeover from a
    /// dead holder. A zombie, a replacement or a loss need not happen.
    fn is_quiet(&self, rules: &Rules) -> bool {
        let mut must = vec![Action::Mine];
        match self.holder() {
            Some(holder) => self.work(holder, &mut must),
            None => must.extend((0..PROCESSES).map(Action::TakeOver)),
        }
        must.into_iter().all(|action| rules.next_state(self, action).is_none())
    }

    fn wanted_are_mined(&self) -> bool {
        (0..PAYMENTS).all(|payment| self.caller_left[payment] || self.times_mined(payment) > 0)
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let process = |token| Process { token, hand: Hand::Empty };
        vec![State {
            token: 1,
            slots: [None; NONCES],
            caller_left: [false; PAYMENTS],
            given_up: [false; PAYMENTS],
            processes: [process(Some(1)), process(None)],
            pool: [None; NONCES],
            mined: [None; NONCES],
            left: [None; NONCES],
            two_intents: false,
            sent_unrecorded: false,
            early_takeovers: 0,
            crashes: 0,
            losses: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for process in 0..PROCESSES {
            state.work(process, actions);
            state.chances(process, actions);
        }
        actions.extend((0..PAYMENTS).map(Action::CallerLeaves));
        actions.push(Action::Mine);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.act(&mut next, action)?;
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ALL_MINED, |rules: &Self, state: &State| {
                state.wanted_are_mined() || !state.is_quiet(rules)
            }),
            Property::always(NOTHING_STUCK, |rules: &Self, state: &State| {
                state.next_mined() == state.handed_out() || !state.is_quiet(rules)
            }),
            Property::always(ONE_INTENT, |_, state: &State| !state.two_intents),
            Property::always(RECORDED_FIRST, |_, state: &State| !state.sent_unrecorded),
            Property::always(ONE_TRANSACTION, |_, state: &State| {
                (0..PAYMENTS).all(|payment| state.times_mined(payment) <= 1)
            }),
            Property::always(NOT_CHARGED, |_, state: &State| {
                (0..PAYMENTS).all(|p| !state.given_up[p] || state.times_mined(p) == 0)
            }),
            Property::sometimes(REPLACED, |_, state: &State| {
                state.mined.iter().flatten().any(|mined| mined.version == VERSIONS)
            }),
            Property::sometimes(FILLED, |_, state: &State| {
                state.mined.iter().flatten().any(|mined| mined.intent == Intent::NoOp)
            }),
            Property::sometimes(TAKEN_OVER, |_, state: &State| {
                let zombie =
                    state.processes.iter().any(|p| p.token.is_some_and(|t| t < state.token));
                zombie && state.wanted_are_mined() && state.next_mined() > 0
            }),
        ]
    }
}

fn refuted(name: &str, mutant: Rules, property: &'static str) {
    let checked = Checked::until_broken(name, mutant, property);
    assert!(checked.found.contains(property), "{name} was not refuted by {property}");
}

#[test]
fn the_design_holds_in_every_state() {
    let checked = Checked::all_of("lane, the design", DESIGN);
    assert_eq!(checked.found.into_iter().collect::<Vec<_>>(), [REPLACED, FILLED, TAKEN_OVER]);
    assert!(checked.states > 100_000, "the search ended after {} states", checked.states);
}

#[test]
fn the_token_and_the_compare_and_set_each_stop_a_zombie() {
    for (name, rules) in [
        ("lane, no token", Rules { token_checked: false, ..DESIGN }),
        ("lane, no compare-and-set", Rules { state_checked: false, ..DESIGN }),
    ] {
        let checked = Checked::all_of(name, rules);
        assert_eq!(checked.found.into_iter().collect::<Vec<_>>(), [REPLACED, FILLED, TAKEN_OVER]);
    }
}

const UNFENCED: Rules = Rules { token_checked: false, state_checked: false, ..DESIGN };

#[test]
fn without_either_a_zombie_charges_what_was_given_up() {
    refuted("lane, unfenced", UNFENCED, NOT_CHARGED);
}

#[test]
fn without_either_two_processes_use_one_nonce_for_two_things() {
    refuted("lane, unfenced", UNFENCED, ONE_INTENT);
}

#[test]
fn sending_before_recording_is_seen_at_once() {
    let mutant = Rules { record_before_send: false, ..DESIGN };
    refuted("lane, sent before recorded", mutant, RECORDED_FIRST);
}

#[test]
fn sending_before_recording_uses_one_nonce_for_two_things() {
    let mutant = Rules { record_before_send: false, ..DESIGN };
    refuted("lane, sent before recorded", mutant, ONE_INTENT);
}

#[test]
fn a_replacement_with_another_intent_evicts_a_payment() {
    let mutant = Rules { keep_intent: false, ..DESIGN };
    refuted("lane, replacement changes the intent", mutant, ONE_INTENT);
}

#[test]
fn a_nonce_that_nobody_fills_blocks_those_behind_it() {
    let mutant = Rules { fill_with_no_ops: false, ..DESIGN };
    refuted("lane, no no-ops", mutant, NOTHING_STUCK);
    refuted("lane, no no-ops", mutant, ALL_MINED);
}

#[test]
fn a_payment_in_two_live_slots_is_paid_for_twice() {
    let mutant = Rules { one_live_slot: false, ..DESIGN };
    refuted("lane, two live slots", mutant, ONE_TRANSACTION);
}

#[test]
fn bytes_that_are_never_sent_again_block_the_lane() {
    let mutant = Rules { send_again: false, ..DESIGN };
    refuted("lane, sent once", mutant, NOTHING_STUCK);
}
