//! The compiled contracts in `contracts/artifacts`, for genesis and for tests that place one at
//! an address of their own.

use alloy_primitives::{Address, Bytes, U256, hex, keccak256};
use serde_json::Value;

/// A contract of this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contract {
    /// An ERC-1271 wallet; slot 0 holds the owner whose signatures it accepts.
    ContractWallet,
    /// The dev dollar: answers as USDC on Base Sepolia.
    DevUsd,
    /// Hostile token: moves nothing, logs nothing, reverts never.
    FalseToken,
    /// Hostile token: one percent of every transfer goes to its owner.
    FeeToken,
    /// Hostile token: logs of a payment come from another address, and nothing moves.
    ForgingToken,
    /// Hostile token: simulates well, burns all gas in a real transaction.
    GasBurnerToken,
    /// Many calls in one, at the address and with the functions of Multicall3.
    Multicall,
    /// Hostile token: succeeds without doing anything when an authorization was used before.
    QuietToken,
    /// Simulations of many payments in one call; never deployed.
    Simulations,
}

/// Every contract, by name.
pub const ALL: [Contract; 9] = [
    Contract::ContractWallet,
    Contract::DevUsd,
    Contract::FalseToken,
    Contract::FeeToken,
    Contract::ForgingToken,
    Contract::GasBurnerToken,
    Contract::Multicall,
    Contract::QuietToken,
    Contract::Simulations,
];

impl Contract {
    /// The artifact as JSON text: `abi`, `bytecode`, `runtimeBytecode`, source hashes, compiler
    /// settings.
    pub const fn artifact(self) -> &'static str {
        match self {
            Self::ContractWallet => {
                include_str!("../../../contracts/artifacts/ContractWallet.json")
            }
            Self::DevUsd => include_str!("../../../contracts/artifacts/DevUsd.json"),
            Self::FalseToken => include_str!("../../../contracts/artifacts/FalseToken.json"),
            Self::FeeToken => include_str!("../../../contracts/artifacts/FeeToken.json"),
            Self::ForgingToken => include_str!("../../../contracts/artifacts/ForgingToken.json"),
            Self::GasBurnerToken => {
                include_str!("../../../contracts/artifacts/GasBurnerToken.json")
            }
            Self::Multicall => include_str!("../../../contracts/artifacts/Multicall.json"),
            Self::QuietToken => include_str!("../../../contracts/artifacts/QuietToken.json"),
            Self::Simulations => include_str!("../../../contracts/artifacts/Simulations.json"),
        }
    }

    /// The code that stands on the chain, ready for a predeploy or `set_code`. No contract here
    /// has immutables, so it means the same at any address.
    pub fn runtime_code(self) -> Bytes {
        self.code_member("runtimeBytecode")
    }

    /// The code of a deployment; append the ABI-encoded owner address (not for
    /// [`Contract::Multicall`] and [`Contract::Simulations`], which take none).
    pub fn creation_code(self) -> Bytes {
        self.code_member("bytecode")
    }

    fn code_member(self, member: &str) -> Bytes {
        let artifact: Value =
            serde_json::from_str(self.artifact()).expect("committed artifacts are JSON");
        let text = artifact.get(member).and_then(Value::as_str);
        let code = text.and_then(|text| hex::decode(text).ok());
        code.expect("committed artifacts carry hexadecimal code").into()
    }
}

/// Storage of a token of this repository (all share one layout), as (slot, value) pairs.
/// Balances are in atomic units.
pub fn token_storage(owner: Address, balances: &[(Address, U256)]) -> Vec<(U256, U256)> {
    let supply = balances.iter().fold(U256::ZERO, |sum, (_, amount)| sum.saturating_add(*amount));
    let mut storage = vec![(OWNER_SLOT, owner.into_word().into()), (SUPPLY_SLOT, supply)];
    for (holder, amount) in balances {
        storage.push((balance_slot(*holder), *amount));
    }
    storage
}

/// Storage of a [`Contract::ContractWallet`] owned by `owner`.
pub fn wallet_storage(owner: Address) -> Vec<(U256, U256)> {
    vec![(OWNER_SLOT, owner.into_word().into())]
}

/// Slot of a holder's balance in every token of this repository.
pub fn balance_slot(holder: Address) -> U256 {
    let mut preimage = [0u8; 64];
    preimage[..32].copy_from_slice(holder.into_word().as_slice());
    preimage[32..].copy_from_slice(&BALANCES_SLOT.to_be_bytes::<32>());
    keccak256(preimage).into()
}

const OWNER_SLOT: U256 = U256::ZERO;
const SUPPLY_SLOT: U256 = U256::from_limbs([1, 0, 0, 0]);
const BALANCES_SLOT: U256 = U256::from_limbs([2, 0, 0, 0]);

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::{collections::BTreeSet, fs, path::Path};

    fn contracts_folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts")
    }

    #[test]
    fn artifacts_were_built_from_the_sources_beside_them() {
        for contract in ALL {
            let artifact: Value = serde_json::from_str(contract.artifact()).unwrap();
            let sources = artifact["sources"].as_object().unwrap();
            assert!(!sources.is_empty());
            for (name, recorded) in sources {
                let text = fs::read(contracts_folder().join("src").join(name)).unwrap();
                let actual = hex::encode(Sha256::digest(text));
                assert_eq!(
                    recorded.as_str().unwrap(),
                    actual,
                    "{contract:?}: {name} changed, run scripts/build-contracts"
                );
            }
        }
    }

    #[test]
    fn every_artifact_is_listed_and_carries_code() {
        let on_disk: BTreeSet<String> = fs::read_dir(contracts_folder().join("artifacts"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed: BTreeSet<String> =
            ALL.iter().map(|contract| format!("{contract:?}.json")).collect();
        assert_eq!(on_disk, listed);
        for contract in ALL {
            assert!(contract.runtime_code().len() > 100);
            assert!(contract.creation_code().len() > contract.runtime_code().len());
        }
    }
}
