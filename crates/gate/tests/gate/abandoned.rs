//! Claims as a process leaves them that dies in the middle of a flow.

use faregate_ledger::{ClaimMove, ClaimState, Claimed, Hold, NewClaim};
use faregate_protocol::{PaymentPayload, PaymentRequirements};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::payment::{PAYER, key, now, requirements};
use crate::scripted_facilitator::TRANSACTION;
use crate::world::{ORIGIN, World, request};

const GONE: u64 = 1;

/// Leaves a claim in `state`, as a process that died there.
pub(crate) async fn left_in(world: &World, payment: &Value, state: ClaimState) -> Uuid {
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
        let transaction = (pair[1] == S::Settled).then(|| TRANSACTION.to_owned());
        let step = ClaimMove { from: pair[0], to: pair[1], transaction, evidence: json!({}) };
        assert!(world.store.move_claim(&hold, step).await.unwrap());
    }
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    settle_id
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
        valid_before: now() + 200,
    };
    let Claimed::Won(hold) = world.store.claim(&new, lease_ms).await.unwrap() else {
        panic!("the key is taken")
    };
    (hold, settle_id)
}
