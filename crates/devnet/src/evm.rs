//! Running one transaction or call in revm, and what its outcome means to a JSON-RPC client.

use std::convert::Infallible;

use alloy_primitives::{Address, Bytes, Log, U256, hex};
use alloy_sol_types::{Panic, Revert, SolError as _};
use revm::{
    Context, Database, ExecuteEvm as _, MainBuilder as _, MainContext as _,
    context::{BlockEnv, TxEnv},
    context_interface::result::{
        EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultAndState,
    },
    primitives::hardfork::SpecId,
};

use crate::error::ChainError;

/// The rules of the chain: calldata floor and EIP-7702, but no cap on one transaction's gas.
pub(crate) const SPEC: SpecId = SpecId::PRAGUE;

/// Which of the checks before execution apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// All: a transaction in a block.
    Block,
    /// No nonce, base fee, block gas or sender-code check: a call.
    Call,
}

/// Runs `tx` on `db` without committing anything.
///
/// Errors: the transaction is invalid; it left no trace.
pub(crate) fn run<D: Database<Error = Infallible>>(
    db: D,
    chain_id: u64,
    block: BlockEnv,
    checks: Checks,
    tx: TxEnv,
) -> Result<ResultAndState, ChainError> {
    let sender = tx.caller;
    let fee_cap = tx.gas_price;
    let base_fee = block.basefee;
    let context = Context::mainnet().with_db(db).with_block(block).modify_cfg_chained(|cfg| {
        cfg.set_spec_and_mainnet_gas_params(SPEC);
        cfg.chain_id = chain_id;
        let lenient = checks == Checks::Call;
        cfg.disable_nonce_check = lenient;
        cfg.disable_base_fee = lenient;
        cfg.disable_block_gas_limit = lenient;
        cfg.disable_eip3607 = lenient;
    });
    context.build_mainnet().transact(tx).map_err(|error| match error {
        EVMError::Transaction(InvalidTransaction::GasPriceLessThanBasefee) => {
            ChainError::FeeCapTooLow { base_fee, given: fee_cap }
        }
        EVMError::Transaction(invalid) => refusal(invalid, sender),
        other => ChainError::InvalidTransaction(other.to_string()),
    })
}

fn refusal(invalid: InvalidTransaction, sender: Address) -> ChainError {
    match invalid {
        InvalidTransaction::NonceTooLow { tx, state } => {
            ChainError::NonceTooLow { next: state, given: tx }
        }
        InvalidTransaction::NonceTooHigh { tx, state } => {
            ChainError::NonceTooHigh { next: state, given: tx }
        }
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            ChainError::InsufficientFunds { address: sender, have: *balance, want: *fee }
        }
        InvalidTransaction::OverflowPaymentInTransaction => {
            ChainError::InsufficientFunds { address: sender, have: U256::ZERO, want: U256::MAX }
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            ChainError::IntrinsicGas { gas: gas_limit, needed: initial_gas }
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            ChainError::FloorDataGas { gas: gas_limit, needed: gas_floor }
        }
        InvalidTransaction::CallerGasLimitMoreThanBlock => ChainError::BlockGasLimit,
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => ChainError::TipAboveFeeCap,
        InvalidTransaction::RejectCallerWithCode => ChainError::SenderHasCode(sender),
        other => ChainError::InvalidTransaction(other.to_string()),
    }
}

/// What a finished execution left behind.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The returned bytes, or why there are none.
    pub(crate) output: Result<Bytes, ChainError>,
    /// After refunds and the calldata floor.
    pub(crate) gas_used: u64,
    /// Before refunds: what the execution needed at its peak.
    pub(crate) gas_peak: u64,
    /// Empty unless it succeeded.
    pub(crate) logs: Vec<Log>,
    /// The contract it created.
    pub(crate) created: Option<Address>,
}

impl From<ExecutionResult> for Outcome {
    fn from(result: ExecutionResult) -> Self {
        let created = result.created_address();
        match result {
            ExecutionResult::Success { gas, logs, output, .. } => Self {
                output: Ok(output.into_data()),
                gas_used: gas.tx_gas_used(),
                gas_peak: gas.total_gas_spent(),
                logs,
                created,
            },
            ExecutionResult::Revert { gas, output, .. } => Self {
                output: Err(reverted(output)),
                gas_used: gas.tx_gas_used(),
                gas_peak: gas.total_gas_spent(),
                logs: Vec::new(),
                created: None,
            },
            ExecutionResult::Halt { reason, gas, .. } => Self {
                output: Err(ChainError::Halted(halt_text(&reason))),
                gas_used: gas.tx_gas_used(),
                gas_peak: gas.total_gas_spent(),
                logs: Vec::new(),
                created: None,
            },
        }
    }
}

/// A revert with its reason in words, when the contract gave one.
fn reverted(data: Bytes) -> ChainError {
    let reason = match Revert::abi_decode(&data) {
        Ok(revert) => Some(revert.reason),
        Err(_) => Panic::abi_decode(&data).ok().map(|panic| panic_text(&panic)),
    };
    ChainError::Reverted { reason, data }
}

fn panic_text(panic: &Panic) -> String {
    let known = match u64::try_from(panic.code) {
        Ok(0x00) => "generic panic",
        Ok(0x01) => "assert(false)",
        Ok(0x11) => "arithmetic underflow or overflow",
        Ok(0x12) => "division or modulo by zero",
        Ok(0x21) => "enum overflow",
        Ok(0x22) => "invalid encoded storage byte array accessed",
        Ok(0x31) => "out-of-bounds array access; popping on an empty array",
        Ok(0x32) => "out-of-bounds access of an array or bytesN",
        Ok(0x41) => "out of memory",
        Ok(0x51) => "uninitialized function",
        _ => return format!("unknown panic code: {:#x}", panic.code),
    };
    known.to_owned()
}

fn halt_text(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".to_owned(),
        HaltReason::OpcodeNotFound => "invalid opcode".to_owned(),
        HaltReason::StackUnderflow => "stack underflow".to_owned(),
        HaltReason::StackOverflow => "stack limit reached 1024 (1023)".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::StateChangeDuringStaticCall => "write protection".to_owned(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".to_owned(),
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        other => other.to_string(),
    }
}

/// Code as the chain stores it.
///
/// Errors: it starts with the EIP-7702 marker but is not a delegation.
pub(crate) fn bytecode(code: Bytes) -> Result<revm::bytecode::Bytecode, ChainError> {
    let shown = hex::encode_prefixed(code.iter().take(4).copied().collect::<Vec<_>>());
    revm::bytecode::Bytecode::new_raw_checked(code)
        .map_err(|error| ChainError::InvalidCode(format!("invalid code {shown}..: {error}")))
}
