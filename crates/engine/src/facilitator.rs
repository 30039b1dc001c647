//! The engine behind the port that doors see.

use std::collections::BTreeMap;

use faregate_protocol::facilitator::BoxFuture;
use faregate_protocol::{
    Facilitator, FacilitatorError, PaymentRequest, SettleResponse, SettleTerms, SupportedResponse,
    VerifyResponse,
};

use crate::{Engine, settle, verify};

impl Facilitator for Engine {
    fn verify<'a>(
        &'a self,
        request: &'a PaymentRequest,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        Box::pin(verify::verify(self, request))
    }

    fn settle<'a>(
        &'a self,
        request: &'a PaymentRequest,
        terms: &'a SettleTerms,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        Box::pin(settle::settle(self, request, terms))
    }

    fn supported(&self) -> BoxFuture<'_, Result<SupportedResponse, FacilitatorError>> {
        Box::pin(async move {
            let mut signers: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for desk in self.desks.iter() {
                let family = format!("{}:*", desk.chain.network().namespace());
                let of_family = signers.entry(family).or_default();
                for signer in desk.chain.signers() {
                    if !of_family.contains(&signer) {
                        of_family.push(signer);
                    }
                }
            }
            let kinds = self.desks.iter().flat_map(|desk| desk.chain.supported()).collect();
            Ok(SupportedResponse { kinds, extensions: Vec::new(), signers })
        })
    }

    fn name(&self) -> &'static str {
        "local"
    }
}

impl Engine {
    /// Asks every chain whether it can take new work, and whether a signer of it can pay for gas.
    ///
    /// # Errors
    /// What the first chain that cannot said.
    pub async fn ready(&self) -> Result<(), NotReady> {
        for desk in self.desks.iter() {
            desk.chain.ready().await?;
            let mut funded = false;
            for signer in desk.chain.signers() {
                let lane = desk.chain.lane_state(&signer).await?;
                desk.metrics.signer_balance(desk.network(), &signer, lane.balance_wei);
                funded |= lane.balance_wei >= desk.limits.min_balance_wei;
            }
            if !funded {
                return Err(NotReady::NoGasMoney { network: desk.network().to_owned() });
            }
        }
        Ok(())
    }
}

/// Why an engine cannot take new work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// A chain does not answer, or serves no asset.
    #[error(transparent)]
    Chain(#[from] faregate_chain::ChainError),
    /// No signer of a chain has the configured minimum.
    #[error("no signer of {network} has the configured minimum for gas")]
    NoGasMoney {
        /// CAIP-2 id.
        network: String,
    },
}
