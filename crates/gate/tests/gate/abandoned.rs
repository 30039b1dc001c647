//! Claims as a process leaves them that dies in the middle of a flow.

use faregate_ledger::{ClaimMove, ClaimState, Claimed, Hold, NewClaim, StoredAnswer};
use faregate_protocol::{PaymentPayload, PaymentRequest, PaymentRequirements};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::payment::{PAYER, key, requirements};
use crate::scripted_facilitator::TRANSACTION;
use crate::world::{ORIGIN, World, request};

const GONE: u64 = 1;

/// What a dead process had kept; it holds the secret.
pub(crate) const KEPT: &str = "canary-paid-content, as it was kept";

/// Leaves a claim in `state`, as a process that died there.
pub(crate) async fn left_in(world: &World, payment: &Value, state: ClaimState) -> Uuid {
    left(world, payment, state, true).await
}

/// The same, of a process that kept no answer.
pub(crate) async fn left_unkept_in(world: &World, payment: &Value, state: ClaimState) -> Uuid {
    left(world, payment, state, false).await
}

/// VERIFIED to EXECUTED.
pub(crate) async fn keep(world: &World, payment: &Value, hold: &Hold) {
    let answer = StoredAnswer {
        status: 203,
        headers: vec![
            ("x-kept".to_owned(), b"yes".to_vec()),
            ("cache-control".to_owned(), b"private, no-store".to_vec()),
        ],
        body: KEPT.as_bytes().to_vec().into(),
    };
    let payload: PaymentPayload = serde_json::from_value(payment.clone()).unwrap();
    let request = PaymentRequest::new(payload, requirements());
    assert!(world.store.keep_answer(hold, &answer, &request).await.unwrap());
}

async fn left(world: &World, payment: &Value, state: ClaimState, kept: bool) -> Uuid {
    let (hold, settle_id) = claimed(world, payment, GONE).await;
    use ClaimState as S;
    let way: &[S] = match state {
        S::Verified => &[S::Verified],
        S::Executed => &[S::Verified, S::Executed],
        S::Settling => &[S::Verified, S::Executed, S::Settling],
        S::Settled => &[S::Verified, S::Executed, S::Settling, S::Settled],
        S::Unresolved => &[S::Verified, S::Executed, S::Settling, S::Unresolved],
        other => panic!("no way to {other:?}"),
    };
    for pair in way.windows(2) {
        if kept && pair[1] == S::Executed {
            keep(world, payment, &hold).await;
            continue;
        }
        let transaction = (pair[1] == S::Settled).then(|| TRANSACTION.to_owned());
        let step = ClaimMove { from: pair[0], to: pair[1], transaction, evidence: json!({}) };
        assert!(world.store.move_claim(&hold, step).await.unwrap());
    }
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    settle_id
}

fn valid_before(payment: &Value) -> u64 {
    let text = payment["payload"]["authorization"]["validBefore"].as_str();
    text.unwrap().parse().unwrap()
}

/// Claims a payment for `GET /weather`, as another process would.
pub(crate) async fn claimed(world: &World, payment: &Value, lease_ms: u64) -> (Hold, Uuid) {
    let payload: PaymentPayload = serde_json::from_value(payment.clone()).unwrap();
    let option: PaymentRequirements = requirements();
    let settle_id = Uuid::new_v4();
    let parts = request("GET", "/weather", None).into_parts().0;
    let new = NewClaim {
        key: key(payment),
        settle_id,
        facilitator: "scripted".to_owned(),
        request_fp: faregate_gate::fingerprint(&ORIGIN.parse().unwrap(), "weather", &parts, b""),
        requirements_hash: option.hash().unwrap(),
        payload_hash: payload.signed_hash().unwrap(),
        route: "weather".to_owned(),
        network: option.network.to_string(),
        payer: PAYER.to_owned(),
        pay_to: option.pay_to.clone(),
        asset: option.asset.clone(),
        amount: option.amount,
        valid_before: valid_before(payment),
    };
    let Claimed::Won(hold) = world.store.claim(&new, lease_ms).await.unwrap() else {
        panic!("the key is taken")
    };
    (hold, settle_id)
}
