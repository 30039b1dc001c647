//! The state of the first block.

use revm::state::AccountInfo;

use crate::{
    accounts::MULTICALL,
    config::{DevnetConfig, Predeploy},
    contracts::{Contract, token_storage},
    error::DevnetError,
    evm,
    state::{State, Undo},
};

/// Accounts, token, multicall and the configured predeploys.
///
/// Errors: a predeploy's code is not code.
pub(crate) fn state(config: &DevnetConfig) -> Result<State, DevnetError> {
    let mut state = State::default();
    // Nobody looks behind the first block.
    let mut unused = Undo::default();
    for funded in &config.accounts {
        let info = AccountInfo::from_balance(funded.balance);
        state.set_info(funded.address, info, &mut unused);
    }
    for contract in built_in(config).iter().chain(&config.predeploys) {
        let code = evm::bytecode(contract.code.clone())
            .map_err(|error| DevnetError::Config(format!("{}: {error}", contract.address)))?;
        state.edit(contract.address, &mut unused, |info| {
            info.code_hash = code.hash_slow();
            info.code = Some(code);
            info.nonce = 1;
        });
        for (slot, value) in &contract.storage {
            state.set_slot(contract.address, *slot, *value, &mut unused);
        }
    }
    Ok(state)
}

fn built_in(config: &DevnetConfig) -> Vec<Predeploy> {
    let mut contracts = vec![Predeploy {
        address: MULTICALL,
        code: Contract::Multicall.runtime_code(),
        storage: Vec::new(),
    }];
    if let Some(token) = &config.token {
        contracts.push(Predeploy {
            address: token.address,
            code: Contract::DevUsd.runtime_code(),
            storage: token_storage(token.owner, &token.balances),
        });
    }
    contracts
}
