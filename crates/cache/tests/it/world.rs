//! A layer as a process has it, and what it heard.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faregate_cache::{CacheKey, RedisLayer};
use faregate_chain::{NoFact, RefusalListener, SecondLayer};
use faregate_telemetry::{Metrics, Redacted};

pub(crate) const CHAIN: &str = "84532";
/// What the processes have in common.
const KEY: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

pub(crate) fn key(text: &str) -> CacheKey {
    CacheKey::from_hex(&Redacted::new(text.to_owned())).unwrap()
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Keeps what it hears.
#[derive(Default)]
pub(crate) struct Ear(Mutex<HashSet<Vec<u8>>>);

impl RefusalListener for Ear {
    fn told(&self, entry: &[u8]) {
        self.0.lock().unwrap().insert(entry.to_vec());
    }
}

impl Ear {
    pub(crate) fn heard(&self, entry: &[u8]) -> bool {
        self.0.lock().unwrap().contains(entry)
    }

    /// Different entries.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

pub(crate) struct Process {
    pub(crate) layer: RedisLayer,
    pub(crate) ear: Arc<Ear>,
    metrics: Metrics,
}

impl Process {
    /// With a layer that answers.
    pub(crate) async fn start(url: &str) -> Self {
        let process = Self::start_unanswered(url).await;
        process.until_up().await;
        process
    }

    pub(crate) async fn start_unanswered(url: &str) -> Self {
        Self::start_with(url, key(KEY)).await
    }

    pub(crate) async fn start_with(url: &str, key: CacheKey) -> Self {
        let metrics = Metrics::new([]);
        let layer = RedisLayer::start(&Redacted::new(url.to_owned()), key, &metrics).await.unwrap();
        let ear = Arc::new(Ear::default());
        let listener: Arc<dyn RefusalListener> = ear.clone();
        layer.follow_refusals(CHAIN, Arc::downgrade(&listener));
        Self { layer, ear, metrics }
    }

    pub(crate) fn render(&self) -> String {
        self.metrics.render()
    }

    pub(crate) fn shows(&self, line: &str) -> bool {
        self.render().lines().any(|found| found == line)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.shows(r#"faregate_cache_up{layer="redis"} 1"#)
    }

    pub(crate) async fn until_up(&self) {
        until("the layer is up", async || self.is_up()).await;
    }

    pub(crate) async fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, NoFact> {
        self.layer.fact(name).await
    }

    /// The same, however long a busy machine takes: not in time is asked again.
    pub(crate) async fn answer(&self, name: &str) -> Result<Option<Vec<u8>>, NoFact> {
        let mut answer = Err(NoFact::NoAnswer);
        until("an answer", async || {
            answer = self.fact(name).await;
            answer != Err(NoFact::NoAnswer)
        })
        .await;
        answer
    }

    /// Keeps a fact and waits until it is there.
    pub(crate) async fn keep(&self, name: &str, value: &[u8]) {
        self.layer.keep_fact(name, value.to_vec(), MINUTE);
        until("the fact is kept", async || self.fact(name).await == Ok(Some(value.to_vec()))).await;
    }
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(POLL).await;
    }
}
