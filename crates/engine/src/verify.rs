//! Would this payment settle now? Advice: nothing is reserved and nothing is remembered.

use faregate_chain::Inspection;
use faregate_protocol::{FacilitatorError, PaymentRequest, Reason, VerifyResponse};

use crate::Engine;

/// What a door is told when a chain gives no answer.
pub(crate) const CHAIN_DOWN: FacilitatorError =
    FacilitatorError::Unavailable(Reason::ChainUnavailable.code());

pub(crate) async fn verify(
    engine: &Engine,
    request: &PaymentRequest,
) -> Result<VerifyResponse, FacilitatorError> {
    let Some(desk) = engine.desk(&request.payment_requirements.network) else {
        return Ok(VerifyResponse::invalid(Reason::InvalidNetwork, None));
    };
    match desk.chain.inspect(request, desk.clock.now_unix()).await {
        Ok(Inspection::Valid { payer, .. }) => Ok(VerifyResponse::valid(payer)),
        Ok(Inspection::Invalid { reason, payer }) => Ok(VerifyResponse::invalid(reason, payer)),
        Err(error) => {
            tracing::warn!(network = desk.network(), %error, "no verdict: the chain gave no answer");
            Err(CHAIN_DOWN)
        }
    }
}
