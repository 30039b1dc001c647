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
    /// Asks every chain whether it can take new work.
    ///
    /// # Errors
    /// What the first chain that cannot said.
    pub async fn ready(&self) -> Result<(), faregate_chain::ChainError> {
        for desk in self.desks.iter() {
            desk.chain.ready().await?;
        }
        Ok(())
    }
}
