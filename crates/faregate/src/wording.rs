//! How times, amounts and rows of the ledger are written for people and for programs.

use std::time::{Duration, UNIX_EPOCH};

use faregate_ledger::PaymentSummary;
use faregate_protocol::Amount;
use serde_json::{Value, json};

use crate::config::Settings;

/// RFC 3339 in UTC, with milliseconds.
pub(crate) fn time(unix_ms: i64) -> String {
    let since = Duration::from_millis(unix_ms.max(0).unsigned_abs());
    match UNIX_EPOCH.checked_add(since) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => unix_ms.to_string(),
    }
}

/// `0.01 USDC (10000 atomic units)`, or the second part alone for a token that is not configured.
pub(crate) fn amount(settings: &Settings, network: &str, asset: &str, amount: Amount) -> String {
    let mut chains = settings.chains.iter().filter(|chain| chain.network.as_str() == network);
    let known = chains
        .find_map(|chain| chain.assets.iter().find(|a| a.address.eq_ignore_ascii_case(asset)));
    match known {
        Some(token) => {
            let tokens = amount.in_tokens(token.decimals);
            format!("{tokens} {} ({amount} atomic units)", token.symbol)
        }
        None => format!("{amount} atomic units"),
    }
}

/// The shape of one payment in JSON, for `ls` and `show` alike.
pub(crate) fn summary_json(payment: &PaymentSummary) -> Value {
    json!({
        "paymentKey": payment.key.to_string(),
        "claim": payment.claim.map(faregate_ledger::ClaimState::name),
        "settlement": payment.settlement.map(faregate_ledger::SettlementState::name),
        "network": payment.network,
        "payer": payment.payer,
        "payTo": payment.pay_to,
        "asset": payment.asset,
        "amount": payment.amount,
        "transaction": payment.transaction,
        "updatedAt": time(payment.updated_unix_ms),
    })
}
