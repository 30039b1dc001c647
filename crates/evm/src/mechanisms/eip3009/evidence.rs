//! Which log of a receipt pays for which payment.
//!
//! A token logs `AuthorizationUsed(from, nonce)` directly before the `Transfer` it makes, so the
//! next `Transfer` of the asset, before any other `AuthorizationUsed` of the asset, is the one
//! that the authorization made. Logs of other contracts are not looked at: anybody can forge them.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolEvent, SolValue};

use crate::contracts::Token;

/// One log of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// Who logged it.
    pub(crate) address: Address,
    /// The event and its indexed values.
    pub(crate) topics: Vec<B256>,
    /// The other values.
    pub(crate) data: Bytes,
    /// Place in the block.
    pub(crate) index: u64,
}

/// The movement of money that is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Movement {
    /// The token.
    pub(crate) asset: Address,
    /// Who paid.
    pub(crate) from: Address,
    /// Who was to be paid.
    pub(crate) to: Address,
    /// How much, in atomic units.
    pub(crate) value: U256,
    /// The single-use token.
    pub(crate) nonce: B256,
}

/// Index in the block of the `AuthorizationUsed` log that pays for `movement`; `logs` are those
/// of one receipt, in their order.
pub(crate) fn paying_log(logs: &[Log], movement: &Movement) -> Option<u64> {
    let mut own = logs.iter().filter(|log| log.address == movement.asset);
    let used = own.find(|log| is_use(log, movement))?;
    let transfer = own
        .take_while(|log| event(log) != Some(Token::AuthorizationUsed::SIGNATURE_HASH))
        .find(|log| event(log) == Some(Token::Transfer::SIGNATURE_HASH))?;
    is_transfer(transfer, movement).then_some(used.index)
}

/// Whether the use of the authorization moved anything to the payee, be it another amount.
pub(crate) fn reached_payee(logs: &[Log], movement: &Movement) -> bool {
    let mut own = logs.iter().filter(|log| log.address == movement.asset);
    own.find(|log| is_use(log, movement)).is_some()
        && own
            .take_while(|log| event(log) != Some(Token::AuthorizationUsed::SIGNATURE_HASH))
            .any(|log| log.topics == transfer_topics(movement))
}

/// How many authorizations these logs say were used.
pub(crate) fn uses(logs: &[Log]) -> u64 {
    let is_use = |log: &&Log| event(log) == Some(Token::AuthorizationUsed::SIGNATURE_HASH);
    u64::try_from(logs.iter().filter(is_use).count()).unwrap_or(u64::MAX)
}

/// Whether `log` says that the asset used up the authorization.
pub(crate) fn is_use(log: &Log, movement: &Movement) -> bool {
    names_authorization(log, movement, Token::AuthorizationUsed::SIGNATURE_HASH)
}

/// Whether `log` says that the payer cancelled the authorization.
pub(crate) fn is_cancellation(log: &Log, movement: &Movement) -> bool {
    names_authorization(log, movement, Token::AuthorizationCanceled::SIGNATURE_HASH)
}

fn event(log: &Log) -> Option<B256> {
    log.topics.first().copied()
}

fn names_authorization(log: &Log, movement: &Movement, event: B256) -> bool {
    log.address == movement.asset
        && log.topics == [event, movement.from.into_word(), movement.nonce]
}

fn is_transfer(log: &Log, movement: &Movement) -> bool {
    log.topics == transfer_topics(movement) && *log.data == movement.value.abi_encode()
}

fn transfer_topics(movement: &Movement) -> [B256; 3] {
    [Token::Transfer::SIGNATURE_HASH, movement.from.into_word(), movement.to.into_word()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASSET: Address = Address::repeat_byte(0xa5);
    const FROM: Address = Address::repeat_byte(0xf0);
    const TO: Address = Address::repeat_byte(0x70);

    fn movement(nonce: u8) -> Movement {
        Movement {
            asset: ASSET,
            from: FROM,
            to: TO,
            value: U256::from(10_000),
            nonce: B256::repeat_byte(nonce),
        }
    }

    fn used(address: Address, nonce: u8, index: u64) -> Log {
        Log {
            address,
            topics: vec![
                Token::AuthorizationUsed::SIGNATURE_HASH,
                FROM.into_word(),
                B256::repeat_byte(nonce),
            ],
            data: Bytes::new(),
            index,
        }
    }

    fn transfer(address: Address, from: Address, to: Address, value: u64, index: u64) -> Log {
        Log {
            address,
            topics: vec![Token::Transfer::SIGNATURE_HASH, from.into_word(), to.into_word()],
            data: U256::from(value).abi_encode().into(),
            index,
        }
    }

    #[test]
    fn a_payment_is_found_by_its_pair() {
        let logs = [used(ASSET, 1, 40), transfer(ASSET, FROM, TO, 10_000, 41)];
        assert_eq!(paying_log(&logs, &movement(1)), Some(40));
        assert_eq!(paying_log(&logs, &movement(2)), None);
    }

    #[test]
    fn ten_identical_payments_of_which_three_failed() {
        let failed = [2_u8, 5, 9];
        let mut logs = Vec::new();
        for nonce in (0..10_u8).filter(|nonce| !failed.contains(nonce)) {
            let index = logs.len() as u64;
            logs.push(used(ASSET, nonce, index));
            logs.push(transfer(ASSET, FROM, TO, 10_000, index + 1));
        }
        let found: Vec<_> = (0..10).map(|nonce| paying_log(&logs, &movement(nonce))).collect();
        let distinct: std::collections::HashSet<_> = found.iter().flatten().collect();
        assert_eq!(distinct.len(), 7, "one log pays for one payment");
        for (nonce, found) in found.iter().enumerate() {
            assert_eq!(found.is_none(), failed.contains(&(nonce as u8)), "{nonce}");
        }
    }

    #[test]
    fn a_use_without_a_transfer_takes_nobody_elses() {
        // The first authorization moved nothing; the transfer belongs to the second one.
        let logs = [used(ASSET, 1, 0), used(ASSET, 2, 1), transfer(ASSET, FROM, TO, 10_000, 2)];
        assert_eq!(paying_log(&logs, &movement(1)), None);
        assert_eq!(paying_log(&logs, &movement(2)), Some(1));
        assert_eq!(paying_log(&logs[..1], &movement(1)), None);
        // A transfer before the use is another one.
        let logs = [transfer(ASSET, FROM, TO, 10_000, 0), used(ASSET, 1, 1)];
        assert_eq!(paying_log(&logs, &movement(1)), None);
    }

    #[test]
    fn e6_forged_logs_of_another_contract_pay_nothing() {
        let forger = Address::repeat_byte(0x66);
        let pair = |a: Address, b: Address| {
            paying_log(&[used(a, 1, 0), transfer(b, FROM, TO, 10_000, 1)], &movement(1))
        };
        assert_eq!(pair(forger, forger), None);
        assert_eq!(pair(ASSET, forger), None);
        assert_eq!(pair(forger, ASSET), None);
        // And they do not disturb a real pair.
        let logs = [
            used(ASSET, 1, 0),
            used(forger, 9, 1),
            transfer(forger, TO, FROM, 1, 2),
            transfer(ASSET, FROM, TO, 10_000, 3),
        ];
        assert_eq!(paying_log(&logs, &movement(1)), Some(0));
    }

    #[test]
    fn e7_another_amount_payer_or_payee_pays_nothing() {
        for bad in [
            transfer(ASSET, FROM, TO, 9_999, 1),
            transfer(ASSET, FROM, TO, 10_001, 1),
            transfer(ASSET, FROM, FROM, 10_000, 1),
            transfer(ASSET, TO, TO, 10_000, 1),
        ] {
            assert_eq!(paying_log(&[used(ASSET, 1, 0), bad], &movement(1)), None);
        }
        // What did reach the payee is no proof that nothing was charged.
        let less = [used(ASSET, 1, 0), transfer(ASSET, FROM, TO, 9_999, 1)];
        assert!(reached_payee(&less, &movement(1)));
        let elsewhere = [used(ASSET, 1, 0), transfer(ASSET, FROM, FROM, 10_000, 1)];
        assert!(!reached_payee(&elsewhere, &movement(1)));
        assert!(!reached_payee(
            &[used(ASSET, 1, 0), used(ASSET, 2, 1), less[1].clone()],
            &movement(1)
        ));
        // A fee first, the rest to the payee: the transfer that follows is not the price.
        let logs = [
            used(ASSET, 1, 0),
            transfer(ASSET, FROM, ASSET, 100, 1),
            transfer(ASSET, FROM, TO, 10_000, 2),
        ];
        assert_eq!(paying_log(&logs, &movement(1)), None);
    }

    #[test]
    fn odd_topics_and_data_pay_nothing() {
        let good = transfer(ASSET, FROM, TO, 10_000, 1);
        let mut long = good.clone();
        long.data = [good.data.to_vec(), vec![0]].concat().into();
        let mut short = good.clone();
        short.data = Bytes::copy_from_slice(&good.data[..31]);
        let mut unindexed = good.clone();
        unindexed.topics.truncate(1);
        let mut dirty = good;
        dirty.topics[1].0[0] = 1;
        for bad in [long, short, unindexed, dirty] {
            assert_eq!(paying_log(&[used(ASSET, 1, 0), bad], &movement(1)), None);
        }
    }

    proptest! {
        #[test]
        fn a_payment_among_others_is_found_exactly_when_it_is_there(
            others in prop::collection::vec((2_u8..20, any::<bool>()), 0..12),
            at in 0_usize..12,
        ) {
            let mut logs = Vec::new();
            for (nonce, moved) in &others {
                logs.push(used(ASSET, *nonce, 0));
                if *moved {
                    logs.push(transfer(ASSET, FROM, TO, 10_000, 0));
                }
            }
            prop_assert_eq!(paying_log(&logs, &movement(1)), None);
            // Only between two pairs: a token logs the pair without a gap.
            let mut place = at.min(logs.len());
            while logs.get(place).is_some_and(|log| log.topics[0] == Token::Transfer::SIGNATURE_HASH) {
                place += 1;
            }
            logs.insert(place, transfer(ASSET, FROM, TO, 10_000, 78));
            logs.insert(place, used(ASSET, 1, 77));
            prop_assert_eq!(paying_log(&logs, &movement(1)), Some(77));
        }
    }
}
