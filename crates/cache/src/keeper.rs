//! One task looks after the connection: it opens it, writes what is to be kept, asks what others
//! have told, and leaves a server alone for a while that does not answer. It alone says in the log
//! what has become of the layer, once for each change.

use std::sync::Arc;
use std::time::Duration;

use faregate_telemetry::{CacheKind, CacheLayer, LookupOutcome, WriteOutcome};
use redis::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use crate::layer::{Shared, Write};
use crate::limits::{ENTRIES_AT_ONCE, FOLLOW_EVERY, READS_IN_A_ROW, RETRY_FIRST, RETRY_MAX};
use crate::line::Line;
use crate::wire::{self, Fault};

/// What the log was told last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Up,
    Lost,
}

pub(crate) async fn keep(
    shared: Arc<Shared>,
    client: Client,
    mut writes: mpsc::Receiver<Write>,
    tried: watch::Sender<bool>,
) {
    let (mut said, mut pause) = (Said::Nothing, RETRY_FIRST);
    loop {
        let lost = match wire::connect(&client).await {
            Ok(connection) => {
                begin_anew(&shared);
                // What was found broken was the connection before this one.
                let _ = timeout(Duration::ZERO, shared.broken.notified()).await;
                shared.connect(Some(connection.clone()));
                let _ = tried.send(true);
                let mut server = Server { shared: &shared, connection, takes_writes: true };
                server.serve(&mut writes, &mut said, &mut pause).await
            }
            Err(why) => why,
        };
        shared.connect(None);
        let _ = tried.send(true);
        if said != Said::Lost {
            tracing::warn!(why = lost, "the second cache layer is lost; verification needs it not");
            said = Said::Lost;
        }
        if !leave_alone(&shared, &mut writes, Instant::now() + pause).await {
            return;
        }
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// A server that comes back may be another one, or have lost everything: its entries are read from
/// the beginning.
fn begin_anew(shared: &Shared) {
    for follower in shared.followers().iter_mut() {
        wire::BEGINNING.clone_into(&mut follower.last);
    }
}

/// Writes that come meanwhile are dropped: they would be old news. `false`: the layer is gone.
async fn leave_alone(shared: &Shared, writes: &mut mpsc::Receiver<Write>, until: Instant) -> bool {
    while let Ok(write) = timeout_at(until, writes.recv()).await {
        let Some(write) = write else { return false };
        shared.metrics.write(write.kind(), WriteOutcome::Dropped);
    }
    true
}

/// A server that we are connected to.
struct Server<'a> {
    shared: &'a Shared,
    connection: Line,
    takes_writes: bool,
}

impl Server<'_> {
    /// Goes on until the connection is no good any more; why.
    async fn serve(
        &mut self,
        writes: &mut mpsc::Receiver<Write>,
        said: &mut Said,
        pause: &mut Duration,
    ) -> &'static str {
        let mut ticks = interval(FOLLOW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                () = self.shared.broken.notified() => return "no answer in time",
                Some(write) = writes.recv() => self.write(write).await,
                _ = ticks.tick() => self.follow().await.map(|()| {
                    // Only a server that answers a question is back.
                    *pause = RETRY_FIRST;
                    if *said != Said::Up {
                        tracing::info!("the second cache layer is in use");
                        *said = Said::Up;
                    }
                }),
            };
            if let Err(why) = outcome {
                return why;
            }
        }
    }

    async fn write(&mut self, write: Write) -> Result<(), &'static str> {
        let kind = write.kind();
        let outcome = match write {
            Write::Fact { name, value, keep_for } => {
                self.shared.space.set(&mut self.connection, &name, &value, keep_for).await
            }
            Write::Refusal { chain, entry } => {
                self.shared.space.tell(&mut self.connection, &chain, &entry).await
            }
        };
        let counted = if outcome.is_ok() { WriteOutcome::Kept } else { WriteOutcome::Error };
        self.shared.metrics.write(kind, counted);
        if outcome.is_ok() != self.takes_writes {
            self.takes_writes = outcome.is_ok();
            if self.takes_writes {
                tracing::info!("the second cache layer takes writes again");
            } else {
                tracing::warn!("the second cache layer takes no writes");
            }
        }
        match outcome {
            Err(Fault::Broken(why)) => Err(why),
            Ok(()) | Err(Fault::Refused | Fault::Unusable) => Ok(()),
        }
    }

    /// Tells followers what others have told. Who has gone is forgotten.
    async fn follow(&mut self) -> Result<(), &'static str> {
        let chains: Vec<(String, String)> = {
            let mut followers = self.shared.followers();
            followers.retain(|follower| follower.listener.strong_count() > 0);
            followers.iter().map(|f| (f.chain.clone(), f.last.clone())).collect()
        };
        if chains.is_empty() {
            return wire::ping(&mut self.connection).await.or_else(survivable);
        }
        for (chain, mut last) in chains {
            for _ in 0..READS_IN_A_ROW {
                let told = match self.shared.space.told(&mut self.connection, &chain, &last).await {
                    Ok(told) => told,
                    Err(fault) => {
                        self.count(LookupOutcome::Error);
                        survivable(fault)?;
                        break;
                    }
                };
                (0..told.unusable).for_each(|_| self.count(LookupOutcome::Unusable));
                let read = told.entries.len() + told.unusable;
                self.hand_over(&chain, &told);
                let Some(newest) = told.last else { break };
                last = newest;
                if read < ENTRIES_AT_ONCE {
                    break;
                }
            }
        }
        Ok(())
    }

    fn hand_over(&self, chain: &str, told: &wire::Told) {
        for follower in self.shared.followers().iter_mut().filter(|f| f.chain == chain) {
            if let Some(listener) = follower.listener.upgrade() {
                told.entries.iter().for_each(|entry| listener.told(entry));
            }
            if let Some(last) = &told.last {
                follower.last.clone_from(last);
            }
        }
    }

    fn count(&self, outcome: LookupOutcome) {
        self.shared.metrics.lookup(CacheLayer::Redis, CacheKind::Refusal, outcome);
    }
}

/// A server that will not do one thing may do another.
fn survivable(fault: Fault) -> Result<(), &'static str> {
    match fault {
        Fault::Broken(why) => Err(why),
        Fault::Refused | Fault::Unusable => Ok(()),
    }
}
