//! What the chain says afterwards: which payments moved money, in how many transactions, for how
//! much gas.

use std::collections::HashSet;
use std::time::Instant;

use alloy_primitives::{Address, B256, keccak256};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::connection::Connection;
use crate::error::BenchError;
use crate::limits::{POLL, TRANSFERS};
use crate::requests::Target;
use crate::world::World;

/// Payer and nonce of an authorization.
pub(crate) type Authorization = (Address, B256);

/// The books of the chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    /// Authorizations that were used in a transaction that also moved money of their payer to the
    /// payee.
    pub(crate) paid: HashSet<Authorization>,
    /// Transactions, failed ones too.
    pub(crate) transactions: u64,
    /// Gas of all of them.
    pub(crate) gas: u64,
    /// When the last accepted payment was seen there, if all were.
    pub(crate) complete_at: Option<Instant>,
}

#[derive(Deserialize)]
struct Reply {
    result: Option<Vec<Receipt>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    gas_used: String,
    logs: Vec<Log>,
}

#[derive(Deserialize)]
struct Log {
    address: Address,
    topics: Vec<B256>,
}

/// Reads the chain from its first block on, until every accepted payment is there or there was
/// none for too long.
pub(crate) async fn audit(
    world: &World,
    token: Address,
    pay_to: Address,
    accepted: &[Authorization],
) -> Result<Audit, BenchError> {
    // Not through the proxy: this is not what is measured.
    let url = Url::parse(&world.chain.url());
    let url = url.map_err(|error| BenchError::Unexpected(error.to_string()))?;
    let target = Target::of(&url)?;
    let mut connection = Connection::to(target.address);
    let (mut audit, mut next, mut moved_at) = (Audit::default(), 1, Instant::now());
    let mut missing: HashSet<_> = accepted.iter().copied().collect();
    loop {
        while next <= world.chain.block_number() {
            let block = receipts(&mut connection, &target, next).await?;
            block.iter().for_each(|receipt| audit.add(receipt, token, pay_to));
            next += 1;
        }
        let before = missing.len();
        missing.retain(|payment| !audit.paid.contains(payment));
        if missing.is_empty() {
            audit.complete_at = Some(Instant::now());
            return Ok(audit);
        }
        if missing.len() < before {
            moved_at = Instant::now();
        }
        if moved_at.elapsed() > TRANSFERS {
            return Ok(audit);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn receipts(
    connection: &mut Connection,
    target: &Target,
    block: u64,
) -> Result<Vec<Receipt>, BenchError> {
    let number = format!("{block:#x}");
    let call =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockReceipts", "params": [number] });
    let request = target.post_below("", call.to_string().as_bytes());
    let answer = connection.exchange(&request).await.map_err(BenchError::io("the chain"))?;
    let reply = serde_json::from_slice::<Reply>(answer.body).ok().and_then(|reply| reply.result);
    reply.ok_or_else(|| {
        BenchError::Unexpected(format!("the chain has no receipts of block {block}"))
    })
}

impl Audit {
    fn add(&mut self, receipt: &Receipt, token: Address, pay_to: Address) {
        let (used, transfer) = (
            keccak256("AuthorizationUsed(address,bytes32)"),
            keccak256("Transfer(address,address,uint256)"),
        );
        self.transactions += 1;
        let gas = receipt.gas_used.trim_start_matches("0x");
        self.gas += u64::from_str_radix(gas, 16).unwrap_or_default();
        let logs = || receipt.logs.iter().filter(|log| log.address == token);
        let paying: HashSet<Address> = logs()
            .filter_map(|log| match log.topics.as_slice() {
                [topic, from, to] if *topic == transfer && Address::from_word(*to) == pay_to => {
                    Some(Address::from_word(*from))
                }
                _ => None,
            })
            .collect();
        for log in logs() {
            if let [topic, payer, nonce] = log.topics.as_slice()
                && *topic == used
                && paying.contains(&Address::from_word(*payer))
            {
                self.paid.insert((Address::from_word(*payer), *nonce));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_moved_where_both_logs_of_the_token_are() {
        let [token, payee, payer, other] = [1, 2, 3, 4].map(Address::repeat_byte);
        let nonce = B256::repeat_byte(9);
        let log = |address: Address, name: &str, topics: [B256; 2]| Log {
            address,
            topics: vec![keccak256(name), topics[0], topics[1]],
        };
        let used = || log(token, "AuthorizationUsed(address,bytes32)", [payer.into_word(), nonce]);
        let transfer = |address: Address, from: Address, to: Address| {
            let parties = [from.into_word(), to.into_word()];
            log(address, "Transfer(address,address,uint256)", parties)
        };
        for (logs, paid) in [
            (vec![used(), transfer(token, payer, payee)], 1),
            (vec![used()], 0),
            (vec![transfer(token, payer, payee)], 0),
            (vec![used(), transfer(other, payer, payee)], 0),
            (vec![used(), transfer(token, other, payee)], 0),
            (vec![used(), transfer(token, payer, other)], 0),
        ] {
            let mut audit = Audit::default();
            audit.add(&Receipt { gas_used: "0x10".to_owned(), logs }, token, payee);
            assert_eq!((audit.paid.len(), audit.transactions, audit.gas), (paid, 1, 16));
            assert_eq!(audit.paid.contains(&(payer, nonce)), paid == 1);
        }
    }
}
