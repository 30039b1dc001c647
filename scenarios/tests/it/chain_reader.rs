//! What the chain itself says happened, read over JSON-RPC by nothing of ours.

use serde_json::{Value, json};

use crate::http;

const BALANCE_OF: &str = "0x70a08231";
/// keccak256 of `Transfer(address,address,uint256)`.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
/// keccak256 of `AuthorizationUsed(address,bytes32)`.
const AUTHORIZATION_USED: &str =
    "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";

/// A token on a chain.
#[derive(Clone, Debug)]
pub(crate) struct ChainReader {
    pub(crate) rpc: String,
    pub(crate) token: String,
}

impl ChainReader {
    pub(crate) fn new(rpc: &str, token: &str) -> Self {
        Self { rpc: rpc.to_owned(), token: token.to_owned() }
    }

    /// One call; panics on an error answer.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = http::post_json(&self.rpc, &body).json();
        assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
        answer["result"].clone()
    }

    /// Balance of the token in atomic units.
    pub(crate) fn balance(&self, account: &str) -> u128 {
        let data = format!("{BALANCE_OF}{}", word(account));
        let params = json!([{"to": self.token, "data": data}, "latest"]);
        number(&self.call("eth_call", &params))
    }

    /// Transfers of the token to `payee`, since the chain began.
    pub(crate) fn transfers_to(&self, payee: &str) -> usize {
        let topic = format!("0x{}", word(payee));
        self.logs(&json!([TRANSFER, null, topic]))
    }

    /// Authorizations of `payer` that were used, since the chain began.
    pub(crate) fn authorizations_used_by(&self, payer: &str) -> usize {
        let topic = format!("0x{}", word(payer));
        self.logs(&json!([AUTHORIZATION_USED, topic]))
    }

    fn logs(&self, topics: &Value) -> usize {
        let filter = json!([{"address": self.token, "fromBlock": "0x0", "topics": topics}]);
        self.call("eth_getLogs", &filter).as_array().unwrap().len()
    }

    /// Transactions of `account`: those in blocks, or with `pending` also those that wait.
    pub(crate) fn transactions_of(&self, account: &str, tag: &str) -> u128 {
        number(&self.call("eth_getTransactionCount", &json!([account, tag])))
    }
}

fn word(address: &str) -> String {
    format!("{:0>64}", address.trim_start_matches("0x").to_lowercase())
}

fn number(value: &Value) -> u128 {
    let text = value.as_str().unwrap().trim_start_matches("0x");
    u128::from_str_radix(text.trim_start_matches('0'), 16).unwrap_or_default()
}
