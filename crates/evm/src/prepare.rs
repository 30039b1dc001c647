//! *Prepare*: signs the transaction of a slot. Only calls that were built here are signed, with a
//! gas cap from the asset's profile and a fee below the ceiling.

use alloy_consensus::transaction::RlpEcdsaEncodableTx;
use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use faregate_chain::{ChainError, Fees, Intent, Prepared, Slot};
use faregate_protocol::{PaymentRequest, address};

use crate::adapter::EvmChain;
use crate::batch;
use crate::claim::Claim;
use crate::config::TransactionType;
use crate::contracts::MULTICALL3;
use crate::erc6492::Presented;
use crate::limits::{NO_OP_GAS, SIGN_TIMEOUT};
use crate::mechanisms::eip3009::{self, Overload};
use crate::signature::{self, Parts};
use crate::signer::TransactionSigner;

struct Errand {
    to: Address,
    input: Bytes,
    gas_limit: u64,
}

/// Builds and signs the transaction for `slot`.
pub(crate) async fn prepare(
    chain: &EvmChain,
    intent: Intent<'_>,
    slot: &Slot,
    replaces: Option<Fees>,
) -> Result<Prepared, ChainError> {
    let signer = chain.signer(&slot.signer)?;
    let errand = match intent {
        Intent::Transfer(request) => transfer(chain, request)?,
        Intent::Batch(requests) => several(chain, requests)?,
        Intent::NoOp => Errand { to: signer.address(), input: Bytes::new(), gas_limit: NO_OP_GAS },
    };
    chain.check_signers_once().await?;
    chain.batching.check_once(&chain.rpc).await?;
    let mut fee = chain.fees.now(&chain.rpc).await?;
    if let Some(replaced) = replaces {
        fee = chain.fees.above(fee, replaced)?;
    }
    let gas_limit = errand.gas_limit;
    let (transaction, raw) = match chain.transaction_type {
        TransactionType::Eip1559 => {
            sign(signer, eip1559(chain.chain_id, slot.nonce, errand, fee)).await?
        }
        TransactionType::Legacy => {
            sign(signer, legacy(chain.chain_id, slot.nonce, errand, fee)).await?
        }
    };
    let Fees { max_fee_wei, tip_wei } = fee;
    Ok(Prepared { transaction, raw, max_fee_wei, tip_wei, gas_limit })
}

const UNSIGNED: ChainError =
    ChainError::Unsupported { detail: "settling what carries no signature" };

/// What is signed must be a payment that pays its price.
fn payment<'a>(chain: &'a EvmChain, request: &'a PaymentRequest) -> Result<Claim<'a>, ChainError> {
    let claim = Claim::read(chain, request)
        .map_err(|_| ChainError::Unsupported { detail: "settling what is no payment here" })?;
    if !claim.pays_as_required() {
        return Err(ChainError::Unsupported { detail: "settling what does not pay its price" });
    }
    Ok(claim)
}

fn transfer(chain: &EvmChain, request: &PaymentRequest) -> Result<Errand, ChainError> {
    let claim = payment(chain, request)?;
    let payer = claim.payment.authorization.from;
    let overload = claim.overload(chain.contract_payers.contains(payer)).ok_or(UNSIGNED)?;
    Ok(Errand {
        to: claim.asset.profile.address,
        input: eip3009::calldata(&claim.payment.authorization, &overload),
        gas_limit: claim.asset.profile.gas_limit,
    })
}

fn several(chain: &EvmChain, requests: &[&PaymentRequest]) -> Result<Errand, ChainError> {
    let (mut calls, mut shares) = (Vec::with_capacity(requests.len()), 0_u64);
    for request in requests {
        let claim = payment(chain, request)?;
        // Whatever is known of its payer by now: a transaction that replaces another says the same.
        let Presented::Plain(signature) = &claim.presented else { return Err(UNSIGNED) };
        let overload = Parts::read(signature).map(Overload::Parts).ok_or(UNSIGNED)?;
        let token = &claim.asset.profile;
        shares = shares.saturating_add(batch::share(token.gas_limit));
        calls.push((token.address, eip3009::calldata(&claim.payment.authorization, &overload)));
    }
    Ok(Errand {
        to: MULTICALL3,
        input: batch::calldata(calls),
        gas_limit: batch::gas_limit(shares),
    })
}

fn eip1559(chain_id: u64, nonce: u64, errand: Errand, fee: Fees) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: errand.gas_limit,
        max_fee_per_gas: fee.max_fee_wei,
        max_priority_fee_per_gas: fee.tip_wei,
        to: TxKind::Call(errand.to),
        value: U256::ZERO,
        access_list: alloy_eips::eip2930::AccessList::default(),
        input: errand.input,
    }
}

fn legacy(chain_id: u64, nonce: u64, errand: Errand, fee: Fees) -> TxLegacy {
    TxLegacy {
        chain_id: Some(chain_id),
        nonce,
        gas_price: fee.max_fee_wei,
        gas_limit: errand.gas_limit,
        to: TxKind::Call(errand.to),
        value: U256::ZERO,
        input: errand.input,
    }
}

/// Hash and bytes of the signed transaction.
async fn sign<T>(
    signer: &dyn TransactionSigner,
    transaction: T,
) -> Result<(String, Vec<u8>), ChainError>
where
    T: SignableTransaction<Signature> + RlpEcdsaEncodableTx,
{
    let digest = transaction.signature_hash();
    let failed = |detail| ChainError::Signer { detail };
    let signed = tokio::time::timeout(SIGN_TIMEOUT, signer.sign_hash(digest))
        .await
        .map_err(|_| failed("it did not answer in time"))?
        .map_err(|_| failed("it gave no signature"))?;
    // A key service can sign with another key, another digest or a high s.
    if signature::recover(digest, &signed) != Some(signer.address()) {
        return Err(failed("the signature is not that of the account"));
    }
    let parts = Signature::from_raw_array(&signed).map_err(|_| failed("malformed"))?;
    let signed = transaction.into_signed(parts);
    Ok((signed.hash().to_string(), signed.encoded_2718()))
}

impl EvmChain {
    /// The signer of a lane.
    pub(crate) fn signer(&self, name: &str) -> Result<&dyn TransactionSigner, ChainError> {
        let wanted = address::parse_address(name).ok();
        self.signers
            .iter()
            .find(|signer| Some(signer.address()) == wanted)
            .map(AsRef::as_ref)
            .ok_or(ChainError::Unsupported { detail: "a lane of somebody else" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::SignerError;
    use crate::wallet::Wallet;
    use alloy_consensus::{TxEnvelope, transaction::SignerRecoverable};
    use alloy_eips::eip2718::Decodable2718;
    use alloy_primitives::{B256, keccak256};
    use async_trait::async_trait;

    fn errand() -> Errand {
        Errand { to: Address::repeat_byte(5), input: Bytes::from_static(&[1]), gas_limit: 7 }
    }

    fn transaction() -> TxEip1559 {
        eip1559(84532, 3, errand(), Fees { max_fee_wei: 207, tip_wei: 7 })
    }

    #[tokio::test]
    async fn the_signed_bytes_are_the_transaction() {
        let wallet = Wallet::from_hex(&"11".repeat(32)).unwrap();
        let (hash, raw) = sign(&wallet, transaction()).await.unwrap();
        assert_eq!(hash, keccak256(&raw).to_string());
        let read = TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap();
        assert_eq!(read.recover_signer().unwrap(), wallet.address());
        let TxEnvelope::Eip1559(read) = read else { panic!() };
        assert_eq!(*read.tx(), transaction());
    }

    #[tokio::test]
    async fn a_legacy_transaction_has_one_price_and_its_chain() {
        let wallet = Wallet::from_hex(&"11".repeat(32)).unwrap();
        let offered = Fees { max_fee_wei: 125, tip_wei: 125 };
        let (hash, raw) = sign(&wallet, legacy(84532, 3, errand(), offered)).await.unwrap();
        assert_eq!(hash, keccak256(&raw).to_string());
        let read = TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap();
        assert_eq!(read.recover_signer().unwrap(), wallet.address());
        let TxEnvelope::Legacy(read) = read else { panic!() };
        let tx = read.tx();
        assert_eq!((tx.chain_id, tx.nonce, tx.gas_price, tx.gas_limit), (Some(84532), 3, 125, 7));
    }

    type Sign = fn(&Wallet, B256) -> Result<[u8; 65], SignerError>;

    struct Odd(Wallet, Sign);

    #[async_trait]
    impl TransactionSigner for Odd {
        fn address(&self) -> Address {
            self.0.address()
        }
        async fn sign_hash(&self, digest: B256) -> Result<[u8; 65], SignerError> {
            (self.1)(&self.0, digest)
        }
    }

    #[tokio::test]
    async fn e37_odd_signatures_never_become_transactions() {
        let odd: [Sign; 5] = [
            |_, _| Err(SignerError::Unavailable),
            |_, _| Ok([0; 65]),
            |wallet, digest| Ok(wallet.sign_digest(keccak256(digest))),
            |_, digest| Ok(Wallet::from_hex(&"22".repeat(32)).unwrap().sign_digest(digest)),
            |wallet, digest| {
                let mut signature = wallet.sign_digest(digest);
                signature[64] = 27 + 28 - signature[64];
                Ok(signature)
            },
        ];
        for sign_oddly in odd {
            let signer = Odd(Wallet::from_hex(&"11".repeat(32)).unwrap(), sign_oddly);
            assert!(matches!(sign(&signer, transaction()).await, Err(ChainError::Signer { .. })));
        }
    }
}
