//! Why a gate could not be built.

/// A gate's configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The origin is not `scheme://authority`.
    #[error("the origin {origin:?} is not http(s)://host[:port] without a path")]
    Origin {
        /// As configured.
        origin: String,
    },
    /// A route was refused.
    #[error("route {route:?}: {fault}")]
    Route {
        /// Name of the route.
        route: String,
        /// What is wrong with it.
        fault: RouteFault,
    },
    /// More routes than [`crate::limits::MAX_ROUTES`].
    #[error("{found} routes are more than the limit of {limit}")]
    TooManyRoutes {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The lease is outside of what can be kept.
    #[error("a lease of {lease_ms} ms is outside of {min}..={max} ms")]
    Lease {
        /// As configured, in milliseconds.
        lease_ms: u64,
        /// Shortest, in milliseconds.
        min: u64,
        /// Longest, in milliseconds.
        max: u64,
    },
}

/// What is wrong with a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteFault {
    /// The name is empty or too long.
    #[error("its name must have 1 to {limit} bytes")]
    Name {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Another route has this name; names are part of what a payment is tied to.
    #[error("another route has the same name")]
    NameTaken,
    /// The matcher cannot be read.
    #[error("its match is not \"[METHOD] /path\": {0}")]
    Matcher(&'static str),
    /// Another route matches exactly the same requests.
    #[error("it matches the same requests as route {other:?}")]
    SameMatch {
        /// Name of the other route.
        other: String,
    },
    /// A priced route without a price would be free.
    #[error("it has no payment option; say that it is free if it is")]
    NoOption,
    /// More options than [`crate::limits::MAX_OPTIONS`].
    #[error("it has more than {limit} payment options")]
    TooManyOptions {
        /// The limit.
        limit: usize,
    },
    /// An option that no payment can match.
    #[error("its payment option {index} cannot be paid: {why}")]
    Option {
        /// Position, from 0.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Money is to follow the answer, and nothing says how much of it may be missing.
    #[error("its money is deferred, and no exposure is configured for its option {index}")]
    NoExposureLimit {
        /// Position of the option, from 0.
        index: usize,
    },
    /// The upstream timeout is zero or too long.
    #[error("its upstream timeout must be above 0 and at most {limit_secs} s")]
    UpstreamTimeout {
        /// The limit, in seconds.
        limit_secs: u64,
    },
    /// The timeout asks for longer authorizations than the option lets the buyer sign.
    #[error(
        "its upstream timeout of {timeout_secs} s plus {margin_secs} s to settle needs \
         authorizations that live longer than the {max_timeout_secs} s of its option {index}"
    )]
    TooShortToPay {
        /// Position of the option, from 0.
        index: usize,
        /// Upstream timeout, in seconds.
        timeout_secs: u64,
        /// Time kept for settling, in seconds.
        margin_secs: u64,
        /// `maxTimeoutSeconds` of the option.
        max_timeout_secs: u64,
    },
    /// The description or media type would not fit into a challenge.
    #[error("its description and media type must have at most {limit} bytes")]
    Description {
        /// The limit, in bytes.
        limit: usize,
    },
}
