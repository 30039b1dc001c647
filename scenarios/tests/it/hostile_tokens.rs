//! Tokens that do not do what they say, put on the list by an operator's mistake: nobody gets
//! anything for them, and what they cost is bounded. E2 to E7, E14.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use faregate_devnet::contracts::Contract;
use faregate_protocol::header::PAYMENT_SIGNATURE;
use serde_json::Value;

use crate::application::Application;
use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http::{self, Answer};
use crate::payment;
use crate::real_chain::{BUYER_KEY, NETWORK, PAYEE};
use crate::roles::{self, Extra, OTHER_SIGNER, Role};

const HOSTILE: Address = Address::repeat_byte(0x0e);
/// The default gas cap of a transfer, which is what a plain token needs and more.
const PLAIN_GAS: u64 = 150_000;
/// A cap that lets a token do what it likes.
const AMPLE_GAS: u64 = 1_500_000;
/// Transactions that the engine spends on one payment at most.
const TRANSACTIONS_PER_PAYMENT: u64 = 3;
/// Fee for one unit of gas that is never reached on the dev chain, in wei.
const MAX_FEE_WEI: u64 = 10_000_000_000;
/// Time in which a settlement that was not proven is tried and looked at again.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

struct World {
    chain: DevChain,
    application: Application,
    role: Role,
    gas_money: U256,
    max_gas: u64,
}

/// The mistake.
fn listed() -> String {
    format!(
        "[[asset]]\nnetwork = \"{NETWORK}\"\naddress = \"{HOSTILE}\"\nsymbol = \"ODD\"\n\
         name = \"USDC\"\nversion = \"2\"\ndecimals = 6\n"
    )
}

impl World {
    fn start(contract: Contract, max_gas: u64) -> Self {
        let chain = DevChain::start();
        chain.place_token(contract, HOSTILE);
        let application = Application::start();
        let extra = Extra {
            chain: format!(
                "assets = [\"{}\", \"{HOSTILE}\"]\nmax_gas = {max_gas}",
                chain.reader.token
            ),
            facilitator: "settle_wait_ms = 1500".to_owned(),
            sections: format!(
                "{}[[gate.route]]\nname = \"odd\"\nmatch = \"GET /odd\"\nprice = \"0.01 ODD\"\n\
                 network = \"{NETWORK}\"\npay_to = \"{PAYEE}\"\n",
                listed()
            ),
            ..Extra::default()
        };
        let role = roles::serve_at(chain.rpc(), &application.url, &extra);
        let gas_money = chain.gas_money();
        Self { chain, application, role, gas_money, max_gas }
    }

    fn odd_url(&self) -> String {
        format!("{}/odd", self.role.url)
    }

    fn get_odd(&self, header: &str) -> Answer {
        http::get_with(&self.odd_url(), &[(PAYMENT_SIGNATURE, header)])
    }

    fn settle(&self, draft: &Draft) -> Value {
        self.role.ask("settle", &draft.body()).json()
    }

    /// Gas of the transactions that the signer sent, one after the other.
    fn gas_used(&self) -> Vec<u64> {
        let blocks = 1..=self.chain.node.block_number();
        let receipts = blocks.flat_map(|number| {
            let params = serde_json::json!([format!("{number:#x}")]);
            self.chain.reader.call("eth_getBlockReceipts", &params).as_array().unwrap().clone()
        });
        let used = |receipt: Value| {
            let text = receipt["gasUsed"].as_str().unwrap().trim_start_matches("0x").to_owned();
            u64::from_str_radix(&text, 16).unwrap()
        };
        receipts.map(used).collect()
    }

    /// Every transaction kept to its cap, and `payments` payments to theirs.
    fn assert_loss_is_bounded(&self, payments: u64) {
        let used = self.gas_used();
        let total: u64 = used.iter().sum();
        assert!(total > 0, "nothing was tried: the token was refused before it could be hostile");
        println!("{} transactions used {total} gas for {payments} payments", used.len());
        assert!(used.iter().all(|gas| *gas <= self.max_gas), "{used:?}");
        assert!(total <= payments * TRANSACTIONS_PER_PAYMENT * self.max_gas, "{used:?}");
        let spent = self.gas_money - self.chain.gas_money();
        assert!(spent <= U256::from(total) * U256::from(MAX_FEE_WEI), "{spent} wei");
    }

    /// The good token is served as ever.
    fn assert_others_are_served(&self) {
        let before = self.chain.paid();
        let header = payment::header_for(&self.role.priced_url(), BUYER_KEY);
        let answer =
            http::get_with(&self.role.priced_url(), &[(PAYMENT_SIGNATURE, header.as_str())]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(self.chain.paid(), before + u128::from(PRICE));
    }
}

/// A token whose every payment looks good and proves nothing.
fn nobody_gets_anything(contract: Contract, max_gas: u64) {
    let world = World::start(contract, max_gas);
    let header = payment::header_for(&world.odd_url(), BUYER_KEY);
    let direct = Draft::in_token(HOSTILE);
    let nothing_yet = |when: &str| {
        let answer = world.get_odd(&header);
        // Never 402: what was sent may have moved money, and is not to be paid again.
        assert!([409, 503].contains(&answer.status), "{when}: {answer:?}");
        assert!(!answer.text().contains("served"), "{when}: {answer:?}");
        let outcome = world.settle(&direct);
        assert_eq!(outcome["success"], false, "{when}: {outcome}");
        assert_eq!(outcome["errorReason"], "settlement_pending", "{when}: {outcome}");
    };
    nothing_yet("at once");
    std::thread::sleep(SECOND_THOUGHTS);
    nothing_yet("later");
    world.chain.node.mine(5);
    nothing_yet("when its blocks are final");
    world.assert_loss_is_bounded(2);
    world.assert_others_are_served();
}

#[test]
fn e3_a_token_that_moves_nothing_buys_nothing() {
    nobody_gets_anything(Contract::FalseToken, PLAIN_GAS);
}

#[test]
fn e6_logs_of_another_address_buy_nothing() {
    nobody_gets_anything(Contract::ForgingToken, AMPLE_GAS);
}

#[test]
fn e7_a_token_that_keeps_a_part_buys_nothing() {
    nobody_gets_anything(Contract::FeeToken, PLAIN_GAS);
}

#[test]
fn e2_a_token_that_burns_the_gas_of_real_transactions_buys_nothing_and_costs_its_cap() {
    nobody_gets_anything(Contract::GasBurnerToken, PLAIN_GAS);
}

#[test]
fn e4_an_authorization_that_was_used_before_buys_nothing_from_a_quiet_token() {
    let world = World::start(Contract::QuietToken, PLAIN_GAS);
    // Used at somebody else's: a facilitator with a ledger of its own.
    let draft = Draft::in_token(HOSTILE);
    let elsewhere = other_facilitator(&world.chain);
    let first = elsewhere.ask("settle", &draft.body()).json();
    assert_eq!(first["success"], true, "{first}");
    drop(elsewhere);
    let served = world.application.ran();

    let mut forged = draft.clone();
    forged.signature = Some(vec![7; 65]);
    let outcome = world.settle(&forged);
    assert_eq!(outcome["errorReason"], "invalid_exact_evm_signature", "{outcome}");
    for _ in 0..2 {
        let outcome = world.settle(&draft);
        assert_eq!(outcome["success"], false, "{outcome}");
        let answer = world.get_odd(&draft.header());
        assert!([402, 409, 503].contains(&answer.status), "{answer:?}");
        std::thread::sleep(SECOND_THOUGHTS);
    }
    assert!(world.application.ran() <= served + 1, "a handler may run, its answer is held back");
    world.assert_loss_is_bounded(2);
    world.assert_others_are_served();
}

/// Signs with another key, as two facilitators must.
fn other_facilitator(chain: &DevChain) -> Role {
    let extra = Extra {
        signer: OTHER_SIGNER,
        chain: format!("assets = [\"{HOSTILE}\"]"),
        sections: listed(),
        ..Extra::default()
    };
    roles::facilitator_at(chain.rpc(), &extra)
}

#[test]
fn e5_a_token_that_is_not_listed_costs_nothing() {
    let chain = DevChain::start();
    chain.place_token(Contract::GasBurnerToken, HOSTILE);
    let role = roles::facilitator_at(chain.rpc(), &Extra::default());
    let gas_money = chain.gas_money();
    let draft = Draft::in_token(HOSTILE);
    let verdict = role.ask("verify", &draft.body()).json();
    assert_eq!(verdict["invalidReason"], "asset_not_allowed", "{verdict}");
    let outcome = role.ask("settle", &draft.body()).json();
    assert_eq!(outcome["errorReason"], "asset_not_allowed", "{outcome}");
    assert_eq!(outcome["transaction"], "", "{outcome}");
    assert_eq!((chain.sent(), chain.gas_money()), (0, gas_money));
}
