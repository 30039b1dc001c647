//! All endpoints are asked now and then for their newest block: one that is behind the others is
//! not asked for state until it has caught up, and one that was shut out is tried again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::Rpc;
use super::breaker::Standing;
use super::call::Call;
use super::endpoint::Endpoint;
use crate::limits::SURVEY_IN_DOUBT_EVERY;

impl Rpc {
    /// Asks every endpoint that is not shut out for its newest block.
    pub(crate) async fn survey(&self) {
        let now = Instant::now();
        let asked: Vec<&Arc<Endpoint>> = self
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.health().standing(now) != Standing::Open)
            .collect();
        let calls = [Call::block_number()];
        let answers = asked.iter().map(|endpoint| endpoint.ask(&self.shared, &calls));
        let answers = join_all(answers).await;
        let mut heads = Vec::new();
        for (endpoint, answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(answers) if answers.iter().all(Result::is_ok) => {
                    heads.push((endpoint, endpoint.head()));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(endpoint = endpoint.label, %error, "not surveyed");
                }
            }
        }
        let reference = reference(heads.iter().map(|(_, head)| *head).collect());
        for (endpoint, head) in heads {
            let lag = reference.saturating_sub(head);
            let was_stale = endpoint.health().is_behind();
            endpoint.health().behind(lag, self.shared.max_lag_blocks);
            endpoint.metrics.lag_blocks(lag);
            let is_stale = endpoint.health().is_behind();
            if is_stale && !was_stale {
                tracing::warn!(endpoint = endpoint.label, lag, "behind the others, not asked");
            } else if was_stale && !is_stale {
                tracing::info!(endpoint = endpoint.label, "caught up, asked again");
            }
        }
    }

    /// Surveys for ever.
    pub(crate) async fn keep_surveying(self, every: Duration) {
        loop {
            let now = Instant::now();
            let doubt = self.endpoints.iter().any(|endpoint| endpoint.health().in_doubt(now));
            tokio::time::sleep(if doubt { every.min(SURVEY_IN_DOUBT_EVERY) } else { every }).await;
            self.survey().await;
        }
    }
}

/// The block that the others are measured against: the newest, and with three endpoints or more the
/// second newest, so that one that invents blocks does not shut all others out.
fn reference(mut heads: Vec<u64>) -> u64 {
    const ENOUGH: usize = 3;
    heads.sort_unstable_by(|a, b| b.cmp(a));
    let place = usize::from(heads.len() >= ENOUGH);
    heads.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_three_that_invents_blocks_is_not_the_measure() {
        assert_eq!(reference(vec![]), 0);
        assert_eq!(reference(vec![7]), 7);
        assert_eq!(reference(vec![100, 90]), 100);
        assert_eq!(reference(vec![100, u64::MAX, 99]), 100);
        assert_eq!(reference(vec![100, 100, 3]), 100);
    }
}
