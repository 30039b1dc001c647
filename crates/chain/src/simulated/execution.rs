//! How the simulated chain executes transactions, builds blocks and takes them back.

use alloy_primitives::{Address, B256, U256};
use faregate_protocol::{PaymentKey, PaymentRequest};

use super::{Block, FINALITY_DEPTH, Mined, Moved, State, Transaction, Use};

impl State {
    pub(super) fn head(&self) -> u64 {
        (self.blocks.len() as u64).saturating_sub(1)
    }

    pub(super) fn finalized(&self) -> u64 {
        self.head().saturating_sub(FINALITY_DEPTH)
    }

    pub(super) fn block_time(&self, number: u64) -> u64 {
        usize::try_from(number).ok().and_then(|n| self.blocks.get(n)).map_or(0, |block| block.time)
    }

    pub(super) fn mine(&mut self, chain_id: u64) {
        let number = self.blocks.len() as u64;
        self.blocks_made += 1;
        let mut block = Block { id: self.blocks_made, time: self.now, transactions: Vec::new() };
        while let Some(transaction) = self.next_in_turn() {
            *self.mined_nonces.entry(transaction.signer.clone()).or_default() += 1;
            let moved = self.execute(&transaction, chain_id, number);
            let cancelled = self.cancel(&transaction, number);
            block.transactions.push(Mined { transaction, moved, cancelled });
        }
        self.blocks.push(block);
    }

    /// Of those whose turn it is, the one with the highest tip.
    fn next_in_turn(&mut self) -> Option<Transaction> {
        let in_turn = self.pool.iter().filter(|((signer, nonce), _)| {
            self.mined_nonces.get(signer).copied().unwrap_or_default() == *nonce
        });
        let turn = in_turn.max_by_key(|(_, transaction)| transaction.tip_wei)?.0.clone();
        self.pool.remove(&turn)
    }

    /// The first nonce of `signer` that is neither mined nor taken in the pool.
    pub(super) fn free_nonce(&self, signer: &str) -> u64 {
        let mut nonce = self.mined_nonces.get(signer).copied().unwrap_or_default();
        while self.pool.contains_key(&(signer.to_owned(), nonce)) {
            nonce += 1;
        }
        nonce
    }

    /// Puts a transaction that no engine made into the pool; nothing replaces it there.
    pub(super) fn put_from_outside(
        &mut self,
        signer: &str,
        nonce: u64,
        requests: Vec<PaymentRequest>,
        cancels: Option<(Address, B256)>,
    ) {
        self.outside += 1;
        let hash = format!("0x{signer}-by-hand-{}", self.outside);
        let signer = signer.to_owned();
        let place = (signer.clone(), nonce);
        let transaction =
            Transaction { hash, signer, nonce, tip_wei: u128::MAX, requests, cancels };
        self.pool.insert(place, transaction);
    }

    /// `None`: it cancels nothing, or too late.
    fn cancel(&mut self, transaction: &Transaction, block: u64) -> Option<(Address, B256)> {
        let cancelled = transaction.cancels?;
        if self.authorizations.contains_key(&cancelled) {
            return None;
        }
        self.authorizations.insert(cancelled, Use::Cancelled { block });
        Some(cancelled)
    }

    /// Each payment by itself, as Multicall3 does with `allowFailure`.
    fn execute(&mut self, transaction: &Transaction, chain_id: u64, block: u64) -> Vec<Moved> {
        if self.faults.batches_revert && transaction.requests.len() > 1 {
            return Vec::new();
        }
        let requests = transaction.requests.iter();
        requests.filter_map(|request| self.transfer(request, chain_id, block)).collect()
    }

    /// `None`: it did nothing or reverted.
    fn transfer(&mut self, request: &PaymentRequest, chain_id: u64, block: u64) -> Option<Moved> {
        let (_, read) =
            PaymentKey::of(&request.payment_payload, &request.payment_requirements).ok()?;
        debug_assert_eq!(request.payment_requirements.network.evm_chain_id(), Some(chain_id));
        let a = read.authorization;
        let in_time = a.valid_after < U256::from(self.now) && U256::from(self.now) < a.valid_before;
        if !in_time || self.authorizations.contains_key(&(a.from, a.nonce)) {
            return None;
        }
        let left = self.balances.get(&a.from).copied().unwrap_or_default().checked_sub(a.value)?;
        self.balances.insert(a.from, left);
        let theirs = self.balances.get(&a.to).copied().unwrap_or_default();
        self.balances.insert(a.to, theirs.checked_add(a.value)?);
        self.authorizations.insert((a.from, a.nonce), Use::Moved { to: a.to, block });
        Some(Moved { from: a.from, to: a.to, nonce: a.nonce, amount: a.value })
    }

    pub(super) fn reorganise(&mut self, depth: u64, keep: bool) {
        for _ in 0..depth {
            let Some(block) = self.blocks.pop() else { return };
            for mined in block.transactions.into_iter().rev() {
                self.undo(mined, keep);
            }
        }
    }

    fn undo(&mut self, mined: Mined, keep: bool) {
        let Mined { transaction, moved, cancelled } = mined;
        if let Some(nonce) = self.mined_nonces.get_mut(&transaction.signer) {
            *nonce = nonce.saturating_sub(1);
        }
        for Moved { from, to, nonce, amount } in moved.into_iter().rev() {
            self.authorizations.remove(&(from, nonce));
            let theirs = self.balances.get(&to).copied().unwrap_or_default();
            self.balances.insert(to, theirs.checked_sub(amount).unwrap_or_default());
            let back = self.balances.get(&from).copied().unwrap_or_default();
            self.balances.insert(from, back.checked_add(amount).unwrap_or(back));
        }
        if let Some(cancelled) = cancelled {
            self.authorizations.remove(&cancelled);
        }
        if keep {
            self.pool.insert((transaction.signer.clone(), transaction.nonce), transaction);
        }
    }
}
