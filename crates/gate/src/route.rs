//! One route as it is configured: which requests it matches and what they cost.

use std::time::Duration;

use faregate_protocol::{PaymentRequirements, address};

use crate::error::RouteFault;
use crate::limits;
use crate::pattern::Pattern;

/// In `extra` of an option: the order in which it is paid and served.
const PAYMENT_FLOW: &str = "paymentFlow";
/// Settled before the handler runs.
const UPFRONT: &str = "upfront";

/// When the money of a route moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SettleMode {
    /// The handler runs, then the money moves, then the answer leaves. For handlers without
    /// irreversible effects.
    #[default]
    BeforeResponse,
    /// The money moves, then the handler runs, then the answer leaves. For handlers that are dear
    /// or cannot be taken back; if one fails, the payer is owed.
    BeforeRun,
    /// The answer leaves, and the money follows from a queue, for as long as what is served and
    /// not settled stays within the configured exposure; beyond it, as
    /// [`SettleMode::BeforeResponse`]. What can be lost is at most that exposure.
    Deferred,
}

impl SettleMode {
    /// Name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeResponse => "before-response",
            Self::BeforeRun => "before-run",
            Self::Deferred => "deferred",
        }
    }
}

/// Whether a route costs money.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Goes to the application without payment.
    Free,
    /// One of these options has to be paid; at least one, in the order in which they are offered.
    Priced(Vec<PaymentRequirements>),
}

/// A route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Stable name, 1 to 128 bytes: it is part of what a payment is tied to.
    pub name: String,
    /// `GET /weather`, `/weather` (every method), `* /files/*` or `GET /users/:id`. Matched on
    /// the raw path bytes, case-sensitively. `:id` is one segment; `*` stands last and is any
    /// rest, also an empty one.
    pub matcher: String,
    /// What it costs.
    pub access: Access,
    /// When the money moves.
    pub settle: SettleMode,
    /// The handler may run again for a payment that was not charged, such as after a crash.
    /// `false`: never; such a payment is answered 409 `handler_interrupted`.
    pub rerun: bool,
    /// For people, in the challenge.
    pub description: String,
    /// Media type of the answer, in the challenge.
    pub mime_type: String,
    /// Time the application has for its whole answer. An authorization must live 15 s longer.
    pub upstream_timeout: Duration,
}

impl Route {
    /// A priced route with defaults for the rest.
    #[must_use]
    pub fn priced(
        name: impl Into<String>,
        matcher: impl Into<String>,
        options: Vec<PaymentRequirements>,
    ) -> Self {
        Self::new(name.into(), matcher.into(), Access::Priced(options))
    }

    /// A free route, for tables whose unmatched requests are denied.
    #[must_use]
    pub fn free(name: impl Into<String>, matcher: impl Into<String>) -> Self {
        Self::new(name.into(), matcher.into(), Access::Free)
    }

    fn new(name: String, matcher: String, access: Access) -> Self {
        Self {
            name,
            matcher,
            access,
            settle: SettleMode::default(),
            rerun: true,
            description: String::new(),
            mime_type: String::new(),
            upstream_timeout: limits::UPSTREAM_TIMEOUT,
        }
    }

    /// As it is offered: options whose money moves before the handler runs say so.
    pub(crate) fn advertised(mut self) -> Self {
        if self.settle == SettleMode::BeforeRun
            && let Access::Priced(options) = &mut self.access
        {
            for option in options {
                let extra = option.extra.get_or_insert_default();
                extra.entry(PAYMENT_FLOW).or_insert_with(|| UPFRONT.into());
            }
        }
        self
    }

    /// The options; none for a free route.
    #[must_use]
    pub fn options(&self) -> &[PaymentRequirements] {
        match &self.access {
            Access::Free => &[],
            Access::Priced(options) => options,
        }
    }

    /// It costs money.
    #[must_use]
    pub const fn is_priced(&self) -> bool {
        matches!(self.access, Access::Priced(_))
    }

    /// The path that its matcher is written with, if it has no parameters: the one that it matches,
    /// as it is sent.
    pub(crate) fn plain_path(&self) -> Option<&str> {
        let path = self.matcher.rsplit(' ').next()?;
        (path.starts_with('/') && !path.contains([':', '*'])).then_some(path)
    }

    /// Everything that is wrong with the route by itself; what is wrong between routes is found by
    /// [`crate::RouteTable::faults`].
    #[must_use]
    pub fn faults(&self) -> Vec<RouteFault> {
        let mut found = Vec::new();
        let name_limit = limits::MAX_ROUTE_NAME_BYTES;
        if self.name.is_empty() || self.name.len() > name_limit {
            found.push(RouteFault::Name { limit: name_limit });
        }
        found.extend(Pattern::read(&self.matcher).err());
        if self.upstream_timeout.is_zero() || self.upstream_timeout > limits::MAX_UPSTREAM_TIMEOUT {
            let limit_secs = limits::MAX_UPSTREAM_TIMEOUT.as_secs();
            found.push(RouteFault::UpstreamTimeout { limit_secs });
        }
        let limit = limits::MAX_DESCRIPTION_BYTES;
        if self.description.len().saturating_add(self.mime_type.len()) > limit {
            found.push(RouteFault::Description { limit });
        }
        if let Access::Priced(options) = &self.access {
            self.check_options(options, &mut found);
        }
        found
    }

    fn check_options(&self, options: &[PaymentRequirements], found: &mut Vec<RouteFault>) {
        if options.is_empty() {
            found.push(RouteFault::NoOption);
        }
        if options.len() > limits::MAX_OPTIONS {
            found.push(RouteFault::TooManyOptions { limit: limits::MAX_OPTIONS });
        }
        for (index, option) in options.iter().enumerate() {
            let faults = option_faults(option);
            found.extend(faults.map(|why| RouteFault::Option { index, why }));
            if option.timeout_secs() <= self.least_life_secs() {
                found.push(RouteFault::TooShortToPay {
                    index,
                    timeout_secs: self.upstream_timeout.as_secs(),
                    margin_secs: limits::SETTLE_MARGIN.as_secs(),
                    max_timeout_secs: option.timeout_secs(),
                });
            }
        }
    }

    /// Seconds an authorization must have left, exclusive: the upstream timeout, rounded up, and
    /// the time to settle.
    pub(crate) fn least_life_secs(&self) -> u64 {
        let timeout = self.upstream_timeout;
        let whole = timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0));
        whole.saturating_add(limits::SETTLE_MARGIN.as_secs())
    }
}

fn option_faults(option: &PaymentRequirements) -> impl Iterator<Item = &'static str> {
    let payee = address::parse_checked_address(&option.pay_to);
    let checks = [
        (option.scheme != "exact", "its scheme is not exact"),
        (option.network.evm_chain_id().is_none(), "its network is not an EVM chain"),
        (option.amount == faregate_protocol::Amount::ZERO, "its amount is zero"),
        (address::parse_checked_address(&option.asset).is_err(), "its asset is not an address"),
        (payee.is_err(), "its payTo is not an address"),
        (payee.is_ok_and(|payee| payee.is_zero()), "its payTo is the zero address"),
    ];
    checks.into_iter().filter_map(|(is_wrong, why)| is_wrong.then_some(why))
}
