//! Known assets as data: the first entry of a network is its default for `$` prices. From the
//! official EVM package 2.27.

use crate::Network;

/// How the scheme `exact` moves an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferMethod {
    /// `transferWithAuthorization` of the token itself.
    Eip3009,
    /// Through the Permit2 contract.
    Permit2,
}

/// One known asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownAsset {
    /// EVM chain id.
    pub chain_id: u64,
    /// Name of the network, for people.
    pub network_name: &'static str,
    /// Ticker, as prices name it.
    pub symbol: &'static str,
    /// Token contract, EIP-55.
    pub address: &'static str,
    /// EIP-712 domain name.
    pub eip712_name: &'static str,
    /// EIP-712 domain version.
    pub eip712_version: &'static str,
    /// Decimals of one token.
    pub decimals: u8,
    /// How it is moved.
    pub method: TransferMethod,
}

/// Networks whose tokens are worth nothing; every other known network is a main net, which is off
/// until it is named.
pub const TEST_CHAIN_IDS: &[u64] =
    &[84532, 421_614, 43113, 80002, 2201, 11_142_220, 1328, 51, 31611, 72344, 181_228, 11_155_111];

/// The asset a `$` price means on `network`.
#[must_use]
pub fn default_asset(network: &Network) -> Option<&'static KnownAsset> {
    let chain_id = network.evm_chain_id()?;
    KNOWN.iter().find(|asset| asset.chain_id == chain_id)
}

/// The asset with this ticker on `network`; letter case does not matter.
#[must_use]
pub fn by_symbol(network: &Network, symbol: &str) -> Option<&'static KnownAsset> {
    let chain_id = network.evm_chain_id()?;
    KNOWN.iter().find(|a| a.chain_id == chain_id && a.symbol.eq_ignore_ascii_case(symbol))
}

/// The asset at this address on `network`; letter case does not matter.
#[must_use]
pub fn by_address(network: &Network, address: &str) -> Option<&'static KnownAsset> {
    let chain_id = network.evm_chain_id()?;
    KNOWN.iter().find(|a| a.chain_id == chain_id && a.address.eq_ignore_ascii_case(address))
}

/// Every known asset.
pub const KNOWN: &[KnownAsset] = &[
    asset(
        8453,
        "Base",
        "USDC",
        "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "USD Coin",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        84532,
        "Base Sepolia",
        "USDC",
        "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        1,
        "Ethereum",
        "USDC",
        "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
        "USD Coin",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        137,
        "Polygon",
        "USDC",
        "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359",
        "USD Coin",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        42161,
        "Arbitrum One",
        "USDC",
        "0xaf88d065e77c8cC2239327C5EDb3A432268e5831",
        "USD Coin",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        421614,
        "Arbitrum Sepolia",
        "USDC",
        "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d",
        "USD Coin",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        43114,
        "Avalanche C-Chain",
        "USDC",
        "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E",
        "USD Coin",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        43113,
        "Avalanche Fuji",
        "USDC",
        "0x5425890298aed601595a70AB815c96711a31Bc65",
        "USD Coin",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        80002,
        "Polygon Amoy",
        "USDC",
        "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        143,
        "Monad",
        "USDC",
        "0x754704Bc059F8C67012fEd69BC8A327a5aafb603",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        988,
        "Stable",
        "USDT0",
        "0x779Ded0c9e1022225f8E0630b35a9b54bE713736",
        "USDT0",
        "1",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        2201,
        "Stable testnet",
        "USDT0",
        "0x78Cf24370174180738C5B8E352B6D14c83a6c9A9",
        "USDT0",
        "1",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        4326,
        "MegaETH",
        "USDM",
        "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7",
        "MegaUSD",
        "1",
        18,
        TransferMethod::Permit2,
    ),
    asset(
        14,
        "Flare",
        "USDT0",
        "0xe7cd86e13AC4309349F30B3435a9d337750fC82D",
        "USD\u{20ae}0",
        "1",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        42220,
        "Celo",
        "USDC",
        "0xcebA9300f2b948710d2653dD7B07f33A8B32118C",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        42220,
        "Celo",
        "USDT",
        "0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e",
        "Tether USD",
        "1",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        42220,
        "Celo",
        "USAT",
        "0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771",
        "Tether America USD",
        "1",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        11142220,
        "Celo Sepolia",
        "USDC",
        "0x01C5C0122039549AD1493B8220cABEdD739BC44E",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        1329,
        "Sei",
        "USDC",
        "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        1328,
        "Sei testnet",
        "USDC",
        "0x4fCF1784B31630811181f670Aea7A7bEF803eaED",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        50,
        "XDC",
        "USDC",
        "0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        51,
        "XDC Apothem",
        "USDC",
        "0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4",
        "USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        31612,
        "Mezo",
        "mUSD",
        "0xdD468A1DDc392dcdbEf6db6e34E89AA338F9F186",
        "Mezo USD",
        "1",
        18,
        TransferMethod::Permit2,
    ),
    asset(
        31611,
        "Mezo testnet",
        "mUSD",
        "0x118917a40FAF1CD7a13dB0Ef56C86De7973Ac503",
        "Mezo USD",
        "1",
        18,
        TransferMethod::Permit2,
    ),
    asset(
        723487,
        "Radius",
        "SBC",
        "0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb",
        "Stable Coin",
        "1",
        6,
        TransferMethod::Permit2,
    ),
    asset(
        72344,
        "Radius testnet",
        "SBC",
        "0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb",
        "Stable Coin",
        "1",
        6,
        TransferMethod::Permit2,
    ),
    asset(
        36900,
        "ADI",
        "USDC.e",
        "0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2",
        "USDC.e",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        190415,
        "HPP",
        "USDC.e",
        "0x401eCb1D350407f13ba348573E5630B83638E30D",
        "Bridged USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        181228,
        "HPP Sepolia",
        "USDC.e",
        "0x401eCb1D350407f13ba348573E5630B83638E30D",
        "Bridged USDC",
        "2",
        6,
        TransferMethod::Eip3009,
    ),
    asset(
        38833,
        "Igra",
        "USDC",
        "0xA5b8BF902b2844dA17d4506cc827F7F1681735E7",
        "USDC",
        "1",
        6,
        TransferMethod::Permit2,
    ),
];

#[allow(clippy::too_many_arguments)] // a row of the table
const fn asset(
    chain_id: u64,
    network_name: &'static str,
    symbol: &'static str,
    address: &'static str,
    eip712_name: &'static str,
    eip712_version: &'static str,
    decimals: u8,
    method: TransferMethod,
) -> KnownAsset {
    KnownAsset {
        chain_id,
        network_name,
        symbol,
        address,
        eip712_name,
        eip712_version,
        decimals,
        method,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_carries_its_checksum() {
        for asset in KNOWN {
            assert!(
                crate::address::parse_checked_address(asset.address).is_ok(),
                "{}",
                asset.address
            );
        }
    }

    #[test]
    fn the_first_entry_of_a_network_is_its_default() {
        let celo = Network::eip155(42220);
        assert_eq!(default_asset(&celo).unwrap().symbol, "USDC");
        assert_eq!(by_symbol(&celo, "usdt").unwrap().eip712_name, "Tether USD");
        assert!(by_symbol(&celo, "DAI").is_none());
        assert!(default_asset(&Network::eip155(31337)).is_none());
        let usdc = "0x036cbd53842c5426634e7929541ec2318f3dcf7e";
        assert_eq!(by_address(&Network::eip155(84532), usdc).unwrap().decimals, 6);
    }
}
