//! The run: resume what is unresolved, else ask, choose, sign once, record, send.

use std::time::Instant;

use alloy_primitives::Address;
use faregate_protocol::{Amount, Network};
use reqwest::StatusCode;
use serde::Serialize;
use url::Url;

use crate::challenge::{self, Challenge};
use crate::choose::{self, Choice};
use crate::config::BuyerConfig;
use crate::error::BuyerError;
use crate::exchange::{Answer, Exchange};
use crate::journal::{Entry, Journal, Record, State};
use crate::outcome::Outcome;
use crate::present::present;
use crate::request::BuyerRequest;
use crate::sign::{now_unix, sign};
use crate::verdict::Verdict;

/// Pays for requests.
pub struct Buyer {
    config: BuyerConfig,
    exchange: Exchange,
    journal: Journal,
}

/// What a request would cost now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// For people, such as `0.01 USDC`.
    pub price: String,
    /// In atomic units of the asset.
    pub amount: Amount,
    /// CAIP-2 id.
    pub network: Network,
    /// Token contract.
    pub asset: String,
    /// Who would be paid.
    pub pay_to: String,
    /// How long the authorization would live, in seconds.
    pub valid_for_secs: u64,
    /// A payment of an earlier run is on record: a run would send that one first.
    pub unresolved: bool,
}

/// The answer to "what would it cost?".
#[derive(Clone, Debug)]
pub enum Quoted {
    /// It answers without a payment.
    Free(Box<Outcome>),
    /// It can be paid, within the limit.
    Priced(Quote),
}

/// What became of a payment on record.
enum Resumed {
    /// The run ends with this.
    Ends(Box<Outcome>),
    /// That payment is dead; the run begins anew.
    Anew,
}

impl Buyer {
    /// A buyer. Makes the state directory.
    ///
    /// # Errors
    /// [`BuyerError::Journal`] when the state directory cannot be used, [`BuyerError::Client`].
    pub fn new(config: BuyerConfig) -> Result<Self, BuyerError> {
        let exchange = Exchange::new(&config.limits)?;
        let journal = Journal::open(&config.state_dir)?;
        Ok(Self { config, exchange, journal })
    }

    /// Who pays.
    #[must_use]
    pub fn address(&self) -> Address {
        self.config.wallet.address()
    }

    /// What the request would cost now. Signs nothing, sends no payment.
    ///
    /// # Errors
    /// [`BuyerError`]; a price above the limit is [`choose::ChooseError::AboveLimit`].
    pub async fn quote(&self, request: &BuyerRequest) -> Result<Quoted, BuyerError> {
        let started = Instant::now();
        let entry = self.journal.lock(&request.id(), self.config.limits.wait).await?;
        let unresolved = entry.read().await?.is_some();
        let (_, answer) = self.exchange.ask(request).await?;
        if answer.status != StatusCode::PAYMENT_REQUIRED {
            let outcome = Outcome { elapsed_ms: millis(started), ..Outcome::unpaid(answer) };
            return Ok(Quoted::Free(Box::new(outcome)));
        }
        let (_, choice) = self.choose(&answer)?;
        let life = choice.requirements.timeout_secs();
        Ok(Quoted::Priced(Quote {
            price: choice.price(),
            amount: choice.requirements.amount,
            valid_for_secs: life.min(self.config.limits.max_validity.as_secs()),
            network: choice.requirements.network,
            asset: choice.requirements.asset,
            pay_to: choice.requirements.pay_to,
            unresolved,
        }))
    }

    /// Gets what the request asks for, and pays for it when it costs money: at most once, however
    /// often it has to be asked, over any number of runs.
    ///
    /// # Errors
    /// [`BuyerError`]. After [`BuyerError::Unresolved`] the payment is on record, and the next run
    /// of the same request sends it again.
    pub async fn pay(&self, request: &BuyerRequest) -> Result<Outcome, BuyerError> {
        let started = Instant::now();
        let entry = self.journal.lock(&request.id(), self.config.limits.wait).await?;
        let mut outcome = match entry.read().await? {
            Some(record) => match self.resume(request, &entry, record).await? {
                Resumed::Ends(outcome) => *outcome,
                Resumed::Anew => self.buy(request, &entry).await?,
            },
            None => self.buy(request, &entry).await?,
        };
        outcome.elapsed_ms = millis(started);
        Ok(outcome)
    }

    async fn buy(&self, request: &BuyerRequest, entry: &Entry) -> Result<Outcome, BuyerError> {
        let (url, answer) = self.exchange.ask(request).await?;
        if answer.status != StatusCode::PAYMENT_REQUIRED {
            return Ok(Outcome::unpaid(answer));
        }
        let (challenge, choice) = self.choose(&answer)?;
        let record = self.sign(&challenge, &choice, &url)?;
        entry.write(&record).await?;
        let presented = present(&self.exchange, request, &record, &self.config.limits).await?;
        match presented.reading.verdict {
            Verdict::Done => entry.remove()?,
            // The seller refuses but still holds a signed authorization: until that has expired
            // there must be no second one.
            _ => entry.write(&record.refused()).await?,
        }
        let attempts = presented.attempts;
        let outcome = Outcome::of_payment(presented.answer, presented.reading, &record);
        Ok(Outcome { attempts, ..outcome })
    }

    async fn resume(
        &self,
        request: &BuyerRequest,
        entry: &Entry,
        record: Record,
    ) -> Result<Resumed, BuyerError> {
        // An authorization that has expired costs nothing, whatever it says.
        if !self.expired(&record) {
            self.within_limit(&record)?;
        }
        let presented = present(&self.exchange, request, &record, &self.config.limits).await?;
        let expired = self.expired(&record);
        // "Not charged" is the seller's word: without the end of the authorization it proves
        // nothing. A refusal after the end, of what was refused before, was told the first time.
        let dead =
            presented.reading.verdict == Verdict::NotCharged || record.state == State::Refused;
        match presented.reading.verdict {
            Verdict::Done => entry.remove()?,
            _ if expired && dead => {
                entry.remove()?;
                return Ok(Resumed::Anew);
            }
            // Told to the caller now; paying anew is the caller's decision, by another run.
            _ if expired => entry.remove()?,
            _ => entry.write(&record.refused()).await?,
        }
        let attempts = presented.attempts;
        let outcome = Outcome::of_payment(presented.answer, presented.reading, &record);
        Ok(Resumed::Ends(Box::new(Outcome { attempts, resumed: true, ..outcome })))
    }

    /// It can move no money any more, by any clock that is not too wrong.
    fn expired(&self, record: &Record) -> bool {
        let skew = self.config.limits.clock_skew.as_secs();
        now_unix() >= record.valid_before.saturating_add(skew)
    }

    fn choose(&self, answer: &Answer) -> Result<(Challenge, Choice), BuyerError> {
        let challenge = challenge::read(&answer.headers, &answer.body)?;
        let choice = choose::choose(&challenge.options, &self.config)?;
        Ok((challenge, choice))
    }

    fn sign(
        &self,
        challenge: &Challenge,
        choice: &Choice,
        url: &Url,
    ) -> Result<Record, BuyerError> {
        let signed = sign(challenge, choice, &self.config)?;
        Ok(Record::signed(choice, signed, url.as_str()))
    }

    /// A limit that was lowered since holds for a payment on record too.
    fn within_limit(&self, record: &Record) -> Result<(), BuyerError> {
        let limit = self.config.max_price.in_units(&record.symbol, record.decimals);
        if limit.is_some_and(|limit| record.amount <= limit) {
            return Ok(());
        }
        let limit = self.config.max_price.to_string();
        Err(BuyerError::ResumeAboveLimit { price: record.price(), limit })
    }
}

impl std::fmt::Debug for Buyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buyer").field("config", &self.config).finish_non_exhaustive()
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
