//! How a gate is configured. Reading files and the environment is the binary's task.

use std::time::Duration;

use crate::books::{self, DeferredConfig};
use crate::error::GateError;
use crate::limits;
use crate::origin::Origin;
use crate::route::Route;
use crate::route_table::{RouteTable, Unmatched};

/// A gate's configuration.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// `https://api.example.com`: what challenges advertise and payments are tied to. Never taken
    /// from a request.
    pub origin: String,
    /// The routes, in any order.
    pub routes: Vec<Route>,
    /// What happens to everything else; has to be stated.
    pub unmatched: Unmatched,
    /// Lease on a claim, in milliseconds, renewed every third of it.
    pub lease_ms: u64,
    /// How long a bought answer is kept for repeats of its payment after the authorization has
    /// ended. A payment that is not granted keeps its answer in any case.
    pub answer_retention: Duration,
    /// Sizes and times.
    pub limits: GateLimits,
    /// The facilitator keeps its reply to every settle id, as ours does. With a foreign one, whose
    /// refusal of a repeated question proves nothing about the first, leave it `false`.
    pub facilitator_remembers: bool,
    /// How much may be served before it is settled. Required if a route is deferred.
    pub deferred: Option<DeferredConfig>,
}

impl GateConfig {
    /// Defaults for all but what has to be stated.
    #[must_use]
    pub fn new(origin: impl Into<String>, routes: Vec<Route>, unmatched: Unmatched) -> Self {
        Self {
            origin: origin.into(),
            routes,
            unmatched,
            lease_ms: limits::LEASE_MS,
            answer_retention: limits::ANSWER_RETENTION,
            limits: GateLimits::default(),
            facilitator_remembers: false,
            deferred: None,
        }
    }

    /// Everything that a gate would be refused for, without building one. Of the routes see also
    /// [`RouteTable::faults`], which tells their positions.
    #[must_use]
    pub fn check(&self) -> Vec<GateError> {
        let (min, max) = (limits::MIN_LEASE_MS, limits::MAX_LEASE_MS);
        let mut found = Vec::new();
        if !(min..=max).contains(&self.lease_ms) {
            found.push(GateError::Lease { lease_ms: self.lease_ms, min, max });
        }
        found.extend(self.origin.parse::<Origin>().err());
        let (routes, limit) = (self.routes.len(), limits::MAX_ROUTES);
        if routes > limit {
            found.push(GateError::TooManyRoutes { found: routes, limit });
        }
        for (index, fault) in RouteTable::faults(&self.routes) {
            let route = self.routes.get(index).map(|route| route.name.clone());
            found.push(GateError::Route { route: route.unwrap_or_default(), fault });
        }
        found.extend(books::faults(&self.routes, self.deferred.as_ref()));
        found
    }
}

/// What the gate holds in memory and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Payments that are worked on at once, those whose client has gone included; 503 above.
    pub max_payments: usize,
    /// Largest body of a paid request, in bytes; 413 above.
    pub max_request_body_bytes: usize,
    /// Largest answer that is held back until it is paid, in bytes; 502 above, nothing charged.
    pub max_answer_bytes: usize,
    /// Largest such answer that is held in memory, in bytes. A larger one waits in the ledger, in
    /// parts of [`limits::ANSWER_PART_BYTES`].
    pub max_answer_in_memory_bytes: usize,
    /// How much of a failed handler's body passes unpaid, in bytes; the rest is cut off.
    pub max_failed_answer_bytes: usize,
    /// How long a paid request's body may take to arrive.
    pub request_body_timeout: Duration,
    /// How long a verification may take.
    pub verify_timeout: Duration,
    /// The deadline a facilitator is given to settle.
    pub settle_timeout: Duration,
    /// The deadline it is given when it is asked once more.
    pub settle_again_timeout: Duration,
    /// How often the sweeper looks.
    pub sweep_every: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            max_payments: limits::MAX_PAYMENTS,
            max_request_body_bytes: limits::MAX_REQUEST_BODY_BYTES,
            max_answer_bytes: limits::MAX_ANSWER_BYTES,
            max_answer_in_memory_bytes: limits::MAX_ANSWER_IN_MEMORY_BYTES,
            max_failed_answer_bytes: limits::MAX_FAILED_ANSWER_BYTES,
            request_body_timeout: limits::REQUEST_BODY_TIMEOUT,
            verify_timeout: limits::VERIFY_TIMEOUT,
            settle_timeout: limits::SETTLE_TIMEOUT,
            settle_again_timeout: limits::SETTLE_AGAIN_TIMEOUT,
            sweep_every: limits::SWEEP_EVERY,
        }
    }
}
