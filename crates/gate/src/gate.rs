//! The gate: the price table and what its flows need.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faregate_ledger::{
    Claim, ClaimState, ClaimStore, Claimed, DeferredClaim, DeferredStore, ExposureLimits, Hold,
    LedgerError, NewClaim,
};
use faregate_protocol::{Facilitator, PaymentKey, PaymentRequest};
use faregate_telemetry::Metrics;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::books::{self, Books, DeferredConfig};
use crate::challenge_page::Page;
use crate::config::{GateConfig, GateLimits};
use crate::error::GateError;
use crate::lease::Lease;
use crate::limits;
use crate::origin::Origin;
use crate::route::Route;
use crate::route_table::RouteTable;

const MS_PER_SEC: u64 = 1000;

/// What stands before the priced resources of one origin. Shared by every request.
pub struct Gate {
    pub(crate) origin: Origin,
    pub(crate) table: RouteTable,
    /// By the names of the priced routes.
    pages: HashMap<String, Page>,
    pub(crate) limits: GateLimits,
    pub(crate) facilitator_remembers: bool,
    pub(crate) lease_ms: u64,
    pub(crate) answer_retention: Duration,
    pub(crate) store: Arc<dyn ClaimStore>,
    pub(crate) facilitator: Arc<dyn Facilitator>,
    pub(crate) metrics: Metrics,
    pub(crate) backoff: Backoff,
    pub(crate) books: Option<Books>,
    deferred: Option<DeferredConfig>,
    running: watch::Sender<usize>,
}

impl Gate {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// The first of [`GateConfig::check`].
    pub fn new(
        config: GateConfig,
        store: Arc<dyn ClaimStore>,
        facilitator: Arc<dyn Facilitator>,
        metrics: Metrics,
    ) -> Result<Self, GateError> {
        let (min, max) = (limits::MIN_LEASE_MS, limits::MAX_LEASE_MS);
        if !(min..=max).contains(&config.lease_ms) {
            return Err(GateError::Lease { lease_ms: config.lease_ms, min, max });
        }
        let origin: Origin = config.origin.parse()?;
        if let Some(fault) = books::faults(&config.routes, config.deferred.as_ref()).next() {
            return Err(fault);
        }
        let routes = config.routes.into_iter().map(Route::advertised).collect();
        let table = RouteTable::new(routes, config.unmatched, origin.clone())?;
        let priced = table.routes().filter(|route| route.is_priced());
        Ok(Self {
            pages: priced.map(|route| (route.name.clone(), Page::of(&origin, route))).collect(),
            table,
            origin,
            limits: config.limits,
            facilitator_remembers: config.facilitator_remembers,
            lease_ms: config.lease_ms,
            answer_retention: config.answer_retention,
            store,
            facilitator,
            metrics,
            backoff: Backoff::default(),
            books: None,
            deferred: config.deferred,
            running: watch::Sender::new(0),
        })
    }

    /// With the books of deferred money, which must be those of the same ledger. Without them,
    /// routes with `settle = "deferred"` settle before they answer. A gate without such a route
    /// needs them for what an earlier configuration has left.
    #[must_use]
    pub fn with_books(mut self, store: Arc<dyn DeferredStore>) -> Self {
        let config = self.deferred.take().unwrap_or_else(|| DeferredConfig::new(Vec::new()));
        self.books = Some(Books::new(store, config, &self.limits));
        self
    }

    /// The price table.
    #[must_use]
    pub const fn table(&self) -> &RouteTable {
        &self.table
    }

    /// The origin it speaks for.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Waits until no payment is being worked on, at most `limit`. `false`: some still are; what
    /// they have reached is in the ledger, and the next start goes on from there.
    pub async fn wait_idle(&self, limit: Duration) -> bool {
        let mut running = self.running.subscribe();
        tokio::time::timeout(limit, running.wait_for(|count| *count == 0)).await.is_ok()
    }

    /// Counts a flow for as long as the guard lives; none above the limit.
    pub(crate) fn working(self: &Arc<Self>) -> Option<Working> {
        let seated = self.running.send_if_modified(|count| {
            let is_free = *count < self.limits.max_payments;
            *count = count.saturating_add(usize::from(is_free));
            is_free
        });
        seated.then(|| Working { gate: Arc::clone(self) })
    }

    /// What a priced route of this gate asks for.
    pub(crate) fn page(&self, route: &Route) -> Option<&Page> {
        self.pages.get(&route.name)
    }

    /// Claims a payment; see [`ClaimStore::claim`].
    pub(crate) async fn claim(&self, new: &NewClaim) -> Result<Won, LedgerError> {
        let asked_at = Instant::now();
        Ok(match self.store.claim(new, self.lease_ms).await? {
            Claimed::Won(hold) => Won::Yes(self.lease(hold, asked_at)),
            Claimed::Exists(claim) => Won::No(claim),
        })
    }

    /// Claims a payment with its money to follow; the usual way if the books have no room for it.
    pub(crate) async fn claim_deferred(
        &self,
        books: &Books,
        new: &NewClaim,
        request: &PaymentRequest,
        limits: ExposureLimits,
    ) -> Result<(Won, bool), LedgerError> {
        let asked_at = Instant::now();
        match books.store.claim_deferred(new, self.lease_ms, request, limits).await? {
            DeferredClaim::Claimed(Claimed::Won(hold)) => {
                Ok((Won::Yes(self.lease(hold, asked_at)), true))
            }
            DeferredClaim::Claimed(Claimed::Exists(claim)) => Ok((Won::No(claim), false)),
            DeferredClaim::Refused(why) => {
                self.metrics.not_deferred(books::why_not(why));
                Ok((self.claim(new).await?, false))
            }
        }
    }

    /// Takes a claim over whose holder is gone; see [`ClaimStore::take_over`].
    pub(crate) async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
    ) -> Result<Option<Lease>, LedgerError> {
        let asked_at = Instant::now();
        let hold = self.store.take_over(key, state, self.lease_ms).await?;
        Ok(hold.map(|hold| self.lease(hold, asked_at)))
    }

    fn lease(&self, hold: Hold, asked_at: Instant) -> Lease {
        Lease::start(Arc::clone(&self.store), hold, self.lease_ms, asked_at)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Outcome of trying to claim.
pub(crate) enum Won {
    /// Nobody else has it.
    Yes(Lease),
    /// Somebody claimed it before.
    No(Box<Claim>),
}

/// A flow that runs.
pub(crate) struct Working {
    gate: Arc<Gate>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.gate.running.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Unix time in milliseconds; 0 for a clock before 1970, which makes every authorization look too
/// long and refuses it.
pub(crate) fn now_unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Unix time in seconds; see [`now_unix_ms`].
pub(crate) fn now_unix_secs() -> u64 {
    now_unix_ms() / MS_PER_SEC
}
