use super::*;
use crate::assets::{AssetProfile, Assets};

const HEAD: u64 = 7;
const NO_FACT: u8 = Facts::EXAMINED | Facts::TOKEN_HAS_CODE;

fn verdict(bits: u8) -> Option<Verdict> {
    let profile = AssetProfile {
        address: Address::ZERO,
        name: "USDC".into(),
        version: "2".into(),
        decimals: 6,
        gas_limit: 150_000,
    };
    let assets = Assets::new(vec![profile], 84_532, None);
    Facts { head: HEAD, bits }.verdict(assets.get(Address::ZERO).unwrap())
}

#[test]
fn only_a_transfer_of_an_unused_authorization_is_valid() {
    assert_eq!(verdict(NO_FACT | Facts::MOVES | Facts::UNUSED), Some(Ok(HEAD)));
    for bits in 0..=u8::MAX {
        let needed = Facts::TOKEN_HAS_CODE | Facts::MOVES | Facts::UNUSED;
        let valid = bits & needed == needed && bits & Facts::USED == 0;
        assert_eq!(verdict(bits) == Some(Ok(HEAD)), valid, "{bits:#b}");
    }
}

#[test]
fn a_failure_is_blamed_in_order_and_left_open_without_a_fact() {
    for (bits, want) in [
        (0, Some(Reason::EvmEip3009NotSupported)),
        (Facts::SHORT, Some(Reason::EvmEip3009NotSupported)),
        (Facts::USED | Facts::SHORT, Some(Reason::EvmNonceAlreadyUsed)),
        (Facts::UNUSED | Facts::SHORT, Some(Reason::EvmInsufficientBalance)),
        (Facts::UNUSED, None),
    ] {
        assert_eq!(verdict(NO_FACT | bits), want.map(Err), "{bits:#b}");
    }
    assert_eq!(verdict(Facts::EXAMINED), Some(Err(Reason::EvmAssetNotDeployed)));
    let used = verdict(NO_FACT | Facts::MOVES | Facts::USED);
    assert_eq!(used, Some(Err(Reason::EvmNonceAlreadyUsed)));
    let no_record = verdict(NO_FACT | Facts::MOVES);
    assert_eq!(no_record, Some(Err(Reason::EvmEip3009NotSupported)));
}

#[test]
fn the_contract_is_there() {
    assert!(CODE.len() > 1000);
}

#[test]
fn data_costs_four_or_sixteen_a_byte() {
    assert_eq!(intrinsic_gas(&[]), 21_000);
    assert_eq!(intrinsic_gas(&[0, 1, 0, 255]), 21_040);
}
