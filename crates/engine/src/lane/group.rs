//! Which payments share a transaction.
//!
//! A payment that was in a transaction without effect goes on with fewer companions, so that one
//! that spoils the transactions it is in soon stands alone: in at most a tenth of a full batch,
//! then by itself. By tenths and not by halves, because each step is a transaction that the
//! payment costs, and it may cost few ([`crate::Limits::transactions_per_payment`]).

use faregate_chain::Chain;
use faregate_ledger::Settlement;

/// After a failure, a payment's next batch is this many times smaller.
const SPLIT: usize = 10;

/// The payments of one transaction to be.
pub(super) struct Group<'a> {
    chain: &'a dyn Chain,
    pub(super) members: Vec<Settlement>,
    /// Most members, as the first ones allow.
    room: usize,
    gas: u64,
    /// Whether one more like the last fits, as far as gas goes.
    takes_another: bool,
}

impl<'a> Group<'a> {
    pub(super) const fn new(chain: &'a dyn Chain) -> Self {
        Self { chain, members: Vec::new(), room: usize::MAX, gas: 0, takes_another: true }
    }

    /// No other is likely to fit.
    pub(super) const fn is_full(&self) -> bool {
        self.members.len() >= self.room || !self.takes_another
    }

    /// Takes `next` in, or hands it back: there is no room for it, or one of them goes alone.
    pub(super) fn add(&mut self, next: Settlement) -> Option<Settlement> {
        let batch = self.chain.batch_room();
        let shared = batch.and_then(|batch| Some((batch, self.chain.share(&next.new.request)?)));
        let (room, share, most_gas) = match shared {
            Some((batch, share)) => (companions(batch.members, next.nonces), share, batch.gas),
            None => (1, 0, u64::MAX),
        };
        let gas = self.gas.saturating_add(share);
        let room = self.room.min(room);
        let fits = self.members.len() < room && gas <= most_gas;
        if !self.members.is_empty() && !fits {
            return Some(next);
        }
        (self.room, self.gas) = (room, gas);
        self.takes_another = gas.saturating_add(share) <= most_gas;
        self.members.push(next);
        None
    }
}

/// Most payments in a transaction with one that so many nonces were spent on before.
fn companions(members: usize, nonces: usize) -> usize {
    match nonces {
        0 => members,
        1 => members.div_ceil(SPLIT),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::companions;

    #[test]
    fn who_fails_soon_stands_alone() {
        let of = |members| [0, 1, 2, 3].map(|nonces| companions(members, nonces));
        assert_eq!(of(100), [100, 10, 1, 1]);
        assert_eq!(of(20), [20, 2, 1, 1]);
        assert_eq!(of(2), [2, 1, 1, 1]);
    }
}
