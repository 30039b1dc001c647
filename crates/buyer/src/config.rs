//! What a buyer is given: its key, its limits, and what it may pay with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use faregate_evm::wallet::Wallet;
use faregate_protocol::Network;

use crate::spend::MaxPrice;

/// A buyer's configuration.
#[derive(Clone, Debug)]
pub struct BuyerConfig {
    /// Who pays.
    pub wallet: Arc<Wallet>,
    /// Where signed payments are kept until their end is known. Made with mode 0700.
    pub state_dir: PathBuf,
    /// Highest price of one request.
    pub max_price: MaxPrice,
    /// Main networks that may be paid on. Test networks always may; every other network is off
    /// until it is named here.
    pub networks: Vec<Network>,
    /// Assets besides the known ones.
    pub assets: Vec<AllowedAsset>,
    /// Times and sizes.
    pub limits: Limits,
}

impl BuyerConfig {
    /// Pays with `wallet` up to `max_price`, on test networks, with known assets.
    #[must_use]
    pub fn new(wallet: Arc<Wallet>, state_dir: PathBuf, max_price: MaxPrice) -> Self {
        Self {
            wallet,
            state_dir,
            max_price,
            networks: Vec::new(),
            assets: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// An asset that the user vouches for. It must implement EIP-3009. Its network is allowed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedAsset {
    /// Where it lives.
    pub network: Network,
    /// Token contract.
    pub address: Address,
    /// Ticker, for people and for limits such as `1.50 USDT`.
    pub symbol: String,
    /// EIP-712 domain name.
    pub eip712_name: String,
    /// EIP-712 domain version.
    pub eip712_version: String,
    /// Decimals of one token.
    pub decimals: u8,
}

/// Times and sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One HTTP exchange, body included, takes at most this long.
    pub request_timeout: Duration,
    /// A connection is made within this time.
    pub connect_timeout: Duration,
    /// After a payment was sent, its outcome is pursued for this long (or until the authorization
    /// has expired and [`Limits::clock_skew`] has passed, if that is sooner). Waiting for another
    /// run of the same request is bounded by it too.
    pub wait: Duration,
    /// Longest life of an authorization, whatever the seller asks for.
    pub max_validity: Duration,
    /// How wrong our clock may be against the chain's: an authorization counts as expired only
    /// this long after its end.
    pub clock_skew: Duration,
    /// Largest answer body, in bytes.
    pub max_body_bytes: usize,
    /// Same-origin redirects that are followed before a payment.
    pub max_redirects: usize,
    /// First pause before the same payment is sent again; doubled each time.
    pub first_backoff: Duration,
    /// Longest pause that is not asked for by the seller.
    pub max_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            wait: Duration::from_secs(60),
            max_validity: Duration::from_secs(3600),
            clock_skew: Duration::from_secs(30),
            max_body_bytes: 64 * 1024 * 1024,
            max_redirects: 5,
            first_backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(4),
        }
    }
}
