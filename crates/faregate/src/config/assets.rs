//! Tokens by name and address: the known ones and those that the file adds.

use faregate_protocol::assets::{self, TransferMethod};
use faregate_protocol::{Network, address};

use super::entry::Entry;
use super::problem::Problem;
use super::reader::Section;

/// Most decimals a token is taken to have.
const MAX_DECIMALS: u64 = 36;

/// A token that can be priced and settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    pub(crate) network: Network,
    /// EIP-55.
    pub(crate) address: String,
    pub(crate) symbol: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) decimals: u8,
}

/// All tokens of this configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assets {
    added: Vec<Asset>,
}

impl Assets {
    pub(crate) fn read(entries: Vec<&Entry>, problems: &mut Vec<Problem>) -> Self {
        let mut added = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let path = format!("asset[{index}]");
            let mut section = Section::open(Some(entry), path, "[[asset]]", problems);
            let network = section.required_text("network").and_then(|_| network(&mut section));
            let address =
                section.required_text("address").and_then(|_| evm_address(&mut section, "address"));
            let symbol = section.required_text("symbol");
            let name = section.required_text("name");
            let version = section.required_text("version");
            if section.entry("decimals").is_none() {
                section.problem(
                    "decimals",
                    "this key is required",
                    "write the token's decimals, such as 6",
                );
            }
            let decimals =
                u8::try_from(section.number("decimals", 0, (0, MAX_DECIMALS))).unwrap_or(0);
            if let (Some(network), Some(address), Some(symbol), Some(name), Some(version)) =
                (network, address, symbol, name, version)
            {
                added.push(Asset { network, address, symbol, name, version, decimals });
            }
        }
        Self { added }
    }

    fn all(&self, network: &Network) -> Vec<Asset> {
        let known = assets::KNOWN
            .iter()
            .filter(|known| Some(known.chain_id) == network.evm_chain_id())
            .filter(|known| known.method == TransferMethod::Eip3009)
            .map(|known| Asset {
                network: network.clone(),
                address: known.address.to_owned(),
                symbol: known.symbol.to_owned(),
                name: known.eip712_name.to_owned(),
                version: known.eip712_version.to_owned(),
                decimals: known.decimals,
            });
        let added = self.added.iter().filter(|asset| asset.network == *network).cloned();
        known.chain(added).collect()
    }

    /// What a price without a ticker means.
    pub(crate) fn default(&self, network: &Network) -> Option<Asset> {
        self.all(network).into_iter().next()
    }

    pub(crate) fn by_symbol(&self, network: &Network, symbol: &str) -> Option<Asset> {
        self.all(network).into_iter().find(|asset| asset.symbol.eq_ignore_ascii_case(symbol))
    }

    pub(crate) fn by_address(&self, network: &Network, address: &str) -> Option<Asset> {
        self.all(network).into_iter().find(|asset| asset.address.eq_ignore_ascii_case(address))
    }

    /// Tickers of a network, for messages.
    pub(crate) fn symbols(&self, network: &Network) -> String {
        let symbols: Vec<_> = self.all(network).into_iter().map(|asset| asset.symbol).collect();
        symbols.join(", ")
    }
}

/// Reads `network`; Solana's everyday name is understood and answered with the right id.
pub(crate) fn network(section: &mut Section<'_, '_>) -> Option<Network> {
    let network: Network = section.parsed("network", "write a CAIP-2 id, such as eip155:84532")?;
    if network.evm_chain_id().is_none() {
        let fix = if network.as_str() == "solana:mainnet" {
            format!("its CAIP-2 id is {}", faregate_protocol::network::SOLANA_MAINNET)
        } else {
            "networks of this version are eip155:CHAIN_ID".to_owned()
        };
        section.problem("network", "this version settles on EVM chains only", fix);
        return None;
    }
    Some(network)
}

/// Reads an address and answers it with its checksum.
pub(crate) fn evm_address(section: &mut Section<'_, '_>, name: &str) -> Option<String> {
    let text = section.text(name)?;
    match address::parse_checked_address(&text) {
        Ok(address) => Some(address.to_checksum(None)),
        Err(error) => {
            section.problem(name, error.to_string(), "copy the whole address again");
            None
        }
    }
}
