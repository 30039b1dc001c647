//! Calls that change nothing.

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, U256};
use revm::context_interface::transaction::{Authorization, SignedAuthorization};
use serde_json::{Map, Value, json};

use super::{
    Answer, RpcError,
    hex::{data, quantity},
    params::{self, Params, array, member, object, read, wrong},
    render,
};
use crate::{
    call::{
        CallContext, CallRequest,
        overrides::{AccountOverride, BlockOverrides, StateOverrides, StorageOverride},
        simulate::{SimulatedBlock, SimulatedOutcome},
    },
    error::ChainError,
    evm::Outcome,
    limits::{MAX_SIMULATED_BLOCKS, MAX_SIMULATED_CALLS},
    node::Node,
};

/// Answers the methods of this file.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "eth_call" => eth_call(node, params),
        "eth_estimateGas" => estimate(node, params),
        "eth_simulateV1" => simulate(node, params),
        _ => return None,
    })
}

fn eth_call(node: &Node, params: &Params) -> Answer {
    params.at_most(4)?;
    let (request, context) = (call_request(params.required(0)?)?, call_context(params)?);
    Ok(data(node.read().call(&request, &context)?))
}

fn estimate(node: &Node, params: &Params) -> Answer {
    params.at_most(4)?;
    let (request, context) = (call_request(params.required(0)?)?, call_context(params)?);
    Ok(quantity(node.read().estimate(&request, &context)?))
}

fn call_context(params: &Params) -> Result<CallContext, RpcError> {
    Ok(CallContext {
        at: params.block(1)?,
        state: params.optional(2).map_or(Ok(StateOverrides::default()), state_overrides)?,
        block: params.optional(3).map_or(Ok(BlockOverrides::default()), block_overrides)?,
    })
}

fn call_request(value: &Value) -> Result<CallRequest, RpcError> {
    let fields = object("a transaction object", value)?;
    let input = read(fields, "input", params::bytes)?;
    let legacy = read(fields, "data", params::bytes)?;
    if let (Some(input), Some(legacy)) = (&input, &legacy)
        && input != legacy
    {
        let text = r#"both "data" and "input" are set and not equal. Please use "input" to pass transaction call data"#;
        return Err(RpcError::params(text));
    }
    let price = read(fields, "gasPrice", params::wide_number)?;
    let max_fee = read(fields, "maxFeePerGas", params::wide_number)?;
    let tip = read(fields, "maxPriorityFeePerGas", params::wide_number)?;
    if price.is_some() && (max_fee.is_some() || tip.is_some()) {
        let text = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
        return Err(RpcError::params(text));
    }
    Ok(CallRequest {
        from: read(fields, "from", params::address)?.unwrap_or_default(),
        to: read(fields, "to", params::address)?,
        gas: read(fields, "gas", params::number)?,
        max_fee: price.or(max_fee),
        tip: tip.filter(|_| max_fee.is_some()),
        value: read(fields, "value", params::word)?.unwrap_or_default(),
        data: input.or(legacy).unwrap_or_default(),
        nonce: read(fields, "nonce", params::number)?,
        access_list: read(fields, "accessList", access_list)?.unwrap_or_default(),
        authorizations: read(fields, "authorizationList", authorizations)?.unwrap_or_default(),
    })
}

fn access_list(value: &Value) -> Result<AccessList, RpcError> {
    let items = array("an access list", value)?.iter().map(|item| {
        let fields = object("an access list entry", item)?;
        let keys = member(fields, "storageKeys")
            .map_or(Ok([].as_slice()), |keys| array("storage keys", keys))?;
        let address = member(fields, "address").ok_or_else(|| wrong("an address", item))?;
        Ok(AccessListItem {
            address: params::address(address)?,
            storage_keys: keys.iter().map(params::hash).collect::<Result<_, _>>()?,
        })
    });
    items.collect::<Result<Vec<_>, RpcError>>().map(AccessList)
}

fn authorizations(value: &Value) -> Result<Vec<SignedAuthorization>, RpcError> {
    let entries = array("an authorization list", value)?.iter().map(|entry| {
        let fields = object("an authorization", entry)?;
        let need = |name: &str| member(fields, name).ok_or_else(|| wrong(name, entry));
        let parity = params::number(need("yParity")?)?;
        let authorization = Authorization {
            chain_id: params::word(need("chainId")?)?,
            address: params::address(need("address")?)?,
            nonce: params::number(need("nonce")?)?,
        };
        Ok(SignedAuthorization::new_unchecked(
            authorization,
            u8::try_from(parity).map_err(|_| wrong("a parity of 0 or 1", entry))?,
            params::word(need("r")?)?,
            params::word(need("s")?)?,
        ))
    });
    entries.collect()
}

fn state_overrides(value: &Value) -> Result<StateOverrides, RpcError> {
    let accounts = object("an object of accounts", value)?.iter().map(|(address, fields)| {
        let address = params::address(&json!(address))?;
        let fields = object("an account override", fields)?;
        Ok((address, account_override(address, fields)?))
    });
    accounts.collect::<Result<Vec<_>, RpcError>>().map(StateOverrides)
}

fn account_override(
    address: Address,
    fields: &Map<String, Value>,
) -> Result<AccountOverride, RpcError> {
    let whole = read(fields, "state", slots)?.map(StorageOverride::Whole);
    let diff = read(fields, "stateDiff", slots)?.map(StorageOverride::Diff);
    if whole.is_some() && diff.is_some() {
        return Err(ChainError::StateAndDiff(address).into());
    }
    Ok(AccountOverride {
        balance: read(fields, "balance", params::word)?,
        nonce: read(fields, "nonce", params::number)?,
        code: read(fields, "code", params::bytes)?,
        storage: whole.or(diff),
    })
}

fn slots(value: &Value) -> Result<Vec<(U256, U256)>, RpcError> {
    let slots = object("an object of storage slots", value)?.iter();
    slots.map(|(slot, value)| Ok((params::word(&json!(slot))?, params::word(value)?))).collect()
}

fn block_overrides(value: &Value) -> Result<BlockOverrides, RpcError> {
    let fields = object("an object of block fields", value)?;
    Ok(BlockOverrides {
        number: read(fields, "number", params::number)?,
        time: read(fields, "time", params::number)?,
        gas_limit: read(fields, "gasLimit", params::number)?,
        base_fee: read(fields, "baseFeePerGas", params::number)?,
        coinbase: read(fields, "feeRecipient", params::address)?,
        randomness: read(fields, "prevRandao", params::hash)?,
    })
}

fn simulate(node: &Node, params: &Params) -> Answer {
    params.at_most(2)?;
    let payload = object("a simulation payload", params.required(0)?)?;
    let blocks = read(payload, "blockStateCalls", simulated_blocks)?.unwrap_or_default();
    if blocks.is_empty() || blocks.len() > MAX_SIMULATED_BLOCKS {
        return Err(RpcError::params(format!("want 1 to {MAX_SIMULATED_BLOCKS} blocks")));
    }
    if blocks.iter().map(|block| block.calls.len()).sum::<usize>() > MAX_SIMULATED_CALLS {
        return Err(RpcError::params(format!("want at most {MAX_SIMULATED_CALLS} calls")));
    }
    let strict = member(payload, "validation").and_then(Value::as_bool).unwrap_or_default();
    let outcomes = node.read().simulate(params.block(1)?, &blocks, strict)?;
    Ok(outcomes.iter().map(simulated_outcome).collect())
}

fn simulated_blocks(value: &Value) -> Result<Vec<SimulatedBlock>, RpcError> {
    let blocks = array("an array of blocks", value)?.iter().map(|block| {
        let fields = object("a simulated block", block)?;
        let calls = member(fields, "calls")
            .map_or(Ok([].as_slice()), |calls| array("an array of calls", calls))?;
        Ok(SimulatedBlock {
            block: read(fields, "blockOverrides", block_overrides)?.unwrap_or_default(),
            state: read(fields, "stateOverrides", state_overrides)?.unwrap_or_default(),
            calls: calls.iter().map(call_request).collect::<Result<_, _>>()?,
        })
    });
    blocks.collect()
}

fn simulated_outcome(outcome: &SimulatedOutcome) -> Value {
    let mut fields = render::header(&outcome.header, outcome.hash);
    let mut next_log = 0;
    let calls: Vec<Value> = outcome
        .calls
        .iter()
        .enumerate()
        .map(|(index, call)| {
            let first_log = next_log;
            next_log += call.logs.len();
            simulated_call(outcome, call, index, first_log)
        })
        .collect();
    fields.insert("size".to_owned(), quantity(outcome.header.size()));
    fields.insert("transactions".to_owned(), json!([]));
    fields.insert("calls".to_owned(), Value::Array(calls));
    Value::Object(fields)
}

fn simulated_call(
    outcome: &SimulatedOutcome,
    call: &Outcome,
    index: usize,
    first_log: usize,
) -> Value {
    let logs: Vec<Value> = call
        .logs
        .iter()
        .enumerate()
        .map(|(offset, log)| {
            // A simulated call is no transaction and has no hash.
            let (header, at) = (&outcome.header, first_log + offset);
            render::log(log, outcome.hash, header, B256::ZERO, index, at)
        })
        .collect();
    let mut fields = json!({
        "returnData": call.output.as_ref().ok().map_or_else(|| data([]), data),
        "logs": logs,
        "gasUsed": quantity(call.gas_used),
        "maxUsedGas": quantity(call.gas_peak),
        "status": quantity(u8::from(call.output.is_ok())),
    });
    if let (Err(error), Some(fields)) = (&call.output, fields.as_object_mut()) {
        if let Some(returned) = error.data() {
            fields.insert("returnData".to_owned(), data(returned));
        }
        fields.insert("error".to_owned(), RpcError::from(error.clone()).to_json());
    }
    fields
}
