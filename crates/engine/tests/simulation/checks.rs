//! What must hold after every step of a run, and at its end.

use faregate_chain::{Chain as _, Inspection};
use faregate_engine::clock::Clock as _;
use faregate_ledger::{Settlement, SettlementState as State, SettlementStore as _};

use crate::audit::Rule;
use crate::payments::{NETWORK, Payment};
use crate::world::World;

/// Longer than leases, looks and replacements take together, in seconds.
const TIME_TO_SETTLE_SECS: u64 = 120;

pub(crate) async fn after_step(world: &mut World) {
    world.finalized = world.finalized.max(world.chain().finalized());
    for payment in world.payments.clone() {
        let payment = &payment;
        let row = row(world, payment).await;
        spent(world, payment);
        if let Some(row) = &row {
            matches_chain(world, payment, row);
            stays(world, payment, row.state);
        }
        let moved = world.chain().moved_in(payment.payer, payment.nonce).is_some();
        let told = world.told.said_not_charged(payment);
        world.audit.check(!(told && moved), Rule::NotChargedMeansNever, || {
            format!("{} moved after all", payment.nonce)
        });
    }
}

async fn row(world: &World, payment: &Payment) -> Option<Settlement> {
    world.ground.ledger.find_settlement(&payment.key).await.unwrap()
}

/// Gas is paid for each nonce at most once, and each costs no more than the ceiling.
fn spent(world: &World, payment: &Payment) {
    let limits = world.ground.limits;
    let spent = world.audit.spent(&payment.nonce.to_string());
    let most = limits.transactions_per_payment - 1 + limits.attempts_per_slot;
    let holds = spent.nonces <= limits.transactions_per_payment && spent.transactions <= most;
    world.audit.check(holds, Rule::BoundedTransactions, || {
        format!("{}: {} nonces, {} transactions", payment.nonce, spent.nonces, spent.transactions)
    });
}

fn matches_chain(world: &World, payment: &Payment, row: &Settlement) {
    let moved_in = world.chain().moved_in(payment.payer, payment.nonce);
    let holds = match row.state {
        State::Final => {
            let block = row.evidence.as_ref().map(|proof| proof.block_number);
            moved_in.is_some() && moved_in == block
        }
        State::Mined => world.told.has_moved(&world.ground.chain, payment),
        State::Dead => moved_in.is_none(),
        _ => true,
    };
    world.audit.check(holds, Rule::LedgerMatchesChain, || {
        format!("{} is {:?}, moved in {moved_in:?}", payment.nonce, row.state)
    });
}

/// A settlement that has ended does not move again.
fn stays(world: &mut World, payment: &Payment, state: State) {
    let before = world.ends.get(&payment.nonce).copied();
    world.audit.check(before.is_none_or(|end| end == state), Rule::EndsStay, || {
        format!("{} was {before:?} and is {state:?}", payment.nonce)
    });
    if state.is_end() {
        world.ends.insert(payment.nonce, state);
    }
}

/// Payments that somebody waits for and that nothing stands in the way of: with the faults gone
/// they are to be paid, not to be let die.
pub(crate) async fn hopeful(world: &World) -> Vec<Payment> {
    let enough = world.ground.clock.now_unix() + TIME_TO_SETTLE_SECS;
    let mut hopeful = Vec::new();
    for payment in &world.payments {
        let mut waiting = world.callers.iter().filter(|caller| {
            caller.payment.nonce == payment.nonce
                && caller.patience.is_none()
                && !world.told.knows_the_end(caller.number)
        });
        let row = row(world, payment).await;
        let entitled = waiting.any(|caller| match &row {
            Some(row) => !row.new.caller_has_key || caller.settle_id == Some(row.new.settle_id),
            // Another that asks may have been refused a moment ago and not have heard it yet.
            None => world.payments.last().is_some_and(|last| last.nonce == payment.nonce),
        });
        // A payment that has cost too many transactions is an operator's.
        let set_aside = row.as_ref().is_some_and(|row| {
            row.state == State::Quarantined
                || row.nonces >= world.ground.limits.transactions_per_payment
        });
        let valid = world.chain().inspect(&payment.request, 0).await;
        let usable = matches!(valid, Ok(Inspection::Valid { .. }))
            && world
                .chain()
                .read(&payment.request)
                .is_ok_and(|authorization| authorization.valid_before > enough);
        // With other requirements in its row it is another sale.
        let same = row.as_ref().is_none_or(|row| row.new.request == payment.request);
        let cancelled = world.cancelled.contains(&payment.nonce);
        if entitled && !set_aside && usable && same && !cancelled {
            hopeful.push(payment.clone());
        }
    }
    hopeful
}

/// Whether nothing is left to do: every settlement has ended, every lane is empty and everybody
/// who asks until it knows does know.
pub(crate) async fn all_ended(world: &World) -> bool {
    unfinished(world).await.is_none()
}

async fn unfinished(world: &World) -> Option<String> {
    for payment in &world.payments {
        let row = row(world, payment).await;
        if let Some(row) = row.filter(|row| !row.state.is_end()) {
            return Some(format!("{} is {:?}: {:?}", payment.nonce, row.state, row.transactions));
        }
    }
    for caller in &world.callers {
        if caller.patience.is_none() && !world.told.knows_the_end(caller.number) {
            return Some(format!("caller {} of {}", caller.number, caller.payment.nonce));
        }
    }
    for signer in &world.signers {
        let lane = world.ground.ledger.lane(NETWORK, signer).await.unwrap();
        let mined = world.chain().mined_nonce(signer);
        // A lane without work heals only when the next payment comes.
        let gap = lane.next_nonce > mined && !world.reorganised;
        if !lane.open.is_empty() || gap {
            let open: Vec<_> = lane.open.iter().map(|slot| (slot.nonce, slot.kind)).collect();
            return Some(format!("{signer}: {open:?}, next {}, mined {mined}", lane.next_nonce));
        }
    }
    None
}

pub(crate) async fn at_the_end(world: &mut World) {
    after_step(world).await;
    if let Some(what) = unfinished(world).await {
        world.audit.violation(Rule::EverythingEnds, what);
    }
    for payment in &world.payments {
        let moved_in = world.chain().moved_in(payment.payer, payment.nonce);
        if let Some(row) = row(world, payment).await {
            let holds = (row.state == State::Final) == moved_in.is_some();
            world.audit.check(holds, Rule::LedgerMatchesChain, || {
                format!("{} ended as {:?}, moved in {moved_in:?}", payment.nonce, row.state)
            });
        }
        let told = world.told.said_success(payment);
        let holds = !told || moved_in.is_some() || world.told.was_taken_back(payment);
        world.audit.check(holds, Rule::SuccessMeansMoved, || {
            format!("success was said of {}", payment.nonce)
        });
    }
    for payment in &world.hopeful {
        let moved = world.chain().moved_in(payment.payer, payment.nonce).is_some();
        let row = row(world, payment).await;
        world.audit.check(moved, Rule::EverythingEnds, || {
            format!("{} was let die with time left: {row:?}", payment.nonce)
        });
    }
}
