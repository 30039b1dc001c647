//! What tokens say of themselves, shared with other processes.
//!
//! What is shared is the token's words, never our judgement of them: each process judges them by
//! its own profile. And they are used only where they are good news, as one question less. Bad news
//! is asked for once more. So whoever can write there can hide for a while that a token is not what
//! its profile says, which every simulation finds again, and can do nothing else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, Bytes};
use faregate_chain::{NoFact, SecondLayer};
use faregate_telemetry::{CacheKind, CacheLayer, CacheMetrics, LookupOutcome};
use serde::{Deserialize, Serialize};

use crate::assets::Views;
use crate::limits::{CLOCKS_APART, CODE_SEEN_FOR, MAX_SHARED_WORDS};
use crate::rpc::Revert;

/// Seconds of the unix clock: processes compare their times by it.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How long ago `then` was, if it is less than `limit` ago and not in the future.
pub(crate) fn age(now_unix: u64, then_unix: u64, limit: Duration) -> Option<Duration> {
    if then_unix > now_unix.saturating_add(CLOCKS_APART.as_secs()) {
        return None;
    }
    let age = Duration::from_secs(now_unix.saturating_sub(then_unix));
    (age < limit).then_some(age)
}

/// As it is kept. There is code at the address, or nothing is kept. A view that reverted is null.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    chain_id: u64,
    token: Address,
    read_at: u64,
    separator: Option<Bytes>,
    name: Option<Bytes>,
    version: Option<Bytes>,
    decimals: Option<Bytes>,
}

impl Words {
    fn of(chain_id: u64, token: Address, read_at: u64, views: &Views) -> Self {
        let words = |view: &Result<Bytes, Revert>| view.as_ref().ok().cloned();
        Self {
            chain_id,
            token,
            read_at,
            separator: words(&views.separator),
            name: words(&views.name),
            version: words(&views.version),
            decimals: words(&views.decimals),
        }
    }

    fn views(self) -> Views {
        let view = |words: Option<Bytes>| {
            words.ok_or(Revert { data: Bytes::new(), message: String::new() })
        };
        Views {
            separator: view(self.separator),
            name: view(self.name),
            version: view(self.version),
            decimals: view(self.decimals),
        }
    }
}

/// The words of the tokens of one chain.
#[derive(Debug)]
pub(crate) struct SharedTokens {
    layer: Arc<dyn SecondLayer>,
    metrics: CacheMetrics,
    chain_id: u64,
}

impl SharedTokens {
    pub(crate) fn new(layer: Arc<dyn SecondLayer>, metrics: CacheMetrics, chain_id: u64) -> Self {
        Self { layer, metrics, chain_id }
    }

    fn name(&self, token: Address) -> String {
        format!("token:{}:{token:#x}", self.chain_id)
    }

    /// What the token said to some process, and how long ago, if that is good news.
    pub(crate) async fn read(
        &self,
        token: Address,
        is_good: impl Fn(&Views) -> bool,
    ) -> Option<(Views, Duration)> {
        let (found, outcome) = match self.layer.fact(&self.name(token)).await {
            Ok(None) => (None, LookupOutcome::Miss),
            Err(NoFact::NoAnswer) => (None, LookupOutcome::Error),
            Err(NoFact::Unusable) => (None, LookupOutcome::Unusable),
            Ok(Some(kept)) => {
                let words = self.words(token, &kept, unix_now());
                match words.filter(|(views, _)| is_good(views)) {
                    Some(found) => (Some(found), LookupOutcome::Hit),
                    None => (None, LookupOutcome::Unusable),
                }
            }
        };
        self.metrics.lookup(CacheLayer::Redis, CacheKind::Token, outcome);
        found
    }

    fn words(&self, token: Address, kept: &[u8], now_unix: u64) -> Option<(Views, Duration)> {
        let words: Words = serde_json::from_slice(kept).ok()?;
        let is_ours = words.chain_id == self.chain_id && words.token == token;
        let age = age(now_unix, words.read_at, CODE_SEEN_FOR).filter(|_| is_ours)?;
        Some((words.views(), age))
    }

    /// Keeps what a token with code said now.
    pub(crate) fn keep(&self, token: Address, views: &Views) {
        let words = Words::of(self.chain_id, token, unix_now(), views);
        // A token may say more than anybody wants to keep.
        if let Ok(kept) = serde_json::to_vec(&words)
            && kept.len() <= MAX_SHARED_WORDS
        {
            self.layer.keep_fact(&self.name(token), kept, CODE_SEEN_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faregate_chain::RefusalListener;
    use faregate_telemetry::Metrics;
    use serde_json::{Value, json};
    use std::sync::Weak;

    const TOKEN: Address = Address::repeat_byte(7);
    const NOW: u64 = 1_700_000_000;

    #[derive(Debug)]
    struct Nothing;

    #[async_trait::async_trait]
    impl SecondLayer for Nothing {
        async fn fact(&self, _: &str) -> Result<Option<Vec<u8>>, NoFact> {
            Ok(None)
        }
        fn keep_fact(&self, _: &str, _: Vec<u8>, _: Duration) {}
        fn tell_refusal(&self, _: &str, _: Vec<u8>) {}
        fn follow_refusals(&self, _: &str, _: Weak<dyn RefusalListener>) {}
    }

    fn tokens() -> SharedTokens {
        SharedTokens::new(Arc::new(Nothing), Metrics::new([]).cache(), 84_532)
    }

    fn kept() -> Value {
        let views = Views {
            separator: Ok(Bytes::from_static(&[1; 32])),
            name: Ok(Bytes::from_static(b"a")),
            version: Err(Revert { data: Bytes::new(), message: String::new() }),
            decimals: Ok(Bytes::new()),
        };
        serde_json::to_value(Words::of(84_532, TOKEN, NOW, &views)).unwrap()
    }

    fn read(kept: &Value, now: u64) -> Option<Duration> {
        tokens().words(TOKEN, kept.to_string().as_bytes(), now).map(|(_, age)| age)
    }

    #[test]
    fn words_come_back_as_they_were_and_grow_no_younger() {
        let (views, age) = tokens().words(TOKEN, kept().to_string().as_bytes(), NOW + 9).unwrap();
        assert_eq!(age, Duration::from_secs(9));
        assert_eq!(views.separator, Ok(Bytes::from_static(&[1; 32])));
        assert!(views.version.is_err() && views.decimals == Ok(Bytes::new()));
        let limit = CODE_SEEN_FOR.as_secs();
        assert!(read(&kept(), NOW + limit - 1).is_some());
        assert!(read(&kept(), NOW + limit).is_none(), "too old");
        assert!(read(&kept(), NOW - CLOCKS_APART.as_secs()).is_some());
        assert!(read(&kept(), NOW - CLOCKS_APART.as_secs() - 1).is_none(), "of the future");
    }

    #[test]
    fn o1_anything_else_is_no_word_of_this_token() {
        let changed = |member: &str, value: Value| {
            let mut kept = kept();
            kept[member] = value;
            kept
        };
        for bad in [
            changed("chain_id", json!(1)),
            changed("token", json!(Address::ZERO)),
            changed("token", json!("0x12")),
            changed("read_at", json!(-1)),
            changed("read_at", json!("now")),
            changed("name", json!("USDC")),
            changed("decimals", json!(6)),
            changed("more", json!(true)),
            json!([]),
            json!(null),
        ] {
            assert_eq!(read(&bad, NOW), None, "{bad}");
        }
        let mut short = kept();
        short.as_object_mut().unwrap().remove("read_at");
        assert_eq!(read(&short, NOW), None);
        for bytes in [&b""[..], b"\xff\xfe", b"{", b"{}{}"] {
            assert!(tokens().words(TOKEN, bytes, NOW).is_none());
        }
    }
}
