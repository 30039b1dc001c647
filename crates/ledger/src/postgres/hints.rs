//! Hints between processes by LISTEN and NOTIFY: what may have changed. They are not
//! part of the payment's transaction: the database lets notifying commits through one by one, and
//! a hint may get lost.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::{broadcast, mpsc};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::hint::{BACKLOG, Change, Hint};

/// Connections that carry hints: one listens, one tells.
pub(super) const CONNECTIONS: u32 = 2;
const CHANNEL: &str = "faregate_moved";
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
    heard: broadcast::Sender<Hint>,
    outbox: mpsc::Sender<Hint>,
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
        let (heard, _) = broadcast::channel(BACKLOG);
        let (outbox, told) = mpsc::channel(OUTBOX);
        // Marks our own hints: whoever listens here has heard them already.
        let own = Uuid::new_v4().simple().to_string();
        let tasks = [
            tokio::spawn(hear(pool.clone(), heard.clone(), own.clone())).abort_handle(),
            tokio::spawn(pass_on(pool.clone(), told, own)).abort_handle(),
        ];
        Self { pool, heard, outbox, tasks }
    }

    /// Tells whoever listens, here and elsewhere. Nobody may be listening.
    pub(super) fn tell(&self, hint: Hint) {
        let _ = self.heard.send(hint);
        let _ = self.outbox.try_send(hint);
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Hint> {
        self.heard.subscribe()
    }

    pub(super) async fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.pool.close().await;
    }
}

/// Tells other processes what changed here.
async fn pass_on(pool: PgPool, mut told: mpsc::Receiver<Hint>, own: String) {
    let mut batch = Vec::with_capacity(BATCH);
    while told.recv_many(&mut batch, BATCH).await > 0 {
        let hints: Vec<String> = batch.drain(..).map(|hint| write(hint, &own)).collect();
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

/// Tells here what changed elsewhere, for as long as the pool is open.
async fn hear(pool: PgPool, heard: broadcast::Sender<Hint>, own: String) {
    loop {
        match listen(&pool, &heard, &own).await {
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
    heard: &broadcast::Sender<Hint>,
    own: &str,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    while let Some(hint) = listener.try_recv().await? {
        if let Some(hint) = read(hint.payload(), own) {
            let _ = heard.send(hint);
        }
    }
    Ok(())
}

fn write(hint: Hint, own: &str) -> String {
    format!("{}{} {own}", hint.key, hint.change.letter())
}

/// Anybody with access to the database can notify, so a hint may be anything.
fn read(hint: &str, own: &str) -> Option<Hint> {
    let (key, rest) = hint.split_at_checked(KEY_DIGITS)?;
    let (change, from) = rest.split_once(' ').unwrap_or((rest, ""));
    let change = Change::of_letter(change.chars().next());
    if from == own { None } else { key.parse().ok().map(|key| Hint { key, change }) }
}

#[cfg(test)]
mod tests {
    use faregate_protocol::PaymentKey;

    use super::*;

    #[test]
    fn a_hint_is_what_another_process_wrote() {
        let key = PaymentKey([7; 32]);
        for change in [Change::Wanted, Change::Sent, Change::Due, Change::Outcome] {
            let hint = Hint { key, change };
            assert_eq!(read(&write(hint, "other"), "own"), Some(hint));
            assert_eq!(read(&write(hint, "own"), "own"), None);
        }
        // Of a program from before hints said what they are about.
        let old = Some(Hint { key, change: Change::Outcome });
        assert_eq!(read(&format!("{key} other"), "own"), old);
        assert_eq!(read(&key.to_string(), "own"), old);
        for bad in ["", "07", &"é".repeat(40), &"zz".repeat(32)] {
            assert_eq!(read(bad, "own"), None, "{bad}");
        }
    }
}
