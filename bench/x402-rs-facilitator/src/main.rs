//! The facilitator library of x402-rs behind HTTP, wired as its documentation says, for one chain
//! and the `exact` scheme: `x402-rs-facilitator PORT CHAIN_ID RPC_URL KEYS`, the keys
//! with spaces between.

use std::collections::HashMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use x402_chain_eip155::V2Eip155Exact;
use x402_chain_eip155::chain::config::{Eip155ChainConfig, Eip155ChainConfigInner};
use x402_chain_eip155::chain::{Eip155ChainProvider, Eip155ChainReference};
use x402_facilitator_local::{FacilitatorLocal, handlers};
use x402_types::chain::{ChainId, ChainProviderOps, ChainRegistry, FromConfig as _};
use x402_types::scheme::{
    SchemeBlueprints, SchemeConfig, SchemeRegistry, X402SchemeFacilitator,
    X402SchemeFacilitatorBuilder,
};

/// The registries want a type of their user's, to choose among kinds of chains; here there is one.
struct Chain(Arc<Eip155ChainProvider>);

impl ChainProviderOps for Chain {
    fn signer_addresses(&self) -> Vec<String> {
        self.0.signer_addresses()
    }

    fn chain_id(&self) -> ChainId {
        self.0.chain_id()
    }
}

impl X402SchemeFacilitatorBuilder<&Chain> for V2Eip155Exact {
    fn build(
        &self,
        chain: &Chain,
        config: Option<serde_json::Value>,
    ) -> Result<Box<dyn X402SchemeFacilitator>, Box<dyn Error>> {
        self.build(Arc::clone(&chain.0), config)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, port, chain_id, rpc, signers] = words.as_slice() else {
        return Err("usage: x402-rs-facilitator PORT CHAIN_ID RPC_URL KEYS".into());
    };
    let (port, chain_id): (u16, u64) = (port.parse()?, chain_id.parse()?);
    let signers: Vec<&str> = signers.split_whitespace().collect();
    let inner: Eip155ChainConfigInner = serde_json::from_value(json!({
        "signers": signers,
        "rpc": [{ "http": rpc }],
    }))?;
    let chain_reference = Eip155ChainReference::new(chain_id);
    let config = Eip155ChainConfig { chain_reference, inner };
    let chain = Chain(Arc::new(Eip155ChainProvider::from_config(&config).await?));
    let chains = ChainRegistry::new(HashMap::from([(chain.chain_id(), chain)]));
    let blueprints = SchemeBlueprints::new().and_register(V2Eip155Exact);
    let scheme = SchemeConfig {
        enabled: true,
        id: "v2-eip155-exact".to_owned(),
        chains: "eip155:*".parse()?,
        config: None,
    };
    let schemes = SchemeRegistry::build(chains, blueprints, &vec![scheme]);
    let app = handlers::routes().with_state(Arc::new(FacilitatorLocal::new(schemes)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}
