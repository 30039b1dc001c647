//! One signed authorization at two deployments that are paid at one address: two gates with ledgers
//! of their own, behind one facilitator or each with its own. Answers get lost, gates die, a
//! stranger settles first, the payer cancels, and, where it is asked for, blocks are taken back.

mod steps;

use stateright::{Model, Property};

use crate::checked::Checked;

const GATES: usize = 2;

const ONE_GRANT: &str = "P1 one authorization buys at one gate";
const PAID_GRANT: &str = "P2 nothing is granted unless the money moved";
const TRUE_DEBT: &str = "P3 what is owed was paid, and no block takes it back";
const PAY_AGAIN: &str = "P4 who may pay again has nothing under way and nothing paid";
const SERVED: &str = "P5 who asked first for what its facilitator moved is served";
const REASON: &str = "P6 who asked for what others moved is told that it is owed";
const ONE_DEBT: &str = "P7 behind one facilitator one authorization is granted or owed once";
const BOTH_ASKED: &str = "S1 both gates asked and one grants";
const OWED: &str = "S2 one gate grants and the other owes";
const LATE: &str = "S3 a gate whose answer was lost grants";
const NOBODY: &str = "S4 a stranger's transaction is owed by both";

/// The rules of the design, and what the world is like. A mutant lacks one rule.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Both gates ask one facilitator.
    shared: bool,
    reorganisations: bool,
    /// A success is told to the settle id that reserved the payment.
    bound_to_the_asker: bool,
    /// So is a stranger's transaction.
    owed_to_the_asker: bool,
    /// A payee belongs to one ledger of claims.
    enrolment: bool,
    /// Each facilitator takes a stranger's transaction for a payment to its gate.
    exclusive: bool,
    /// A gate grants on what its facilitator says about its own question, and not because the
    /// chain shows that the authorization was used for the payee.
    asks_before_granting: bool,
    /// A stranger's transaction is told of when its block is final.
    owed_when_final: bool,
    /// An own transaction is told of when its block is final; the design does not wait.
    paid_when_final: bool,
    /// Silence and a used authorization are no refusal.
    silence_is_unknown: bool,
}

const APART: Rules = Rules {
    shared: false,
    reorganisations: false,
    bound_to_the_asker: true,
    owed_to_the_asker: true,
    enrolment: true,
    exclusive: false,
    asks_before_granting: true,
    owed_when_final: true,
    paid_when_final: false,
    silence_is_unknown: true,
};

const TOGETHER: Rules = Rules { shared: true, ..APART };

/// Whose transaction moved the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum By {
    Facilitator(usize),
    Stranger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Authorization {
    Open,
    Used {
        by: By,
        is_final: bool,
    },
    /// Cancelled or expired, in a final block.
    Void,
}

/// Where a facilitator's settlement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Reserved,
    Sent,
    Mined(By),
    Final(By),
    Dead,
}

/// A facilitator's settlement, and the gate whose settle id reserved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    asker: usize,
    stage: Stage,
}

/// Where a gate's claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Claim {
    None,
    /// Verified, and the answer is kept.
    Executed,
    /// "Asked" is on disk; the question may not have arrived.
    Settling {
        arrived: bool,
    },
    Unresolved,
    Settled,
    Granted,
    /// The money moved and nothing is given for it here.
    Credit,
    /// The buyer may pay again.
    Released,
    NotCharged,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    authorization: Authorization,
    claims: [Claim; GATES],
    /// One a facilitator; with a shared one only the first is used.
    rows: [Option<Row>; GATES],
    /// The gate whose ledger the shared facilitator has enrolled.
    owner: Option<usize>,
    /// An answer to this gate was lost, or it died waiting.
    interrupted: [bool; GATES],
    reorganised: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// Another payment of the gate enrols it.
    Enrol(usize),
    Claim(usize),
    Ask(usize),
    Arrive(usize),
    Hear(usize),
    /// The answer is lost, does not come in time, or the gate dies.
    Interrupt(usize),
    AskAgain(usize),
    Grant(usize),
    /// Only without the rule: the gate looks at the chain itself.
    SeeUsed(usize),
    Send(usize),
    Look(usize),
    Mine(usize),
    Stranger,
    Void,
    Finalise,
    Reorganise,
}

impl State {
    fn grants(&self) -> usize {
        self.claims.iter().filter(|claim| **claim == Claim::Granted).count()
    }

    fn moved(&self) -> bool {
        matches!(self.authorization, Authorization::Used { .. })
    }

    fn moved_for_good(&self) -> bool {
        matches!(self.authorization, Authorization::Used { is_final: true, .. })
    }

    /// What the facilitator holds under the gate's own settle id.
    fn own_row(&self, rules: Rules, gate: usize) -> Option<Stage> {
        let row = self.rows[rules.facilitator_of(gate)]?;
        (row.asker == gate).then_some(row.stage)
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            authorization: Authorization::Open,
            claims: [Claim::None; GATES],
            rows: [None; GATES],
            owner: None,
            interrupted: [false; GATES],
            reorganised: false,
        }]
    }

    fn actions(&self, _state: &State, actions: &mut Vec<Action>) {
        for gate in 0..GATES {
            actions.extend([
                Action::Enrol(gate),
                Action::Claim(gate),
                Action::Ask(gate),
                Action::Arrive(gate),
                Action::Hear(gate),
                Action::Interrupt(gate),
                Action::AskAgain(gate),
                Action::Grant(gate),
                Action::SeeUsed(gate),
                Action::Send(gate),
                Action::Look(gate),
                Action::Mine(gate),
            ]);
        }
        actions.extend([Action::Stranger, Action::Void, Action::Finalise, Action::Reorganise]);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.act(&mut next, action)?;
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(ONE_GRANT, |_, state: &State| state.grants() <= 1),
            Property::always(PAID_GRANT, |_, state: &State| {
                // What is granted on an included block, a reorganisation can take back.
                state.grants() == 0 || state.moved() || state.reorganised
            }),
            Property::always(TRUE_DEBT, |_, state: &State| {
                !state.claims.contains(&Claim::Credit) || state.moved_for_good()
            }),
            Property::always(PAY_AGAIN, |rules: &Self, state: &State| {
                (0..GATES).all(|gate| match state.claims[gate] {
                    Claim::Released => state.own_row(*rules, gate).is_none(),
                    Claim::NotCharged => state.authorization == Authorization::Void,
                    _ => true,
                })
            }),
            Property::always(SERVED, |rules: &Self, state: &State| {
                (0..GATES).all(|gate| match state.own_row(*rules, gate) {
                    Some(Stage::Final(By::Facilitator(by))) if by == rules.facilitator_of(gate) => {
                        rules.will_be_paid(state, gate)
                    }
                    _ => true,
                })
            }),
            Property::always(REASON, |rules: &Self, state: &State| {
                (0..GATES).all(|gate| match state.own_row(*rules, gate) {
                    Some(Stage::Final(by)) if by != By::Facilitator(rules.facilitator_of(gate)) => {
                        rules.will_be_owed(state, gate)
                    }
                    _ => true,
                })
            }),
            Property::always(ONE_DEBT, |rules: &Self, state: &State| {
                let answered = |claim: &&Claim| matches!(claim, Claim::Granted | Claim::Credit);
                !rules.shared || state.claims.iter().filter(answered).count() <= 1
            }),
        ];
        all.extend(examples());
        all
    }
}

fn examples() -> Vec<Property<Rules>> {
    vec![
        Property::sometimes(BOTH_ASKED, |_, state: &State| {
            let asked = |claim: &Claim| !matches!(claim, Claim::None | Claim::Executed);
            state.claims.iter().all(asked) && state.grants() == 1
        }),
        Property::sometimes(OWED, |_, state: &State| {
            state.grants() == 1 && state.claims.contains(&Claim::Credit)
        }),
        Property::sometimes(LATE, |_, state: &State| {
            (0..GATES).any(|gate| state.interrupted[gate] && state.claims[gate] == Claim::Granted)
        }),
        Property::sometimes(NOBODY, |_, state: &State| state.claims == [Claim::Credit; GATES]),
    ]
}

fn found(name: &str, rules: Rules) -> (Vec<&'static str>, usize) {
    let checked = Checked::all_of(name, rules);
    (checked.found.into_iter().collect(), checked.states)
}

fn refuted(name: &str, mutant: Rules, property: &'static str) {
    let checked = Checked::until_broken(name, mutant, property);
    assert!(checked.found.contains(property), "{name} was not refuted by {property}");
}

#[test]
fn two_facilitators_sell_one_payment_once() {
    let (found, states) = found("gates, two facilitators", APART);
    assert_eq!(found, [BOTH_ASKED, OWED, LATE, NOBODY]);
    assert!(states > 2_500, "the search ended after {states} states");
}

#[test]
fn one_facilitator_sells_one_payment_once() {
    let (found, states) = found("gates, one facilitator", TOGETHER);
    assert_eq!(found, [BOTH_ASKED, LATE]);
    assert!(states > 2_000, "the search ended after {states} states");
}

/// The settle id alone keeps one payment from buying twice behind one facilitator; enrolment tells
/// the second deployment so with its first payment.
#[test]
fn one_facilitator_does_so_without_enrolment_too() {
    let (found, _) = found("gates, no enrolment", Rules { enrolment: false, ..TOGETHER });
    assert_eq!(found, [BOTH_ASKED, LATE]);
}

#[test]
fn one_facilitator_does_so_over_reorganisations() {
    let rules = Rules { reorganisations: true, ..TOGETHER };
    let (found, _) = found("gates, one facilitator, reorganisations", rules);
    assert_eq!(found, [BOTH_ASKED, LATE]);
}

/// The limit of a grant on an included block: another fork may carry the other facilitator's
/// transaction. Who waits for final blocks has no such limit.
#[test]
fn two_facilitators_sell_twice_where_a_block_is_taken_back_under_a_grant() {
    let limit = Rules { reorganisations: true, ..APART };
    refuted("gates, granted on an included block", limit, ONE_GRANT);
    let (found, _) = found("gates, granted when final", Rules { paid_when_final: true, ..limit });
    assert_eq!(found, [BOTH_ASKED, OWED, LATE, NOBODY]);
}

#[test]
fn a_success_that_is_told_to_whoever_asks_is_sold_twice() {
    let mutant = Rules { bound_to_the_asker: false, ..TOGETHER };
    refuted("gates, success for all", mutant, ONE_GRANT);
}

#[test]
fn a_strangers_transaction_that_is_told_to_whoever_asks_is_owed_twice() {
    refuted("gates, owed to all", Rules { owed_to_the_asker: false, ..TOGETHER }, ONE_DEBT);
}

#[test]
fn two_that_both_say_they_are_the_only_one_sell_twice() {
    refuted("gates, both exclusive", Rules { exclusive: true, ..APART }, ONE_GRANT);
}

#[test]
fn a_gate_that_takes_a_used_authorization_for_its_payment_sells_twice() {
    for (name, rules) in [("gates, used is paid", APART), ("gates, used is paid, one", TOGETHER)] {
        refuted(name, Rules { asks_before_granting: false, ..rules }, ONE_GRANT);
    }
}

#[test]
fn a_debt_that_is_told_before_the_block_is_final_may_be_for_nothing() {
    let mutant = Rules { owed_when_final: false, reorganisations: true, ..APART };
    refuted("gates, owed at once", mutant, TRUE_DEBT);
}

#[test]
fn silence_that_is_taken_for_a_refusal_has_the_buyer_pay_again() {
    for (name, rules) in [("gates, silence refuses", APART), ("gates, the same, one", TOGETHER)] {
        refuted(name, Rules { silence_is_unknown: false, ..rules }, PAY_AGAIN);
    }
}
