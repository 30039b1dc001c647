//! The JSON-RPC methods that are asked, with their parameters.

use std::fmt::Write as _;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, hex};
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
/// Receipts of all transactions of a block.
pub(crate) const GET_BLOCK_RECEIPTS: &str = "eth_getBlockReceipts";
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
/// What a node would offer for gas on a chain without base fees.
pub(crate) const GAS_PRICE: &str = "eth_gasPrice";

/// Which chain an endpoint serves.
pub(crate) static CHAIN_ID: LazyLock<Call> = LazyLock::new(|| Call::new("eth_chainId", &json!([])));

/// Room for the parameters of a contract call, without its data.
const ETH_CALL_CHARS: usize = 200;
/// Room for an account and a block.
const ACCOUNT_CHARS: usize = 72;

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
    fn write(self, text: &mut String) {
        match self {
            Self::Latest => text.push_str("\"latest\""),
            Self::Pending => text.push_str("\"pending\""),
            Self::Finalized => text.push_str("\"finalized\""),
            Self::Number(number) => write_quantity(text, number),
        }
    }
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// A JSON array.
    pub(crate) params: String,
}

impl Call {
    /// A call with its parameters, an array.
    pub(crate) fn new(method: &'static str, params: &Value) -> Self {
        Self { method, params: params.to_string() }
    }

    /// A contract call from `from` with at most `gas`.
    pub(crate) fn eth_call(
        from: Option<Address>,
        to: Address,
        data: &[u8],
        gas: u64,
        block: Block,
    ) -> Self {
        let mut params = String::with_capacity(ETH_CALL_CHARS + 2 * data.len());
        params.push_str("[{\"to\":");
        write_hex(&mut params, to.as_slice());
        params.push_str(",\"data\":");
        write_hex(&mut params, data);
        params.push_str(",\"gas\":");
        write_quantity(&mut params, gas);
        if let Some(from) = from {
            params.push_str(",\"from\":");
            write_hex(&mut params, from.as_slice());
        }
        params.push_str("},");
        block.write(&mut params);
        params.push(']');
        Self { method: ETH_CALL, params }
    }

    /// A call from `account` to itself at the newest block, with at most `gas`, as if its code were
    /// `code`.
    pub(crate) fn eth_call_as(account: Address, code: &[u8], data: &[u8], gas: u64) -> Self {
        let mut call = Self::eth_call(Some(account), account, data, gas, Block::Latest);
        let params = &mut call.params;
        params.pop();
        params.push_str(",{");
        write_hex(params, account.as_slice());
        params.push_str(":{\"code\":");
        write_hex(params, code);
        params.push_str("}}]");
        call
    }

    /// Code of an account at the newest block.
    pub(crate) fn code(account: Address) -> Self {
        Self::of_account(GET_CODE, account, Block::Latest)
    }

    /// Number of the newest block.
    pub(crate) fn block_number() -> Self {
        Self { method: BLOCK_NUMBER, params: "[]".to_owned() }
    }

    /// Header of a block.
    pub(crate) fn block(block: Block) -> Self {
        let mut params = "[".to_owned();
        block.write(&mut params);
        params.push_str(",false]");
        Self { method: GET_BLOCK, params }
    }

    /// Number of transactions of an account.
    pub(crate) fn nonce(account: Address, block: Block) -> Self {
        Self::of_account(GET_NONCE, account, block)
    }

    /// Balance of an account at the newest block.
    pub(crate) fn balance(account: Address) -> Self {
        Self::of_account(GET_BALANCE, account, Block::Latest)
    }

    /// Receipt of a transaction.
    pub(crate) fn receipt(transaction: B256) -> Self {
        Self::of_bytes(GET_RECEIPT, transaction.as_slice())
    }

    /// Receipts of all transactions of a block.
    pub(crate) fn block_receipts(block: u64) -> Self {
        let mut params = "[".to_owned();
        Block::Number(block).write(&mut params);
        params.push(']');
        Self { method: GET_BLOCK_RECEIPTS, params }
    }

    /// A transaction.
    pub(crate) fn transaction(transaction: B256) -> Self {
        Self::of_bytes(GET_TRANSACTION, transaction.as_slice())
    }

    /// Sends signed bytes.
    pub(crate) fn send_raw(raw: &[u8]) -> Self {
        Self::of_bytes(SEND_RAW, raw)
    }

    /// Base fees and the tips at `percentile` of the last `blocks` blocks.
    pub(crate) fn fee_history(blocks: u64, percentile: u8) -> Self {
        Self::new(FEE_HISTORY, &json!([quantity(blocks), "latest", [percentile]]))
    }

    /// What the node would offer for gas.
    pub(crate) fn gas_price() -> Self {
        Self { method: GAS_PRICE, params: "[]".to_owned() }
    }

    fn of_account(method: &'static str, account: Address, block: Block) -> Self {
        let mut params = String::with_capacity(ACCOUNT_CHARS);
        params.push('[');
        write_hex(&mut params, account.as_slice());
        params.push(',');
        block.write(&mut params);
        params.push(']');
        Self { method, params }
    }

    fn of_bytes(method: &'static str, bytes: &[u8]) -> Self {
        let mut params = "[".to_owned();
        write_hex(&mut params, bytes);
        params.push(']');
        Self { method, params }
    }
}

/// A number as JSON-RPC writes it.
pub(crate) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn write_quantity(text: &mut String, number: u64) {
    // Writing to a string does not fail.
    let _ = write!(text, "\"{number:#x}\"");
}

fn write_hex(text: &mut String, bytes: &[u8]) {
    const AT_ONCE: usize = 256;
    let mut digits = [0_u8; 2 * AT_ONCE];
    text.push_str("\"0x");
    for bytes in bytes.chunks(AT_ONCE) {
        // The buffer takes a whole chunk.
        let written = hex::encode_to_str(bytes, &mut digits[..2 * bytes.len()]);
        text.push_str(written.unwrap_or_default());
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(call: &Call) -> Value {
        serde_json::from_str(&call.params).unwrap()
    }

    #[test]
    fn parameters_are_written_as_nodes_read_them() {
        let to = Address::repeat_byte(0xab);
        let call = Call::eth_call(None, to, &[1, 2], 21_000, Block::Latest);
        let account = format!("0x{}", "ab".repeat(20));
        let want = json!([{"to": account, "data": "0x0102", "gas": "0x5208"}, "latest"]);
        assert_eq!(params(&call), want);
        let call = Call::eth_call(Some(to), to, &[], 0, Block::Number(255));
        let want = json!([{"to": account, "data": "0x", "gas": "0x0", "from": account}, "0xff"]);
        assert_eq!(params(&call), want);
        let call = Call::eth_call_as(to, &[0xfe], &[3], 1);
        let asked = json!({"to": account, "data": "0x03", "gas": "0x1", "from": account});
        assert_eq!(params(&call), json!([asked, "latest", {&account: {"code": "0xfe"}}]));
        assert_eq!(params(&Call::block(Block::Finalized)), json!(["finalized", false]));
        assert_eq!(params(&Call::block_number()), json!([]));
        assert_eq!(params(&Call::code(to)), json!([account, "latest"]));
        assert_eq!(params(&Call::balance(to)), json!([account, "latest"]));
        assert_eq!(params(&Call::nonce(to, Block::Pending)), json!([account, "pending"]));
        assert_eq!(params(&Call::fee_history(5, 50)), json!(["0x5", "latest", [50]]));
        assert_eq!(params(&Call::send_raw(&[2, 255])), json!(["0x02ff"]));
        assert_eq!(params(&Call::block_receipts(17)), json!(["0x11"]));
        let hash = format!("0x{}", "cd".repeat(32));
        assert_eq!(params(&Call::receipt(B256::repeat_byte(0xcd))), json!([hash]));
        assert_eq!(params(&Call::transaction(B256::repeat_byte(0xcd))), json!([hash]));
    }

    #[test]
    fn long_bytes_are_written_whole() {
        for length in [0, 1, 255, 256, 257, 5000] {
            let raw: Vec<u8> = (0..length).map(|n: usize| n.to_le_bytes()[0]).collect();
            let want = json!([hex::encode_prefixed(&raw)]);
            assert_eq!(params(&Call::send_raw(&raw)), want, "{length}");
        }
    }
}
