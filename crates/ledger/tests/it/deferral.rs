//! Money that follows the answer: the books, the queue and the debts.

use faregate_ledger::deferral::{MAX_DEATHS, MAX_REFUSALS};
use faregate_ledger::{
    ClaimMove, ClaimState, ClaimStore, Claimed, DebtFilter, Debtor, DeferralState, DeferredClaim,
    Due, ExposureLimits, Hold, NewClaim, NotDeferred, StoredAnswer, Tried,
};
use faregate_protocol::Amount;
use serde_json::json;
use uuid::Uuid;

use crate::samples::{LEASE_MS, new_claim, request};
use crate::stores::{Store, on_every_store};

on_every_store! {
    what_is_claimed_is_on_the_books_until_it_is_settled,
    nobody_is_charged_who_was_not_served,
    what_was_not_served_leaves_the_books_once,
    beyond_a_limit_nothing_is_stored,
    of_64_racing_claims_only_those_within_the_limit_are_booked,
    a_claim_that_exists_is_told_as_such,
    what_ended_unproven_is_a_bad_debt_until_the_chain_shows_it_paid,
    what_never_will_be_paid_is_owed_for_good,
    a_payer_who_owes_is_served_on_credit_no_more,
    what_is_refused_too_often_is_set_aside_and_sent_back_by_an_operator,
    a_row_at_which_processes_die_is_set_aside,
    the_first_to_end_is_tried_first_and_one_at_a_time,
    another_facilitator_gets_none_of_it,
    a_payment_that_is_settled_first_is_kept_before_its_answer,
    the_money_moves_then_the_handler_runs_then_the_answer_leaves,
    what_is_paid_and_not_served_is_owed_by_the_payee,
}

pub(crate) const SOON: u64 = 4_000_000_000;
const LONG_AGO: u64 = 1_700_000_000;

fn limits(payer: u64, total: u64) -> ExposureLimits {
    ExposureLimits { payer: payer.into(), total: total.into() }
}

/// Room for all of these tests.
fn roomy() -> ExposureLimits {
    limits(1_000_000_000, 1_000_000_000)
}

pub(crate) fn claim(n: u8, valid_before: u64) -> NewClaim {
    NewClaim { valid_before, ..new_claim(n) }
}

pub(crate) fn answer() -> StoredAnswer {
    StoredAnswer { status: 200, headers: Vec::new(), body: b"sunny".to_vec().into() }
}

pub(crate) async fn booked(ledger: &impl Store, new: &NewClaim) -> Hold {
    let claimed = ledger.claim_deferred(new, LEASE_MS, &request(), roomy()).await.unwrap();
    let DeferredClaim::Claimed(Claimed::Won(hold)) = claimed else { panic!("{claimed:?}") };
    hold
}

async fn granted(ledger: &impl Store, new: &NewClaim) -> Hold {
    let hold = booked(ledger, new).await;
    assert!(ledger.keep_answer(&hold, &answer(), &request()).await.unwrap());
    assert!(ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    hold
}

async fn step(ledger: &impl ClaimStore, hold: &Hold, from: ClaimState, to: ClaimState) -> bool {
    let step =
        ClaimMove { from, to, transaction: None, evidence: json!({ "reason": "handler_failed" }) };
    ledger.move_claim(hold, step).await.unwrap()
}

pub(crate) async fn unsettled(ledger: &impl Store) -> Amount {
    let figures = ledger.queue_figures().await.unwrap();
    figures.exposure.first().map_or(Amount::ZERO, |exposure| exposure.unsettled)
}

pub(crate) async fn due(ledger: &impl Store) -> Vec<Due> {
    ledger.take_due("local", 10, LEASE_MS).await.unwrap()
}

pub(crate) async fn the_due(ledger: &impl Store) -> Due {
    let mut due = due(ledger).await;
    assert_eq!(due.len(), 1, "{due:?}");
    due.remove(0)
}

async fn deferral(ledger: &impl Store, hold: &Hold) -> Option<DeferralState> {
    ledger.find_claim(&hold.key).await.unwrap().unwrap().deferral
}

pub(crate) fn paid() -> Tried {
    Tried::Settled { transaction: "0xfeed".into() }
}

fn again(refused: bool) -> Tried {
    Tried::Again { refused, transaction: None, reason: "why".into(), pause_ms: 0 }
}

async fn what_is_claimed_is_on_the_books_until_it_is_settled(ledger: impl Store) {
    let hold = booked(&ledger, &claim(1, SOON)).await;
    assert_eq!(unsettled(&ledger).await, 10_000.into());
    assert_eq!(ledger.find_request(&hold.key).await.unwrap(), Some(request()), "kept before");
    assert!(ledger.keep_answer(&hold, &answer(), &request()).await.unwrap());
    let kept = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!(kept.state, ClaimState::Deferred);
    assert!(ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap(), "U2");
    let row = the_due(&ledger).await;
    assert_eq!((row.settle_id, row.tries), (hold.settle_id, 0));
    assert_eq!(unsettled(&ledger).await, 10_000.into());
    assert!(ledger.record_try(&row.hold, &paid()).await.unwrap());
    assert_eq!(unsettled(&ledger).await, Amount::ZERO);
    assert!(!ledger.record_try(&row.hold, &paid()).await.unwrap(), "it has ended");
    assert!(!ledger.record_try(&row.hold, &again(false)).await.unwrap());
    assert_eq!(unsettled(&ledger).await, Amount::ZERO, "once");
    let claim = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!((claim.state, claim.deferral), (ClaimState::Granted, Some(DeferralState::Settled)));
    assert_eq!(claim.transaction, "0xfeed");
    assert!(due(&ledger).await.is_empty());
    let journal = ledger.journal(&hold.key).await.unwrap();
    let moves: Vec<_> = journal.into_iter().map(|entry| entry.to_state).collect();
    assert_eq!(moves, ["VERIFIED", "DEFERRED", "GRANTED", "SETTLING", "SETTLED"]);
}

async fn nobody_is_charged_who_was_not_served(ledger: impl Store) {
    let hold = booked(&ledger, &claim(1, SOON)).await;
    assert!(due(&ledger).await.is_empty(), "VERIFIED");
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap(), "there is no answer");
    assert!(ledger.keep_answer(&hold, &answer(), &request()).await.unwrap());
    assert!(due(&ledger).await.is_empty(), "DEFERRED");
    assert_eq!(ledger.expire_deferrals(10).await.unwrap(), 0);
    assert!(ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    assert_eq!(due(&ledger).await.len(), 1);
}

async fn what_was_not_served_leaves_the_books_once(ledger: impl Store) {
    use ClaimState as S;
    let early = booked(&ledger, &claim(1, SOON)).await;
    let late = booked(&ledger, &claim(2, LONG_AGO)).await;
    assert!(ledger.keep_answer(&late, &answer(), &request()).await.unwrap());
    assert_eq!(ledger.expire_deferrals(10).await.unwrap(), 0, "not served, so not owed");
    assert_eq!(unsettled(&ledger).await, 20_000.into());
    assert!(step(&ledger, &early, S::Verified, S::Released).await);
    assert!(!step(&ledger, &early, S::Verified, S::Released).await);
    assert!(step(&ledger, &late, S::Deferred, S::Released).await);
    assert_eq!(unsettled(&ledger).await, Amount::ZERO);
    assert_eq!(deferral(&ledger, &early).await, None);
    // A second epoch is booked anew, or not; it keeps the settle id of the first.
    let again = booked(&ledger, &claim(1, SOON)).await;
    assert_eq!((again.epoch, unsettled(&ledger).await), (1, 10_000.into()));
    assert_eq!(deferral(&ledger, &again).await, Some(DeferralState::Waiting));
    assert_eq!(ledger.find_request(&again.key).await.unwrap(), Some(request()));
    assert!(step(&ledger, &again, S::Verified, S::Released).await);
    let claimed = ledger.claim(&claim(1, SOON), LEASE_MS).await.unwrap();
    let Claimed::Won(third) = claimed else { panic!("{claimed:?}") };
    assert!(ledger.keep_answer(&third, &answer(), &request()).await.unwrap());
    let claim = ledger.find_claim(&third.key).await.unwrap().unwrap();
    assert_eq!((claim.state, claim.deferral), (S::Executed, None));
    assert_eq!(ledger.find_answer(&third.key).await.unwrap(), Some(answer()));
    assert_eq!(unsettled(&ledger).await, Amount::ZERO);
}

async fn beyond_a_limit_nothing_is_stored(ledger: impl Store) {
    let try_claim = async |n, payer: &str, limits| {
        let new = NewClaim { payer: payer.into(), ..claim(n, SOON) };
        ledger.claim_deferred(&new, LEASE_MS, &request(), limits).await.unwrap()
    };
    let refused = try_claim(1, "0xA", limits(9_999, 50_000)).await;
    assert_eq!(refused, DeferredClaim::Refused(NotDeferred::PayerLimit));
    let refused = try_claim(1, "0xA", limits(50_000, 9_999)).await;
    assert_eq!(refused, DeferredClaim::Refused(NotDeferred::TotalLimit));
    assert_eq!(ledger.find_claim(&claim(1, SOON).key).await.unwrap(), None);
    assert!(matches!(try_claim(1, "0xA", limits(10_000, 20_000)).await, DeferredClaim::Claimed(_)));
    // Letter case makes no second payer.
    let refused = try_claim(2, "0xa", limits(19_999, 30_000)).await;
    assert_eq!(refused, DeferredClaim::Refused(NotDeferred::PayerLimit));
    assert!(matches!(try_claim(2, "0xB", limits(19_999, 20_000)).await, DeferredClaim::Claimed(_)));
    let refused = try_claim(3, "0xC", limits(19_999, 29_999)).await;
    assert_eq!(refused, DeferredClaim::Refused(NotDeferred::TotalLimit));
    assert_eq!(ledger.find_claim(&claim(3, SOON).key).await.unwrap(), None);
    assert_eq!(unsettled(&ledger).await, 20_000.into());
    // What was refused takes the ordinary way.
    assert!(matches!(ledger.claim(&claim(3, SOON), LEASE_MS).await.unwrap(), Claimed::Won(_)));
}

async fn of_64_racing_claims_only_those_within_the_limit_are_booked(ledger: impl Store) {
    let racers: Vec<_> = (0..64)
        .map(|n| {
            let ledger = ledger.clone();
            let new = NewClaim { payer: format!("0x{}", n % 2), ..claim(n, SOON) };
            let limits = limits(50_000, 70_000);
            tokio::spawn(async move {
                ledger.claim_deferred(&new, LEASE_MS, &request(), limits).await.unwrap()
            })
        })
        .collect();
    let mut booked = 0_u64;
    for racer in racers {
        booked += u64::from(matches!(racer.await.unwrap(), DeferredClaim::Claimed(_)));
    }
    assert_eq!(booked, 7);
    assert_eq!(unsettled(&ledger).await, (booked * 10_000).into());
}

async fn a_claim_that_exists_is_told_as_such(ledger: impl Store) {
    booked(&ledger, &claim(1, SOON)).await;
    // Also where there would be no room for another one.
    let new = claim(1, SOON);
    let claimed = ledger.claim_deferred(&new, LEASE_MS, &request(), limits(0, 0)).await.unwrap();
    let DeferredClaim::Claimed(Claimed::Exists(claim)) = claimed else { panic!("{claimed:?}") };
    assert_eq!(claim.deferral, Some(DeferralState::Waiting));
    assert_eq!(unsettled(&ledger).await, 10_000.into());
}

async fn what_ended_unproven_is_a_bad_debt_until_the_chain_shows_it_paid(ledger: impl Store) {
    let hold = granted(&ledger, &claim(1, LONG_AGO)).await;
    let row = the_due(&ledger).await;
    assert_eq!(ledger.expire_deferrals(10).await.unwrap(), 1);
    assert_eq!(ledger.expire_deferrals(10).await.unwrap(), 0);
    assert_eq!(deferral(&ledger, &hold).await, Some(DeferralState::BadDebt));
    assert_eq!(unsettled(&ledger).await, Amount::ZERO, "it is a debt now");
    let debt = ledger.find_debt(&hold.key).await.unwrap().unwrap();
    assert_eq!((debt.debtor, debt.amount), (Debtor::Payer, 10_000.into()));
    let open = ledger.open_debts().await.unwrap();
    assert_eq!((open.len(), open[0].count, open[0].amount), (1, 1, 10_000.into()));
    // Whoever was asking all the time has proof after all.
    assert!(ledger.record_try(&row.hold, &again(false)).await.is_ok());
    let watched = the_due(&ledger).await;
    assert_eq!(watched.state, DeferralState::BadDebt);
    assert!(ledger.record_try(&watched.hold, &paid()).await.unwrap());
    assert_eq!(deferral(&ledger, &hold).await, Some(DeferralState::Settled));
    assert_eq!(unsettled(&ledger).await, Amount::ZERO, "it left the books before");
    assert!(ledger.open_debts().await.unwrap().is_empty());
    let debt = ledger.find_debt(&hold.key).await.unwrap().unwrap();
    assert!(debt.closed_unix_ms.is_some());
    assert!(ledger.list_debts(&DebtFilter::default(), 10).await.unwrap().is_empty());
    let all = DebtFilter { closed_too: true, ..DebtFilter::default() };
    assert_eq!(ledger.list_debts(&all, 10).await.unwrap(), [debt]);
}

async fn what_never_will_be_paid_is_owed_for_good(ledger: impl Store) {
    let hold = granted(&ledger, &claim(1, SOON)).await;
    let row = the_due(&ledger).await;
    assert!(ledger.record_try(&row.hold, &Tried::NotCharged).await.unwrap());
    assert_eq!(unsettled(&ledger).await, Amount::ZERO);
    let debt = ledger.find_debt(&hold.key).await.unwrap().unwrap();
    assert_eq!((&*debt.reason, debt.closed_unix_ms), ("NOT_CHARGED", None));
    assert!(due(&ledger).await.is_empty());
}

async fn a_payer_who_owes_is_served_on_credit_no_more(ledger: impl Store) {
    granted(&ledger, &claim(1, LONG_AGO)).await;
    ledger.expire_deferrals(10).await.unwrap();
    let mut next = claim(2, SOON);
    next.payer = next.payer.to_uppercase();
    let refused = ledger.claim_deferred(&next, LEASE_MS, &request(), roomy()).await.unwrap();
    assert_eq!(refused, DeferredClaim::Refused(NotDeferred::OpenDebt));
    assert_eq!(unsettled(&ledger).await, Amount::ZERO);
    let other = NewClaim { payer: "0xother".into(), ..claim(3, SOON) };
    booked(&ledger, &other).await;
    let row = the_due(&ledger).await;
    assert!(ledger.record_try(&row.hold, &paid()).await.unwrap());
    booked(&ledger, &next).await;
}

async fn what_is_refused_too_often_is_set_aside_and_sent_back_by_an_operator(ledger: impl Store) {
    let hold = granted(&ledger, &claim(1, SOON)).await;
    for n in 0..MAX_REFUSALS {
        let row = the_due(&ledger).await;
        assert_eq!(i64::from(row.tries), n * 2);
        assert!(ledger.record_try(&row.hold, &again(true)).await.unwrap());
        if n + 1 < MAX_REFUSALS {
            // Silence is no refusal.
            let row = the_due(&ledger).await;
            assert!(ledger.record_try(&row.hold, &again(false)).await.unwrap());
        }
    }
    assert_eq!(deferral(&ledger, &hold).await, Some(DeferralState::Quarantined));
    assert!(due(&ledger).await.is_empty());
    assert_eq!(ledger.queue_figures().await.unwrap().quarantined, 1);
    assert_eq!(unsettled(&ledger).await, 10_000.into(), "still on the books");
    assert!(ledger.retry_deferral(&hold.key).await.unwrap());
    assert!(!ledger.retry_deferral(&hold.key).await.unwrap());
    let row = the_due(&ledger).await;
    assert!(ledger.record_try(&row.hold, &paid()).await.unwrap());
    assert_eq!(unsettled(&ledger).await, Amount::ZERO);
}

async fn a_row_at_which_processes_die_is_set_aside(ledger: impl Store) {
    let hold = granted(&ledger, &claim(1, SOON)).await;
    for _ in 0..MAX_DEATHS {
        // A lease of no length: its holder is gone.
        assert_eq!(ledger.take_due("local", 10, 0).await.unwrap().len(), 1);
    }
    assert!(ledger.take_due("local", 10, 0).await.unwrap().is_empty());
    assert_eq!(deferral(&ledger, &hold).await, Some(DeferralState::Quarantined));
}

async fn the_first_to_end_is_tried_first_and_one_at_a_time(ledger: impl Store) {
    for (n, ends) in [(1, SOON + 2), (2, SOON), (3, SOON + 1)] {
        granted(&ledger, &claim(n, ends)).await;
    }
    let figures = ledger.queue_figures().await.unwrap();
    assert_eq!(figures.depth, 3);
    let first = ledger.take_due("local", 2, 0).await.unwrap();
    let keys: Vec<_> = first.iter().map(|row| row.hold.key.0[0]).collect();
    assert_eq!(keys, [2, 3]);
    // Their lease has run out; who takes them next is in charge.
    let next = ledger.take_due("local", 10, LEASE_MS).await.unwrap();
    assert_eq!(next.len(), 3);
    assert!(!ledger.record_try(&first[0].hold, &paid()).await.unwrap(), "a zombie");
    assert!(due(&ledger).await.is_empty(), "held");
    let later = Tried::Again {
        refused: false,
        transaction: Some("0xsent".into()),
        reason: "unknown".into(),
        pause_ms: LEASE_MS,
    };
    assert!(ledger.record_try(&next[0].hold, &later).await.unwrap());
    assert!(due(&ledger).await.is_empty(), "not due yet");
    let claim = ledger.find_claim(&next[0].hold.key).await.unwrap().unwrap();
    assert_eq!(claim.transaction, "0xsent");
}

async fn another_facilitator_gets_none_of_it(ledger: impl Store) {
    granted(&ledger, &claim(1, SOON)).await;
    assert!(ledger.take_due("https://elsewhere", 10, LEASE_MS).await.unwrap().is_empty());
    assert_eq!(due(&ledger).await.len(), 1);
}

async fn a_payment_that_is_settled_first_is_kept_before_its_answer(ledger: impl Store) {
    let claimed = ledger.claim(&claim(1, LONG_AGO), LEASE_MS).await.unwrap();
    let Claimed::Won(hold) = claimed else { panic!("{claimed:?}") };
    assert!(ledger.settle_first(&hold, &request()).await.unwrap());
    assert!(!ledger.settle_first(&hold, &request()).await.unwrap());
    let stored = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!(stored.state, ClaimState::Settling);
    assert_eq!(ledger.find_request(&hold.key).await.unwrap(), Some(request()));
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    assert!(!ledger.keep_answer(&hold, &answer(), &request()).await.unwrap(), "nothing ran");
    ledger.forget_answers(0, 10).await.unwrap();
    assert_eq!(ledger.find_request(&hold.key).await.unwrap(), Some(request()), "still needed");
}

async fn the_money_moves_then_the_handler_runs_then_the_answer_leaves(ledger: impl Store) {
    use ClaimState as S;
    let claimed = ledger.claim(&claim(1, SOON), LEASE_MS).await.unwrap();
    let Claimed::Won(hold) = claimed else { panic!("{claimed:?}") };
    assert!(ledger.settle_first(&hold, &request()).await.unwrap());
    assert!(step(&ledger, &hold, S::Settling, S::Settled).await);
    assert!(step(&ledger, &hold, S::Settled, S::Executing).await);
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap(), "there is no answer");
    ledger.let_go(&hold).await.unwrap();
    let next = ledger.take_over(&hold.key, S::Executing, LEASE_MS).await.unwrap().unwrap();
    assert_eq!(next.epoch, 1, "the handler runs again");
    assert!(ledger.keep_answer(&next, &answer(), &request()).await.unwrap());
    assert_eq!(ledger.find_claim(&hold.key).await.unwrap().unwrap().state, S::Answered);
    ledger.let_go(&next).await.unwrap();
    let last = ledger.take_over(&hold.key, S::Answered, LEASE_MS).await.unwrap().unwrap();
    assert_eq!(last.epoch, 1, "nothing runs again");
    assert!(ledger.grant(&last, Uuid::new_v4()).await.unwrap());
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), Some(answer()));
}

async fn what_is_paid_and_not_served_is_owed_by_the_payee(ledger: impl Store) {
    use ClaimState as S;
    let claimed = ledger.claim(&claim(1, SOON), LEASE_MS).await.unwrap();
    let Claimed::Won(hold) = claimed else { panic!("{claimed:?}") };
    for (from, to) in [(S::Verified, S::Settling), (S::Settling, S::Settled)] {
        assert!(step(&ledger, &hold, from, to).await);
    }
    assert!(step(&ledger, &hold, S::Settled, S::Executing).await);
    assert!(step(&ledger, &hold, S::Executing, S::Credit).await);
    let debt = ledger.find_debt(&hold.key).await.unwrap().unwrap();
    assert_eq!((debt.debtor, &*debt.reason), (Debtor::Payee, "handler_failed"));
    // A seller's debt is no reason to distrust the payer.
    booked(&ledger, &claim(2, SOON)).await;
    let owed = DebtFilter { debtor: Some(Debtor::Payer), ..DebtFilter::default() };
    assert!(ledger.list_debts(&owed, 10).await.unwrap().is_empty());
    let by = DebtFilter { payer: Some(debt.payer.to_uppercase()), ..DebtFilter::default() };
    assert_eq!(ledger.list_debts(&by, 10).await.unwrap(), [debt]);
}
