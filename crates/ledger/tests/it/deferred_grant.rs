//! The answer of a payment whose money is on the books is kept by the write that grants it.

use faregate_ledger::{
    BodyParts, ClaimState, Claimed, DeferralState, Hold, LedgerError, StoredAnswer, StoredBody,
};
use faregate_protocol::Amount;
use uuid::Uuid;

use crate::deferral::{SOON, answer, booked, claim, due, paid, the_due, unsettled};
use crate::samples::{LEASE_MS, request};
use crate::stores::{Store, on_every_store};

on_every_store! {
    an_answer_is_kept_and_granted_in_one_write,
    in_one_write_nothing_is_granted_that_is_not_on_the_books_or_not_all_there,
}

async fn an_answer_is_kept_and_granted_in_one_write(ledger: impl Store) {
    let hold = booked(&ledger, &claim(1, SOON)).await;
    let stranger = Hold { token: hold.token + 1, ..hold };
    assert!(!ledger.grant_deferred(&stranger, &answer(), Uuid::new_v4()).await.unwrap());
    assert!(due(&ledger).await.is_empty(), "VERIFIED");
    assert!(ledger.grant_deferred(&hold, &answer(), Uuid::new_v4()).await.unwrap());
    assert!(!ledger.grant_deferred(&hold, &answer(), Uuid::new_v4()).await.unwrap(), "U2");
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap(), "U2");
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), Some(answer()));
    assert_eq!(ledger.find_request(&hold.key).await.unwrap(), Some(request()));
    let row = the_due(&ledger).await;
    assert!(ledger.record_try(&row.hold, &paid()).await.unwrap());
    assert_eq!(unsettled(&ledger).await, Amount::ZERO);
    let journal = ledger.journal(&hold.key).await.unwrap();
    let moves: Vec<_> = journal.into_iter().map(|entry| entry.to_state).collect();
    assert_eq!(moves, ["VERIFIED", "DEFERRED", "GRANTED", "SETTLING", "SETTLED"]);
}

async fn in_one_write_nothing_is_granted_that_is_not_on_the_books_or_not_all_there(
    ledger: impl Store,
) {
    let Claimed::Won(hold) = ledger.claim(&claim(1, SOON), LEASE_MS).await.unwrap() else {
        panic!("nobody else claims");
    };
    assert!(!ledger.grant_deferred(&hold, &answer(), Uuid::new_v4()).await.unwrap());
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    let hold = booked(&ledger, &claim(2, SOON)).await;
    let body = BodyParts { epoch: hold.epoch, count: 2, bytes: 5 };
    let in_parts = StoredAnswer { body: StoredBody::Parts(body), ..answer() };
    assert!(ledger.keep_part(&hold, 0, b"sun".to_vec()).await.unwrap());
    let half = ledger.grant_deferred(&hold, &in_parts, Uuid::new_v4()).await;
    assert!(matches!(half, Err(LedgerError::Corrupt { .. })), "{half:?}");
    let there = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!((there.state, there.deferral), (ClaimState::Verified, Some(DeferralState::Waiting)));
    assert!(ledger.keep_part(&hold, 1, b"ny".to_vec()).await.unwrap());
    assert!(ledger.grant_deferred(&hold, &in_parts, Uuid::new_v4()).await.unwrap());
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), Some(in_parts));
    assert_eq!(due(&ledger).await.len(), 1);
}
