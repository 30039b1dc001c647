//! EIP-3009 `transferWithAuthorization`: what is signed, how it is called, and what it leaves in
//! the logs.

pub(crate) mod evidence;

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct};
use faregate_protocol::eip3009::{Authorization, Eip3009Payload};
use faregate_protocol::{PaymentRequirements, address};

use crate::contracts::{Token, TransferWithAuthorization};
use crate::signature::Parts;
use crate::wallet::Wallet;

/// What EIP-712 puts before the two hashes that are signed.
const EIP712_PREFIX: [u8; 2] = [0x19, 0x01];

/// Why a buyer's authorization could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The network is not an EVM chain.
    #[error("the network of the requirements is not an EVM chain")]
    Network,
    /// The asset is not an address.
    #[error("the asset of the requirements is not an address")]
    Asset,
    /// The payee is not an address.
    #[error("the payee of the requirements is not an address")]
    PayTo,
    /// `extra.name` or `extra.version` is missing: the token's domain is unknown.
    #[error("the requirements carry no EIP-712 name and version of the token")]
    MissingDomain,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// The EIP-712 domain of a token.
#[must_use]
pub fn domain(name: &str, version: &str, chain_id: u64, token: Address) -> Eip712Domain {
    Eip712Domain::new(
        Some(name.to_owned().into()),
        Some(version.to_owned().into()),
        Some(U256::from(chain_id)),
        Some(token),
        None,
    )
}

/// The digest that the payer signs.
#[must_use]
pub fn digest(authorization: &Authorization, domain: &Eip712Domain) -> B256 {
    digest_under(authorization, domain.separator())
}

/// As [`digest`], under the hash of a domain: a token's is the same for every payment.
#[must_use]
pub(crate) fn digest_under(authorization: &Authorization, separator: B256) -> B256 {
    static TYPE_HASH: LazyLock<B256> =
        LazyLock::new(|| keccak256(TransferWithAuthorization::eip712_encode_type().as_bytes()));
    let signed = TransferWithAuthorization {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value.0,
        validAfter: authorization.valid_after,
        validBefore: authorization.valid_before,
        nonce: authorization.nonce,
    };
    let mut hash = Keccak256::new();
    hash.update(*TYPE_HASH);
    hash.update(signed.eip712_encode_data());
    let members = hash.finalize();
    let mut hash = Keccak256::new();
    hash.update(EIP712_PREFIX);
    hash.update(separator);
    hash.update(members);
    hash.finalize()
}

/// A nonce that nobody can guess.
///
/// # Errors
/// [`SignError::Random`].
pub fn random_nonce() -> Result<B256, SignError> {
    let mut nonce = B256::ZERO;
    getrandom::fill(nonce.as_mut_slice()).map_err(|_| SignError::Random)?;
    Ok(nonce)
}

/// Signs a payment of exactly the required amount to the required payee, valid strictly after
/// `valid_after` and strictly before `valid_before` (unix seconds).
///
/// # Errors
/// [`SignError`] when the requirements do not say enough.
pub fn sign_authorization(
    wallet: &Wallet,
    requirements: &PaymentRequirements,
    valid_after: u64,
    valid_before: u64,
    nonce: B256,
) -> Result<Eip3009Payload, SignError> {
    let chain_id = requirements.network.evm_chain_id().ok_or(SignError::Network)?;
    let token = address::parse_address(&requirements.asset).map_err(|_| SignError::Asset)?;
    let to = address::parse_address(&requirements.pay_to).map_err(|_| SignError::PayTo)?;
    let name = requirements.extra_text("name").ok_or(SignError::MissingDomain)?;
    let version = requirements.extra_text("version").ok_or(SignError::MissingDomain)?;
    let authorization = Authorization {
        from: wallet.address(),
        to,
        value: requirements.amount,
        valid_after: U256::from(valid_after),
        valid_before: U256::from(valid_before),
        nonce,
    };
    let digest = digest(&authorization, &domain(name, version, chain_id, token));
    Ok(Eip3009Payload { authorization, signature: wallet.sign_digest(digest).to_vec() })
}

/// How the signature is handed to the token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Overload {
    /// v, r, s: the payer is a key.
    Parts(Parts),
    /// Bytes: the payer is a contract.
    Bytes(Vec<u8>),
}

/// The call that moves the money.
pub(crate) fn calldata(authorization: &Authorization, overload: &Overload) -> Bytes {
    let Authorization { from, to, value, valid_after, valid_before, nonce } = authorization;
    match overload {
        Overload::Parts(Parts { r, s, v }) => Token::transferWithAuthorization_0Call {
            from: *from,
            to: *to,
            value: value.0,
            validAfter: *valid_after,
            validBefore: *valid_before,
            nonce: *nonce,
            v: *v,
            r: *r,
            s: *s,
        }
        .abi_encode()
        .into(),
        Overload::Bytes(signature) => Token::transferWithAuthorization_1Call {
            from: *from,
            to: *to,
            value: value.0,
            validAfter: *valid_after,
            validBefore: *valid_before,
            nonce: *nonce,
            signature: signature.clone().into(),
        }
        .abi_encode()
        .into(),
    }
}

#[cfg(test)]
mod tests;
