//! What can go wrong, in the words of geth where a payment client reads them, and the JSON-RPC
//! code each answer carries.

use std::net::SocketAddr;

use alloy_primitives::{Address, B256, Bytes, U256};

/// A dev chain could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// The listen address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The configuration describes no possible chain.
    #[error("dev chain configuration: {0}")]
    Config(String),
}

/// A request that the chain refuses or that failed in the EVM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it all")]
pub enum ChainError {
    #[error("nonce too low: next nonce {next}, tx nonce {given}")]
    NonceTooLow { next: u64, given: u64 },
    #[error("nonce too high: next nonce {next}, tx nonce {given}")]
    NonceTooHigh { next: u64, given: u64 },
    #[error("already known")]
    AlreadyKnown,
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    #[error(
        "insufficient funds for gas * price + value: address {address} have {have} want {want}"
    )]
    InsufficientFunds { address: Address, have: U256, want: U256 },
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas { gas: u64, needed: u64 },
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorDataGas { gas: u64, needed: u64 },
    #[error("exceeds block gas limit")]
    BlockGasLimit,
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    #[error("max fee per gas less than block base fee: baseFee {base_fee}, maxFeePerGas {given}")]
    FeeCapTooLow { base_fee: u64, given: u128 },
    #[error("invalid chain id for signer: have {given} want {want}")]
    ChainId { given: u64, want: u64 },
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    NotReplayProtected,
    #[error("transaction type not supported")]
    TypeNotSupported,
    #[error("invalid sender")]
    InvalidSender,
    #[error("sender not an eoa: address {0}")]
    SenderHasCode(Address),
    #[error("oversized data")]
    Oversized,
    #[error("rlp: {0}")]
    Undecodable(String),
    #[error("txpool is full")]
    PoolFull,
    #[error("invalid transaction: {0}")]
    InvalidTransaction(String),
    /// REVERT: the data is what the contract returned.
    #[error("execution reverted{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    Reverted { reason: Option<String>, data: Bytes },
    #[error("{0}")]
    Halted(String),
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    #[error("header not found")]
    UnknownBlock,
    #[error("the state of block {number} is not kept (oldest kept: {oldest})")]
    StatePruned { number: u64, oldest: u64 },
    #[error("transaction {0} is not in the pool")]
    NotInPool(B256),
    #[error("cannot reorganise {depth} blocks, at most {most}")]
    ReorgTooDeep { depth: u64, most: u64 },
    #[error("timestamp {given} is lower than the newest block's {newest}")]
    TimestampTooLow { given: u64, newest: u64 },
    #[error("{0}")]
    InvalidCode(String),
    #[error("both state and stateDiff given for account {0}")]
    StateAndDiff(Address),
    #[error("query returned more than {0} results")]
    TooManyLogs(usize),
    #[error("{0}")]
    Params(String),
}

/// JSON-RPC codes used for chain errors.
pub(crate) mod code {
    pub(crate) const PARSE: i64 = -32_700;
    pub(crate) const INVALID_REQUEST: i64 = -32_600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;
    pub(crate) const INVALID_PARAMS: i64 = -32_602;
    pub(crate) const LIMIT_EXCEEDED: i64 = -32_005;
    pub(crate) const SERVER: i64 = -32_000;
    pub(crate) const REVERTED: i64 = 3;
}

impl ChainError {
    /// The JSON-RPC code a client sees.
    pub fn code(&self) -> i64 {
        match self {
            Self::Reverted { .. } => code::REVERTED,
            Self::TooManyLogs(_) => code::LIMIT_EXCEEDED,
            Self::Params(_) | Self::StateAndDiff(_) => code::INVALID_PARAMS,
            _ => code::SERVER,
        }
    }

    /// The contract's answer, for a revert.
    pub fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Reverted { data, .. } => Some(data),
            _ => None,
        }
    }
}
