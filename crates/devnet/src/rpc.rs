//! JSON-RPC 2.0: envelopes, batches, errors. What a method means stands in the files below.

mod blocks;
mod calls;
mod dev;
mod fees;
mod filter;
mod hex;
mod params;
mod pool;
mod render;
mod state;

use serde_json::{Value, json};

use crate::{
    error::{ChainError, code},
    limits::MAX_BATCH,
    node::Node,
};
use params::Params;

/// An error as a client sees it.
#[derive(Debug)]
pub(crate) struct RpcError {
    code: i64,
    message: String,
    data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }

    fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(object)) = (&self.data, error.as_object_mut()) {
            object.insert("data".to_owned(), data.clone());
        }
        error
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        let data = error.data().map(hex::data);
        Self { code: error.code(), message: error.to_string(), data }
    }
}

type Answer = Result<Value, RpcError>;

/// Answers one HTTP body. None: there is nothing to say, because all of it were notifications.
pub(crate) fn answer(node: &Node, body: &[u8]) -> Option<String> {
    let reply = match serde_json::from_slice::<Value>(body) {
        Err(_) => Some(failure(Value::Null, &RpcError::new(code::PARSE, "parse error"))),
        Ok(Value::Array(requests)) => answer_batch(node, requests),
        Ok(request) => answer_one(node, request),
    };
    reply.map(|value| value.to_string())
}

fn answer_batch(node: &Node, requests: Vec<Value>) -> Option<Value> {
    let problem = if requests.is_empty() {
        Some("empty batch")
    } else if requests.len() > MAX_BATCH {
        Some("batch too large")
    } else {
        None
    };
    if let Some(text) = problem {
        return Some(failure(Value::Null, &RpcError::new(code::INVALID_REQUEST, text)));
    }
    let replies: Vec<Value> =
        requests.into_iter().filter_map(|request| answer_one(node, request)).collect();
    (!replies.is_empty()).then_some(Value::Array(replies))
}

fn answer_one(node: &Node, request: Value) -> Option<Value> {
    let Value::Object(mut request) = request else {
        return Some(failure(Value::Null, &invalid("a request is an object")));
    };
    let id = request.remove("id");
    let known_id = match &id {
        None | Some(Value::Null | Value::String(_) | Value::Number(_)) => id.clone(),
        Some(_) => return Some(failure(Value::Null, &invalid("id is a string or a number"))),
    };
    let shown_id = known_id.clone().unwrap_or_default();
    if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Some(failure(shown_id, &invalid("jsonrpc must be \"2.0\"")));
    }
    let Some(Value::String(method)) = request.remove("method") else {
        return Some(failure(shown_id, &invalid("method is a string")));
    };
    let result = match request.remove("params").unwrap_or_default() {
        Value::Null => dispatch(node, &method, Params::default()),
        Value::Array(values) => dispatch(node, &method, Params::new(values)),
        _ => Err(RpcError::params("params is an array")),
    };
    // A request without an id wants no answer, not even to its errors.
    let id = known_id?;
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, &error),
    })
}

fn invalid(text: &str) -> RpcError {
    RpcError::new(code::INVALID_REQUEST, format!("invalid request: {text}"))
}

fn failure(id: Value, error: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() })
}

fn dispatch(node: &Node, method: &str, params: Params) -> Answer {
    let families = [state::call, blocks::call, calls::call, fees::call, pool::call, dev::call];
    for family in families {
        if let Some(answer) = family(node, method, &params) {
            return answer;
        }
    }
    let message = format!("the method {method} does not exist/is not available");
    Err(RpcError::new(code::METHOD_NOT_FOUND, message))
}

#[cfg(test)]
mod tests;
