//! For operators: what the chain shows of a payment beside what the ledger says, and, if asked to,
//! the reconciler's own step. It decides by the reconciler's rules and has none of its own.

use std::sync::Arc;
use std::time::Duration;

use faregate_chain::{Chain, Evidence, Outcome, Watch};
use faregate_ledger::{Lease, LedgerError, Settlement, SettlementState as State, SettlementStore};
use faregate_protocol::PaymentKey;
use faregate_telemetry::Metrics;
use tokio::time::Instant;

use crate::Limits;
use crate::clock::Clock;
use crate::desk::Desk;
use crate::reconcile::{self, Reconciler};
use crate::tenure::Tenure;

const POLL: Duration = Duration::from_millis(200);

/// What the chain shows of one payment now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The money moved to the payee.
    Paid {
        /// The log that proves it.
        proof: Evidence,
        /// In a block that cannot be taken back.
        is_final: bool,
    },
    /// It never will: the cause, proven at a final block.
    Dead {
        /// Name of the cause.
        cause: &'static str,
        /// The final block.
        at_block: u64,
    },
    /// Nothing is proven.
    Nothing {
        /// Own transactions that wait in the endpoint's pool.
        in_pool: Vec<String>,
        /// Own transactions that were mined without effect.
        reverted: Vec<String>,
    },
    /// The chain gave no answer; why.
    NoAnswer(String),
}

/// How the ledger and the chain stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The ledger says what the chain shows, or the chain shows nothing either way.
    Agrees,
    /// The chain proves more than the ledger has recorded; the reconciler's next step records it.
    Behind,
    /// The ledger has recorded what the chain does not show, or the opposite of it.
    Contradicts,
    /// The chain gave no answer.
    NoAnswer,
}

impl Shown {
    /// How it stands to what is stored.
    #[must_use]
    pub fn standing(&self, stored: &Settlement) -> Standing {
        let known = stored.evidence.as_ref();
        let is_known = |proof: &Evidence| {
            known.is_some_and(|known| {
                known.transaction == proof.transaction && known.block_hash == proof.block_hash
            })
        };
        match (self, stored.state) {
            (Self::NoAnswer(_), _) => Standing::NoAnswer,
            (Self::Paid { proof, is_final }, State::Mined | State::Final) if is_known(proof) => {
                let recorded = !is_final || stored.state == State::Final;
                if recorded { Standing::Agrees } else { Standing::Behind }
            }
            (_, State::Mined | State::Final) | (Self::Paid { .. }, State::Dead) => {
                Standing::Contradicts
            }
            // What a final block proved is not searched for in old blocks for ever.
            (Self::Dead { .. } | Self::Nothing { .. }, State::Dead) | (Self::Nothing { .. }, _) => {
                Standing::Agrees
            }
            (Self::Paid { .. } | Self::Dead { .. }, _) => Standing::Behind,
        }
    }
}

/// Looks at payments of one chain.
pub struct Examiner {
    reconciler: Reconciler,
    tenure: Tenure,
}

impl Examiner {
    /// Over a chain and a ledger; starts no worker.
    pub fn new(
        chain: Arc<dyn Chain>,
        store: &Arc<dyn SettlementStore>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        limits: Limits,
    ) -> Self {
        let desk = Arc::new(Desk::new(chain, Arc::clone(store), clock, metrics, limits));
        Self { tenure: reconcile::tenure(&desk), reconciler: Reconciler::new(desk) }
    }

    /// Reads the settlement and asks the chain about it; changes nothing. `None`: there is no
    /// settlement for it here.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn examine(
        &self,
        key: &PaymentKey,
    ) -> Result<Option<(Settlement, Shown)>, LedgerError> {
        let desk = &self.reconciler.desk;
        let Some(stored) = desk.store.find_settlement(key).await? else {
            return Ok(None);
        };
        let watch = Watch {
            request: &stored.new.request,
            transactions: &stored.transactions,
            head_at_claim: stored.new.head_at_claim,
        };
        let shown = match desk.chain.observe(watch).await {
            Err(error) => Shown::NoAnswer(error.to_string()),
            Ok(seen) => match seen.outcome {
                Outcome::Paid(proof) => {
                    Shown::Paid { is_final: proof.block_number <= seen.finalized, proof }
                }
                Outcome::Dead(proof) => {
                    Shown::Dead { cause: proof.cause.name(), at_block: proof.at_block }
                }
                Outcome::Unknown { in_pool, reverted } => Shown::Nothing {
                    in_pool,
                    reverted: reverted.into_iter().map(|own| own.transaction).collect(),
                },
            },
        };
        Ok(Some((stored, shown)))
    }

    /// Becomes the reconciler of the chain, if no other process is within `patience`.
    pub async fn take_charge(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.tenure.hold().await.is_none() {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Looks at a settlement once more and records what is proven, as the reconciler does.
    /// Needs [`Examiner::take_charge`].
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when another process has taken charge.
    pub async fn apply(&mut self, stored: Settlement) -> Result<(), LedgerError> {
        let lease = self.lease().await?;
        if stored.state.is_end() {
            return Ok(());
        }
        self.reconciler.look(&lease, &stored).await.map(|_| ())
    }

    async fn lease(&mut self) -> Result<Lease, LedgerError> {
        let name = reconcile::lease_name(self.reconciler.desk.network());
        self.tenure.hold().await.ok_or(LedgerError::LeaseLost { name })
    }

    /// Lets another process take charge at once.
    pub async fn give_up(mut self) {
        self.tenure.give_up().await;
    }
}
