//! Signed bytes go to every endpoint at once. They are named by their hash, so sending them twice
//! is harmless, and a pool that never hears of them from its own users may never mine them.

use std::sync::Arc;

use faregate_chain::Broadcast;
use faregate_telemetry::SendOutcome;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::breaker::Standing;
use super::endpoint::Endpoint;
use super::terms::Terms;
use super::{Answer, Call, Fault, Rpc, wire};

impl Rpc {
    /// Sends to all endpoints that are not shut out, or to all when all are; returns as soon as one
    /// has taken the bytes, while the others still get them. Without any, the refusal of the first
    /// endpoint in the configuration that refused is the answer.
    pub(crate) async fn send_raw(
        &self,
        call: Call,
        meaning: impl Fn(&Answer) -> Broadcast + Clone + Send + Sync + 'static,
    ) -> Broadcast {
        if let [only] = &*self.endpoints {
            return send_to(only, &self.shared, &call, &meaning).await;
        }
        let now = Instant::now();
        let open = |endpoint: &&Arc<Endpoint>| endpoint.health().standing(now) != Standing::Open;
        let mut receivers: Vec<&Arc<Endpoint>> = self.endpoints.iter().filter(open).collect();
        if receivers.is_empty() {
            receivers = self.endpoints.iter().collect();
        }
        let (tell, mut told) = mpsc::channel(receivers.len().max(1));
        let mut said = vec![Broadcast::Unknown; receivers.len()];
        for (place, endpoint) in receivers.into_iter().enumerate() {
            let (endpoint, shared) = (Arc::clone(endpoint), Arc::clone(&self.shared));
            let (call, meaning, tell) = (call.clone(), meaning.clone(), tell.clone());
            // Tasks of their own: whoever waits hears the first acceptance and goes.
            tokio::spawn(async move {
                let said = send_to(&endpoint, &shared, &call, &meaning).await;
                let _ = tell.send((place, said)).await;
            });
        }
        drop(tell);
        while let Some((place, answer)) = told.recv().await {
            if is_taken(answer) {
                return answer;
            }
            if let Some(slot) = said.get_mut(place) {
                *slot = answer;
            }
        }
        let refusal = said.into_iter().find(|answer| *answer != Broadcast::Unknown);
        refusal.unwrap_or(Broadcast::Unknown)
    }
}

fn is_taken(said: Broadcast) -> bool {
    matches!(said, Broadcast::Accepted | Broadcast::AlreadyKnown)
}

async fn send_to(
    endpoint: &Endpoint,
    shared: &Terms,
    call: &Call,
    meaning: &impl Fn(&Answer) -> Broadcast,
) -> Broadcast {
    let said = match endpoint.ask_alone(shared, call).await {
        Ok(Err(Fault::Failed { code, message })) if wire::is_rate_limit(code, &message) => {
            Broadcast::Unknown
        }
        Ok(answer) => meaning(&answer),
        Err(_) => Broadcast::Unknown,
    };
    endpoint.metrics.sent(match said {
        Broadcast::Accepted => SendOutcome::Accepted,
        Broadcast::AlreadyKnown => SendOutcome::Known,
        Broadcast::Unknown => SendOutcome::Unanswered,
        _ => SendOutcome::Refused,
    });
    if !is_taken(said) {
        tracing::info!(endpoint = endpoint.label, ?said, "signed bytes were not taken");
    }
    said
}
