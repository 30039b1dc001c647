//! The simulated chain behind the port.

use async_trait::async_trait;
use faregate_protocol::{Network, PaymentKey, PaymentRequest, Reason, SupportedKind};

use super::{Block, SimulatedChain, State, TRANSFER_GAS, Transaction, Use};
use crate::{
    Authorization, BatchRoom, BlockSeen, Broadcast, Chain, ChainError, DeathCause, DeathProof,
    Evidence, Fees, Heights, InBlock, Inspection, Intent, LaneState, Observation, Outcome,
    Prepared, SendTime, Slot, Standing, Watch, observation::Reverted,
};

impl SimulatedChain {
    fn up(&self) -> Result<std::sync::MutexGuard<'_, State>, ChainError> {
        let state = self.lock();
        if state.faults.down {
            return Err(ChainError::Unreachable { network: self.network.to_string() });
        }
        Ok(state)
    }

    fn nonsense(&self, method: &'static str) -> ChainError {
        ChainError::Nonsense { network: self.network.to_string(), method }
    }

    fn seen(&self, watch: &Watch<'_>) -> Result<Observation, ChainError> {
        let state = self.up()?;
        let requirements = &watch.request.payment_requirements;
        let (_, read) = PaymentKey::of(&watch.request.payment_payload, requirements)
            .map_err(|_| ChainError::Unsupported { detail: "not a payment" })?;
        let (from, nonce) = (read.authorization.from, read.authorization.nonce);
        let unknown = || Outcome::Unknown {
            in_pool: state
                .pool
                .values()
                .filter(|t| watch.transactions.contains(&t.hash))
                .map(|t| t.hash.clone())
                .collect(),
            reverted: state.reverted(watch.transactions, from, nonce),
        };
        let outcome = match state.authorizations.get(&(from, nonce)) {
            Some(Use::Moved { to, block }) => {
                let ours = to.to_checksum(None).eq_ignore_ascii_case(&requirements.pay_to);
                let proof = state.evidence(from, nonce).filter(|proof| {
                    // A reorganisation may put our own into a block below the claim's head.
                    *block > watch.head_at_claim || watch.transactions.contains(&proof.transaction)
                });
                match (ours, *block <= state.finalized()) {
                    (true, _) => proof.map_or_else(unknown, Outcome::Paid),
                    (false, true) => dead(DeathCause::Superseded, state.finalized()),
                    (false, false) => unknown(),
                }
            }
            Some(Use::Cancelled { block }) if *block <= state.finalized() => {
                dead(DeathCause::Cancelled, state.finalized())
            }
            Some(Use::Cancelled { .. }) => unknown(),
            None => {
                let end = read.authorization.valid_before;
                let last = alloy_primitives::U256::from(state.block_time(state.finalized()));
                if last >= end { dead(DeathCause::Expired, state.finalized()) } else { unknown() }
            }
        };
        Ok(Observation { head: state.head(), finalized: state.finalized(), outcome })
    }
}

#[async_trait]
impl Chain for SimulatedChain {
    fn network(&self) -> &Network {
        &self.network
    }

    fn supported(&self) -> Vec<SupportedKind> {
        vec![SupportedKind {
            x402_version: 2,
            scheme: "exact".to_owned(),
            network: self.network.to_string(),
            extra: None,
        }]
    }

    fn signers(&self) -> Vec<String> {
        self.signers.clone()
    }

    fn read(&self, request: &PaymentRequest) -> Result<Authorization, Reason> {
        let requirements = &request.payment_requirements;
        let (key, read) = PaymentKey::of(&request.payment_payload, requirements)?;
        let a = read.authorization;
        Ok(Authorization {
            key,
            network: self.network.clone(),
            payer: a.from.to_checksum(None),
            pay_to: requirements.pay_to.clone(),
            asset: requirements.asset.clone(),
            amount: requirements.amount,
            valid_after: a.valid_after.try_into().unwrap_or(u64::MAX),
            valid_before: a.valid_before.try_into().unwrap_or(u64::MAX),
        })
    }

    fn batch_room(&self) -> Option<BatchRoom> {
        let members = self.lock().batch_members;
        (members > 1).then_some(BatchRoom { members, gas: u64::MAX })
    }

    fn share(&self, _request: &PaymentRequest) -> Option<u64> {
        self.batch_room().map(|_| TRANSFER_GAS)
    }

    async fn inspect(
        &self,
        request: &PaymentRequest,
        _now_unix: u64,
    ) -> Result<Inspection, ChainError> {
        let state = self.up()?;
        let (authorization, read) = match (
            self.read(request),
            PaymentKey::of(&request.payment_payload, &request.payment_requirements),
        ) {
            (Ok(authorization), Ok((_, read))) => (authorization, read),
            (Err(reason), _) | (_, Err(reason)) => {
                return Ok(Inspection::Invalid { reason, payer: None });
            }
        };
        let a = &read.authorization;
        let invalid = |reason| Inspection::Invalid { reason, payer: Some(a.from.to_string()) };
        if read.signature.first().is_none_or(|byte| *byte == 0) {
            return Ok(invalid(Reason::EvmSignature));
        }
        if authorization.valid_before <= state.now {
            return Ok(invalid(Reason::EvmValidBefore));
        }
        if state.authorizations.contains_key(&(a.from, a.nonce)) {
            return Ok(invalid(Reason::EvmNonceAlreadyUsed));
        }
        if state.balances.get(&a.from).copied().unwrap_or_default() < a.value {
            return Ok(invalid(Reason::EvmInsufficientBalance));
        }
        Ok(Inspection::Valid { payer: authorization.payer, head: state.head() })
    }

    async fn prepare(
        &self,
        intent: Intent<'_>,
        slot: &Slot,
        replaces: Option<Fees>,
    ) -> Result<Prepared, ChainError> {
        let state = self.up()?;
        if state.faults.signer_down {
            return Err(ChainError::Signer { detail: "the simulated signer is down" });
        }
        let requests: Vec<_> = match intent {
            Intent::Transfer(request) => vec![request.clone()],
            Intent::Batch(requests) => requests.iter().map(|&request| request.clone()).collect(),
            Intent::NoOp => Vec::new(),
        };
        let name = |r: &PaymentRequest| {
            PaymentKey::of(&r.payment_payload, &r.payment_requirements)
                .map_or("?".to_owned(), |(key, _)| key.short())
        };
        let what = match requests.iter().map(name).collect::<Vec<_>>() {
            names if names.is_empty() => "noop".to_owned(),
            names => names.join("+"),
        };
        let gas_limit = TRANSFER_GAS.saturating_mul(requests.len().max(1) as u64);
        let tip_wei = replaces.map_or(1, |fees| fees.tip_wei.saturating_add(1));
        let hash = format!("0x{}-{}-{what}-{tip_wei}", slot.signer, slot.nonce);
        let transaction = Transaction {
            hash: hash.clone(),
            signer: slot.signer.clone(),
            nonce: slot.nonce,
            tip_wei,
            requests,
            cancels: None,
        };
        let raw = serde_json::to_vec(&transaction)
            .map_err(|_| ChainError::Unsupported { detail: "not JSON" })?;
        Ok(Prepared { transaction: hash, raw, max_fee_wei: tip_wei, tip_wei, gas_limit })
    }

    async fn broadcast(&self, raw: &[u8]) -> Broadcast {
        let mut state = self.lock();
        state.broadcasts += 1;
        let Ok(transaction) = serde_json::from_slice::<Transaction>(raw) else {
            return Broadcast::Rejected;
        };
        state.sent.push(transaction.hash.clone());
        state.distinct.insert(transaction.hash.clone());
        if state.faults.down {
            return Broadcast::Unknown;
        }
        if let Some(word) = state.faults.refuse {
            return word;
        }
        if state.faults.swallow {
            return Broadcast::Accepted;
        }
        let next = state.mined_nonces.get(&transaction.signer).copied().unwrap_or_default();
        if transaction.nonce < next {
            return Broadcast::NonceTooLow;
        }
        let place = (transaction.signer.clone(), transaction.nonce);
        let there = state.pool.get(&place);
        let known = there.is_some_and(|there| there.hash == transaction.hash);
        if !known && there.is_some_and(|there| there.tip_wei >= transaction.tip_wei) {
            return Broadcast::Underpriced;
        }
        state.pool.insert(place, transaction);
        if self.automine {
            state.mine(self.chain_id);
        }
        match (state.faults.lose_answer, known) {
            (true, _) => Broadcast::Unknown,
            (false, true) => Broadcast::AlreadyKnown,
            (false, false) => Broadcast::Accepted,
        }
    }

    async fn observe(&self, watch: Watch<'_>) -> Result<Observation, ChainError> {
        self.lock().observations += 1;
        self.seen(&watch)
    }

    async fn blocks(&self, after: Option<u64>) -> Result<Vec<BlockSeen>, ChainError> {
        let state = self.up()?;
        let from = after.map_or(state.head(), |after| after.saturating_add(1));
        let hash = |number: u64| state.hash_at(number).unwrap_or_default();
        let blocks = state.blocks.iter().enumerate().map(|(number, block)| {
            let number = number as u64;
            let transactions =
                block.transactions.iter().map(|mined| mined.transaction.hash.clone());
            BlockSeen {
                number,
                hash: hash(number),
                parent: hash(number.saturating_sub(1)),
                transactions: transactions.collect(),
            }
        });
        Ok(blocks.filter(|block| block.number >= from).collect())
    }

    async fn heights(&self, numbers: &[u64]) -> Result<Option<Heights>, ChainError> {
        let mut state = self.up()?;
        state.observations += 1;
        if state.faults.one_by_one {
            return Err(self.nonsense("heights"));
        }
        let standing = |number: &u64| Some(Standing { hash: state.hash_at(*number)?, size: None });
        let blocks = numbers.iter().map(standing).collect();
        Ok(Some(Heights { head: state.head(), finalized: state.finalized(), blocks }))
    }

    async fn observe_in(
        &self,
        block: InBlock<'_>,
        watches: &[Watch<'_>],
    ) -> Result<Vec<Option<Observation>>, ChainError> {
        self.lock().observations += 1;
        let fails = {
            let mut state = self.lock();
            let left = state.faults.together_fails;
            state.faults.together_fails = left.saturating_sub(1);
            state.faults.one_by_one || left > 0
        };
        if fails {
            return Err(self.nonsense("observe in"));
        }
        let mut seen = Vec::with_capacity(watches.len());
        for watch in watches {
            let all = self.seen(watch)?;
            let in_block = |proof: &Evidence| proof.block_hash == block.hash;
            seen.push(
                matches!(&all.outcome, Outcome::Paid(proof) if in_block(proof)).then_some(all),
            );
        }
        Ok(seen)
    }

    async fn lane_state(&self, signer: &str) -> Result<LaneState, ChainError> {
        let state = self.up()?;
        let mined_nonce = state.mined_nonces.get(signer).copied().unwrap_or_default();
        // As nodes do: a nonce behind a gap does not count.
        let mut pending_nonce = mined_nonce;
        while state.pool.contains_key(&(signer.to_owned(), pending_nonce)) {
            pending_nonce += 1;
        }
        Ok(LaneState {
            mined_nonce,
            pending_nonce,
            balance_wei: if state.faults.no_gas_money { 0 } else { u128::MAX },
        })
    }

    async fn send_time(&self, now_unix: u64, _valid_before: u64) -> SendTime {
        let from = self.lock().quiet_from;
        if now_unix < from { SendTime::NotBefore(from) } else { SendTime::Now }
    }

    async fn ready(&self) -> Result<(), ChainError> {
        self.up().map(|_| ())
    }
}

fn dead(cause: DeathCause, at_block: u64) -> Outcome {
    Outcome::Dead(DeathProof { cause, at_block })
}

fn hash_of(block: &Block) -> String {
    format!("0xblock{}", block.id)
}

impl State {
    fn hash_at(&self, number: u64) -> Option<String> {
        usize::try_from(number).ok().and_then(|at| self.blocks.get(at)).map(hash_of)
    }

    fn evidence(
        &self,
        from: alloy_primitives::Address,
        nonce: alloy_primitives::B256,
    ) -> Option<Evidence> {
        self.blocks.iter().enumerate().find_map(|(number, block)| {
            let moves = block
                .transactions
                .iter()
                .flat_map(|mined| mined.moved.iter().map(move |moved| (mined, moved)));
            let (index, (mined, _)) =
                moves.enumerate().find(|(_, (_, m))| m.from == from && m.nonce == nonce)?;
            Some(Evidence {
                transaction: mined.transaction.hash.clone(),
                log_index: index as u64,
                block_number: number as u64,
                block_hash: hash_of(block),
                gas_used: TRANSFER_GAS.saturating_mul(mined.transaction.requests.len() as u64),
                payments: mined.moved.len() as u64,
            })
        })
    }

    fn reverted(
        &self,
        transactions: &[String],
        from: alloy_primitives::Address,
        nonce: alloy_primitives::B256,
    ) -> Vec<Reverted> {
        self.blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .filter(|mined| transactions.contains(&mined.transaction.hash))
            .filter(|mined| !mined.moved.iter().any(|m| m.from == from && m.nonce == nonce))
            .map(|mined| Reverted {
                transaction: mined.transaction.hash.clone(),
                gas_used: TRANSFER_GAS,
            })
            .collect()
    }
}
