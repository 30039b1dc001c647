//! The body of an answer that is too large to be held in memory until it is paid: it goes into the
//! ledger part by part as it arrives, and comes out of it part by part. Its head is kept as that of
//! any other answer is.

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use serde::{Deserialize, Serialize};

use crate::{Hold, LedgerError};

/// A body that was stored in parts, as the head names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyParts {
    /// Epoch of the claim whose run stored them.
    pub epoch: i64,
    /// How many; they are numbered from 0.
    pub count: u32,
    /// Length of the whole body, in bytes.
    pub bytes: u64,
}

/// Parts of answers. Each is sealed for its payment, its epoch and its number, and the sealed head
/// says how many there are: none can stand in another's place, and none can be missing unseen.
#[async_trait]
pub trait PartStore: Send + Sync {
    /// Stores a part for a claim in VERIFIED. Number 0 comes first and forgets all parts of earlier
    /// runs; the same number again replaces the part. `false`: the claim moved without us, stop.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: whether it was stored is unknown; call again.
    async fn keep_part(&self, hold: &Hold, number: u32, part: Vec<u8>)
    -> Result<bool, LedgerError>;

    /// The part with this number of a body that was kept. `None`: it is kept no longer.
    ///
    /// # Errors
    /// [`LedgerError::Unsealable`] for one that was changed or belongs elsewhere, and any other
    /// [`LedgerError`].
    async fn find_part(
        &self,
        key: &PaymentKey,
        body: &BodyParts,
        number: u32,
    ) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Forgets the parts of a claim that is RELEASED now, and of no other.
    ///
    /// # Errors
    /// [`LedgerError`]; [`ClaimStore::forget_answers`](crate::ClaimStore::forget_answers) comes to
    /// them later.
    async fn forget_parts(&self, key: &PaymentKey) -> Result<(), LedgerError>;
}

const KEY_BYTES: usize = 32;
const EPOCH_END: usize = KEY_BYTES + size_of::<i64>();
const PLACE_BYTES: usize = EPOCH_END + size_of::<u32>();

/// What a part is sealed for.
pub(crate) fn place(key: &PaymentKey, epoch: i64, number: u32) -> [u8; PLACE_BYTES] {
    let mut place = [0; PLACE_BYTES];
    place[..KEY_BYTES].copy_from_slice(&key.0);
    place[KEY_BYTES..EPOCH_END].copy_from_slice(&epoch.to_be_bytes());
    place[EPOCH_END..].copy_from_slice(&number.to_be_bytes());
    place
}
