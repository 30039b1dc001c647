//! Money that follows its answer: one payer under two gates that share the books, and two
//! dispatchers that share the queue. Gates die between any two steps, leases run out under living
//! holders, answers of the facilitator get lost, authorizations end.

use stateright::{Model, Property};

use crate::checked::Checked;

/// Payments of the payer, of one unit each; any of the gates takes any of them.
const PAYMENTS: usize = 3;
const DISPATCHERS: usize = 2;
/// Units that may be served and not settled.
const LIMIT: i8 = 2;
/// Takeovers of one row.
const TAKEOVERS: u8 = 2;

const WITHIN: &str = "P1 what is booked and not settled stays within the limit";
const TRUE_BOOKS: &str = "P2 the sum on the books is that of the rows";
const SERVED_FIRST: &str = "P3 nobody is charged who was not served";
const OWED: &str = "P4 there is a debt exactly for what was served and ended unproven";
const ALL_SETTLED: &str = "S1 all are served and settled";
const CLOSED: &str = "S2 a bad debt is closed when the chain shows the money";
const GIVEN_UP: &str = "S3 what was not served leaves the books";

/// The rules of the design. A mutant lacks one.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// The sum is raised by the statement that compares it with the limit.
    raise_in_one_step: bool,
    /// A row becomes due with the grant, not with the claim.
    due_with_the_grant: bool,
    /// Who records names the token, and what has left the books does not leave them again.
    leave_once: bool,
}

const DESIGN: Rules = Rules { raise_in_one_step: true, due_with_the_grant: true, leave_once: true };

/// Where the claim of a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Claim {
    None,
    /// Only without the first rule: a gate has read the sum and not raised it yet.
    Read(i8),
    Verified,
    Kept,
    Granted,
    Released,
}

/// Where its money stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Money {
    None,
    Waiting,
    Due,
    Asked,
    Settled,
    BadDebt,
}

impl Money {
    fn is_exposed(self) -> bool {
        matches!(self, Self::Waiting | Self::Due | Self::Asked)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Payment {
    claim: Claim,
    money: Money,
    token: u8,
    /// The chain moved the money.
    charged: bool,
    ended: bool,
    owed: bool,
    was_bad: bool,
}

/// A dispatcher: a payment, the token it holds, and whether it was told that it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Try {
    payment: usize,
    token: u8,
    paid: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    sum: i8,
    payments: [Payment; PAYMENTS],
    dispatchers: [Option<Try>; DISPATCHERS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    ReadSum(usize),
    Book(usize),
    Keep(usize),
    /// Its gate failed or died; also after the answer was kept, when it is too late.
    GiveUp(usize),
    Grant(usize),
    Take(usize, usize),
    /// The facilitator is asked: the money moves, and the answer arrives or is lost.
    Ask(usize, bool),
    /// Nothing was taken up, or the dispatcher died.
    Drop(usize),
    Record(usize),
    End(usize),
    Expire(usize),
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let new = Payment {
            claim: Claim::None,
            money: Money::None,
            token: 0,
            charged: false,
            ended: false,
            owed: false,
            was_bad: false,
        };
        vec![State { sum: 0, payments: [new; PAYMENTS], dispatchers: [None; DISPATCHERS] }]
    }

    fn actions(&self, _state: &State, actions: &mut Vec<Action>) {
        for payment in 0..PAYMENTS {
            actions.extend([
                Action::ReadSum(payment),
                Action::Book(payment),
                Action::Keep(payment),
                Action::GiveUp(payment),
                Action::Grant(payment),
                Action::End(payment),
                Action::Expire(payment),
            ]);
            actions.extend((0..DISPATCHERS).map(|who| Action::Take(who, payment)));
        }
        for who in 0..DISPATCHERS {
            actions.extend([
                Action::Ask(who, true),
                Action::Ask(who, false),
                Action::Drop(who),
                Action::Record(who),
            ]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::ReadSum(at)
            | Action::Book(at)
            | Action::Keep(at)
            | Action::GiveUp(at)
            | Action::Grant(at) => self.gate(&mut next, action, at)?,
            Action::Take(who, at) => self.take(&mut next, who, at)?,
            Action::Ask(who, heard) => ask(&mut next, who, heard)?,
            Action::Drop(who) => {
                next.dispatchers[who].take()?;
            }
            Action::Record(who) => self.record(&mut next, who)?,
            Action::End(at) => {
                let payment = &mut next.payments[at];
                (!payment.ended && payment.claim != Claim::None).then(|| payment.ended = true)?;
            }
            Action::Expire(at) => {
                let payment = &mut next.payments[at];
                if !payment.ended || !matches!(payment.money, Money::Due | Money::Asked) {
                    return None;
                }
                payment.money = Money::BadDebt;
                (payment.owed, payment.was_bad) = (true, true);
                next.sum -= 1;
            }
        }
        next.sort();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(WITHIN, |_, state: &State| state.exposed() <= LIMIT),
            Property::always(TRUE_BOOKS, |_, state: &State| state.sum == state.exposed()),
            Property::always(SERVED_FIRST, |_, state: &State| {
                state.payments.iter().all(|p| !p.charged || p.claim == Claim::Granted)
            }),
            Property::always(OWED, |_, state: &State| {
                state.payments.iter().all(|p| p.owed == (p.money == Money::BadDebt))
            }),
            Property::sometimes(ALL_SETTLED, |_, state: &State| {
                state.payments.iter().all(|p| p.money == Money::Settled)
            }),
            Property::sometimes(CLOSED, |_, state: &State| {
                state.payments.iter().any(|p| p.was_bad && p.money == Money::Settled)
            }),
            Property::sometimes(GIVEN_UP, |_, state: &State| {
                let released = |p: &Payment| p.claim == Claim::Released;
                state.payments.iter().all(released) && state.sum == 0
            }),
        ]
    }
}

impl State {
    /// Payments are alike, and so are dispatchers: their names make no states.
    fn sort(&mut self) {
        let mut order: [usize; PAYMENTS] = std::array::from_fn(|at| at);
        order.sort_by_key(|at| self.payments[*at]);
        for tried in self.dispatchers.iter_mut().flatten() {
            let now = order.iter().position(|before| *before == tried.payment);
            tried.payment = now.unwrap_or(tried.payment);
        }
        self.payments = order.map(|before| self.payments[before]);
        self.dispatchers.sort_unstable();
    }

    fn exposed(&self) -> i8 {
        let count = self.payments.iter().filter(|payment| payment.money.is_exposed()).count();
        i8::try_from(count).unwrap_or(i8::MAX)
    }
}

impl Rules {
    fn gate(&self, next: &mut State, action: Action, at: usize) -> Option<()> {
        let sum = next.sum;
        let payment = &mut next.payments[at];
        match (action, payment.claim) {
            (Action::ReadSum(_), Claim::None) if !self.raise_in_one_step => {
                payment.claim = Claim::Read(sum);
            }
            (Action::Book(_), Claim::None) if self.raise_in_one_step && sum < LIMIT => {
                self.book(payment);
                next.sum += 1;
            }
            (Action::Book(_), Claim::Read(read)) if read < LIMIT => {
                self.book(payment);
                next.sum += 1;
            }
            (Action::Keep(_), Claim::Verified) => payment.claim = Claim::Kept,
            (Action::Grant(_), Claim::Kept) => {
                payment.claim = Claim::Granted;
                if payment.money == Money::Waiting {
                    payment.money = Money::Due;
                }
            }
            (Action::GiveUp(_), Claim::Verified | Claim::Kept)
                if payment.money == Money::Waiting =>
            {
                payment.claim = Claim::Released;
                payment.money = Money::None;
                next.sum -= 1;
            }
            _ => return None,
        }
        Some(())
    }

    fn book(&self, payment: &mut Payment) {
        payment.claim = Claim::Verified;
        payment.money = if self.due_with_the_grant { Money::Waiting } else { Money::Due };
    }

    /// A free row, or one whose holder's lease has run out.
    fn take(&self, next: &mut State, who: usize, at: usize) -> Option<()> {
        let payment = &mut next.payments[at];
        let is_takeable = match payment.money {
            Money::Due => true,
            Money::Asked | Money::BadDebt => payment.token <= TAKEOVERS,
            _ => false,
        };
        if !is_takeable || next.dispatchers[who].is_some() {
            return None;
        }
        payment.token += 1;
        if payment.money == Money::Due {
            payment.money = Money::Asked;
        }
        next.dispatchers[who] = Some(Try { payment: at, token: payment.token, paid: false });
        Some(())
    }

    fn record(&self, next: &mut State, who: usize) -> Option<()> {
        let tried = next.dispatchers[who].filter(|tried| tried.paid)?;
        next.dispatchers[who] = None;
        let payment = &mut next.payments[tried.payment];
        let is_old = payment.token != tried.token || payment.money == Money::Settled;
        if self.leave_once && is_old {
            return Some(());
        }
        let was_exposed = payment.money.is_exposed();
        payment.money = Money::Settled;
        payment.owed = false;
        if was_exposed || !self.leave_once {
            next.sum -= 1;
        }
        Some(())
    }
}

/// Asked twice under one settle id the money moves once, so to ask again only tells.
fn ask(next: &mut State, who: usize, heard: bool) -> Option<()> {
    let tried = next.dispatchers[who].filter(|tried| !tried.paid)?;
    let payment = &mut next.payments[tried.payment];
    if payment.ended && !payment.charged {
        return None;
    }
    payment.charged = true;
    next.dispatchers[who] = heard.then_some(Try { paid: true, ..tried });
    Some(())
}

/// A mutant breaks `property`.
fn refuted(name: &str, mutant: Rules, property: &'static str) {
    let checked = Checked::until_broken(name, mutant, property);
    assert!(checked.found.contains(property), "{name} was not refuted by {property}");
}

#[test]
fn the_books_hold_in_every_state() {
    let checked = Checked::all_of("deferred, the design", DESIGN);
    assert_eq!(checked.found.into_iter().collect::<Vec<_>>(), [ALL_SETTLED, CLOSED, GIVEN_UP]);
    assert!(checked.states > 10_000, "the search ended after {} states", checked.states);
}

#[test]
fn a_sum_that_is_read_and_then_raised_exceeds_the_limit() {
    let mutant = Rules { raise_in_one_step: false, ..DESIGN };
    refuted("deferred, read then write", mutant, WITHIN);
}

#[test]
fn a_row_that_is_due_with_its_claim_charges_who_was_not_served() {
    let mutant = Rules { due_with_the_grant: false, ..DESIGN };
    refuted("deferred, due with the claim", mutant, SERVED_FIRST);
}

#[test]
fn an_amount_that_may_leave_the_books_twice_makes_them_wrong() {
    let mutant = Rules { leave_once: false, ..DESIGN };
    refuted("deferred, leaves twice", mutant, TRUE_BOOKS);
}
