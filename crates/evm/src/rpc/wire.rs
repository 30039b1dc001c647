//! The JSON-RPC envelope: requests out, members of an answer in, matched by id.

mod envelope;

use std::fmt::Write as _;

use alloy_primitives::{Bytes, hex};
use serde_json::Value;

use self::envelope::{Envelope, Member};
use super::{Answer, Call, Fault, Revert};
use crate::limits::MAX_FAULT_TEXT;

const REVERTED: i64 = 3;
const LIMIT_EXCEEDED: i64 = -32005;
/// Room for one call of a body, without its parameters.
const CALL_CHARS: usize = 96;

/// How nodes say that the machine stopped a call: geth, anvil, reth, nethermind, besu, erigon.
const REVERT_WORDS: &[&str] = &[
    "revert",
    "vm execution error",
    "out of gas",
    "outofgas",
    "gas uint64 overflow",
    "intrinsic gas too",
    "floor data gas",
    "gas floor",
    "invalid opcode",
    "opcodenotfound",
    "invalid jump",
    "invalidjump",
    "stack underflow",
    "stack overflow",
    "stackunderflow",
    "stackoverflow",
    "evm error",
    "evmerror",
    "invalid fe opcode",
    "invalidfeopcode",
    "bad instruction",
    "execution halted",
];

const LIMIT_WORDS: &[&str] = &["rate limit", "too many requests", "limit exceeded"];

/// A whole answer.
pub(super) enum Reply {
    /// One answer for each call, in the order of the calls.
    Members(Vec<Answer>),
    /// One refusal for all of them, because of a limit.
    RateLimited,
    /// One refusal for all of several, because they came together.
    Refused,
}

/// The body of a request: an object for one call, an array for several.
pub(super) fn encode(calls: &[&Call], first_id: u64) -> Vec<u8> {
    let params: usize = calls.iter().map(|call| call.params.len() + CALL_CHARS).sum();
    let mut body = String::with_capacity(params);
    if calls.len() != 1 {
        body.push('[');
    }
    for (at, (call, id)) in calls.iter().zip(first_id..).enumerate() {
        if at > 0 {
            body.push(',');
        }
        let (method, params) = (call.method, &call.params);
        // Writing to a string does not fail; a method's name needs no escapes.
        let _ =
            write!(body, r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
    }
    if calls.len() != 1 {
        body.push(']');
    }
    body.into_bytes()
}

/// Reads the answer to `count` calls; `None` when it is no such answer.
pub(super) fn decode(body: &[u8], first_id: u64, count: usize) -> Option<Reply> {
    let members = match envelope::read(body)? {
        Envelope::Many(members) => members,
        // One error for a whole batch carries no id of ours.
        Envelope::One(member) if count > 1 => return refusal(&member, true),
        Envelope::One(member) if member.id == Some(Value::Null) => return refusal(&member, false),
        Envelope::One(whole) => vec![whole],
    };
    let mut answers = vec![Err(Fault::Missing); count];
    let mut seen = vec![false; count];
    for member in members {
        let id = member.id.as_ref()?.as_u64()?;
        let place = usize::try_from(id.checked_sub(first_id)?).ok()?;
        let (slot, seen) = (answers.get_mut(place)?, seen.get_mut(place)?);
        if std::mem::replace(seen, true) {
            return None;
        }
        *slot = answer(member)?;
    }
    Some(Reply::Members(answers))
}

fn refusal(member: &Member, of_batch: bool) -> Option<Reply> {
    match fault(member.error.as_ref()?)? {
        Fault::Failed { code, message } if is_rate_limit(code, &message) => {
            Some(Reply::RateLimited)
        }
        Fault::Failed { code, message } if of_batch && is_about_batches(code, &message) => {
            Some(Reply::Refused)
        }
        _ => None,
    }
}

/// An endpoint that takes no arrays finds them malformed, or says so.
fn is_about_batches(code: i64, message: &str) -> bool {
    const MALFORMED: [i64; 3] = [-32700, -32600, -32601];
    MALFORMED.contains(&code) || message.to_lowercase().contains("batch")
}

fn answer(member: Member) -> Option<Answer> {
    let error = member.error.filter(|error| !error.is_null());
    match (member.result, error) {
        (Some(value), None) => Some(Ok(value)),
        (None | Some(Value::Null), Some(error)) => Some(Err(fault(&error)?)),
        _ => None,
    }
}

fn fault(error: &Value) -> Option<Fault> {
    let code = error.get("code")?.as_i64()?;
    let message = cut(error.get("message").and_then(Value::as_str).unwrap_or_default());
    let words = message.to_lowercase();
    let limited = is_rate_limit(code, &message);
    if code == REVERTED || (!limited && REVERT_WORDS.iter().any(|word| words.contains(word))) {
        let data = error.get("data").map(revert_data).unwrap_or_default();
        return Some(Fault::Revert(Revert { data, message }));
    }
    Some(Fault::Failed { code, message })
}

/// Whether an error means "later", not "no".
pub(super) fn is_rate_limit(code: i64, message: &str) -> bool {
    let words = message.to_lowercase();
    code == LIMIT_EXCEEDED
        || code == i64::from(super::http::TOO_MANY_REQUESTS)
        || LIMIT_WORDS.iter().any(|word| words.contains(word))
}

/// The returned bytes, as hex, as `Reverted 0x...`, or one level deeper; empty for anything else.
fn revert_data(data: &Value) -> Bytes {
    let text = match data {
        Value::String(text) => text.as_str(),
        Value::Object(members) => members.get("data").and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    let text = text.strip_prefix("Reverted ").unwrap_or(text);
    let digits = text.strip_prefix("0x").unwrap_or_default();
    hex::decode(digits).map(Bytes::from).unwrap_or_default()
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_FAULT_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
