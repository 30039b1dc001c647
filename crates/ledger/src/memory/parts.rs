//! Parts of answers in memory.

use async_trait::async_trait;
use faregate_protocol::PaymentKey;

use super::MemoryLedger;
use super::rows::{ClaimRow, Rows};
use crate::{BodyParts, ClaimState, Hold, LedgerError, PartStore};

#[async_trait]
impl PartStore for MemoryLedger {
    async fn keep_part(
        &self,
        hold: &Hold,
        number: u32,
        part: Vec<u8>,
    ) -> Result<bool, LedgerError> {
        let (mut rows, _) = self.open();
        let row = rows.claims.get_mut(&hold.key);
        let runs = |state| matches!(state, ClaimState::Verified | ClaimState::Executing);
        let Some(row) = row.filter(|row| runs(row.state) && row.token == hold.token) else {
            return Ok(false);
        };
        if number == 0 {
            row.parts.clear();
        }
        row.parts.insert(number, (row.epoch, part));
        Ok(true)
    }

    async fn find_part(
        &self,
        key: &PaymentKey,
        body: &BodyParts,
        number: u32,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let (rows, _) = self.open();
        let part = rows.claims.get(key).and_then(|row| row.parts.get(&number));
        let part = part.filter(|(epoch, _)| *epoch == body.epoch);
        Ok(part.map(|(_, part)| part.clone()))
    }

    async fn forget_parts(&self, key: &PaymentKey) -> Result<(), LedgerError> {
        let (mut rows, _) = self.open();
        let row = rows.claims.get_mut(key).filter(|row| row.state == ClaimState::Released);
        if let Some(row) = row {
            row.parts.clear();
        }
        Ok(())
    }
}

/// Whether a body can be read to its end.
pub(super) fn are_all_there(row: &ClaimRow, body: &BodyParts) -> bool {
    let is_there = |number| row.parts.get(&number).is_some_and(|(epoch, _)| *epoch == body.epoch);
    (0..body.count).all(is_there)
}

/// Forgets at most `limit` parts that nobody can get any more, those of a body from its end.
pub(super) fn forget(rows: &mut Rows, limit: usize) -> u64 {
    use ClaimState::{Credit, Granted, NotCharged, Released};
    let useless = rows.claims.values_mut().filter(|row| {
        let is_forgotten = matches!(row.state, Granted | NotCharged) && row.kept.is_none();
        // A body is found by its first part.
        row.parts.contains_key(&0) && (matches!(row.state, Released | Credit) || is_forgotten)
    });
    let mut forgotten = 0;
    for row in useless {
        while forgotten < limit && row.parts.pop_last().is_some() {
            forgotten += 1;
        }
    }
    u64::try_from(forgotten).unwrap_or(u64::MAX)
}
