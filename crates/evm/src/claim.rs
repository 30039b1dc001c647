//! A payment read against the asset it names: everything that can be judged without the chain.
//!
//! Faults are reported in one fixed order: scheme, domain, network, asset, signature, payee,
//! window, value, domain mismatch. A signature that no key vouches for may still be a contract
//! wallet's; when another fault is found it is not worth a question, and the signature is blamed,
//! which stands before the other faults in the order.

use std::sync::OnceLock;

use alloy_primitives::{Address, B256, U256};
use faregate_chain::Authorization;
use faregate_protocol::eip3009::Eip3009Payload;
use faregate_protocol::{
    Amount, PaymentKey, PaymentPayload, PaymentRequest, PaymentRequirements, Reason, X402_VERSION,
    address, canonical,
};

use crate::adapter::EvmChain;
use crate::assets::{Asset, Standing};
use crate::erc6492::Presented;
use crate::limits::{MAX_VALIDITY_SECS, MIN_VALIDITY_SECS};
use crate::mechanisms::eip3009::{self, Overload};
use crate::schemes::exact;
use crate::signature::Parts;
use crate::signatures_seen::SignaturesSeen;

/// Why a payment is refused, and who pays when that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) payer: Option<Address>,
}

/// A payment that is well-formed and names a listed asset. Nothing in it is believed.
pub(crate) struct Claim<'a> {
    request: &'a PaymentRequest,
    chain_id: u64,
    pub(crate) asset: &'a Asset,
    pub(crate) pay_to: Address,
    pub(crate) payment: Eip3009Payload,
    pub(crate) presented: Presented,
    /// What the payer signed, under the profile's domain.
    pub(crate) digest: B256,
    seen: &'a SignaturesSeen,
    key_signed: OnceLock<bool>,
}

impl<'a> Claim<'a> {
    /// Reads a payment: version, scheme, domain, network, asset, payload.
    pub(crate) fn read(chain: &'a EvmChain, request: &'a PaymentRequest) -> Result<Self, Refusal> {
        let required = &request.payment_requirements;
        let nobody = |reason| Refusal { reason, payer: None };
        check_terms(chain, &request.payment_payload, required).map_err(nobody)?;
        let token = address::parse_address(&required.asset).ok();
        let asset = token
            .and_then(|token| chain.assets.get(token))
            .ok_or(nobody(Reason::AssetNotAllowed))?;
        let payment = Eip3009Payload::read(&request.payment_payload.payload).map_err(nobody)?;
        let payer = Some(payment.authorization.from);
        let pay_to = address::parse_address(&required.pay_to)
            .map_err(|_| Refusal { reason: Reason::EvmRecipientMismatch, payer })?;
        let presented = Presented::read(&payment.signature);
        let digest = eip3009::digest_under(&payment.authorization, asset.separator);
        Ok(Self {
            request,
            chain_id: chain.chain_id,
            asset,
            pay_to,
            payment,
            presented,
            digest,
            seen: &chain.signatures_seen,
            key_signed: OnceLock::new(),
        })
    }

    /// Why the payment is refused without asking the chain, if it is. `now_unix` in seconds.
    pub(crate) fn refusal(&self, now_unix: u64, signers: &[Address]) -> Option<Reason> {
        if self.presented == Presented::Malformed {
            return Some(Reason::EvmSignature);
        }
        let fault = self.fault(now_unix, signers)?;
        Some(if self.signed_by_key() || self.signed_for_claimed_domain() {
            fault
        } else {
            self.signature_fault()
        })
    }

    /// The reason when nobody vouches for the signature.
    pub(crate) fn signature_fault(&self) -> Reason {
        match self.presented {
            Presented::Wrapped(_) => Reason::EvmFactoryNotAllowed,
            Presented::Plain(_) | Presented::Malformed => Reason::EvmSignature,
        }
    }

    /// Whether the payer's own key signed, in the one accepted spelling.
    pub(crate) fn signed_by_key(&self) -> bool {
        *self.key_signed.get_or_init(|| self.recovers(self.digest))
    }

    /// Hash of the payment in its very wording, the requirements included.
    pub(crate) fn whole_hash(&self) -> Option<B256> {
        canonical::hash(self.request).ok().map(B256::from)
    }

    /// Whether the authorization moves exactly the price to the payee.
    pub(crate) fn pays_as_required(&self) -> bool {
        self.payment.authorization.to == self.pay_to
            && exact::pays(
                self.payment.authorization.value,
                self.request.payment_requirements.amount,
            )
    }

    /// How the signature is handed to the token; `None` when there is none.
    pub(crate) fn overload(&self, payer_has_code: bool) -> Option<Overload> {
        match &self.presented {
            Presented::Malformed => None,
            Presented::Wrapped(inner) => Some(Overload::Bytes(inner.clone())),
            Presented::Plain(signature) if !payer_has_code && self.signed_by_key() => {
                Parts::read(signature).map(Overload::Parts)
            }
            Presented::Plain(signature) => Some(Overload::Bytes(signature.clone())),
        }
    }

    /// The chain-neutral facts.
    pub(crate) fn authorization(&self) -> Authorization {
        let signed = &self.payment.authorization;
        let token = self.asset.profile.address;
        Authorization {
            key: PaymentKey::eip3009(self.chain_id, token, signed.from, signed.nonce),
            network: self.request.payment_requirements.network.clone(),
            payer: signed.from.to_checksum(None),
            pay_to: signed.to.to_checksum(None),
            asset: token.to_checksum(None),
            amount: signed.value,
            valid_after: saturated(signed.valid_after),
            valid_before: saturated(signed.valid_before),
        }
    }

    fn recovers(&self, digest: B256) -> bool {
        matches!(&self.presented, Presented::Plain(signature)
            if self.seen.is_by(self.payment.authorization.from, digest, signature))
    }

    /// Whether the payer signed for the name and version of the requirements when these are not
    /// the token's. It decides which fault is reported, never whether the payment is good.
    fn signed_for_claimed_domain(&self) -> bool {
        let required = &self.request.payment_requirements;
        let (Some(name), Some(version)) =
            (required.extra_text("name"), required.extra_text("version"))
        else {
            return false;
        };
        let token = self.asset.profile.address;
        let domain = eip3009::domain(name, version, self.chain_id, token);
        domain != self.asset.domain
            && self.recovers(eip3009::digest(&self.payment.authorization, &domain))
    }

    fn fault(&self, now_unix: u64, signers: &[Address]) -> Option<Reason> {
        self.payee_fault(signers)
            .or_else(|| self.window_fault(now_unix))
            .or_else(|| self.value_fault())
            .or_else(|| self.domain_fault())
    }

    fn payee_fault(&self, signers: &[Address]) -> Option<Reason> {
        let (from, to) = (self.payment.authorization.from, self.payment.authorization.to);
        if to != self.pay_to || !self.accepted_address("payTo", self.pay_to) {
            return Some(Reason::EvmRecipientMismatch);
        }
        (from == to || signers.contains(&from) || signers.contains(&to))
            .then_some(Reason::SelfPayment)
    }

    fn window_fault(&self, now_unix: u64) -> Option<Reason> {
        let (now, signed) = (U256::from(now_unix), &self.payment.authorization);
        let earliest = now.saturating_add(U256::from(MIN_VALIDITY_SECS));
        let latest = now.saturating_add(U256::from(MAX_VALIDITY_SECS));
        if signed.valid_before < earliest {
            Some(Reason::EvmValidBefore)
        } else if signed.valid_before > latest {
            Some(Reason::ValidityTooLong)
        } else if signed.valid_after > now {
            Some(Reason::EvmValidAfter)
        } else {
            None
        }
    }

    fn value_fault(&self) -> Option<Reason> {
        let price = self.request.payment_requirements.amount;
        let accepted = self.request.payment_payload.accepted_text("amount");
        let accepted_price = accepted.is_none_or(|text| text.parse::<Amount>() == Ok(price));
        if !exact::pays(self.payment.authorization.value, price) || !accepted_price {
            return Some(Reason::EvmValueMismatch);
        }
        (!self.accepted_address("asset", self.asset.profile.address))
            .then_some(Reason::NoMatchingRequirements)
    }

    fn domain_fault(&self) -> Option<Reason> {
        let (required, profile) = (&self.request.payment_requirements, &self.asset.profile);
        let fault = if required.extra_text("name") != Some(&profile.name) {
            Reason::EvmTokenNameMismatch
        } else if required.extra_text("version") != Some(&profile.version) {
            Reason::EvmTokenVersionMismatch
        } else {
            return None;
        };
        // A missing contract is reported before its name.
        Some(match self.asset.standing() {
            Standing::NoCode => Reason::EvmAssetNotDeployed,
            _ => fault,
        })
    }

    /// Whether the buyer's copy, where it has this member, names the same 20 bytes.
    fn accepted_address(&self, member: &str, want: Address) -> bool {
        self.request
            .payment_payload
            .accepted_text(member)
            .is_none_or(|text| address::parse_address(text) == Ok(want))
    }
}

fn check_terms(
    chain: &EvmChain,
    payload: &PaymentPayload,
    required: &PaymentRequirements,
) -> Result<(), Reason> {
    if payload.x402_version != X402_VERSION {
        return Err(Reason::InvalidX402Version);
    }
    if payload.accepted_text("scheme") != Some(exact::NAME) || required.scheme != exact::NAME {
        return Err(Reason::EvmScheme);
    }
    if required.extra_text("name").is_none() || required.extra_text("version").is_none() {
        return Err(Reason::EvmMissingDomain);
    }
    if payload.accepted_text("network") != Some(required.network.as_str()) {
        return Err(Reason::EvmNetworkMismatch);
    }
    if required.network != chain.network {
        return Err(Reason::InvalidNetwork);
    }
    Ok(())
}

fn saturated(seconds: U256) -> u64 {
    seconds.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
