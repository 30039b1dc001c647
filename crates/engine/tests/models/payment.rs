//! One payment under two service instances: several requests carry the same payload, workers take
//! over what a request left behind, and everything may go wrong in between: crashes, leases that
//! run out under a living holder, answers that get lost, a stranger who settles first, a payer who
//! cancels, the end of validity.

mod steps;

use stateright::{Model, Property};

use crate::checked::Checked;

/// Requests that carry the one payload, and processes they run on.
const REQUESTS: usize = 2;
const INSTANCES: usize = 2;
const CRASHES: u8 = 1;
/// Takeovers of one row; the second one makes a zombie of a worker too.
const TAKEOVERS: u8 = 3;
/// Own transactions that may revert before the search stops caring.
const REVERTS: u8 = 2;

const ONE_ANSWER: &str = "P1 one payload unlocks at most one answer";
const NO_FREE_ANSWER: &str = "P2 nothing is answered unless the money moved";
const NO_FALSE_DEATH: &str = "P3 a row that says not charged never hides a payment that moved";
const ONE_RUN: &str = "P4 the handler runs at most once for a payload";
const RECORDED_FIRST: &str = "P5 bytes that left were recorded before";
const GIVEN_UP_STAYS: &str = "P6 a payment given up by its taker-over is not signed afterwards";
const HAPPY: &str = "S1 the happy path is reachable";
const REDEEMED: &str = "S2 paid, crashed, and redeemed by a retry";

/// The rules of the design. A mutant lacks one.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// The payment key is unique: one reservation.
    unique_reservation: bool,
    /// A write names the token it holds, and changes nothing with an old one.
    fencing: bool,
    /// Signed bytes are stored before they are sent.
    record_before_send: bool,
    /// Only the chain says that a payment failed; an error or a timeout says nothing.
    only_proof_is_failure: bool,
    /// The grant is a compare-and-set.
    grant_once: bool,
    /// A reservation that was left behind unsigned is watched, not declared dead.
    watch_abandoned: bool,
}

const DESIGN: Rules = Rules {
    unique_reservation: true,
    fencing: true,
    record_before_send: true,
    only_proof_is_failure: true,
    grant_once: true,
    watch_abandoned: true,
};

/// Where the row of the payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Reserved,
    Signed,
    Paid,
    NotCharged,
}

/// The row that the payment key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    stage: Stage,
    /// Rises at each takeover.
    token: u8,
    granted_to: Option<usize>,
    bytes_stored: bool,
    /// Whoever took it over found nothing signed and only watches.
    watched_only: bool,
}

impl Row {
    fn has_ended(self) -> bool {
        matches!(self.stage, Stage::Paid | Stage::NotCharged)
    }
}

/// What the chain knows of the authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Authorization {
    Unused,
    Transferred,
    Cancelled,
}

/// Where a request or a worker stands; numbers are the token it believes to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Idle,
    Holds(u8),
    HandlerRan(u8),
    MaySend(u8),
    Watching(u8),
    SawPaid(u8),
    SawDead(u8),
    Granted,
    Answered,
    Refused,
    /// It crashed or lost the row; the buyer may ask again.
    Lost,
}

impl Step {
    /// Something a crash would interrupt.
    fn is_under_way(self) -> bool {
        !matches!(self, Self::Idle | Self::Answered | Self::Refused | Self::Lost)
    }
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Actor {
    Request(usize),
    Worker(usize),
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sent {
    /// It arrived, and the answer said so.
    Acknowledged,
    /// It arrived, and the answer got lost.
    AnswerLost,
    /// It did not arrive.
    Nowhere,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    row: Option<Row>,
    authorization: Authorization,
    in_pool: bool,
    /// Bytes of ours left although no row held them.
    sent_unrecorded: bool,
    reverts: u8,
    expired: bool,
    requests: [Step; REQUESTS],
    workers: [Step; INSTANCES],
    handler_runs: u8,
    answers: u8,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Reserve(usize),
    RunHandler(usize),
    Record(usize),
    Send(Actor, Sent),
    Look(Actor),
    /// A request waited long enough and saw nothing.
    GiveUpLooking(usize),
    RecordPaid(Actor),
    RecordNotCharged(Actor),
    Answer(usize),
    AskAgain(usize),
    Crash(usize),
    TakeOver(usize),
    Resume(usize),
    Mine,
    Cancel,
    FrontRun,
    Expire,
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            row: None,
            authorization: Authorization::Unused,
            in_pool: false,
            sent_unrecorded: false,
            reverts: 0,
            expired: false,
            requests: [Step::Idle; REQUESTS],
            workers: [Step::Idle; INSTANCES],
            handler_runs: 0,
            answers: 0,
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for request in 0..REQUESTS {
            state.actions_of_request(request, actions);
        }
        for worker in 0..INSTANCES {
            state.actions_of_worker(worker, actions);
        }
        state.actions_of_the_world(actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.act(&mut next, action)?;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_ANSWER, |_, state: &State| state.answers <= 1),
            Property::always(NO_FREE_ANSWER, |_, state: &State| {
                state.answers == 0 || state.moved()
            }),
            Property::always(NO_FALSE_DEATH, |_, state: &State| {
                let says_dead = state.row.is_some_and(|row| row.stage == Stage::NotCharged);
                !(says_dead && state.moved())
            }),
            Property::always(ONE_RUN, |_, state: &State| state.handler_runs <= 1),
            Property::always(RECORDED_FIRST, |_, state: &State| !state.sent_unrecorded),
            Property::always(GIVEN_UP_STAYS, |_, state: &State| {
                !state.row.is_some_and(|row| row.watched_only && row.bytes_stored)
            }),
            Property::sometimes(HAPPY, |_, state: &State| state.answers == 1),
            Property::sometimes(REDEEMED, |_, state: &State| {
                state.crashes > 0 && state.answers == 1
            }),
        ]
    }
}

/// A mutant breaks `property`; those in `holds` survive it, over all its states.
fn refuted(name: &str, mutant: Rules, property: &'static str, holds: &[&'static str]) {
    let checked = if holds.is_empty() {
        Checked::until_broken(name, mutant, property)
    } else {
        Checked::all_of(name, mutant)
    };
    assert!(checked.found.contains(property), "{name} was not refuted by {property}");
    for kept in holds {
        assert!(!checked.found.contains(kept), "{name} also breaks {kept}");
    }
}

#[test]
fn the_design_holds_in_every_state() {
    let checked = Checked::all_of("payment, the design", DESIGN);
    assert_eq!(checked.found.into_iter().collect::<Vec<_>>(), [HAPPY, REDEEMED]);
    assert!(checked.states > 50_000, "the search ended after {} states", checked.states);
}

#[test]
fn without_the_unique_reservation_one_payload_buys_twice() {
    let mutant = Rules { unique_reservation: false, ..DESIGN };
    refuted("payment, no unique reservation", mutant, ONE_RUN, &[]);
}

#[test]
fn a_timeout_taken_for_a_failure_hides_a_payment_that_moved() {
    let mutant = Rules { only_proof_is_failure: false, ..DESIGN };
    refuted("payment, a timeout is a failure", mutant, NO_FALSE_DEATH, &[]);
}

#[test]
fn an_abandoned_reservation_that_is_declared_dead_may_still_be_settled_by_a_stranger() {
    let mutant = Rules { watch_abandoned: false, ..DESIGN };
    refuted("payment, abandoned is dead", mutant, NO_FALSE_DEATH, &[]);
}

#[test]
fn a_grant_that_is_no_compare_and_set_answers_twice() {
    let mutant = Rules { grant_once: false, ..DESIGN };
    refuted("payment, grant is not once", mutant, ONE_ANSWER, &[]);
}

// The authorization moves money once whatever we do, so the two rules below are not needed for the
// buyer's sake (P1 to P4 survive). What breaks without them is ours: bytes nobody can send again,
// and a charge after the row was given up. `lane.rs` shows what that does to a signer.

#[test]
fn without_fencing_a_zombie_signs_what_was_given_up() {
    let mutant = Rules { fencing: false, ..DESIGN };
    let holds = [ONE_ANSWER, NO_FREE_ANSWER, NO_FALSE_DEATH, ONE_RUN];
    refuted("payment, no fencing", mutant, GIVEN_UP_STAYS, &holds);
}

#[test]
fn sending_before_recording_loses_sight_of_bytes() {
    let mutant = Rules { record_before_send: false, ..DESIGN };
    let holds = [ONE_ANSWER, NO_FREE_ANSWER, NO_FALSE_DEATH, ONE_RUN];
    refuted("payment, sent before recorded", mutant, RECORDED_FIRST, &holds);
}
