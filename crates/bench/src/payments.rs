//! Payments that are signed before the clock starts, each as the whole request that carries it.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256};
use faregate_evm::{Wallet, random_nonce, sign_authorization};
use faregate_protocol::header::{self, PAYMENT_SIGNATURE};
use faregate_protocol::{PaymentPayload, PaymentRequirements, X402_VERSION};
use serde_json::{Value, json};

use crate::error::BenchError;
use crate::requests::Target;

/// One payment. No `Debug`: the request is a bearer instrument.
pub(crate) struct Payment {
    /// The whole request.
    pub(crate) request: Vec<u8>,
    /// Who pays.
    pub(crate) payer: Address,
    /// Its authorization's nonce.
    pub(crate) nonce: B256,
}

/// What is paid, and how a payment travels.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) target: Target,
    pub(crate) requirements: PaymentRequirements,
    pub(crate) carrier: Carrier,
}

/// How a payment travels.
#[derive(Clone, Debug)]
pub(crate) enum Carrier {
    /// In the body, to this operation of a facilitator.
    Body(&'static str),
    /// In a header, to a resource that the challenge described so.
    Header(Value),
}

/// Signs `count` payments, on all processors; `signed` tells how far it is.
pub(crate) fn sign(
    order: &Order,
    payers: &[Wallet],
    count: u64,
    signed: &AtomicU64,
) -> Result<Vec<Payment>, BenchError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let share = |index: u64| {
        let mine = (index..count).step_by(usize::try_from(threads).unwrap_or(1));
        mine.zip(payers.iter().cycle())
            .map(|(_, payer)| {
                signed.fetch_add(1, Ordering::Relaxed);
                one(order, payer)
            })
            .collect::<Result<Vec<_>, _>>()
    };
    thread::scope(|scope| {
        let share = &share;
        let started: Vec<_> = (0..threads).map(|index| scope.spawn(move || share(index))).collect();
        let mut all = Vec::new();
        for thread in started {
            let died = |_| BenchError::Sign("a thread panicked".to_owned());
            all.extend(thread.join().map_err(died)??);
        }
        Ok(all)
    })
}

fn one(order: &Order, payer: &Wallet) -> Result<Payment, BenchError> {
    let requirements = &order.requirements;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let until = now.saturating_add(requirements.timeout_secs());
    let nonce = random_nonce().map_err(sign_error)?;
    let signed = sign_authorization(payer, requirements, 0, until, nonce).map_err(sign_error)?;
    let accepted = serde_json::to_value(requirements).map_err(sign_error)?;
    let mut payload = PaymentPayload {
        x402_version: X402_VERSION,
        payload: signed.to_members(),
        extensions: None,
        resource: None,
        accepted: accepted.as_object().cloned().unwrap_or_default(),
    };
    let request = match &order.carrier {
        Carrier::Body(operation) => {
            let body = json!({
                "x402Version": X402_VERSION,
                "paymentPayload": payload,
                "paymentRequirements": requirements,
            });
            order.target.post_below(operation, body.to_string().as_bytes())
        }
        Carrier::Header(resource) => {
            payload.resource = Some(resource.clone());
            let value = header::encode(&payload).map_err(sign_error)?;
            order.target.get(Some((PAYMENT_SIGNATURE, &value)))
        }
    };
    Ok(Payment { request, payer: payer.address(), nonce })
}

fn sign_error(error: impl std::fmt::Display) -> BenchError {
    BenchError::Sign(error.to_string())
}
