//! `faregate settlements show`: one payment from claim to proof.

use std::process::ExitCode;

use clap::Args;
use faregate_ledger::{
    Claim, ClaimState, DeferralState, JournalEntry, PaymentName, SentTransaction, Settlement,
    StoredAnswer,
};
use faregate_protocol::PaymentKey;
use serde_json::{Value, json};

use super::the_one;
use crate::config::Settings;
use crate::ledger::{self, Access, Ledger};
use crate::place::Place;
use crate::{stdout, wording};

const WEI_PER_GWEI: u128 = 1_000_000_000;
const MS_PER_SECOND: i64 = 1000;

/// What `faregate settlements show` takes.
#[derive(Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// Payment key, at least its first 4 digits, or the hash of its transaction.
    payment: PaymentName,
}

/// All rows of one payment.
struct Story {
    key: PaymentKey,
    claim: Option<Claim>,
    answer: Option<StoredAnswer>,
    settlement: Option<Settlement>,
    sent: Vec<SentTransaction>,
    journal: Vec<JournalEntry>,
}

pub(super) async fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    let ledger = ledger::open(&settings.ledger, Access::Read).await?;
    let story = Story::read(&ledger, &args.payment).await;
    ledger.close().await;
    let story = story?;
    let text = if args.place.json { format!("{}\n", story.json()) } else { story.text(&settings) };
    stdout::write(&text)?;
    Ok(ExitCode::SUCCESS)
}

impl Story {
    async fn read(ledger: &Ledger, name: &PaymentName) -> anyhow::Result<Self> {
        let (records, claims) = (ledger.records(), ledger.claims());
        let key = the_one(&*records, name).await?;
        Ok(Self {
            key,
            claim: claims.find_claim(&key).await?,
            answer: claims.find_answer(&key).await?,
            settlement: ledger.settlements().find_settlement(&key).await?,
            sent: records.sent_transactions(&key).await?,
            journal: claims.journal(&key).await?,
        })
    }

    fn text(&self, settings: &Settings) -> String {
        let mut lines = vec![format!("payment      {}", self.key)];
        let both = self.settlement.as_ref().map(|stored| {
            let new = &stored.new;
            (&new.network, &new.payer, &new.pay_to, &new.asset, new.amount, new.valid_before)
        });
        let both = both.or_else(|| {
            let new = &self.claim.as_ref()?.new;
            Some((&new.network, &new.payer, &new.pay_to, &new.asset, new.amount, new.valid_before))
        });
        if let Some((network, payer, pay_to, asset, amount, valid_before)) = both {
            let amount = wording::amount(settings, network, asset, amount);
            let end = i64::try_from(valid_before).unwrap_or(i64::MAX);
            lines.extend([
                format!("network      {network}"),
                format!("payer        {payer}"),
                format!("pay to       {pay_to}"),
                format!("amount       {amount}"),
                format!("asset        {asset}"),
                format!("valid until  {}", wording::time(end.saturating_mul(MS_PER_SECOND))),
            ]);
        }
        lines.push(self.claim_line());
        if let Some(deferral) = self.claim.as_ref().and_then(|claim| claim.deferral) {
            lines.push(format!("money        {}, follows its answer", deferral.name()));
        }
        lines.push(self.settlement_line());
        for sent in &self.sent {
            lines.push(format!("sent         {}", sent.transaction));
            lines.push(format!("             {}", sent_words(sent)));
        }
        if let Some(proof) = self.settlement.as_ref().and_then(|stored| stored.evidence.as_ref()) {
            lines.push(format!("proof        {}", proof.transaction));
            lines.push(format!(
                "             log {} in block {} {}, {} gas",
                proof.log_index, proof.block_number, proof.block_hash, proof.gas_used
            ));
        }
        lines.push(String::new());
        lines.extend(self.journal.iter().map(move_line));
        lines.push(String::new());
        lines.join("\n")
    }

    fn claim_line(&self) -> String {
        let Some(claim) = &self.claim else {
            return "claim        none: the gate of this payment has another ledger".to_owned();
        };
        let kept = self.answer.as_ref().map_or_else(String::new, |answer| {
            format!(", answer kept: status {}, {} bytes", answer.status, answer.body.size())
        });
        let Claim { state, epoch, new, held, .. } = claim;
        let at_work = *held && !matches!(state, ClaimState::Granted | ClaimState::NotCharged);
        let held = if at_work { ", held by a gate" } else { "" };
        format!("claim        {}, route {}, epoch {epoch}{held}{kept}", state.name(), new.route)
    }

    fn settlement_line(&self) -> String {
        let Some(stored) = &self.settlement else {
            return "settlement   none: nobody asked to settle it, or another facilitator was asked"
                .to_owned();
        };
        let waits = stored.wanted && !stored.state.is_paid() && !stored.state.is_end();
        let wanted = if waits { ", a caller waits" } else { "" };
        format!("settlement   {}, tries {}{wanted}", stored.state.name(), stored.tries)
    }

    fn json(&self) -> Value {
        json!({
            "paymentKey": self.key.to_string(),
            "claim": self.claim.as_ref().map(|claim| json!({
                "state": claim.state.name(), "route": claim.new.route, "epoch": claim.epoch,
                "held": claim.held, "facilitator": claim.new.facilitator,
                "settleId": claim.new.settle_id, "network": claim.new.network,
                "payer": claim.new.payer, "payTo": claim.new.pay_to, "asset": claim.new.asset,
                "amount": claim.new.amount, "validBefore": claim.new.valid_before,
                "transaction": claim.transaction,
                "deferral": claim.deferral.map(DeferralState::name),
            })),
            "answer": self.answer.as_ref().map(|answer| json!({
                "status": answer.status, "bytes": answer.body.size(),
            })),
            "settlement": self.settlement.as_ref().map(|stored| json!({
                "state": stored.state.name(), "tries": stored.tries, "wanted": stored.wanted,
                "settleId": stored.new.settle_id, "network": stored.new.network,
                "payer": stored.new.payer, "payTo": stored.new.pay_to, "asset": stored.new.asset,
                "amount": stored.new.amount, "validBefore": stored.new.valid_before,
                "headAtClaim": stored.new.head_at_claim,
                "proof": stored.evidence.as_ref().map(|proof| json!({
                    "transaction": proof.transaction, "logIndex": proof.log_index,
                    "blockNumber": proof.block_number, "blockHash": proof.block_hash,
                    "gasUsed": proof.gas_used,
                })),
            })),
            "sent": self.sent.iter().map(|sent| json!({
                "transaction": sent.transaction, "signer": sent.signer, "nonce": sent.nonce,
                "kind": sent.kind.name(), "slot": sent.slot.name(), "live": sent.live,
                "maxFeeWei": sent.max_fee_wei.to_string(), "tipWei": sent.tip_wei.to_string(),
                "signedAt": wording::time(sent.signed_unix_ms),
            })).collect::<Vec<_>>(),
            "journal": self.journal.iter().map(|entry| json!({
                "at": wording::time(entry.at_unix_ms), "actor": entry.actor,
                "subject": entry.subject, "from": entry.from_state, "to": entry.to_state,
                "evidence": evidence(entry),
            })).collect::<Vec<_>>(),
        })
    }
}

fn sent_words(sent: &SentTransaction) -> String {
    let gwei = |wei: u128| format!("{}.{:09}", wei / WEI_PER_GWEI, wei % WEI_PER_GWEI);
    format!(
        "by {} with nonce {} ({}, {}), at most {} gwei, tip {}, signed {}",
        sent.signer,
        sent.nonce,
        sent.kind.name(),
        sent.slot.name(),
        gwei(sent.max_fee_wei),
        gwei(sent.tip_wei),
        wording::time(sent.signed_unix_ms)
    )
}

fn move_line(entry: &JournalEntry) -> String {
    let from = if entry.from_state.is_empty() { "-" } else { &entry.from_state };
    let why = match entry.evidence.as_str() {
        "{}" | "null" => "",
        text => text,
    };
    let at = wording::time(entry.at_unix_ms);
    let line = format!(
        "{at}  {:<10}  {:<10}  {from:>11} -> {:<11}  {why}",
        entry.actor, entry.subject, entry.to_state
    );
    line.trim_end().to_owned()
}

fn evidence(entry: &JournalEntry) -> Value {
    serde_json::from_str(&entry.evidence).unwrap_or_else(|_| json!(entry.evidence))
}
