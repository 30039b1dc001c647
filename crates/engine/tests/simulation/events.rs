//! What happens in a run: one event a step, then a calm in which everything has to end.

use std::time::Duration;

use faregate_chain::Broadcast;
use faregate_chain::simulated::{FINALITY_DEPTH, Faults};
use faregate_engine::clock::Clock as _;
use uuid::Uuid;

use crate::callers::Caller;
use crate::checks;
use crate::payments::{Payment, WEALTH, payer};
use crate::rng::Dice;
use crate::world::{PAYERS, World};

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    NewPayment,
    SomebodyComesBack,
    Kill,
    Start,
    Freeze,
    ChainFaults,
    LedgerFaults,
    Mine,
    Reorganise,
    FrontRun,
    Cancel,
    UseNonce,
    MoveMoney,
    DropPool,
    TimePasses,
}

/// How often each happens on average, in a hundred.
const WEIGHTS: [(u64, Event); 15] = [
    (25, Event::NewPayment),
    (5, Event::SomebodyComesBack),
    (5, Event::Kill),
    (6, Event::Start),
    (6, Event::Freeze),
    (8, Event::ChainFaults),
    (5, Event::LedgerFaults),
    (18, Event::Mine),
    (4, Event::Reorganise),
    (3, Event::FrontRun),
    (3, Event::Cancel),
    (2, Event::UseNonce),
    (3, Event::MoveMoney),
    (2, Event::DropPool),
    (5, Event::TimePasses),
];

/// The weights of one run: some things never happen in it and some happen often, because rare
/// meetings of two events are found where others do not stand in the way.
pub(crate) fn weights(dice: &Dice) -> Vec<(u64, Event)> {
    const TIMES: [u64; 5] = [0, 1, 1, 2, 5];
    let always = [Event::NewPayment, Event::Start, Event::Mine];
    let drawn = WEIGHTS.iter().map(|(weight, event)| {
        let times = if always.contains(event) { 1 } else { *dice.pick(&TIMES) };
        (weight * times, *event)
    });
    drawn.collect()
}

fn draw(world: &World) -> Event {
    let sum = world.weights.iter().map(|(weight, _)| weight).sum::<u64>();
    let mut left = world.dice.between(1, sum);
    for (weight, event) in &world.weights {
        if left <= *weight {
            return *event;
        }
        left -= weight;
    }
    Event::Mine
}

/// One event and the time until the next.
pub(crate) async fn one(world: &mut World) {
    let event = draw(world);
    world.audit.note("event", event as u64, 0);
    match event {
        Event::NewPayment => new_payment(world),
        Event::SomebodyComesBack => somebody_comes_back(world),
        Event::Kill => kill(world),
        Event::Start => start(world),
        Event::Freeze => freeze(world),
        Event::ChainFaults => chain_faults(world),
        Event::LedgerFaults => ledger_faults(world),
        Event::Mine => mine(world),
        Event::Reorganise => reorganise(world),
        Event::FrontRun => front_run(world),
        Event::Cancel => cancel(world),
        Event::UseNonce => use_nonce(world),
        Event::MoveMoney => move_money(world),
        Event::DropPool => world.chain().drop_pool(),
        Event::TimePasses => time_passes(world).await,
    }
    /// Milliseconds to the next event.
    const PAUSES: [u64; 6] = [0, 1, 50, 300, 1500, 4000];
    let pause = *world.dice.pick(&PAUSES);
    tokio::time::sleep(Duration::from_millis(pause)).await;
}

/// A payment and the settle id of its owner.
fn sign(world: &mut World, valid_secs: u64) -> (Payment, Uuid) {
    let n = world.payments.len() as u64 + 1;
    let valid_before = world.ground.clock.now_unix() + valid_secs;
    let payment = Payment::new(n, payer(world.dice.between(0, PAYERS - 1)), valid_before);
    world.payments.push(payment.clone());
    (payment, Uuid::from_u128((n << 8).into()))
}

fn new_payment(world: &mut World) {
    /// Seconds of validity, short ones included.
    const VALIDITY: [u64; 5] = [4, 10, 30, 120, 300];
    let valid_secs = *world.dice.pick(&VALIDITY);
    let (payment, id) = sign(world, valid_secs);
    let (own, other) = (Some(id), Some(Uuid::from_u128(id.as_u128() | 1)));
    let stubborn = None;
    let hasty = Some(world.dice.between(1, 2));
    match world.dice.between(0, 7) {
        0..=2 => asks(world, &payment, own, stubborn),
        3 => asks(world, &payment, own, hasty),
        4 => {
            asks(world, &payment, own, stubborn);
            asks(world, &payment, other, stubborn);
        }
        5 => (0..3).for_each(|_| asks(world, &payment, None, stubborn)),
        6 => {
            asks(world, &payment, own, stubborn);
            asks(world, &payment, None, hasty);
        }
        _ => {
            asks(world, &payment, own, stubborn);
            let number = world.callers.len() as u64;
            let request = payment.with_other_requirements();
            world.asks(Caller { number, settle_id: own, patience: hasty, request, payment });
        }
    }
}

fn asks(world: &mut World, payment: &Payment, settle_id: Option<Uuid>, patience: Option<u64>) {
    let number = world.callers.len() as u64;
    let (request, payment) = (payment.request.clone(), payment.clone());
    world.asks(Caller { number, settle_id, patience, request, payment });
}

/// A caller that gave up asks again, with the settle id it had.
fn somebody_comes_back(world: &mut World) {
    let gone = |caller: &&Caller| {
        caller.patience.is_some()
            && caller.settle_id.is_some()
            && caller.request == caller.payment.request
    };
    let gone: Vec<Caller> = world.callers.iter().filter(gone).cloned().collect();
    if gone.is_empty() {
        return;
    }
    // The same caller, so it keeps its number: what it was told before counts.
    world.asks(Caller { patience: None, ..world.dice.pick(&gone).clone() });
}

fn kill(world: &mut World) {
    world.processes[world.dice.index(world.processes.len())].kill();
}

fn start(world: &mut World) {
    let dead: Vec<_> = world.processes.iter().filter(|process| !process.is_alive()).collect();
    if !dead.is_empty() {
        world.dice.pick(&dead).start(&world.ground);
    }
}

/// Longer than a lease, sometimes.
fn freeze(world: &mut World) {
    let long = Duration::from_millis(world.dice.between(100, 15_000));
    world.processes[world.dice.index(world.processes.len())].control.freeze(long);
}

fn chain_faults(world: &mut World) {
    const WORDS: [Broadcast; 7] = [
        Broadcast::Accepted,
        Broadcast::AlreadyKnown,
        Broadcast::NonceTooLow,
        Broadcast::Underpriced,
        Broadcast::InsufficientFunds,
        Broadcast::Rejected,
        Broadcast::Unknown,
    ];
    let fine = Faults::default();
    let faults = match world.dice.between(0, 9) {
        0 => Faults { down: true, ..fine },
        1 => Faults { swallow: true, ..fine },
        2 => Faults { lose_answer: true, ..fine },
        3 => Faults { refuse: Some(*world.dice.pick(&WORDS)), ..fine },
        4 => Faults { signer_down: true, ..fine },
        5 => Faults { no_gas_money: true, ..fine },
        6 => Faults { batches_revert: true, ..fine },
        _ => fine,
    };
    world.chain().set_faults(faults);
}

/// Failing and slow calls, per mille.
fn ledger_faults(world: &mut World) {
    const RATES: [(u64, u64); 5] = [(0, 0), (0, 0), (20, 20), (100, 0), (0, 100)];
    let (failing, slow) = *world.dice.pick(&RATES);
    let process = world.dice.index(world.processes.len());
    world.processes[process].control.set_faults(failing, slow);
}

fn mine(world: &mut World) {
    (0..world.dice.between(1, 3)).for_each(|_| world.chain().mine());
}

/// As deep as finality allows: what was ever final stays.
fn reorganise(world: &mut World) {
    let chain = world.chain();
    let finalized = world.finalized.max(chain.finalized());
    let deepest = chain.head().saturating_sub(finalized).min(FINALITY_DEPTH);
    if deepest == 0 {
        return;
    }
    let moved = |payment: &Payment| chain.moved_in(payment.payer, payment.nonce).is_some();
    let before: Vec<&Payment> = world.payments.iter().filter(|payment| moved(payment)).collect();
    chain.reorganise(world.dice.between(1, deepest), world.dice.chance(500));
    for payment in before.into_iter().filter(|payment| !moved(payment)) {
        world.told.taken_back(payment);
    }
    world.reorganised = true;
}

fn some_payment(world: &World) -> Option<Payment> {
    (!world.payments.is_empty()).then(|| world.dice.pick(&world.payments).clone())
}

fn front_run(world: &mut World) {
    if let Some(payment) = some_payment(world) {
        world.chain().front_run(&payment.request);
    }
}

fn cancel(world: &mut World) {
    if let Some(payment) = some_payment(world) {
        world.chain().cancel(payment.payer, payment.nonce);
        world.cancelled.insert(payment.nonce);
    }
}

fn use_nonce(world: &mut World) {
    let signer = world.dice.pick(&world.signers).clone();
    world.chain().use_nonce(&signer);
}

/// A payer moves all its money away, or gets it back.
fn move_money(world: &mut World) {
    let amount = *world.dice.pick(&[0, WEALTH]);
    world.chain().mint(payer(world.dice.between(0, PAYERS - 1)), amount);
}

/// The machine sleeps, with everything on it.
async fn time_passes(world: &mut World) {
    let seconds = world.dice.between(2, 60);
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

/// Faults end, everybody is there again, blocks are made: everything has to end now.
pub(crate) async fn calm(world: &mut World) {
    /// Rounds of one second, and rounds of long ones after them: longer than any validity.
    const SHORT: usize = 25;
    const LONG: usize = 40;
    world.audit.note("calm", 0, 0);
    world.chain().set_faults(Faults::default());
    (0..PAYERS).for_each(|n| world.chain().mint(payer(n), WEALTH));
    for process in world.processes.iter() {
        process.control.thaw();
        process.control.set_faults(0, 0);
        if !process.is_alive() {
            process.start(&world.ground);
        }
    }
    // One more payment, which finds whatever the storm left of the lanes.
    const LONG_VALID_SECS: u64 = 300;
    let (payment, id) = sign(world, LONG_VALID_SECS);
    asks(world, &payment, Some(id), None);
    world.hopeful = checks::hopeful(world).await;
    for _ in &world.hopeful {
        world.audit.note("hopeful", 0, 0);
    }
    for round in 0..SHORT + LONG {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if round >= SHORT {
            tokio::time::advance(Duration::from_secs(20)).await;
        }
        world.chain().mine();
        world.finalized = world.finalized.max(world.chain().finalized());
        if !world.audit.violations().is_empty() || checks::all_ended(world).await {
            return;
        }
    }
}
