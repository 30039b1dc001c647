//! Accounts and storage at the newest block, and what is needed to see the blocks before it: each
//! block leaves an [`Undo`] with the values it replaced. An old state is the newest one seen
//! through the undos of the blocks since, so history costs only what changed.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
};

use alloy_primitives::{Address, B256, U256};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    state::{Account as Touched, AccountInfo, EvmState},
};

use crate::block::Block;

/// One account: balance, nonce, code, and its non-zero storage.
#[derive(Clone, Debug, Default)]
struct Account {
    info: AccountInfo,
    storage: HashMap<U256, U256>,
}

/// Values before a block, for everything the block changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Undo {
    accounts: HashMap<Address, Option<AccountInfo>>,
    storage: HashMap<(Address, U256), U256>,
}

/// All accounts at the newest block.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    accounts: HashMap<Address, Account>,
}

impl State {
    /// The account, if it exists.
    pub(crate) fn account(&self, address: Address) -> Option<&AccountInfo> {
        self.accounts.get(&address).map(|account| &account.info)
    }

    /// The account's next nonce.
    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.account(address).map_or(0, |info| info.nonce)
    }

    fn slot(&self, address: Address, slot: U256) -> U256 {
        let account = self.accounts.get(&address);
        account.and_then(|account| account.storage.get(&slot)).copied().unwrap_or_default()
    }

    /// Takes over what a transaction changed, noting the old values.
    pub(crate) fn apply(&mut self, changes: EvmState, undo: &mut Undo) {
        for (address, touched) in changes {
            if !touched.is_touched() {
                continue;
            }
            if touched.is_selfdestructed() {
                self.remove(address, undo);
            } else {
                self.apply_account(address, touched, undo);
            }
        }
    }

    fn apply_account(&mut self, address: Address, touched: Touched, undo: &mut Undo) {
        if touched.is_created() {
            self.clear_storage(address, undo);
        }
        for (slot, value) in touched.changed_storage_slots() {
            self.set_slot(address, *slot, value.present_value, undo);
        }
        self.set_info(address, touched.info, undo);
    }

    /// Replaces balance, nonce and code. An account left without any of them ceases to exist.
    pub(crate) fn set_info(&mut self, address: Address, info: AccountInfo, undo: &mut Undo) {
        if info.is_empty() {
            self.remove(address, undo);
            return;
        }
        undo.note_account(self, address);
        let account = self.accounts.entry(address).or_default();
        // Code that revm did not load is code that did not change.
        let code = info.code.clone().or_else(|| account.info.code.take());
        account.info = AccountInfo { code, ..info };
    }

    /// Changes an account in place, creating it when needed.
    pub(crate) fn edit(
        &mut self,
        address: Address,
        undo: &mut Undo,
        change: impl FnOnce(&mut AccountInfo),
    ) {
        let mut info = self.account(address).cloned().unwrap_or_default();
        change(&mut info);
        self.set_info(address, info, undo);
    }

    /// Writes one storage slot; zero removes it.
    pub(crate) fn set_slot(&mut self, address: Address, slot: U256, value: U256, undo: &mut Undo) {
        undo.storage.entry((address, slot)).or_insert_with(|| self.slot(address, slot));
        undo.note_account(self, address);
        let storage = &mut self.accounts.entry(address).or_default().storage;
        if value.is_zero() {
            storage.remove(&slot);
        } else {
            storage.insert(slot, value);
        }
    }

    fn clear_storage(&mut self, address: Address, undo: &mut Undo) {
        if let Some(account) = self.accounts.get_mut(&address) {
            for (slot, value) in account.storage.drain() {
                undo.storage.entry((address, slot)).or_insert(value);
            }
        }
    }

    fn remove(&mut self, address: Address, undo: &mut Undo) {
        undo.note_account(self, address);
        self.clear_storage(address, undo);
        self.accounts.remove(&address);
    }

    /// Takes a block's changes back.
    pub(crate) fn revert(&mut self, undo: Undo) {
        for ((address, slot), value) in undo.storage {
            let storage = &mut self.accounts.entry(address).or_default().storage;
            if value.is_zero() {
                storage.remove(&slot);
            } else {
                storage.insert(slot, value);
            }
        }
        for (address, info) in undo.accounts {
            match info {
                Some(info) => self.accounts.entry(address).or_default().info = info,
                None => drop(self.accounts.remove(&address)),
            }
        }
    }
}

impl Undo {
    fn note_account(&mut self, state: &State, address: Address) {
        self.accounts.entry(address).or_insert_with(|| state.account(address).cloned());
    }
}

/// The state after some block, read-only: the newest state seen through the undos of later blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    state: &'a State,
    undos: &'a VecDeque<Undo>,
    first_undo: usize,
    blocks: &'a VecDeque<Arc<Block>>,
}

impl<'a> View<'a> {
    /// A view that looks through `undos[first_undo..]`, oldest first; `blocks` answer BLOCKHASH.
    pub(crate) fn new(
        state: &'a State,
        undos: &'a VecDeque<Undo>,
        first_undo: usize,
        blocks: &'a VecDeque<Arc<Block>>,
    ) -> Self {
        Self { state, undos, first_undo, blocks }
    }

    /// The account, if it exists.
    pub(crate) fn account(&self, address: Address) -> Option<AccountInfo> {
        let replaced =
            self.undos.range(self.first_undo..).find_map(|undo| undo.accounts.get(&address));
        match replaced {
            Some(info) => info.clone(),
            None => self.state.account(address).cloned(),
        }
    }

    /// One storage slot; zero when never written.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> U256 {
        let replaced =
            self.undos.range(self.first_undo..).find_map(|undo| undo.storage.get(&(address, slot)));
        replaced.copied().unwrap_or_else(|| self.state.slot(address, slot))
    }
}

impl DatabaseRef for View<'_> {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.account(address))
    }

    fn code_by_hash_ref(&self, _code_hash: B256) -> Result<Bytecode, Infallible> {
        // Accounts always carry their code, so nobody asks for it by hash.
        Ok(Bytecode::default())
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, Infallible> {
        Ok(self.slot(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        let first = self.blocks.front().map_or(0, |block| block.header.number);
        let index = number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        let block = index.and_then(|index| self.blocks.get(index));
        Ok(block.map(|block| block.hash).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Address = Address::repeat_byte(1);
    const ONE: U256 = U256::from_limbs([1, 0, 0, 0]);
    const TWO: U256 = U256::from_limbs([2, 0, 0, 0]);

    fn balance(view: &View<'_>) -> Option<U256> {
        view.account(ALICE).map(|info| info.balance)
    }

    #[test]
    fn old_states_stay_visible_and_can_be_restored() {
        let mut state = State::default();
        let (mut first, mut second) = (Undo::default(), Undo::default());
        state.edit(ALICE, &mut first, |info| info.balance = ONE);
        state.set_slot(ALICE, ONE, ONE, &mut first);
        state.edit(ALICE, &mut second, |info| info.balance = TWO);
        state.set_slot(ALICE, ONE, TWO, &mut second);
        let undos = VecDeque::from([first, second]);
        let blocks = VecDeque::new();
        let at = |first_undo| View::new(&state, &undos, first_undo, &blocks);
        assert_eq!((balance(&at(0)), at(0).slot(ALICE, ONE)), (None, U256::ZERO));
        assert_eq!((balance(&at(1)), at(1).slot(ALICE, ONE)), (Some(ONE), ONE));
        assert_eq!((balance(&at(2)), at(2).slot(ALICE, ONE)), (Some(TWO), TWO));

        for undo in undos.into_iter().rev() {
            state.revert(undo);
        }
        assert!(state.account(ALICE).is_none());
        assert_eq!(state.slot(ALICE, ONE), U256::ZERO);
    }

    #[test]
    fn an_account_without_anything_ceases_to_exist() {
        let mut state = State::default();
        let mut undo = Undo::default();
        state.edit(ALICE, &mut undo, |info| info.balance = ONE);
        let mut later = Undo::default();
        state.edit(ALICE, &mut later, |info| info.balance = U256::ZERO);
        assert!(state.account(ALICE).is_none());
        state.revert(later);
        assert_eq!(state.account(ALICE).map(|info| info.balance), Some(ONE));
    }

    /// What a plain copy of every block's state says.
    type Model = HashMap<Address, (u64, HashMap<U256, U256>)>;

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    fn random_change(random: &mut Random, state: &mut State, undo: &mut Undo, model: &mut Model) {
        let address = Address::repeat_byte(random.below(4) as u8 + 1);
        let (slot, value) = (U256::from(random.below(3)), random.below(3));
        match random.below(4) {
            // Balance zero with nonce zero removes the account with its storage.
            0 => {
                state.edit(address, undo, |info| info.balance = U256::from(value));
                if value == 0 {
                    model.remove(&address);
                } else {
                    model.entry(address).or_default().0 = value;
                }
            }
            1 => {
                state.remove(address, undo);
                model.remove(&address);
            }
            _ => {
                state.set_slot(address, slot, U256::from(value), undo);
                model.entry(address).or_default().1.insert(slot, U256::from(value));
            }
        }
    }

    fn assert_same(view: &View<'_>, model: &Model) {
        for byte in 1..=4 {
            let address = Address::repeat_byte(byte);
            let (balance, storage) = model.get(&address).cloned().unwrap_or_default();
            let seen = view.account(address).map_or(U256::ZERO, |info| info.balance);
            assert_eq!(seen, U256::from(balance));
            for slot in (0..3).map(U256::from) {
                let expected = storage.get(&slot).copied().unwrap_or_default();
                assert_eq!(view.slot(address, slot), expected);
            }
        }
    }

    #[test]
    fn any_history_can_be_seen_and_undone() {
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = started.map_or(1, |time| time.as_nanos() as u64) | 1;
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut state = State::default();
        let (mut undos, blocks) = (VecDeque::new(), VecDeque::new());
        let mut models = vec![Model::new()];
        for _ in 0..300 {
            let mut model = models.last().cloned().unwrap_or_default();
            let mut undo = Undo::default();
            for _ in 0..random.below(5) {
                random_change(&mut random, &mut state, &mut undo, &mut model);
            }
            undos.push_back(undo);
            models.push(model);
            if random.below(4) == 0 {
                for _ in 0..random.below(undos.len() as u64) {
                    state.revert(undos.pop_back().unwrap());
                    models.pop();
                }
            }
            for (first_undo, model) in models.iter().enumerate() {
                assert_same(&View::new(&state, &undos, first_undo, &blocks), model);
            }
        }
    }
}
