//! Sends a payment, and the same one again for as long as its outcome is unknown.

use std::time::{Duration, Instant};

use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use crate::config::Limits;
use crate::error::BuyerError;
use crate::exchange::{Answer, Exchange, ExchangeError, retry_after};
use crate::journal::Record;
use crate::request::BuyerRequest;
use crate::sign::now_unix;
use crate::verdict::{self, Reading, Verdict};

/// An answer that says what became of the payment.
pub(crate) struct Presented {
    pub(crate) answer: Answer,
    pub(crate) reading: Reading,
    pub(crate) attempts: u32,
}

/// Sends `record`'s header until an answer is not [`Verdict::Unknown`].
///
/// # Errors
/// [`BuyerError::Unresolved`] when the time is up, [`BuyerError::AnswerTooLarge`].
pub(crate) async fn present(
    exchange: &Exchange,
    request: &BuyerRequest,
    record: &Record,
    limits: &Limits,
) -> Result<Presented, BuyerError> {
    let (url, name, header) = target(request, record)?;
    let (started, pursuit) = (Instant::now(), pursuit(record, limits));
    let left = || pursuit.saturating_sub(started.elapsed());
    let mut backoff = limits.first_backoff;
    let mut attempts = 0_u32;
    let mut transaction = None;
    let mut last = None;
    loop {
        attempts = attempts.saturating_add(1);
        let mut pause = backoff;
        let sent =
            tokio::time::timeout(left(), exchange.send(request, &url, Some((&name, &header))))
                .await;
        let told = match sent {
            // Cut by our own end, this says nothing of the seller: what it said before stands.
            Err(_) => last.take().unwrap_or_else(|| ExchangeError::TimedOut.what().to_owned()),
            Ok(Ok(answer)) => {
                let reading = verdict::read(&answer);
                if reading.verdict != Verdict::Unknown {
                    return Ok(Presented { answer, reading, attempts });
                }
                // "At once" is no licence to hammer.
                pause = retry_after(&answer.headers).map_or(backoff, |asked| asked.max(backoff));
                transaction = reading.transaction.clone().or(transaction);
                in_words(&answer, &reading)
            }
            Ok(Err(ExchangeError::TooLarge)) => return Err(exchange.too_large(true)),
            Ok(Err(error)) => error.what().to_owned(),
        };
        tracing::info!(attempts, last = told, "the outcome of a payment is unknown");
        if pause >= left() {
            let valid_before = record.valid_before;
            return Err(BuyerError::Unresolved { attempts, last: told, transaction, valid_before });
        }
        last = Some(told);
        tokio::time::sleep(pause).await;
        backoff = backoff.saturating_mul(2).min(limits.max_backoff);
    }
}

/// How long the outcome is pursued: no longer than the authorization can move money, if it still
/// can.
fn pursuit(record: &Record, limits: &Limits) -> Duration {
    let left = Duration::from_secs(record.valid_before.saturating_sub(now_unix()));
    if left.is_zero() {
        limits.wait
    } else {
        limits.wait.min(left.saturating_add(limits.clock_skew))
    }
}

fn target(
    request: &BuyerRequest,
    record: &Record,
) -> Result<(Url, HeaderName, HeaderValue), BuyerError> {
    let damaged = BuyerError::Request("the payment on record is damaged");
    let url = Url::parse(&record.url).ok().filter(|url| url.origin() == request.url.origin());
    let header = HeaderValue::from_str(&record.header).ok();
    let (Some(url), Some(mut header)) = (url, header) else { return Err(damaged) };
    header.set_sensitive(true);
    Ok((url, record.protocol.payment_header(), header))
}

fn in_words(answer: &Answer, reading: &Reading) -> String {
    let status = answer.status.as_u16();
    reading.reason.as_ref().map_or_else(|| status.to_string(), |why| format!("{status} {why}"))
}
