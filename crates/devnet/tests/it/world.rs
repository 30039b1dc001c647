//! A running dev chain with a plain HTTP client, and signers for transactions and payments.

use alloy_consensus::{
    SignableTransaction as _, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message,
};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, hex};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, eip712_domain, sol};
use faregate_devnet::{
    Devnet, DevnetConfig, DevnetHandle,
    accounts::{self, BUYER, DevAccount, FACILITATOR, PAYEE, TOKEN},
};
use serde_json::{Value, json};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }
}

/// The token's functions, as a client sees them.
pub(crate) mod token_abi {
    alloy_sol_types::sol! {
        function name() returns (string);
        function symbol() returns (string);
        function version() returns (string);
        function decimals() returns (uint8);
        function totalSupply() returns (uint256);
        function balanceOf(address account) returns (uint256);
        function allowance(address holder, address spender) returns (uint256);
        function nonces(address holder) returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) returns (bool);
        function DOMAIN_SEPARATOR() returns (bytes32);
        function TRANSFER_WITH_AUTHORIZATION_TYPEHASH() returns (bytes32);
        function RECEIVE_WITH_AUTHORIZATION_TYPEHASH() returns (bytes32);
        function CANCEL_AUTHORIZATION_TYPEHASH() returns (bytes32);
        function PERMIT_TYPEHASH() returns (bytes32);
        function isBlacklisted(address account) returns (bool);
        function paused() returns (bool);
        function transfer(address to, uint256 value) returns (bool);
        function transferFrom(address from, address to, uint256 value) returns (bool);
        function approve(address spender, uint256 value) returns (bool);
        function mint(address to, uint256 amount) returns (bool);
        function blacklist(address account);
        function unBlacklist(address account);
        function pause();
        function unpause();
    }

    /// Functions that take a signature as v, r, s.
    pub(crate) mod split {
        alloy_sol_types::sol! {
            function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
            function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
            function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
            function permit(address holder, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s);
        }
    }

    /// Functions that take a signature as bytes.
    pub(crate) mod packed {
        alloy_sol_types::sol! {
            function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature);
            function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature);
            function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature);
            function permit(address holder, address spender, uint256 value, uint256 deadline, bytes signature);
        }
    }
}

/// An address that nobody uses.
pub(crate) const STRANGER: Address = address!("0x00000000000000000000000000000000deadbeef");
/// Enough gas for everything here.
pub(crate) const GAS: u64 = 300_000;
/// A fee cap far above the base fee, in wei.
pub(crate) const FEE: u128 = 10_000_000_000;

/// A dev chain and a client.
pub(crate) struct World {
    pub(crate) chain: DevnetHandle,
    client: reqwest::Client,
}

/// What the server answered instead of a result.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Value,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(DevnetConfig::default()).await
    }

    pub(crate) async fn with(config: DevnetConfig) -> Self {
        let chain = Devnet::start(config).await.unwrap();
        Self { chain, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Sends a body as it is.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::Response {
        self.client.post(self.chain.url()).body(body).send().await.unwrap()
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) async fn try_rpc(&self, method: &str, params: Value) -> Result<Value, Refused> {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let reply: Value = self.post(body.to_string()).await.json().await.unwrap();
        assert_eq!((&reply["jsonrpc"], &reply["id"]), (&json!("2.0"), &json!(7)));
        match reply.get("error") {
            None => Ok(reply["result"].clone()),
            Some(error) => Err(Refused {
                code: error["code"].as_i64().unwrap(),
                message: error["message"].as_str().unwrap().to_owned(),
                data: error["data"].clone(),
            }),
        }
    }

    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        self.try_rpc(method, params).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    pub(crate) async fn number(&self, method: &str, params: Value) -> u64 {
        quantity(&self.rpc(method, params).await)
    }

    /// Calls a view function.
    pub(crate) async fn ask<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let data = hex::encode_prefixed(call.abi_encode());
        let output = self.rpc("eth_call", json!([{ "to": to, "data": data }, "latest"])).await;
        C::abi_decode_returns(&hex::decode(output.as_str().unwrap()).unwrap()).unwrap()
    }

    pub(crate) async fn dollars(&self, holder: Address) -> U256 {
        self.ask(TOKEN, token_abi::balanceOfCall { account: holder }).await
    }

    /// Sends a call as a transaction of this account; it is mined at once. Returns the receipt.
    pub(crate) async fn send(
        &self,
        from: DevAccount,
        to: Address,
        data: impl Into<Bytes>,
    ) -> Value {
        let raw = sign(from, &self.transaction(from, to, data).await);
        let hash = self.send_raw(&raw).await;
        self.rpc("eth_getTransactionReceipt", json!([hash])).await
    }

    pub(crate) async fn send_raw(&self, raw: &Bytes) -> B256 {
        self.try_send(raw).await.unwrap()
    }

    pub(crate) async fn try_send(&self, raw: &Bytes) -> Result<B256, Refused> {
        let hash = self.try_rpc("eth_sendRawTransaction", json!([raw])).await?;
        Ok(hash.as_str().unwrap().parse().unwrap())
    }

    /// The next transaction of an account.
    pub(crate) async fn transaction(
        &self,
        from: DevAccount,
        to: Address,
        data: impl Into<Bytes>,
    ) -> TxEip1559 {
        let count = self.number("eth_getTransactionCount", json!([from.address, "pending"])).await;
        TxEip1559 {
            chain_id: accounts::CHAIN_ID,
            nonce: count,
            gas_limit: GAS,
            max_fee_per_gas: FEE,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: data.into(),
        }
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Value {
        self.rpc("eth_getTransactionReceipt", json!([hash])).await
    }
}

/// A plain transfer of one wei, for tests of the pool.
pub(crate) fn transfer(nonce: u64, max_fee: u128, tip: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: accounts::CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(STRANGER),
        value: U256::from(1),
        access_list: Default::default(),
        input: Bytes::new(),
    }
}

/// The raw bytes of a transaction signed by this account.
pub(crate) fn sign(from: DevAccount, transaction: &TxEip1559) -> Bytes {
    let signature = sign_digest(from, transaction.signature_hash());
    let envelope: TxEnvelope = transaction.clone().into_signed(signature).into();
    envelope.encoded_2718().into()
}

pub(crate) fn sign_digest(by: DevAccount, digest: B256) -> Signature {
    sign_message(by.private_key, digest).unwrap()
}

pub(crate) fn quantity(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("not a quantity: {value}"));
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// The EIP-712 domain of a token at this address.
pub(crate) fn domain(token: Address) -> Eip712Domain {
    eip712_domain! {
        name: "USDC",
        version: "2",
        chain_id: accounts::CHAIN_ID,
        verifying_contract: token,
    }
}

/// A payment of the buyer to the payee.
pub(crate) fn authorization(nonce: u8) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: BUYER.address,
        to: PAYEE.address,
        value: U256::from(10_000),
        validAfter: U256::ZERO,
        validBefore: U256::from(u64::MAX),
        nonce: B256::repeat_byte(nonce),
    }
}

/// Signs any EIP-712 struct for the token at this address.
pub(crate) fn sign_for<S: SolStruct>(by: DevAccount, token: Address, content: &S) -> Signature {
    sign_digest(by, content.eip712_signing_hash(&domain(token)))
}

/// 27 or 28.
pub(crate) fn v(signature: &Signature) -> u8 {
    27 + u8::from(signature.v())
}

/// `transferWithAuthorization` with v, r, s.
pub(crate) fn pay_split(
    authorization: &TransferWithAuthorization,
    signature: &Signature,
) -> Vec<u8> {
    token_abi::split::transferWithAuthorizationCall {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value,
        validAfter: authorization.validAfter,
        validBefore: authorization.validBefore,
        nonce: authorization.nonce,
        v: v(signature),
        r: signature.r().into(),
        s: signature.s().into(),
    }
    .abi_encode()
}

/// `transferWithAuthorization` with signature bytes.
pub(crate) fn pay_packed(authorization: &TransferWithAuthorization, signature: &[u8]) -> Vec<u8> {
    token_abi::packed::transferWithAuthorizationCall {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value,
        validAfter: authorization.validAfter,
        validBefore: authorization.validBefore,
        nonce: authorization.nonce,
        signature: signature.to_vec().into(),
    }
    .abi_encode()
}

/// The facilitator's simulation of a call to the token; the revert text if it fails.
pub(crate) async fn simulate(world: &World, token: Address, data: &[u8]) -> Result<(), String> {
    let call = json!({
        "from": FACILITATOR.address, "to": token, "data": hex::encode_prefixed(data),
    });
    match world.try_rpc("eth_call", json!([call, "latest"])).await {
        Ok(_) => Ok(()),
        Err(refused) => {
            assert_eq!(refused.code, 3);
            assert!(refused.data.as_str().unwrap().starts_with("0x08c379a0"));
            Err(refused.message.strip_prefix("execution reverted: ").unwrap().to_owned())
        }
    }
}
