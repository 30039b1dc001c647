//! Receipts and logs as endpoints write them, read strictly: an odd one is no receipt.

use alloy_primitives::B256;
use serde_json::Value;

use crate::mechanisms::eip3009::evidence::Log;
use crate::rpc::decode;

/// What is needed of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) transaction: B256,
    pub(super) succeeded: bool,
    pub(super) block_number: u64,
    pub(super) block_hash: B256,
    pub(super) gas_used: u64,
    /// In the order of the block.
    pub(super) logs: Vec<Log>,
}

/// A log that was found by a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundLog {
    pub(super) log: Log,
    pub(super) transaction: B256,
    pub(super) block_number: u64,
    pub(super) block_hash: B256,
}

/// Reads the receipt of `transaction`; `None` when it is not one.
pub(super) fn read(value: &Value, transaction: B256) -> Option<Receipt> {
    if decode::hash(value.get("transactionHash")?)? != transaction {
        return None;
    }
    let block_number = decode::u64(value.get("blockNumber")?)?;
    let block_hash = decode::hash(value.get("blockHash")?)?;
    let succeeded = match decode::u64(value.get("status")?)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut logs: Vec<Log> = Vec::new();
    for value in value.get("logs")?.as_array()? {
        let found = read_log(value)?;
        let in_order = logs.last().is_none_or(|last| last.index < found.log.index);
        let belongs = found.transaction == transaction
            && found.block_number == block_number
            && found.block_hash == block_hash;
        if !in_order || !belongs {
            return None;
        }
        logs.push(found.log);
    }
    if !succeeded && !logs.is_empty() {
        return None;
    }
    let gas_used = decode::u64(value.get("gasUsed")?)?;
    Some(Receipt { transaction, succeeded, block_number, block_hash, gas_used, logs })
}

/// Reads one log of a receipt or of a search; `None` for one that was removed by a reorganisation.
pub(super) fn read_log(value: &Value) -> Option<FoundLog> {
    if value.get("removed").is_some_and(|removed| *removed != Value::Bool(false)) {
        return None;
    }
    let topics = value.get("topics")?.as_array()?.iter().map(decode::hash);
    Some(FoundLog {
        log: Log {
            address: decode::address(value.get("address")?)?,
            topics: topics.collect::<Option<_>>()?,
            data: decode::bytes(value.get("data")?)?,
            index: decode::u64(value.get("logIndex")?)?,
        },
        transaction: decode::hash(value.get("transactionHash")?)?,
        block_number: decode::u64(value.get("blockNumber")?)?,
        block_hash: decode::hash(value.get("blockHash")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const HASH: B256 = B256::repeat_byte(0x11);

    fn log(index: u64) -> Value {
        json!({
            "address": format!("0x{}", "aa".repeat(20)),
            "topics": [HASH],
            "data": "0x",
            "logIndex": format!("{index:#x}"),
            "transactionHash": HASH,
            "blockNumber": "0x5",
            "blockHash": B256::repeat_byte(0x22),
            "removed": false,
        })
    }

    fn receipt() -> Value {
        json!({
            "transactionHash": HASH,
            "status": "0x1",
            "blockNumber": "0x5",
            "blockHash": B256::repeat_byte(0x22),
            "gasUsed": "0x5208",
            "logs": [log(3), log(4)],
        })
    }

    #[test]
    fn a_receipt_is_read() {
        let read = read(&receipt(), HASH).unwrap();
        assert!(read.succeeded);
        assert_eq!((read.block_number, read.gas_used), (5, 21_000));
        assert_eq!(read.logs.iter().map(|log| log.index).collect::<Vec<_>>(), [3, 4]);
    }

    type Lie = fn(&mut Value);

    #[test]
    fn e29_odd_receipts_are_no_receipts() {
        let odd: [(&str, Lie); 18] = [
            ("another hash", |r| r["transactionHash"] = json!(B256::ZERO)),
            ("no hash", |r| r["transactionHash"] = json!(null)),
            ("no status", |r| r["status"] = json!(null)),
            ("status 2", |r| r["status"] = json!("0x2")),
            ("status true", |r| r["status"] = json!(true)),
            ("no block (pending)", |r| r["blockNumber"] = json!(null)),
            ("no block hash", |r| r["blockHash"] = json!(null)),
            ("number as number", |r| r["blockNumber"] = json!(5)),
            ("no gas", |r| r["gasUsed"] = json!(null)),
            ("no logs", |r| r["logs"] = json!(null)),
            ("logs of a failure", |r| r["status"] = json!("0x0")),
            ("log order", |r| r["logs"] = json!([log(4), log(3)])),
            ("log twice", |r| r["logs"] = json!([log(4), log(4)])),
            ("log of another block", |r| r["logs"][0]["blockNumber"] = json!("0x6")),
            ("log of another transaction", |r| {
                r["logs"][0]["transactionHash"] = json!(B256::ZERO);
            }),
            ("removed log", |r| r["logs"][0]["removed"] = json!(true)),
            ("long topic", |r| r["logs"][0]["topics"][0] = json!(format!("0x{}", "11".repeat(33)))),
            ("no address", |r| r["logs"][0]["address"] = json!("0x")),
        ];
        for (name, make_odd) in odd {
            let mut value = receipt();
            make_odd(&mut value);
            assert_eq!(read(&value, HASH), None, "{name}");
        }
        for value in [json!(null), json!([]), json!("0x"), json!({})] {
            assert_eq!(read(&value, HASH), None);
        }
    }

    proptest! {
        #[test]
        fn any_member_is_read_without_panic(
            member in prop::sample::select(vec!["transactionHash", "status", "blockNumber", "blockHash", "gasUsed", "logs"]),
            text in "(0x)?[0-9a-f]{0,70}",
        ) {
            let mut value = receipt();
            value[member] = json!(text);
            let _ = read(&value, HASH);
        }
    }
}
