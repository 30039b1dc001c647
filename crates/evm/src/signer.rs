//! Who signs our transactions, as a port: a key in this process today, a key service later.

use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use crate::signature::SIGNATURE_BYTES;
use crate::wallet::Wallet;

/// Why a signer gave no signature. Carries no key material and no text of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// It could not be reached or is overloaded.
    #[error("the signer cannot be reached")]
    Unavailable,
    /// It does not sign for us.
    #[error("the signer refused")]
    Refused,
    /// It answered something that is no signature.
    #[error("the signer answered something that is no signature")]
    Nonsense,
}

/// An account whose key signs transactions.
#[async_trait]
pub trait TransactionSigner: Send + Sync {
    /// The account.
    fn address(&self) -> Address;

    /// Signs a 32-byte digest: r, s, v in 65 bytes, v 27 or 28, low s. Callers recover the
    /// address before they believe it.
    ///
    /// # Errors
    /// [`SignerError`]; nothing was sent anywhere, so asking again is harmless.
    async fn sign_hash(&self, digest: B256) -> Result<[u8; SIGNATURE_BYTES], SignerError>;
}

#[async_trait]
impl TransactionSigner for Wallet {
    fn address(&self) -> Address {
        Self::address(self)
    }

    async fn sign_hash(&self, digest: B256) -> Result<[u8; SIGNATURE_BYTES], SignerError> {
        Ok(self.sign_digest(digest))
    }
}
