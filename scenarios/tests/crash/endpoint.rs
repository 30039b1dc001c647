//! The RPC endpoint of all replicas: between them and the node, and of a changing mood. Whatever it
//! says wrongly is something that endpoints do say. It may delay a payment; it makes up no receipt,
//! because one that invents proof is more than a single endpoint can be held against.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{hex, keccak256};
use serde_json::{Value, json};

use crate::http;
use crate::scripted_server::{Asked, Reaction, ScriptedServer};

const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";
const TRANSACTION: &str = "eth_getTransactionByHash";
/// Longer than a replica waits for an answer of its endpoint.
const SILENCE: Duration = Duration::from_millis(crate::replica::RPC_TIMEOUT_MS + 500);
/// Position of the block in the parameters of what is asked of a state.
const AT_BLOCK: &[(&str, usize)] = &[
    ("eth_call", 1),
    ("eth_getBalance", 1),
    ("eth_getBlockByNumber", 0),
    ("eth_getCode", 1),
    ("eth_getTransactionCount", 1),
];
/// Blocks between the head and the last final block of the node.
const FINALITY_DEPTH: u64 = 2;

/// What it does for now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mood {
    /// Says that it took a transaction, and does not pass it on.
    pub(crate) forgets: bool,
    /// Passes everything on and keeps the answer to itself.
    pub(crate) cuts: bool,
    /// Denies transactions and receipts that there are.
    pub(crate) hides: bool,
    /// Answers everything as of this block.
    pub(crate) lags_at: Option<u64>,
    /// Refuses with 429, 500 or an error inside of a 200.
    pub(crate) refuses: bool,
    /// Does so once in so many times; for hiding: of so many transactions one is hidden, always the
    /// same.
    pub(crate) one_in: usize,
}

impl Mood {
    pub(crate) fn is_good(&self) -> bool {
        let Self { forgets, cuts, hides, lags_at, refuses, .. } = self;
        !(*forgets || *cuts || *hides || lags_at.is_some() || *refuses)
    }
}

/// How often it did something that mattered.
#[derive(Debug, Default)]
pub(crate) struct Misdeeds {
    /// Transactions that it said it took.
    pub(crate) forgotten: AtomicUsize,
    /// Answers that it kept to itself.
    pub(crate) cut: AtomicUsize,
    /// Receipts and transactions that it denied.
    pub(crate) hidden: AtomicUsize,
    /// Questions about the newest state that were answered from an older one.
    pub(crate) lagged: AtomicUsize,
    /// Requests that it refused.
    pub(crate) refused: AtomicUsize,
}

/// The endpoint; it listens until this process ends.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    desk: Arc<Desk>,
}

struct Desk {
    node: String,
    mood: Mutex<Mood>,
    misdeeds: Misdeeds,
    turns: AtomicUsize,
}

impl Endpoint {
    /// One in a good mood before the node at this URL.
    pub(crate) fn before(node: &str) -> Self {
        let desk = Arc::new(Desk {
            node: node.to_owned(),
            mood: Mutex::default(),
            misdeeds: Misdeeds::default(),
            turns: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&desk);
        let server = ScriptedServer::start(move |asked| shared.react(asked));
        Self { url: server.url, desk }
    }

    /// From now on it is in this mood.
    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.desk.mood.lock().unwrap() = mood;
    }

    pub(crate) fn misdeeds(&self) -> &Misdeeds {
        &self.desk.misdeeds
    }
}

impl Desk {
    fn react(&self, asked: &Asked) -> Reaction {
        let mood = self.mood.lock().unwrap().clone();
        if mood.is_good() {
            return Reaction::Pass(self.node.clone());
        }
        if mood.refuses && self.is_turn(&mood) {
            return refusal(self.misdeeds.refused.fetch_add(1, Ordering::SeqCst));
        }
        let Some(answer) = self.answer(&mood, &asked.body) else { return Reaction::Close };
        if mood.cuts && self.is_turn(&mood) {
            let silent = !self.misdeeds.cut.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
            let pause = if silent { SILENCE } else { Duration::ZERO };
            return Reaction::After(pause, Box::new(Reaction::Close));
        }
        Reaction::json(200, &answer.to_string())
    }

    fn is_turn(&self, mood: &Mood) -> bool {
        self.turns.fetch_add(1, Ordering::SeqCst).is_multiple_of(mood.one_in.max(1))
    }

    /// `None`: the node gave no answer.
    fn answer(&self, mood: &Mood, body: &[u8]) -> Option<Value> {
        let asked: Value = serde_json::from_slice(body).ok()?;
        let calls = match &asked {
            Value::Array(calls) => calls.clone(),
            call => vec![call.clone()],
        };
        let forgets = |call: &&Value| mood.forgets && call["method"] == SEND && self.is_turn(mood);
        let (forgotten, passed): (Vec<&Value>, Vec<&Value>) = calls.iter().partition(forgets);
        let mut answers: Vec<Value> = forgotten.into_iter().map(|call| self.forget(call)).collect();
        if !passed.is_empty() {
            let sent: Vec<Value> = passed.iter().map(|call| self.as_of(mood, call)).collect();
            for answer in self.ask(&Value::Array(sent))?.as_array()? {
                let call = passed.iter().find(|call| call["id"] == answer["id"])?;
                answers.push(self.reword(mood, call, answer.clone()));
            }
        }
        if asked.is_array() { Some(Value::Array(answers)) } else { answers.pop() }
    }

    fn ask(&self, calls: &Value) -> Option<Value> {
        let headers = [("content-type", "application/json")];
        let body = calls.to_string();
        let answer = http::try_request("POST", &self.node, &headers, body.as_bytes()).ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// The right hash, as if it had been passed on.
    fn forget(&self, call: &Value) -> Value {
        self.misdeeds.forgotten.fetch_add(1, Ordering::SeqCst);
        let raw = hex::decode(call["params"][0].as_str().unwrap_or_default()).unwrap_or_default();
        json!({"jsonrpc": "2.0", "id": call["id"], "result": keccak256(raw)})
    }

    /// The same question about the block at which this endpoint stopped.
    fn as_of(&self, mood: &Mood, call: &Value) -> Value {
        let (Some(head), mut call) = (mood.lags_at, call.clone()) else { return call.clone() };
        let place = AT_BLOCK.iter().find(|(method, _)| call["method"] == *method);
        if let Some((_, place)) = place {
            let block = &mut call["params"][*place];
            let number = match block.as_str() {
                Some("latest" | "pending") => head,
                Some("finalized") => head.saturating_sub(FINALITY_DEPTH),
                _ => return call,
            };
            *block = json!(format!("{number:#x}"));
            self.misdeeds.lagged.fetch_add(1, Ordering::SeqCst);
        }
        call
    }

    fn reword(&self, mood: &Mood, call: &Value, mut answer: Value) -> Value {
        let method = call["method"].as_str().unwrap_or_default();
        if let (Some(head), "eth_blockNumber") = (mood.lags_at, method) {
            answer["result"] = json!(format!("{head:#x}"));
        }
        if ![RECEIPT, TRANSACTION].contains(&method) || answer["result"].is_null() {
            return answer;
        }
        let mined_at = number(&answer["result"]["blockNumber"]);
        if mood.lags_at.is_some_and(|head| mined_at.is_some_and(|block| block > head)) {
            answer["result"] = Value::Null;
        }
        if mood.hides && is_hidden(mood, &call["params"][0]) {
            self.misdeeds.hidden.fetch_add(1, Ordering::SeqCst);
            answer["result"] = Value::Null;
        }
        answer
    }
}

/// Always the same transactions.
fn is_hidden(mood: &Mood, hash: &Value) -> bool {
    let last = hash.as_str().and_then(|hash| hash.chars().last()?.to_digit(16)).unwrap_or(0);
    usize::try_from(last).is_ok_and(|last| last.is_multiple_of(mood.one_in.max(1)))
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok()
}

fn refusal(nth: usize) -> Reaction {
    let limited = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"rate limit"}}"#;
    match nth % 3 {
        0 => Reaction::json(429, r#"{"message":"too many requests"}"#),
        1 => Reaction::html(500),
        _ => Reaction::json(200, limited),
    }
}
