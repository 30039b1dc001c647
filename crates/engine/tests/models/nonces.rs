//! Where the next nonce of one hot key comes from, when two processes share the key: which way of
//! counting gets every payment mined? What a lane does with a nonce afterwards is in `lane.rs`.

use stateright::{Model, Property};

use crate::checked::Checked;

const PAYMENTS: usize = 3;
const PROCESSES: usize = 2;
/// Nonces the model has room for.
const NONCES: usize = 6;
const CRASHES: u8 = 1;

const ALL_MINED: &str = "N1 every payment gets mined";
const NOTHING_STUCK: &str = "N2 no broadcast payment stays stuck behind a nonce gap";

/// Who counts the nonces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    /// Each process: the chain's pending count, then a cache.
    Process,
    /// One unique row in the ledger for each nonce.
    Ledger,
}

/// A way to count.
#[derive(Clone, Copy, Debug)]
struct Discipline {
    counter: Counter,
    /// The signed bytes are stored with the nonce, before they are sent.
    recorded: bool,
    /// A monitor sends a no-op into a nonce that nobody holds.
    gaps_filled: bool,
}

const DESIGN: Discipline =
    Discipline { counter: Counter::Ledger, recorded: true, gaps_filled: true };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Payment {
    New,
    /// Signed for this nonce, not sent.
    Holds(usize),
    Sent(usize),
    Mined,
    /// Its caller was told that it failed, or its process died.
    Dropped,
}

/// Whose transaction the pool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pooled {
    Payment(usize),
    NoOp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    payments: [Payment; PAYMENTS],
    /// Nonce of the stored bytes.
    recorded: [Option<usize>; PAYMENTS],
    /// The ledger's counter.
    next: usize,
    /// Each process's own.
    caches: [Option<usize>; PROCESSES],
    pool: [Option<Pooled>; NONCES],
    mined: usize,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// `stale`: the pending count that the endpoint told was that of the mined block.
    Allocate {
        payment: usize,
        stale: bool,
    },
    /// `replace`: the fees happen to be high enough to push another transaction out.
    Send {
        payment: usize,
        replace: bool,
    },
    Crash {
        process: usize,
    },
    SendRecorded {
        payment: usize,
    },
    Mine,
    FillGap,
}

fn process_of(payment: usize) -> usize {
    payment % PROCESSES
}

impl State {
    fn has_gap(&self) -> bool {
        let held = self.payments.contains(&Payment::Holds(self.mined));
        let stored = self.recorded.contains(&Some(self.mined));
        self.mined < self.next && self.pool[self.mined].is_none() && !held && !stored
    }

    /// The caller is told that the transaction failed, and the cache starts anew.
    fn refuse(&mut self, payment: usize) {
        self.payments[payment] = Payment::Dropped;
        self.caches[process_of(payment)] = None;
    }
}

impl Discipline {
    fn allocate(self, state: &mut State, payment: usize, stale: bool) -> Option<()> {
        let nonce = match self.counter {
            Counter::Ledger => {
                let nonce = state.next;
                state.next += 1;
                state.recorded[payment] = self.recorded.then_some(nonce);
                nonce
            }
            Counter::Process => pending_count(state, process_of(payment), stale),
        };
        if nonce >= NONCES {
            return None;
        }
        if self.counter == Counter::Process {
            state.caches[process_of(payment)] = Some(nonce);
        }
        state.payments[payment] = Payment::Holds(nonce);
        Some(())
    }
}

fn pending_count(state: &State, process: usize, stale: bool) -> usize {
    if let Some(last) = state.caches[process] {
        return last + 1;
    }
    let pending = (state.mined..NONCES).take_while(|nonce| state.pool[*nonce].is_some()).count();
    if stale { state.mined } else { state.mined + pending }
}

fn send(state: &mut State, payment: usize, replace: bool) -> Option<()> {
    let Payment::Holds(nonce) = state.payments[payment] else { return None };
    match state.pool[nonce] {
        // Nonce too low.
        _ if nonce < state.mined => state.refuse(payment),
        Some(Pooled::Payment(there)) if there == payment => return None,
        Some(there) if replace => {
            if let Pooled::Payment(other) = there {
                // Its receipt never comes.
                state.payments[other] = Payment::Dropped;
            }
            state.pool[nonce] = Some(Pooled::Payment(payment));
            state.payments[payment] = Payment::Sent(nonce);
        }
        // Replacement underpriced.
        Some(_) => state.refuse(payment),
        None => {
            state.pool[nonce] = Some(Pooled::Payment(payment));
            state.payments[payment] = Payment::Sent(nonce);
        }
    }
    Some(())
}

fn crash(state: &mut State, process: usize) {
    state.crashes += 1;
    state.caches[process] = None;
    for (payment, stands) in state.payments.iter_mut().enumerate() {
        if process_of(payment) == process && matches!(stands, Payment::Holds(_)) {
            *stands = Payment::Dropped;
        }
    }
}

fn mine(state: &mut State) -> Option<()> {
    if let Pooled::Payment(payment) = state.pool[state.mined]? {
        state.payments[payment] = Payment::Mined;
    }
    state.mined += 1;
    Some(())
}

impl Model for Discipline {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            payments: [Payment::New; PAYMENTS],
            recorded: [None; PAYMENTS],
            next: 0,
            caches: [None; PROCESSES],
            pool: [None; NONCES],
            mined: 0,
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for payment in 0..PAYMENTS {
            match state.payments[payment] {
                Payment::New => {
                    actions.push(Action::Allocate { payment, stale: false });
                    if self.counter == Counter::Process {
                        actions.push(Action::Allocate { payment, stale: true });
                    }
                }
                Payment::Holds(nonce) => {
                    actions.push(Action::Send { payment, replace: false });
                    if self.counter == Counter::Process && state.pool[nonce].is_some() {
                        actions.push(Action::Send { payment, replace: true });
                    }
                    if state.crashes < CRASHES {
                        actions.push(Action::Crash { process: process_of(payment) });
                    }
                }
                Payment::Dropped if state.recorded[payment].is_some() => {
                    actions.push(Action::SendRecorded { payment });
                }
                Payment::Sent(_) | Payment::Mined | Payment::Dropped => {}
            }
        }
        if state.pool.get(state.mined).is_some_and(Option::is_some) {
            actions.push(Action::Mine);
        }
        if self.gaps_filled && state.has_gap() {
            actions.push(Action::FillGap);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::Allocate { payment, stale } => self.allocate(&mut next, payment, stale)?,
            Action::Send { payment, replace } => send(&mut next, payment, replace)?,
            Action::Crash { process } => crash(&mut next, process),
            Action::SendRecorded { payment } => {
                next.payments[payment] = Payment::Holds(next.recorded[payment]?);
            }
            Action::Mine => mine(&mut next)?,
            Action::FillGap => next.pool[next.mined] = Some(Pooled::NoOp),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::eventually(ALL_MINED, |_, state: &State| {
                state.payments.iter().all(|payment| *payment == Payment::Mined)
            }),
            Property::eventually(NOTHING_STUCK, |_, state: &State| {
                state.payments.iter().all(|p| matches!(p, Payment::Mined | Payment::Dropped))
            }),
        ]
    }
}

fn broken(name: &str, discipline: Discipline) -> Vec<&'static str> {
    Checked::all_of(name, discipline).found.into_iter().collect()
}

#[test]
fn one_row_a_nonce_with_recorded_bytes_gets_everything_mined() {
    let checked = Checked::all_of("nonces, the design", DESIGN);
    assert!(checked.found.is_empty(), "{:?}", checked.found);
    assert!(checked.states > 400, "the search ended after {} states", checked.states);
}

#[test]
fn a_count_in_each_process_loses_payments_and_leaves_others_stuck() {
    let mutant = Discipline { counter: Counter::Process, recorded: false, gaps_filled: false };
    assert_eq!(broken("nonces, counted by each process", mutant), [ALL_MINED, NOTHING_STUCK]);
}

#[test]
fn bytes_that_are_not_recorded_leave_a_gap_when_their_process_dies() {
    let mutant = Discipline { recorded: false, gaps_filled: false, ..DESIGN };
    assert_eq!(broken("nonces, bytes not recorded", mutant), [ALL_MINED, NOTHING_STUCK]);
}

#[test]
fn filling_gaps_frees_the_lane_and_still_loses_the_payment() {
    let mutant = Discipline { recorded: false, ..DESIGN };
    assert_eq!(broken("nonces, bytes not recorded, gaps filled", mutant), [ALL_MINED]);
}
