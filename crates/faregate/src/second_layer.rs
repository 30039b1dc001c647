//! The second cache layer of a process, as the configuration says.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use faregate_cache::{CacheKey, RedisLayer};
use faregate_chain::SecondLayer;
use faregate_telemetry::Metrics;

use crate::config::{CacheSettings, Settings};
use crate::ledger;

/// The layer, if one is configured. A server that does not answer is no error.
pub(crate) async fn start(
    settings: &Settings,
    metrics: &Metrics,
) -> anyhow::Result<Option<Arc<dyn SecondLayer>>> {
    let Some(cache) = &settings.cache else { return Ok(None) };
    let key = key(cache, settings)?;
    let layer = RedisLayer::start(&cache.redis_url, key, metrics).await;
    Ok(Some(Arc::new(layer.context("cache.redis_url")?)))
}

fn key(cache: &CacheSettings, settings: &Settings) -> anyhow::Result<CacheKey> {
    let Some(reference) = &cache.key else {
        // Processes that share a ledger have this one in common.
        let sealing = ledger::sealing_key(&settings.ledger)?;
        return Ok(CacheKey::from_hex(&sealing).context("sealing key")?.derived());
    };
    let secret = reference.resolve().map_err(|reason| anyhow!("cache.key: {reason}"))?;
    CacheKey::from_hex(&secret).context("cache.key")
}

/// What only the outside can tell of it.
pub(crate) async fn probe(settings: &Settings) -> Option<String> {
    let cache = settings.cache.as_ref()?;
    if let Some(reference) = &cache.key {
        let secret = match reference.resolve() {
            Ok(secret) => secret,
            Err(reason) => return Some(format!("cache.key: {reason}")),
        };
        if let Err(error) = CacheKey::from_hex(&secret) {
            return Some(format!("cache.key: {error}"));
        }
    }
    let asked = faregate_cache::probe(&cache.redis_url).await;
    asked.err().map(|error| format!("cache.redis_url: {error}"))
}
