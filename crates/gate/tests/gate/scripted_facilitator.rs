//! A facilitator that says what a test wants and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use faregate_protocol::facilitator::BoxFuture;
use faregate_protocol::{
    Facilitator, FacilitatorError, PaymentRequest, Reason, SettleResponse, SettleTerms,
    SupportedResponse, VerifyResponse,
};

use crate::payment::PAYER;

pub(crate) const TRANSACTION: &str =
    "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// One answer to verify.
#[derive(Clone)]
pub(crate) enum Verdict {
    Valid,
    Invalid(String),
    InvalidAfter(Duration, Reason),
    Fail(FacilitatorError),
    Hang,
    Panic,
}

/// One answer to settle.
#[derive(Clone)]
pub(crate) enum Outcome {
    Paid,
    PaidAfter(Duration),
    Refused(String),
    RefusedWith(Reason, &'static str),
    Fail(FacilitatorError),
    Hang,
    Panic,
}

/// Valid and paid, unless a test queued something else.
#[derive(Default)]
pub(crate) struct Scripted {
    verdicts: Mutex<VecDeque<Verdict>>,
    outcomes: Mutex<VecDeque<Outcome>>,
    verified: Mutex<Vec<PaymentRequest>>,
    settled: Mutex<Vec<(PaymentRequest, SettleTerms)>>,
    name: OnceLock<&'static str>,
}

impl Scripted {
    pub(crate) fn will_say(&self, verdict: Verdict) {
        self.verdicts.lock().unwrap().push_back(verdict);
    }

    pub(crate) fn will_settle(&self, outcome: Outcome) {
        self.outcomes.lock().unwrap().push_back(outcome);
    }

    pub(crate) fn call_it(&self, name: &'static str) {
        self.name.set(name).unwrap();
    }

    /// What was queued and not asked for.
    pub(crate) fn forget_outcomes(&self) {
        self.outcomes.lock().unwrap().clear();
    }

    pub(crate) fn verified(&self) -> Vec<PaymentRequest> {
        self.verified.lock().unwrap().clone()
    }

    pub(crate) fn settled(&self) -> Vec<(PaymentRequest, SettleTerms)> {
        self.settled.lock().unwrap().clone()
    }
}

impl Facilitator for Scripted {
    fn verify<'a>(
        &'a self,
        request: &'a PaymentRequest,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        self.verified.lock().unwrap().push(request.clone());
        let verdict = self.verdicts.lock().unwrap().pop_front().unwrap_or(Verdict::Valid);
        Box::pin(async move {
            match verdict {
                Verdict::Valid => Ok(VerifyResponse::valid("0x0")),
                Verdict::Invalid(code) => Ok(VerifyResponse {
                    is_valid: false,
                    invalid_reason: Some(code),
                    invalid_message: Some("canary-endpoint-words".to_owned()),
                    ..VerifyResponse::valid("0x0")
                }),
                Verdict::InvalidAfter(pause, reason) => {
                    tokio::time::sleep(pause).await;
                    Ok(VerifyResponse::invalid(reason, None))
                }
                Verdict::Fail(error) => Err(error),
                Verdict::Hang => std::future::pending().await,
                Verdict::Panic => panic!("scripted"),
            }
        })
    }

    fn settle<'a>(
        &'a self,
        request: &'a PaymentRequest,
        terms: &'a SettleTerms,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        self.settled.lock().unwrap().push((request.clone(), *terms));
        let outcome = self.outcomes.lock().unwrap().pop_front().unwrap_or(Outcome::Paid);
        let network = request.payment_requirements.network.clone();
        let paid = move || SettleResponse::paid(&network, TRANSACTION.to_owned(), PAYER.to_owned());
        Box::pin(async move {
            let failed = |code: String, transaction: &str| SettleResponse {
                success: false,
                error_reason: Some(code),
                error_message: Some("canary-endpoint-words".to_owned()),
                transaction: transaction.to_owned(),
                ..paid()
            };
            match outcome {
                Outcome::Paid => Ok(paid()),
                Outcome::PaidAfter(pause) => {
                    tokio::time::sleep(pause).await;
                    Ok(paid())
                }
                Outcome::Refused(code) => Ok(failed(code, "")),
                Outcome::RefusedWith(reason, transaction) => {
                    Ok(failed(reason.code().to_owned(), transaction))
                }
                Outcome::Fail(error) => Err(error),
                Outcome::Hang => std::future::pending().await,
                Outcome::Panic => panic!("scripted"),
            }
        })
    }

    fn supported(&self) -> BoxFuture<'_, Result<SupportedResponse, FacilitatorError>> {
        Box::pin(async { Ok(SupportedResponse::default()) })
    }

    fn name(&self) -> &str {
        self.name.get().copied().unwrap_or("scripted")
    }
}
