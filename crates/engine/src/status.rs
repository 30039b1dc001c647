//! What the engine tells of a settlement by its payment key.

use faregate_ledger::{Settlement, SettlementState as State};
use faregate_protocol::facilitator::BoxFuture;
use faregate_protocol::settlement_status::{
    SettledPayment, SettlementLookup, SettlementOutcome, SettlementProof, SettlementStatus,
};
use faregate_protocol::{FacilitatorError, PaymentKey, Reason};

use crate::Engine;

impl SettlementLookup for Engine {
    fn settlement<'a>(
        &'a self,
        key: &'a PaymentKey,
    ) -> BoxFuture<'a, Result<Option<SettlementStatus>, FacilitatorError>> {
        Box::pin(async move {
            let stored = self.store.find_settlement(key).await.map_err(|error| {
                tracing::warn!(%error, payment = key.short(), "looked up without the ledger");
                FacilitatorError::Unavailable(Reason::LedgerUnavailable.code())
            })?;
            Ok(stored.map(status))
        })
    }
}

fn status(stored: Settlement) -> SettlementStatus {
    let outcome = match stored.state {
        State::Mined | State::Final => SettlementOutcome::Paid,
        State::Dead => SettlementOutcome::NotCharged,
        _ => SettlementOutcome::Pending,
    };
    // Bytes that have not left the process are nobody else's business yet.
    let unsent = matches!(stored.state, State::Reserved | State::Signed | State::Dormant);
    let proof = stored.evidence.map(|proof| SettlementProof {
        transaction: proof.transaction,
        block_number: proof.block_number,
        block_hash: proof.block_hash,
        log_index: proof.log_index,
    });
    let new = stored.new;
    SettlementStatus {
        payment_key: new.key.to_string(),
        outcome,
        is_final: stored.state.is_end(),
        state: stored.state.name().to_owned(),
        network: new.request.payment_requirements.network,
        transactions: if unsent { Vec::new() } else { stored.transactions },
        proof,
        payment: Some(SettledPayment {
            payer: new.payer,
            pay_to: new.pay_to,
            asset: new.asset,
            amount: new.amount,
        }),
    }
}
