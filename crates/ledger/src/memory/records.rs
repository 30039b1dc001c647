//! What people read, in memory.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use async_trait::async_trait;
use faregate_protocol::PaymentKey;

use super::MemoryLedger;
use super::rows::Rows;
use crate::LedgerError;
use crate::records::{PaymentFilter, PaymentName, PaymentRecords, PaymentSummary, SentTransaction};

#[async_trait]
impl PaymentRecords for MemoryLedger {
    async fn list_payments(
        &self,
        filter: &PaymentFilter,
        limit: u32,
    ) -> Result<Vec<PaymentSummary>, LedgerError> {
        let (rows, _) = self.open();
        let keys = all_keys(&rows);
        let mut found: Vec<_> = keys.iter().filter_map(|key| summary(&rows, key)).collect();
        found.retain(|payment| fits(filter, payment));
        found.sort_by_key(|payment| (Reverse(payment.updated_unix_ms), payment.key));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn find_payments(
        &self,
        name: &PaymentName,
        limit: u32,
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        let (rows, _) = self.open();
        let (low, high) = name.range();
        let transaction = name.transaction();
        let means = |key: &PaymentKey| {
            let proven = rows.settlements.get(key).and_then(|row| row.evidence.as_ref());
            let claimed = rows.claims.get(key).map(|row| row.transaction.as_str());
            let is_named = !transaction.is_empty()
                && (rows.transactions(key).iter().any(|sent| sent == transaction)
                    || proven.is_some_and(|proof| proof.transaction == transaction)
                    || claimed == Some(transaction));
            (low..=high).contains(&&key.0) || is_named
        };
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(all_keys(&rows).into_iter().filter(means).take(most).collect())
    }

    async fn sent_transactions(
        &self,
        key: &PaymentKey,
    ) -> Result<Vec<SentTransaction>, LedgerError> {
        let (rows, _) = self.open();
        let mut found = Vec::new();
        for ((network, signer, nonce), slot) in &rows.slots {
            let Some(live) = slot.items.get(key) else { continue };
            found.extend(slot.attempts.iter().map(|(order, attempt)| {
                let sent = SentTransaction {
                    transaction: attempt.transaction.clone(),
                    network: network.clone(),
                    signer: signer.clone(),
                    nonce: *nonce,
                    kind: slot.kind,
                    slot: slot.state,
                    live: *live,
                    max_fee_wei: attempt.max_fee_wei,
                    tip_wei: attempt.tip_wei,
                    signed_unix_ms: rows
                        .attempts_made
                        .get(&attempt.transaction)
                        .copied()
                        .unwrap_or_default(),
                };
                (*order, sent)
            }));
        }
        found.sort_by_key(|(order, _)| *order);
        Ok(found.into_iter().map(|(_, sent)| sent).collect())
    }
}

fn all_keys(rows: &Rows) -> BTreeSet<PaymentKey> {
    rows.claims.keys().chain(rows.settlements.keys()).copied().collect()
}

fn summary(rows: &Rows, key: &PaymentKey) -> Option<PaymentSummary> {
    let (claim, settlement) = (rows.claims.get(key), rows.settlements.get(key));
    let proven = settlement.and_then(|row| row.evidence.as_ref());
    let claimed = claim.map(|row| row.transaction.clone()).filter(|known| !known.is_empty());
    let transaction = proven.map(|proof| proof.transaction.clone());
    let transaction = transaction.or(claimed).or_else(|| rows.transactions(key).pop());
    let moved = claim.map(|row| row.updated_at_ms).max(settlement.map(|row| row.updated_at_ms));
    let (network, payer, pay_to, asset, amount) = match (settlement, claim) {
        (Some(row), _) => {
            let new = &row.new;
            (&new.network, &new.payer, &new.pay_to, &new.asset, new.amount)
        }
        (None, Some(row)) => {
            let new = &row.new;
            (&new.network, &new.payer, &new.pay_to, &new.asset, new.amount)
        }
        (None, None) => return None,
    };
    Some(PaymentSummary {
        key: *key,
        claim: claim.map(|row| row.state),
        settlement: settlement.map(|row| row.state),
        network: network.clone(),
        payer: payer.clone(),
        pay_to: pay_to.clone(),
        asset: asset.clone(),
        amount,
        transaction: transaction.unwrap_or_default(),
        updated_unix_ms: moved?,
    })
}

fn fits(filter: &PaymentFilter, payment: &PaymentSummary) -> bool {
    let any_state = filter.claims.is_empty() && filter.settlements.is_empty();
    let state = any_state
        || payment.claim.is_some_and(|state| filter.claims.contains(&state))
        || payment.settlement.is_some_and(|state| filter.settlements.contains(&state));
    let same = |wanted: &Option<String>, found: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
    };
    state
        && filter.network.as_ref().is_none_or(|network| *network == payment.network)
        && same(&filter.payer, &payment.payer)
        && same(&filter.pay_to, &payment.pay_to)
}
