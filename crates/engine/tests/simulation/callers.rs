//! Those who ask for settlement: with a key or without, once or until they know, at whichever
//! process answers.

use std::sync::Arc;
use std::time::Duration;

use faregate_engine::clock::Clock as _;
use faregate_ledger::SettlementStore as _;
use faregate_protocol::{
    Facilitator as _, FacilitatorError, PaymentRequest, SettleResponse, SettleTerms,
};
use uuid::Uuid;

use crate::audit::Rule;
use crate::payments::Payment;
use crate::process::{Ground, Process};
use crate::world::Told;

/// One who asks.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Its number in the run; no two have one.
    pub(crate) number: u64,
    pub(crate) settle_id: Option<Uuid>,
    /// How often it asks before it gives up; `None`: until it knows.
    pub(crate) patience: Option<u64>,
    pub(crate) request: PaymentRequest,
    pub(crate) payment: Payment,
}

/// What a caller sees of the world.
#[derive(Clone)]
pub(crate) struct Street {
    pub(crate) ground: Ground,
    pub(crate) processes: Arc<[Process]>,
    pub(crate) told: Told,
}

/// Milliseconds between two questions.
const PAUSE: (u64, u64) = (100, 6000);
/// Milliseconds that a caller waits for one answer.
const WAIT: (u64, u64) = (200, 8000);

type Answer = Result<SettleResponse, FacilitatorError>;

impl Caller {
    pub(crate) async fn ask(self, street: Street) {
        let mut left = self.patience;
        while left != Some(0) {
            if let Some(answer) = self.ask_once(&street).await
                && self.is_an_end(&answer)
            {
                street.told.ended(self.number);
                return;
            }
            left = left.map(|left| left - 1);
            let pause = street.ground.dice.between(PAUSE.0, PAUSE.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// `None`: the process is not there, or died meanwhile.
    async fn ask_once(&self, street: &Street) -> Option<Answer> {
        let dice = &street.ground.dice;
        let process = &street.processes[dice.index(street.processes.len())];
        let (engine, death) = process.engine()?;
        let dies = death.comes();
        let wait = dice.between(WAIT.0, WAIT.1);
        let deadline_unix_ms = Some(street.ground.clock.now_unix_ms() + wait);
        let terms = SettleTerms {
            settle_id: self.settle_id,
            deadline_unix_ms,
            deployment: None,
            patient: false,
        };
        let known = self.is_known(street).await;
        street.told.asks(self.settle_id);
        let answer = tokio::select! {
            biased;
            () = dies => None,
            answer = engine.settle(&self.request, &terms) => Some(answer),
        };
        street.told.asked(self.settle_id);
        let answer = answer?;
        self.check(street, known, &answer).await;
        Some(answer)
    }

    async fn is_known(&self, street: &Street) -> bool {
        street.ground.ledger.find_settlement(&self.payment.key).await.unwrap().is_some()
    }

    fn is_an_end(&self, answer: &Answer) -> bool {
        match answer {
            Ok(answer) => answer.error_reason.as_deref() != Some("settlement_pending"),
            Err(_) => false,
        }
    }

    /// `known`: the payment was reserved before this caller asked.
    async fn check(&self, street: &Street, known: bool, answer: &Answer) {
        let audit = &street.ground.audit;
        let word = match answer {
            Ok(answer) if answer.success => "success",
            Ok(answer) => answer.error_reason.as_deref().unwrap_or("?"),
            Err(FacilitatorError::Unavailable(_)) => "unavailable",
            Err(_) => "another error",
        };
        audit.note("answer", self.number, word.bytes().map(u64::from).sum());
        let moved = || street.told.has_moved(&street.ground.chain, &self.payment);
        let who = || format!("caller {} of {}: {word}", self.number, self.payment.nonce);
        match word {
            "success" => {
                audit.check(moved(), Rule::SuccessMeansMoved, who);
                let alone = street.told.success(&self.payment, self.number);
                audit.check(alone, Rule::OneSuccess, who);
            }
            "payment_not_charged" => {
                street.told.not_charged(&self.payment);
                let now = street.ground.chain.moved_in(self.payment.payer, self.payment.nonce);
                audit.check(now.is_none(), Rule::NotChargedMeansNever, who);
            }
            "unavailable" => {
                let row = street.ground.ledger.find_settlement(&self.payment.key).await.unwrap();
                // The answer speaks for its own question only, not for another one under way.
                let mine = row.is_some_and(|row| Some(row.new.settle_id) == self.settle_id)
                    && !street.told.had_a_twin(self.settle_id);
                audit.check(!known && !mine, Rule::FittingAnswer, who);
            }
            "settlement_pending" => {}
            "duplicate_settlement" => audit.check(moved(), Rule::SuccessMeansMoved, who),
            "requirements_changed" => {
                audit.check(self.may_differ(street).await, Rule::FittingAnswer, who);
            }
            _ => audit.check(!known, Rule::FittingAnswer, who),
        }
    }

    /// Whether the ledger holds the payment with other requirements than this caller's.
    async fn may_differ(&self, street: &Street) -> bool {
        let row = street.ground.ledger.find_settlement(&self.payment.key).await.unwrap();
        row.is_some_and(|row| row.new.request != self.request)
    }
}
