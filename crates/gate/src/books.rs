//! Who is served before the money moves: what is configured, and whether a payment fits.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{DeferredStore, ExposureLimits, NotDeferred};
use faregate_protocol::{Amount, Network, PaymentRequirements};
use tokio::sync::Notify;

use crate::config::GateLimits;
use crate::error::{GateError, RouteFault};
use crate::flow::{Presented, Seen};
use crate::forecast::Forecast;
use crate::gate::{Gate, now_unix_secs};
use crate::limits;
use crate::route::{Route, SettleMode};

/// How much may be served before it is settled, and how that is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferredConfig {
    /// One for each asset of a deferred route.
    pub assets: Vec<AssetLimits>,
    /// Time an authorization must have left for its money to follow its answer.
    pub min_left: Duration,
    /// Settlements that are asked for at once.
    pub at_once: usize,
    /// Time to empty the queue after shutdown was asked for; the rest waits for the next start.
    pub drain: Duration,
}

/// Most that may be served and not proven settled, in atomic units of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetLimits {
    /// CAIP-2 id.
    pub network: Network,
    /// Address of the token.
    pub asset: String,
    /// To one payer.
    pub payer: Amount,
    /// To all payers, over all gates that share a ledger.
    pub total: Amount,
}

impl DeferredConfig {
    /// Defaults for all but the limits.
    #[must_use]
    pub const fn new(assets: Vec<AssetLimits>) -> Self {
        Self {
            assets,
            min_left: limits::DEFERRED_MIN_LEFT,
            at_once: limits::DISPATCH_AT_ONCE,
            drain: limits::DISPATCH_DRAIN,
        }
    }

    fn limits_of(&self, option: &PaymentRequirements) -> Option<&AssetLimits> {
        self.assets.iter().find(|limits| {
            limits.network == option.network && limits.asset.eq_ignore_ascii_case(&option.asset)
        })
    }
}

/// Deferred routes with an option whose exposure nobody has limited.
pub(crate) fn faults<'a>(
    routes: &'a [Route],
    config: Option<&'a DeferredConfig>,
) -> impl Iterator<Item = GateError> + 'a {
    let deferred = routes.iter().filter(|route| route.settle == SettleMode::Deferred);
    deferred.flat_map(move |route| {
        let options = route.options().iter().enumerate();
        let unlimited = options.filter(move |(_, option)| {
            config.and_then(|config| config.limits_of(option)).is_none()
        });
        unlimited.map(|(index, _)| GateError::Route {
            route: route.name.clone(),
            fault: RouteFault::NoExposureLimit { index },
        })
    })
}

/// The books of the gates that share a ledger, and what this process knows of their queue.
pub(crate) struct Books {
    pub(crate) store: Arc<dyn DeferredStore>,
    pub(crate) config: DeferredConfig,
    pub(crate) forecast: Forecast,
    /// Something became due.
    pub(crate) wake: Arc<Notify>,
}

impl Books {
    pub(crate) fn new(
        store: Arc<dyn DeferredStore>,
        config: DeferredConfig,
        limits: &GateLimits,
    ) -> Self {
        let forecast = Forecast::new(limits.settle_timeout, config.at_once);
        Self { store, config, forecast, wake: Arc::default() }
    }

    /// The limits within which the payment may be put on the books; none if it may not.
    fn room_for(&self, presented: &Presented, seen: &Seen) -> Result<ExposureLimits, &'static str> {
        let option = &presented.asked.payment_requirements;
        let own = self.config.limits_of(option).ok_or("asset")?;
        let left = presented.valid_before.saturating_sub(now_unix_secs());
        let left = Duration::from_secs(left);
        if left <= self.config.min_left || !self.forecast.is_in_time(left) {
            return Err("time");
        }
        let balance = seen.balance.unwrap_or(own.payer);
        Ok(ExposureLimits { payer: own.payer.min(balance), total: own.total })
    }
}

impl Gate {
    /// The books and the limits, if the money of the payment may follow its answer.
    pub(crate) fn room_for(
        &self,
        presented: &Presented,
        seen: &Seen,
    ) -> Option<(&Books, ExposureLimits)> {
        let books = self.books.as_ref()?;
        if presented.route.settle != SettleMode::Deferred {
            return None;
        }
        match books.room_for(presented, seen) {
            Ok(limits) => Some((books, limits)),
            Err(why) => {
                self.metrics.not_deferred(why);
                None
            }
        }
    }

    /// Whom to wake when something became due.
    pub(crate) fn dispatcher(&self) -> Option<Arc<Notify>> {
        self.books.as_ref().map(|books| Arc::clone(&books.wake))
    }
}

/// For the metrics.
pub(crate) const fn why_not(why: NotDeferred) -> &'static str {
    match why {
        NotDeferred::PayerLimit => "payer_limit",
        NotDeferred::TotalLimit => "total_limit",
        NotDeferred::OpenDebt => "open_debt",
    }
}
