//! The JSON-RPC methods that are asked, with their parameters.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, hex};
use serde_json::{Value, json};

/// Contract call without a transaction.
pub(crate) const ETH_CALL: &str = "eth_call";
/// Code of an account.
pub(crate) const GET_CODE: &str = "eth_getCode";
/// Number of the newest block.
pub(crate) const BLOCK_NUMBER: &str = "eth_blockNumber";
/// A block's header.
pub(crate) const GET_BLOCK: &str = "eth_getBlockByNumber";
/// Sends signed bytes.
pub(crate) const SEND_RAW: &str = "eth_sendRawTransaction";
/// Receipt of a mined transaction.
pub(crate) const GET_RECEIPT: &str = "eth_getTransactionReceipt";
/// A transaction, mined or waiting.
pub(crate) const GET_TRANSACTION: &str = "eth_getTransactionByHash";
/// Logs by filter.
pub(crate) const GET_LOGS: &str = "eth_getLogs";
/// Number of transactions of an account.
pub(crate) const GET_NONCE: &str = "eth_getTransactionCount";
/// Balance of an account in wei.
pub(crate) const GET_BALANCE: &str = "eth_getBalance";
/// Base fees and tips of the last blocks.
pub(crate) const FEE_HISTORY: &str = "eth_feeHistory";

/// Which chain an endpoint serves.
pub(crate) static CHAIN_ID: LazyLock<Call> = LazyLock::new(|| Call::new("eth_chainId", json!([])));

/// The state that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Of the newest block.
    Latest,
    /// With the transactions of the pool.
    Pending,
    /// Of the newest final block.
    Finalized,
    /// Of the block with this number.
    Number(u64),
}

impl Block {
    fn param(self) -> Value {
        match self {
            Self::Latest => "latest".into(),
            Self::Pending => "pending".into(),
            Self::Finalized => "finalized".into(),
            Self::Number(number) => quantity(number),
        }
    }
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Call {
    /// A call with its parameters, an array.
    pub(crate) fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }

    /// A contract call from `from` with at most `gas`.
    pub(crate) fn eth_call(
        from: Option<Address>,
        to: Address,
        data: &Bytes,
        gas: u64,
        block: Block,
    ) -> Self {
        let mut message = json!({"to": to, "data": data, "gas": quantity(gas)});
        if let (Some(from), Value::Object(members)) = (from, &mut message) {
            members.insert("from".to_owned(), json!(from));
        }
        Self::new(ETH_CALL, json!([message, block.param()]))
    }

    /// Code of an account at the newest block.
    pub(crate) fn code(account: Address) -> Self {
        Self::new(GET_CODE, json!([account, Block::Latest.param()]))
    }

    /// Number of the newest block.
    pub(crate) fn block_number() -> Self {
        Self::new(BLOCK_NUMBER, json!([]))
    }

    /// Header of a block.
    pub(crate) fn block(block: Block) -> Self {
        Self::new(GET_BLOCK, json!([block.param(), false]))
    }

    /// Number of transactions of an account.
    pub(crate) fn nonce(account: Address, block: Block) -> Self {
        Self::new(GET_NONCE, json!([account, block.param()]))
    }

    /// Balance of an account at the newest block.
    pub(crate) fn balance(account: Address) -> Self {
        Self::new(GET_BALANCE, json!([account, Block::Latest.param()]))
    }

    /// Receipt of a transaction.
    pub(crate) fn receipt(transaction: B256) -> Self {
        Self::new(GET_RECEIPT, json!([transaction]))
    }

    /// A transaction.
    pub(crate) fn transaction(transaction: B256) -> Self {
        Self::new(GET_TRANSACTION, json!([transaction]))
    }

    /// Sends signed bytes.
    pub(crate) fn send_raw(raw: &[u8]) -> Self {
        Self::new(SEND_RAW, json!([hex::encode_prefixed(raw)]))
    }

    /// Base fees and the tips at `percentile` of the last `blocks` blocks.
    pub(crate) fn fee_history(blocks: u64, percentile: u8) -> Self {
        Self::new(FEE_HISTORY, json!([quantity(blocks), Block::Latest.param(), [percentile]]))
    }
}

/// A number as JSON-RPC writes it.
pub(crate) fn quantity(number: u64) -> Value {
    format!("{number:#x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_as_nodes_read_them() {
        let to = Address::repeat_byte(0xab);
        let call = Call::eth_call(None, to, &Bytes::from_static(&[1, 2]), 21_000, Block::Latest);
        let want = json!([
            {"to": format!("0x{}", "ab".repeat(20)), "data": "0x0102", "gas": "0x5208"},
            "latest"
        ]);
        let lowercase = serde_json::from_str::<Value>(&call.params.to_string().to_lowercase());
        assert_eq!(lowercase.unwrap(), want);
        let call = Call::eth_call(Some(to), to, &Bytes::new(), 0, Block::Number(255));
        assert_eq!(call.params[1], "0xff");
        assert!(call.params[0]["from"].is_string());
        assert_eq!(Call::block(Block::Finalized).params, json!(["finalized", false]));
        assert_eq!(Call::nonce(to, Block::Pending).params[1], "pending");
        assert_eq!(Call::fee_history(5, 50).params, json!(["0x5", "latest", [50]]));
        assert_eq!(Call::send_raw(&[2, 255]).params, json!(["0x02ff"]));
    }
}
