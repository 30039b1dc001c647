//! Whether the process can take up work. Alive is another question: a process that waits for its
//! chain is alive and must not be killed for it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A check that has not answered by then counts as not ready.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers are reused for this long, so that probing costs the chain and the ledger nothing.
pub const FRESH_FOR: Duration = Duration::from_secs(1);

/// Says what is not ready.
pub trait Readiness: Send + Sync {
    /// Names of what is not ready, empty when all is. Fixed words, never text of an error.
    fn not_ready(&self) -> Pin<Box<dyn Future<Output = Vec<&'static str>> + Send + '_>>;
}

type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// A list of named checks, run together, each within [`CHECK_TIMEOUT`].
#[derive(Default)]
pub struct Checks {
    checks: Vec<(&'static str, Check)>,
    last: Mutex<Option<(Instant, Vec<&'static str>)>>,
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, _)| name)).finish()
    }
}

impl Checks {
    /// No checks: always ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check; `true` means ready.
    #[must_use]
    pub fn with<C, F>(mut self, name: &'static str, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = bool> + Send + 'static,
    {
        self.checks.push((name, Box::new(move || Box::pin(check()))));
        self
    }

    async fn ask(&self) -> Vec<&'static str> {
        let mut running = JoinSet::new();
        for (name, check) in &self.checks {
            let (name, answer) = (*name, check());
            running.spawn(async move {
                let ready = tokio::time::timeout(CHECK_TIMEOUT, answer).await.unwrap_or(false);
                (name, ready)
            });
        }
        let mut missing: BTreeSet<_> = self.checks.iter().map(|(name, _)| *name).collect();
        // A check that panicked has no name any more: it stays in the list of what is missing.
        while let Some(outcome) = running.join_next().await {
            if let Ok((name, true)) = outcome {
                missing.remove(name);
            }
        }
        missing.into_iter().collect()
    }
}

impl Readiness for Checks {
    fn not_ready(&self) -> Pin<Box<dyn Future<Output = Vec<&'static str>> + Send + '_>> {
        Box::pin(async {
            // Held while asking: many probes at once make one round of checks.
            let mut last = self.last.lock().await;
            if let Some((at, answer)) = last.as_ref()
                && at.elapsed() < FRESH_FOR
            {
                return answer.clone();
            }
            let answer = self.ask().await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        })
    }
}

/// The answer of `/readyz`: 200 `{"status":"ready"}`, or 503 with what is not.
pub async fn answer(readiness: &dyn Readiness) -> Response {
    let missing = readiness.not_ready().await;
    if missing.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    let body = json!({"status": "not_ready", "not_ready": missing});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn what_is_down_hangs_or_panics_is_named() {
        let checks = Checks::new()
            .with("ledger", || async { true })
            .with("chain", || async { false })
            .with("signer", std::future::pending)
            .with("store", || async { panic!("a check that fails badly") });
        assert_eq!(checks.not_ready().await, ["chain", "signer", "store"]);
    }

    #[tokio::test]
    async fn many_probes_make_one_round_of_checks() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let checks = Arc::new(Checks::new().with("chain", move || {
            counter.fetch_add(1, Ordering::SeqCst);
            async { true }
        }));
        let mut probes = JoinSet::new();
        for _ in 0..100 {
            let checks = checks.clone();
            probes.spawn(async move { checks.not_ready().await });
        }
        assert!(probes.join_all().await.iter().all(Vec::is_empty));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
