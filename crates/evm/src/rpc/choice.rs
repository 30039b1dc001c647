//! Which endpoint is asked, and when a second one is asked the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faregate_chain::ChainError;
use faregate_telemetry::HedgeOutcome;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::endpoint::Endpoint;
use super::health::Rank;
use super::{Answer, Call, Fault, Rpc};
use crate::limits::{HEDGES_AT_ONCE, HEDGES_PER_HUNDRED, READ_RETRIES, RETRY_BACKOFF};

/// How many second questions may still be asked, in hundredths. Without it an outage of all
/// endpoints at once would double the load on them.
#[derive(Debug)]
pub(super) struct HedgeBudget(Mutex<u32>);

const ONE: u32 = 100;
const MOST: u32 = HEDGES_AT_ONCE * ONE;

impl Default for HedgeBudget {
    fn default() -> Self {
        Self(Mutex::new(MOST))
    }
}

impl HedgeBudget {
    /// A first question is asked.
    fn earn(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_add(HEDGES_PER_HUNDRED).min(MOST);
    }

    /// Whether a second one may be.
    fn spend(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = left.checked_sub(ONE);
        *left = after.unwrap_or(*left);
        after.is_some()
    }
}

impl Rpc {
    /// The endpoints that may be asked for state, the best first, in the configured order where
    /// nothing speaks against it. One that is shut out comes last: with no other left it is
    /// asked all the same.
    pub(super) fn in_order(&self) -> Vec<Arc<Endpoint>> {
        if let [only] = &*self.endpoints {
            return vec![Arc::clone(only)];
        }
        let now = Instant::now();
        let ranked = self.endpoints.iter().filter_map(|endpoint| {
            let rank = endpoint.health().rank(now)?;
            Some((rank, endpoint))
        });
        let mut ranked: Vec<(Rank, &Arc<Endpoint>)> = ranked.collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, endpoint)| Arc::clone(endpoint)).collect()
    }

    /// Asks until one endpoint has answered everything; tries again what failed fast, as long as
    /// one call may take.
    pub(super) async fn read(&self, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        let began = Instant::now();
        let mut backoff = RETRY_BACKOFF;
        let mut tries_left = READ_RETRIES;
        loop {
            let outcome = self.pass(calls).await;
            let may_be_over_soon = matches!(
                outcome,
                Err(ChainError::Unreachable { .. } | ChainError::Refused { status: 500..=599, .. })
            );
            let in_time = began.elapsed() + backoff < self.shared.call_timeout / 2;
            if !may_be_over_soon || !in_time || tries_left == 0 {
                return outcome;
            }
            sleep(backoff).await;
            backoff *= 2;
            tries_left -= 1;
        }
    }

    /// Asks one endpoint after the other until one has answered everything, and the second already
    /// when the first takes unusually long.
    async fn pass(&self, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        if let [only] = &*self.endpoints {
            return only.ask(&self.shared, calls).await;
        }
        Box::pin(self.race(calls)).await
    }

    async fn race(&self, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        let mut rest = self.in_order().into_iter();
        let mut outcome = Err(self.shared.unreachable());
        let Some(first) = rest.next() else { return outcome };
        self.shared.hedges.earn();
        let hedge_after = self.hedge_after(&first, rest.len());
        let ask = |endpoint: Arc<Endpoint>, is_hedge: bool| async move {
            (endpoint.ask(&self.shared, calls).await, is_hedge, endpoint)
        };
        let mut under_way: Vec<Arc<Endpoint>> = vec![Arc::clone(&first)];
        let mut asked = FuturesUnordered::from_iter([ask(first, false)]);
        let hedge_time = sleep(hedge_after.unwrap_or_default());
        tokio::pin!(hedge_time);
        let mut may_hedge = hedge_after.is_some();
        loop {
            tokio::select! {
                biased;
                Some((answers, is_hedge, endpoint)) = asked.next() => {
                    under_way.retain(|other| !Arc::ptr_eq(other, &endpoint));
                    match answers {
                        Ok(answers) if answers.iter().all(answered) => {
                            self.settle_race(&endpoint, is_hedge, &under_way);
                            return Ok(answers);
                        }
                        // A partial answer is worth more than a later failure.
                        Ok(answers) => outcome = Ok(answers),
                        Err(error) if outcome.is_err() => outcome = Err(error),
                        Err(_) => {}
                    }
                    match rest.next() {
                        Some(next) => {
                            under_way.push(Arc::clone(&next));
                            asked.push(ask(next, false));
                        }
                        None if asked.is_empty() => return outcome,
                        None => {}
                    }
                }
                () = &mut hedge_time, if may_hedge => {
                    may_hedge = false;
                    if self.shared.hedges.spend() && let Some(next) = rest.next() {
                        under_way.push(Arc::clone(&next));
                        asked.push(ask(next, true));
                    }
                }
            }
        }
    }

    /// When the second endpoint is asked: not before the first would usually have answered.
    fn hedge_after(&self, first: &Endpoint, others: usize) -> Option<Duration> {
        let configured = self.shared.hedge_after.filter(|_| others > 0)?;
        Some(configured.max(first.health().usual_latency()))
    }

    fn settle_race(&self, winner: &Endpoint, is_hedge: bool, losers: &[Arc<Endpoint>]) {
        if is_hedge {
            winner.metrics.hedge(HedgeOutcome::Won);
            for loser in losers {
                loser.overtaken();
            }
        } else {
            for loser in losers {
                loser.metrics.hedge(HedgeOutcome::Lost);
            }
        }
    }
}

fn answered(answer: &Answer) -> bool {
    matches!(answer, Ok(_) | Err(Fault::Revert(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_questions_are_a_tenth_of_the_first_ones() {
        let budget = HedgeBudget::default();
        let spent = (0..1000).filter(|_| budget.spend()).count();
        assert_eq!(spent, usize::try_from(HEDGES_AT_ONCE).unwrap());
        let spent = (0..1000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(spent.count(), 100);
    }
}
