//! Hints between processes by LISTEN and NOTIFY: the name of a payment that moved. They are not
//! part of the payment's transaction: the database lets notifying commits through one by one, and
//! a hint may get lost.

use std::time::Duration;

use faregate_protocol::PaymentKey;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::{broadcast, mpsc};
use tokio::task::AbortHandle;
use uuid::Uuid;

/// Connections that carry hints: one listens, one tells.
pub(super) const CONNECTIONS: u32 = 2;
const CHANNEL: &str = "faregate_moved";
/// Hints that a slow listener may fall behind by before it misses some.
const MOVED_BACKLOG: usize = 1024;
/// Hints that wait to be told to other processes before some are left out.
const OUTBOX: usize = 1024;
/// Most hints of one transaction.
const BATCH: usize = 256;
/// Pause before the database is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
const KEY_DIGITS: usize = 64;

const NOTIFY: &str = "select pg_notify($1, told.hint) from unnest($2::text[]) as told (hint)";

pub(super) struct Hints {
    pool: PgPool,
    moved: broadcast::Sender<PaymentKey>,
    outbox: mpsc::Sender<PaymentKey>,
    tasks: [AbortHandle; 2],
}

impl Drop for Hints {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Hints {
    pub(super) fn start(pool: PgPool) -> Self {
        let (moved, _) = broadcast::channel(MOVED_BACKLOG);
        let (outbox, told) = mpsc::channel(OUTBOX);
        // Marks our own hints: whoever listens here has heard them already.
        let own = Uuid::new_v4().simple().to_string();
        let tasks = [
            tokio::spawn(hear(pool.clone(), moved.clone(), own.clone())).abort_handle(),
            tokio::spawn(pass_on(pool.clone(), told, own)).abort_handle(),
        ];
        Self { pool, moved, outbox, tasks }
    }

    /// Tells whoever listens, here and elsewhere. Nobody may be listening.
    pub(super) fn tell(&self, key: PaymentKey) {
        let _ = self.moved.send(key);
        let _ = self.outbox.try_send(key);
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<PaymentKey> {
        self.moved.subscribe()
    }

    pub(super) async fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.pool.close().await;
    }
}

/// Tells other processes what moved here.
async fn pass_on(pool: PgPool, mut told: mpsc::Receiver<PaymentKey>, own: String) {
    let mut batch = Vec::with_capacity(BATCH);
    while told.recv_many(&mut batch, BATCH).await > 0 {
        let hints: Vec<String> = batch.drain(..).map(|key| format!("{key} {own}")).collect();
        if let Err(error) = notify(&pool, &hints).await {
            if matches!(error, sqlx::Error::PoolClosed) {
                return;
            }
            tracing::debug!(%error, "hints are lost");
        }
    }
}

async fn notify(pool: &PgPool, hints: &[String]) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    // Nothing is lost with a hint, so its commit need not wait for the disk.
    sqlx::query("set local synchronous_commit = off").execute(&mut *tx).await?;
    sqlx::query(NOTIFY).bind(CHANNEL).bind(hints).execute(&mut *tx).await?;
    tx.commit().await
}

/// Tells here what moved elsewhere, for as long as the pool is open.
async fn hear(pool: PgPool, moved: broadcast::Sender<PaymentKey>, own: String) {
    loop {
        match listen(&pool, &moved, &own).await {
            Err(sqlx::Error::PoolClosed) => return,
            Err(error) => tracing::warn!(%error, "hints of other processes are not heard"),
            Ok(()) => {}
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Until the connection breaks.
async fn listen(
    pool: &PgPool,
    moved: &broadcast::Sender<PaymentKey>,
    own: &str,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    while let Some(hint) = listener.try_recv().await? {
        if let Some(key) = read(hint.payload(), own) {
            let _ = moved.send(key);
        }
    }
    Ok(())
}

/// Anybody with access to the database can notify, so a hint may be anything.
fn read(hint: &str, own: &str) -> Option<PaymentKey> {
    let (key, from) = hint.split_at_checked(KEY_DIGITS)?;
    if from.trim_start() == own { None } else { key.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_a_key_of_another_process() {
        let key = PaymentKey([7; 32]);
        assert_eq!(read(&format!("{key} other"), "own"), Some(key));
        assert_eq!(read(&key.to_string(), "own"), Some(key));
        assert_eq!(read(&format!("{key} own"), "own"), None);
        for bad in ["", "07", &"é".repeat(40), &"zz".repeat(32)] {
            assert_eq!(read(bad, "own"), None, "{bad}");
        }
    }
}
